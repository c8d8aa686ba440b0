"""Whether what is compressed in a file is what its writer put into it: by its length and its checksum.

ITK fills what is missing with zeros, or reads on over damage, and says nothing of it.
"""

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..arrays import Array
from ..errors import CaseError

HEADER_BYTES = 1 << 16  # headers of NRRD and MetaImage are text, and shorter
CHUNK_BYTES = 1 << 20
GZIP = b"\x1f\x8b"  # what gzip begins with; MetaImage has zlib's own form
EITHER = 47  # zlib's window size where the data say which of the two it is
NRRD_GZIP = re.compile(rb"^encoding:\s*gz(ip)?\s*$", re.MULTILINE | re.IGNORECASE)
NRRD_FILE = re.compile(rb"^data ?file:[ \t]*([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
NRRD_END = re.compile(rb"\r?\n\r?\n")
SKIPPED = re.compile(rb"^(?:(?:line|byte) ?skip:|HeaderSize\s*=)", re.MULTILINE | re.IGNORECASE)
META_ZLIB = re.compile(rb"^CompressedData\s*=\s*True\s*$", re.MULTILINE | re.IGNORECASE)
META_FILE = re.compile(rb"^ElementDataFile\s*=[ \t]*([^\r\n]+?)[ \t]*\r?\n", re.MULTILINE)
META_LOCAL = b"LOCAL"


class Stream(NamedTuple):
    """Compressed data: a file, and where in it they begin."""

    path: Path
    offset: int


def compressed_part(path: Path) -> Stream | None:
    """Where the compressed voxels of a NRRD or MetaImage file lie; None where they are plain, or laid oddly."""
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
    if SKIPPED.search(header):
        return None
    if NRRD_GZIP.search(header):
        named, end = NRRD_FILE.search(header), NRRD_END.search(header)
    elif META_ZLIB.search(header):
        named = end = META_FILE.search(header)
        if named and named[1] == META_LOCAL:
            named = None
    else:
        return None
    if named:
        elsewhere = path.parent / os.fsdecode(named[1].strip())
        return Stream(elsewhere, 0) if elsewhere.is_file() else None
    return Stream(path, end.end()) if end else None


def stream_bytes(stream: Stream, header_bytes: int, stored: Array, needed: int) -> int:
    """How many bytes were compressed; counted until they are more than needed.

    Args:
        header_bytes: of what is compressed, before the voxels.
        stored: what was read of it. Where nothing was converted or left out, the checksum shows at once that it is
            whole; to decompress it takes several times as long.
        needed: bytes, those of the header included.

    Raises:
        CaseError: they are damaged.
    """
    try:
        with open(stream.path, "rb") as file:
            file.seek(stream.offset)
            head = next(_inflated(file, header_bytes), b"")[:header_bytes]
            if _has_checksum_of(head, stored, file, stream.offset):
                return header_bytes + stored.nbytes
            file.seek(stream.offset)
            return sum(map(len, _inflated(file, needed)))
    except zlib.error as error:
        raise CaseError("damaged: it cannot be decompressed") from error


def _has_checksum_of(head: bytes, stored: Array, file: BinaryIO, offset: int) -> bool:
    """Whether a file, compressed from `offset` on, ends with the checksum of `head` and what was read after it."""
    file.seek(offset)
    is_gzip = file.read(len(GZIP)) == GZIP
    file.seek(-8, os.SEEK_END)
    first, second = file.read(4), file.read(4)
    if is_gzip:
        return zlib.crc32(stored.data, zlib.crc32(head)) == int.from_bytes(first, "little")
    return zlib.adler32(stored.data, zlib.adler32(head)) == int.from_bytes(second, "big")


def _inflated(file: BinaryIO, needed: int) -> Iterator[bytes]:
    """Pieces of what is compressed, up to where it ends and its checksum is looked at, or is more than needed.

    Raises:
        zlib.error: it is damaged.
    """
    stream, held = zlib.decompressobj(EITHER), 0
    while data := file.read(CHUNK_BYTES):
        while data:
            piece = stream.decompress(data, CHUNK_BYTES)
            held += len(piece)
            yield piece
            data = stream.unconsumed_tail
            if held > needed or (stream.eof and held == needed):
                return
            if stream.eof:  # several gzip files in a row are one
                data, stream = stream.unused_data, zlib.decompressobj(EITHER)
