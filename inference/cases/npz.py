"""Reading arrays from an npz archive that nobody vouches for, and writing one.

`np.load` would unpickle (never wanted here) or allocate whatever a header promises. This reader looks at every header
first: type, shape and size can be checked before a byte of data is read or allocated. Nor does it believe any other
length in the file: what is read at once is bounded, so that memory is that of the arrays asked for and a few MB.
"""

import io
import math
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..atomic import write_atomically
from ..errors import CaseError, does_not_fit
from .archive import HEADER_BYTES, READ_BYTES, header_bytes, open_archive

# zlib at level 1 compresses label maps about 5 times faster than the default level 6 of np.savez_compressed, for a
# file a few per cent larger; any reader of npz reads it.
DEFLATE_LEVEL = 1
# numpy parses a header as Python, which Python 3.11 cannot do in two threads at once (SystemError, recursion depth).
PARSING = threading.Lock()


class Header(NamedTuple):
    """What a member says of itself.

    Attributes:
        start: bytes of the member before the data.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


class Npz:
    """An open npz archive. Use `open_npz`, which turns what goes wrong into a `CaseError`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def header(self, name: str) -> Header | None:
        """The header of an array; None where the archive lacks it."""
        start = header_bytes(self._archive, name)
        return None if start is None else _parse_header(start, name)

    def read(
        self,
        name: str,
        header: Header,
        dtype: np.dtype[Any] | None = None,
        check: Callable[[Array], None] = lambda part: None,
    ) -> Array:
        """Read an array, converting it on the way, so that it is never in memory in both types.

        Args:
            header: from `header(name)`.
            dtype: type of the result; the member's own where None.
            check: called with each part of the values, in the member's own type, before it is converted.
        """
        shape = header.shape[::-1] if header.fortran_order else header.shape
        array: Array = np.empty(shape, dtype or header.dtype)
        flat, filled = array.reshape(-1), 0
        with self._archive.open(f"{name}.npy") as member:
            member.read(header.start)
            while filled < len(flat):
                step = min(READ_BYTES // header.dtype.itemsize, len(flat) - filled)
                data = member.read(step * header.dtype.itemsize)
                if len(data) < step * header.dtype.itemsize:
                    raise CaseError(f"'{name}' is truncated: its header says {header.size} values")
                values = np.frombuffer(data, header.dtype)
                check(values)
                flat[filled : filled + step] = values
                filled += step
            # Reading to the very end is also what makes zipfile check the CRC.
            if member.read(1):
                raise CaseError(f"'{name}' holds more data than its header says")
        return array.T if header.fortran_order else array


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open an archive to read headers and arrays from.

    Raises:
        CaseError: as `inference.cases.archive.open_archive`; an object array, a type that is no number.
    """
    with open_archive(path) as archive:
        yield Npz(archive)


def read_arrays(path: Path, names: Iterable[str], max_bytes: int) -> dict[str, Array]:
    """Read the named arrays that the archive holds.

    Args:
        path: an `.npz` file.
        names: array names to read; names that the archive lacks are left out of the result.
        max_bytes: limit on the memory of all arrays together, checked before it is allocated.

    Raises:
        CaseError: as `open_npz`; or too large.
    """
    arrays = {}
    with open_npz(path) as archive:
        for name in names:
            header = archive.header(name)
            if header is not None:
                needed = header.nbytes
                if needed > max_bytes:
                    raise does_not_fit(f"'{name}' of shape {header.shape}", needed, max_bytes)
                arrays[name] = archive.read(name, header)
                max_bytes -= needed
    return arrays


def _parse_header(start: bytes, name: str) -> Header:
    """Parse the header in the first bytes of a member.

    numpy gets these bytes only, not the member: it would believe a length of 4 GB and read as much.
    """
    file = io.BytesIO(start)
    try:
        with PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote: they are read all the same
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file, HEADER_BYTES)
            elif version == (2, 0):
                shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file, HEADER_BYTES)
            else:
                raise ValueError(f"npy format version {version}")
    except Exception as error:  # numpy parses the header as Python and lets the parser's many exceptions through
        raise CaseError(f"'{name}' has no valid npy header ({type(error).__name__})") from error
    if dtype.hasobject:
        raise CaseError(f"'{name}' is an object array (pickle), which is never loaded")
    if dtype.kind not in "buif":
        raise CaseError(f"'{name}' has type {dtype}, not numbers")
    if any(side < 0 for side in shape):
        raise CaseError(f"'{name}' has a negative shape {shape}")
    return Header(shape, fortran_order, dtype, file.tell())


def write_segs(path: Path, segs: Array) -> None:
    """Write `segs` as the only array of a compressed npz, readable by plain `np.load`.

    Raises:
        OSError: the folder is not writable, or the disk is full; `path` is as it was.
    """

    def write(file: IO[bytes]) -> None:
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive,
            archive.open("segs.npy", "w", force_zip64=True) as member,
        ):
            np.lib.format.write_array(member, segs, allow_pickle=False)

    write_atomically(path, write)
