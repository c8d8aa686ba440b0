"""Compiled models on disk: what OpenVINO made of an ONNX file, kept so that the next start need not make it again."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..atomic import write_atomically
from .compiled_file import Shapes, file_name, find, trailer
from .handed_over import handed_over, with_precision
from .metadata import Metadata, check_content
from .openvino_runtime import CompiledModel, Core, Tensor

log = logging.getLogger("qmedsam")


def load_compiled(
    core: Core, onnx: Path, shapes: Shapes, config: dict[str, Any], metadata: Metadata, folders: Iterable[Path]
) -> CompiledModel:
    """Load `onnx` for the CPU from the first folder that has it compiled; else compile it and try to keep the result.

    Args:
        shapes: that some of its inputs are to have from now on, by name. Kernels for a shape that is known beforehand
            are quicker, and are not made while the model runs.
        metadata: of the model pair.
        folders: searched in this order; the first that can be written to keeps what had to be compiled.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the file. An unusable cache is no error: it is not used.
        SetupError: the pair has to be compiled, and is not what was exported.
    """
    start = time.perf_counter()
    name = file_name(core, onnx, shapes, config, metadata.pair)
    for folder, blob in find(name, folders):
        shared = np.frombuffer(blob, np.uint8)
        try:
            compiled = core.import_model(Tensor(shared, shared_memory=True), "CPU", config)
        except RuntimeError:
            continue
        log.debug("%s: loaded from %s in %.2f s", onnx.name, folder, time.perf_counter() - start)
        compiled.blob = shared  # its constants stay where they are in this memory, which must live as long
        return compiled
    check_content(onnx.parent, metadata)
    model = core.read_model(onnx)
    model.reshape(dict(shapes))
    model = with_precision(model, handed_over(metadata), config["INFERENCE_PRECISION_HINT"])
    compiled = core.compile_model(model, "CPU", config)
    log.debug("%s: not in a cache, compiled in %.2f s", onnx.name, time.perf_counter() - start)
    _keep(compiled, name, folders)
    return compiled


def _keep(compiled: CompiledModel, name: str, folders: Iterable[Path]) -> None:
    def write(file: IO[bytes]) -> None:  # called only where a file could be made: exporting takes time
        blob = compiled.export_model().getvalue()
        file.write(blob)
        file.write(trailer(memoryview(blob)))

    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, write)
            return
        except OSError:  # read-only or full: the run does not depend on it
            continue
