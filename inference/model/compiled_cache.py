"""Compiled models on disk: what OpenVINO made of an ONNX file, kept so that the next start need not make it again.

OpenVINO's own CACHE_DIR is not used because its key leaves out the precision: a model compiled for float32 and loaded
with the bf16 hint runs several times slower. Here the file name holds everything that the compiled model depends on,
so a cache from another CPU, precision, OpenVINO version or pair of weights is simply not found.
"""

import logging
import os
import struct
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arrays import Array
from ..atomic import remove_stale, write_atomically
from ..options import PACKAGED_WEIGHTS
from .handed_over import handed_over, with_precision
from .metadata import Metadata, check_content
from .openvino_runtime import CompiledModel, Core, Tensor, get_version

log = logging.getLogger("qmedsam")

CPUINFO = Path("/proc/cpuinfo")
MAX_ISA = "ONEDNN_MAX_CPU_ISA"  # environment variable: holds OpenVINO to fewer instruction sets than the CPU has
MAGIC = b"qmedsam2"
FORM = "4"  # of what is compiled; another number for each change here that gives other compiled models
GRAPH_SETTINGS = "INFERENCE_PRECISION_HINT", "SNIPPETS_MODE"  # the only ones that the compiled graph depends on
Shapes = Mapping[str, Sequence[int]]  # of inputs, by name
TRAILER = struct.Struct("<8sQL")  # closes a file: magic, number of bytes before the trailer, their CRC-32


def cache_folders(weights: Path) -> list[Path]:
    """Where compiled models may lie, the first choice first: beside the weights (built into the container), and in the
    user's own cache; into an installed package nothing is written as long as that can be."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # Without HOME and an entry for the user `~` stays as it is, and would be a folder of that name right here.
    own = [Path(user_cache) / "qmedsam"] if os.path.isabs(user_cache) else []
    beside = weights / "cache"
    return [*own, beside] if weights == PACKAGED_WEIGHTS else [beside, *own]


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
    name = f"{onnx.stem}-{_key(core, onnx, shapes, config, metadata.pair)}.blob"
    for folder in folders:
        remove_stale(folder)
        blob = _read(folder / name)
        if blob is None:
            continue
        try:
            compiled = core.import_model(Tensor(blob, shared_memory=True), "CPU", config)
        except RuntimeError:
            continue
        log.debug("%s: loaded from %s in %.2f s", onnx.name, folder, time.perf_counter() - start)
        compiled.blob = blob  # its constants stay where they are in this memory, which must live as long
        return compiled
    check_content(onnx.parent, metadata)
    model = core.read_model(onnx)
    model.reshape(dict(shapes))
    model = with_precision(model, handed_over(metadata), config["INFERENCE_PRECISION_HINT"])
    compiled = core.compile_model(model, "CPU", config)
    log.debug("%s: not in a cache, compiled in %.2f s", onnx.name, time.perf_counter() - start)
    _keep(compiled, name, folders)
    return compiled


def _read(path: Path) -> Array | None:
    """The compiled model in a file, or None where it is absent, unreadable or not whole.

    OpenVINO does not check what it imports: a damaged model ends the process, or gives other masks.
    """
    try:
        data = np.memmap(path, np.uint8, mode="c")  # OpenVINO takes no read-only array; nothing is written
    except (OSError, ValueError):  # ValueError: the file is empty
        return None
    size = len(data) - TRAILER.size
    whole = size > 0 and data[size:].tobytes() == _trailer(data[:size].data)
    return data[:size] if whole else None


def _trailer(blob: memoryview) -> bytes:
    return TRAILER.pack(MAGIC, len(blob), zlib.crc32(blob))


def _keep(compiled: CompiledModel, name: str, folders: Iterable[Path]) -> None:
    def write(file: IO[bytes]) -> None:  # called only where a file could be made: exporting takes time
        blob = compiled.export_model().getvalue()
        file.write(blob)
        file.write(_trailer(memoryview(blob)))

    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, write)
            return
        except OSError:  # read-only or full: the run does not depend on it
            continue


def _key(core: Core, onnx: Path, shapes: Shapes, config: dict[str, Any], pair: str) -> str:
    """The pair, and all else that the compiled model depends on. The latter by a checksum only: it tells a few machines
    apart, and importing cryptography would take 3 ms of every start."""
    rest = [
        FORM,
        str(onnx.stat().st_size),
        get_version(),
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        _cpu_flags(),
        os.environ.get(MAX_ISA, ""),
        *(f"{name} {list(shape)}" for name, shape in shapes.items()),
        *(str(config.get(name)) for name in GRAPH_SETTINGS),
    ]
    checksum = zlib.crc32("\n".join(rest).encode())
    return f"{pair}-{checksum:08x}"


def _cpu_flags() -> str:
    """The instruction sets of this CPU, which the name of a virtual machine's CPU does not tell."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
