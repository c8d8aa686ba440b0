"""Reading arrays from an npz archive that nobody vouches for, and writing one that is whole or absent.

`np.load` would unpickle (never wanted here) or allocate whatever a header promises. This reader looks at every header
first: type, shape and size are checked before a byte of data is read or allocated.
"""

import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from inference.arrays import Array
from inference.errors import CaseError

# zlib at level 1 compresses label maps about 5 times faster than the default level 6 of np.savez_compressed, for a
# file a few per cent larger; any reader of npz reads it.
DEFLATE_LEVEL = 1
READ_BYTES = 1 << 20
MAX_HEADER_BYTES = 10_000


def read_arrays(path: Path, names: Iterable[str], max_bytes: int) -> dict[str, Array]:
    """Read the named arrays that the archive holds.

    Args:
        path: an `.npz` file.
        names: array names to read; names that the archive lacks are left out of the result.
        max_bytes: limit on the memory of all arrays together, checked before it is allocated.

    Raises:
        CaseError: not a zip archive, truncated, damaged, an object array, a non-numeric type, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            arrays = {}
            for name in names:
                if f"{name}.npy" in members:
                    arrays[name] = _read_member(archive, name, max_bytes)
                    max_bytes -= arrays[name].nbytes
            return arrays
    except zipfile.BadZipFile as error:
        raise CaseError(f"not a whole npz file ({error})") from error
    except (EOFError, zlib.error) as error:
        raise CaseError(f"damaged or truncated npz file ({error or 'unexpected end'})") from error
    except (NotImplementedError, RuntimeError) as error:  # unknown compression, encryption
        raise CaseError(f"npz file uses a zip feature that numpy never writes ({error})") from error
    except (ValueError, LookupError, ArithmeticError, struct.error) as error:
        # zipfile trusts the offsets, lengths and names that it reads, and lets what comes of it through.
        raise CaseError(f"damaged npz file ({type(error).__name__} in its directory)") from error
    except OSError as error:
        raise CaseError(f"cannot be read ({error.strerror or error})") from error


def _read_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> Array:
    compression = archive.getinfo(f"{name}.npy").compress_type
    if compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # LZMA allocates the dictionary that a header asks for, up to 4 GiB, before the first byte.
        raise CaseError(f"'{name}' is compressed by method {compression}, which numpy never writes")
    with archive.open(f"{name}.npy") as member:
        shape, fortran_order, dtype = _read_header(member, name)
        needed = math.prod(shape) * dtype.itemsize
        if needed > max_bytes:
            raise CaseError(f"'{name}' of shape {shape} needs {needed / 2**30:.1f} GiB, more than memory allows")
        array: Array = np.empty(shape[::-1] if fortran_order else shape, dtype)
        _fill(array, member, name)
    return array.T if fortran_order else array


def _read_header(member: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member, MAX_HEADER_BYTES)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(member, MAX_HEADER_BYTES)
        else:
            raise ValueError(f"npy format version {version}")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        raise  # the archive is damaged, not the header wrong
    except Exception as error:  # numpy parses the header as Python and lets the parser's many exceptions through
        raise CaseError(f"'{name}' has no valid npy header ({type(error).__name__})") from error
    if dtype.hasobject:
        raise CaseError(f"'{name}' is an object array (pickle), which is never loaded")
    if dtype.kind not in "buif":
        raise CaseError(f"'{name}' has type {dtype}, not numbers")
    if any(side < 0 for side in shape):
        raise CaseError(f"'{name}' has a negative shape {shape}")
    return shape, fortran_order, dtype


def _fill(array: Array, member: IO[bytes], name: str) -> None:
    buffer = array.reshape(-1).view(np.uint8).data
    filled = 0
    while filled < len(buffer):
        chunk = member.read(min(READ_BYTES, len(buffer) - filled))
        if not chunk:
            raise CaseError(f"'{name}' is truncated: {filled} of {len(buffer)} bytes")
        buffer[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    # Reading to the very end is also what makes zipfile check the CRC.
    if member.read(1):
        raise CaseError(f"'{name}' holds more data than its header says")


def _process_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Asked for once, at import: it can only be read by changing it for a moment, which two threads must not do at once.
UMASK = _process_umask()


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, then rename it: `path` is whole or untouched.

    Raises:
        OSError: the folder is not writable, or the disk is full.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~UMASK)  # mkstemp's 0600 would hide results from the user of the mounted folder
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_segs(path: Path, segs: Array) -> None:
    """Write `segs` as the only array of a compressed npz, readable by plain `np.load`."""

    def write(file: IO[bytes]) -> None:
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive,
            archive.open("segs.npy", "w", force_zip64=True) as member,
        ):
            np.lib.format.write_array(member, segs, allow_pickle=False)

    write_atomically(path, write)
