"""The size of compressed pixels as their stream says it, by which a decoder allocates; a DICOM file may say another."""

import struct

JPEG = b"\xff\xd8"  # JPEG-LS, too
JPEG_2000, LOOKED_AT = b"\xff\x4f\xff\x51", 256  # boxes of a JP2 file may come before
# Markers of frames: all from 0xC0 to 0xCF but those of tables; that of JPEG-LS.
FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})


def coded_size(stream: bytes) -> tuple[int, int] | None:
    """Columns and rows of a stream of JPEG, JPEG-LS or JPEG 2000; None where it is no beginning of one."""
    try:
        start = stream[:LOOKED_AT].find(JPEG_2000)
        if start >= 0:
            right, bottom, left, top = struct.unpack_from(">4I", stream, start + 8)
            return right - left, bottom - top
        return _jpeg_size(stream) if stream.startswith(JPEG) else None
    except struct.error:  # ends early
        return None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    at = len(JPEG)
    while True:
        sign, marker, length = struct.unpack_from(">BBH", stream, at)
        if sign != 0xFF:
            return None
        if marker in FRAMES:
            rows, columns = struct.unpack_from(">HH", stream, at + 5)
            return columns, rows
        at += 1 if marker == 0xFF else 2 + length  # bytes 0xFF may fill the space between segments
