"""A compiled model in a file: where it lies, what it is called, and whether it is whole.

OpenVINO's own CACHE_DIR is not used because its key leaves out the precision: a model compiled for float32 and loaded
with the bf16 hint runs several times slower. Here the file name holds everything that the compiled model depends on,
so a cache from another CPU, precision, OpenVINO version or pair of weights is simply not found.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic import remove_stale
from ..options import PACKAGED_WEIGHTS
from .engine import Core, get_version

CPUINFO = Path("/proc/cpuinfo")
MAX_ISA = "ONEDNN_MAX_CPU_ISA"  # environment variable: holds OpenVINO to fewer instruction sets than the CPU has
MAGIC = b"qmedsam2"
FORM = "4"  # of what is compiled; another number for each change that gives other compiled models
GRAPH_SETTINGS = "INFERENCE_PRECISION_HINT", "SNIPPETS_MODE"  # the only ones that the compiled graph depends on
Shapes = Mapping[str, Sequence[int]]  # of inputs, by name
TRAILER = struct.Struct("<8sQL")  # closes a file: magic, number of bytes before the trailer, their CRC-32


class Found(NamedTuple):
    """A compiled model on disk.

    Attributes:
        blob: as OpenVINO exported it; writable, since OpenVINO takes nothing else, but what is written stays here.
    """

    folder: Path
    blob: memoryview


def cache_folders(weights: Path, chosen: Path | None = None) -> list[Path]:
    """Where compiled models may lie, the first choice first: beside the weights (built into the container), and in the
    user's own cache; into an installed package nothing is written as long as that can be.

    Args:
        chosen: by the user, instead of these.
    """
    if chosen:
        return [chosen]
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    # Without HOME and an entry for the user `~` stays as it is, and would be a folder of that name right here.
    own = [Path(user_cache) / "qmedsam"] if os.path.isabs(user_cache) else []
    beside = weights / "cache"
    return [*own, beside] if weights == PACKAGED_WEIGHTS else [beside, *own]


def find(name: str, folders: Iterable[Path]) -> Iterator[Found]:
    """The whole files of a name, folder by folder."""
    for folder in folders:
        remove_stale(folder)
        blob = _read(folder / name)
        if blob is not None:
            yield Found(folder, blob)


def file_name(core: Core, onnx: Path, shapes: Shapes, config: dict[str, Any], pair: str) -> str:
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
    return f"{onnx.stem}-{pair}-{checksum:08x}.blob"


def trailer(blob: memoryview) -> bytes:
    """What closes the file of a compiled model."""
    return TRAILER.pack(MAGIC, len(blob), zlib.crc32(blob))


def _read(path: Path) -> memoryview | None:
    """The compiled model in a file, or None where it is absent, unreadable or not whole.

    OpenVINO does not check what it imports: a damaged model ends the process, or gives other masks.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError):  # ValueError: the file is empty
        return None
    size = len(data) - TRAILER.size
    whole = size > 0 and data[size:] == trailer(data[:size])
    return data[:size] if whole else None


def _cpu_flags() -> str:
    """The instruction sets of this CPU, which the name of a virtual machine's CPU does not tell."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
