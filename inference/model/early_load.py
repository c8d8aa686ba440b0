"""Compiled models, loaded while numpy and what stands on it are still being imported.

A cold start would be one after the other otherwise: imports, then the engine making the models' kernels.
"""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..memory_limit import MB
from ..stopping import leave_signals_to_the_main_thread
from .compiled_file import cache_folders, file_name, find
from .engine import CompiledModel, Core, core_with, engine_config, settings, tell
from .metadata import Metadata
from .variant import Variant

log = logging.getLogger("qmedsam")

# Without numpy the engine copies what it loads, twice for a moment. A larger file is left to be loaded where it lies.
MOST_BYTES = 32 * MB


class EarlyLoads:
    """Loads variants of a pair, each in a thread of its own; what nobody asks for is kept as long as this. A context
    manager: leaving it waits for the threads.

    Attributes:
        metadata: of the pair.
    """

    def __init__(self, weights: Path, metadata: Metadata, precision: str, threads: int, cache: Path | None) -> None:
        """For `weights`, `precision`, `threads` and `cache` see `inference.model.pair.ModelPair`."""
        self.metadata = metadata
        self._weights, self._settings, self._folders = weights, (precision, threads), cache_folders(weights, cache)
        self._loading: dict[Variant, threading.Thread] = {}
        self._loaded: dict[Variant, CompiledModel] = {}
        self._cores: list[tuple[dict[str, Any], Core]] = []  # with their settings: each takes 5 ms to make
        self._lock = threading.Lock()

    def __enter__(self) -> "EarlyLoads":
        return self

    def __exit__(self, *error: object) -> None:
        for thread in self._loading.values():
            if thread.ident is not None:  # a signal may come before it was started
                thread.join()

    def load(self, variant: Variant) -> None:
        """Begin to load a variant."""
        self._loading[variant] = threading.Thread(target=self._run, args=(variant,), name=f"early {variant.file}")
        self._loading[variant].start()

    def result(self, variant: Variant) -> CompiledModel | None:
        """The engine's compiled model; None where it is not compiled yet, or cannot be loaded in this way.

        Whoever asks has it alone: it is freed with what he makes of it.
        """
        if variant in self._loading:
            self._loading[variant].join()
        return self._loaded.pop(variant, None)

    def _run(self, variant: Variant) -> None:
        leave_signals_to_the_main_thread()
        try:
            core = self._core_for(variant)
            config = variant.config(engine_config(core, *self._settings))
            if _has(core, config):
                name = file_name(core, self._weights / variant.file, variant.shapes, config, self.metadata.pair)
                loaded = _load(self._weights / variant.file, core, name, self._folders)
                if loaded is not None:
                    self._loaded[variant] = loaded
        except Exception as error:  # of whatever kind, it loads as ever, and who loads it then says what is wrong
            log.debug("%s: not loaded early (%s)", variant.file, error)

    def _core_for(self, variant: Variant) -> Core:
        """An engine with the settings of a variant."""
        wanted = variant.config(settings(*self._settings))
        with self._lock:
            core = next((core for config, core in self._cores if config == wanted), None)
            if core is None:
                core = core_with(wanted)
                self._cores.append((wanted, core))
                tell(core, engine_config(core, *self._settings))
        return core


def _load(onnx: Path, core: Core, name: str, folders: Sequence[Path]) -> CompiledModel | None:
    """The compiled model of a file, by its name in a cache; None where it is in none of the folders."""
    start = time.perf_counter()
    for folder, blob in find(name, folders):
        if len(blob) > MOST_BYTES:
            return None
        copied = bytes(blob)
        blob.release()  # the file need not be mapped beside it
        compiled = core.import_model(copied, "CPU", {})
        log.debug("%s: loaded early from %s in %.2f s", onnx.name, folder, time.perf_counter() - start)
        return compiled
    return None


def _has(core: Core, config: dict[str, Any]) -> bool:
    """Whether an engine has the settings that the run is to have. It chose the precision itself where that is `AUTO`,
    and does not take one that this CPU lacks."""
    precision = core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    streams, threads = (core.get_property("CPU", name) for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS"))
    asked = config["INFERENCE_PRECISION_HINT"], config["NUM_STREAMS"], config.get("INFERENCE_NUM_THREADS", threads)
    return (precision, streams, threads) == asked
