"""Arrays as nnInteractive's clients and servers send them.

    magic, version, codec, ndim, length of the type's name   4 bytes and four times 1
    name of the type                                         ASCII, as numpy's
    shape                                                    ndim times int64
    number of chunks                                         uint32
    each chunk: bytes unpacked, bytes packed, a blosc2 chunk uint64, uint64, ...

All little-endian, and nothing of it is believed: sizes are checked against each other before anything is allocated, and
of blosc2 only what the client uses is let in. The rest of it (plug-ins, dictionaries, chunks that lie elsewhere or are
left uninitialised) is not for input of strangers.
"""

import math
import struct
from typing import NamedTuple

import blosc2
import numpy as np

from ..arrays import Array
from .refused import Refused

MAGIC, VERSION = b"NNIA", 1
ZSTD, LZ4 = 1, 2  # codecs by their numbers in the header
HEADER, SIZES, COUNT = struct.Struct("<4sBBBB"), struct.Struct("<QQ"), struct.Struct("<I")
MOST_AXES = 4
NAMES = "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 float32 float64"
TYPES = {name: np.dtype(name) for name in NAMES.split()}
LARGEST_CHUNK = 2**30  # blosc2 takes less than 2 GiB at once

# A blosc2 chunk begins with these fields (its format is described with c-blosc2, README_CHUNK_FORMAT).
CHUNK = struct.Struct("<BBBBiii6sB8sB")
CHUNK_VERSION = 5  # and those before it
EXTENDED, STORED = 0x05, 0x02  # flags: the header is of 32 bytes; the values follow it as they are
CODEC_FORMATS = {1, 4}  # else in the upper three bits of the flags: LZ4, Zstandard
FILTERS = {0, 1}  # none, shuffle
CONTENTS = {0x00, 0x10, 0x20, 0x30}  # last byte: compressed; or all zeros, NaN or one value

blosc2.set_releasegil(True)  # or nobody else is served while an array is unpacked


class Packed(NamedTuple):
    """An array that has not been unpacked yet.

    Attributes:
        chunks: of its values in C order, each with the number of its bytes once unpacked.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    chunks: list[tuple[int, memoryview]]

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Once unpacked."""
        return self.size * self.dtype.itemsize


def parse(body: bytes | memoryview, side: int) -> Packed:
    """Read what a body says of the array in it.

    Args:
        side: length of an axis, at most.

    Raises:
        Refused: it is no such array, or contradicts itself.
    """
    try:
        return _parse(memoryview(body), side)
    except (struct.error, UnicodeDecodeError) as error:
        raise Refused(400, "the array is cut off") from error


def _parse(body: memoryview, side: int) -> Packed:
    magic, version, codec, ndim, name_length = HEADER.unpack_from(body)
    if magic != MAGIC or version != VERSION or codec not in (ZSTD, LZ4):
        raise Refused(400, "the body is not an array of nnInteractive's protocol, version 1")
    at = HEADER.size
    name, at = bytes(body[at : at + name_length]).decode("ascii"), at + name_length
    if name not in TYPES:
        raise Refused(400, f"the array has a type that is none of {NAMES}")
    if ndim > MOST_AXES:
        raise Refused(400, f"the array has {ndim} axes, {MOST_AXES} at most are expected")
    shape, at = struct.unpack_from(f"<{ndim}q", body, at), at + ndim * 8
    if not all(0 < length <= side for length in shape):
        raise Refused(400, f"the array has shape {shape}, expected axes of 1 to {side}")
    packed = Packed(TYPES[name], shape, [])
    (count,), at = COUNT.unpack_from(body, at), at + COUNT.size
    left = packed.nbytes
    for _ in range(count):
        (unpacked, length), at = SIZES.unpack_from(body, at), at + SIZES.size
        chunk, at = body[at : at + length], at + length
        if not 0 < unpacked <= min(left, LARGEST_CHUNK) or unpacked % packed.dtype.itemsize or len(chunk) != length:
            raise Refused(400, "the array's chunks do not have the sizes that they say")
        _check_chunk(chunk, unpacked)
        packed.chunks.append((unpacked, chunk))
        left -= unpacked
    if left or at != len(body):
        raise Refused(400, f"the array's chunks do not add up to its shape {shape}")
    return packed


def _check_chunk(chunk: memoryview, unpacked: int) -> None:
    version, _, flags, typesize, nbytes, blocksize, cbytes, filters, _, _, contents = CHUNK.unpack_from(chunk)
    is_sound = (
        version <= CHUNK_VERSION
        and flags & EXTENDED == EXTENDED
        and (cbytes == CHUNK.size + nbytes if flags & STORED else flags >> 5 in CODEC_FORMATS)
        and set(filters) <= FILTERS
        and contents in CONTENTS
        and typesize > 0
        and (nbytes, cbytes) == (unpacked, len(chunk))
        and 0 < blocksize <= nbytes
    )
    if not is_sound:
        raise Refused(400, "a chunk of the array is damaged, or is not compressed as nnInteractive's client does it")


def unpack(packed: Packed) -> Array:
    """The array.

    Raises:
        Refused: a chunk is damaged.
    """
    flat = np.empty(packed.size, packed.dtype)
    start = 0
    for unpacked, chunk in packed.chunks:
        stop = start + unpacked // packed.dtype.itemsize
        try:
            blosc2.decompress2(chunk, dst=flat[start:stop])
        except (RuntimeError, ValueError) as error:
            raise Refused(400, "a chunk of the array is damaged") from error
        start = stop
    return flat.reshape(packed.shape)


def pack(mask: Array) -> bytes:
    """A mask (any shape, uint8, not empty), packed as `parse` takes it."""
    values = np.ascontiguousarray(mask).reshape(-1)
    name, parts = str(mask.dtype).encode(), []
    for start in range(0, len(values), LARGEST_CHUNK):
        part = values[start : start + LARGEST_CHUNK]
        chunk = blosc2.compress2(part, typesize=1, codec=blosc2.Codec.ZSTD, clevel=1, filters=[blosc2.Filter.NOFILTER])
        parts += [SIZES.pack(part.nbytes, len(chunk)), chunk]
    header = HEADER.pack(MAGIC, VERSION, ZSTD, mask.ndim, len(name)) + name
    return b"".join([header, struct.pack(f"<{mask.ndim}q", *mask.shape), COUNT.pack(len(parts) // 2), *parts])
