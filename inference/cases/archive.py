"""Opening an npz archive that nobody vouches for: a zip file of arrays. Needs no numpy."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CaseError

READ_BYTES = 1 << 20
HEADER_BYTES = 1024  # numpy writes 128; a longer one only feeds its parser


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive to read from.

    Raises:
        CaseError: here or while it is open: not a zip archive, truncated, damaged, no file, unreadable.
    """
    try:
        regular_size(path)
        with _BoundedFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            yield archive
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


def regular_size(path: Path) -> int:
    """Bytes of a regular file.

    Raises:
        CaseError: it is a folder, a device, or a pipe, which would be waited on for ever.
        OSError: it is absent.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CaseError("cannot be read (not a regular file)")
    return status.st_size


def header_bytes(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The first bytes of an array, as many as a header can have; None where the archive lacks it.

    Raises:
        CaseError: it is compressed in a way that numpy never writes.
    """
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    compression = member.compress_type
    if compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # LZMA allocates the dictionary that a header asks for, up to 4 GiB, before the first byte.
        raise CaseError(f"'{name}' is compressed by method {compression}, which numpy never writes")
    with archive.open(member) as file:
        return file.read(HEADER_BYTES)


class _BoundedFile(io.BufferedReader):
    """A file of which only so much is read at once as an honest archive needs.

    A zip directory is read whole, however long it says it is: millions of empty members, each of which becomes an
    object of several hundred bytes.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > READ_BYTES:
            raise zipfile.BadZipFile(f"a directory of {size} bytes")
        return super().read(size)
