"""Input files that nobody should send: what each is, and the reason with which it must be refused."""

import io
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
BOXES = np.array([[3, 4, 30, 40]])
INFLATED_BYTES = 64 * 2**20  # what small files blow up to where a reader lets them


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npy_with_header(text: str, data: bytes) -> bytes:
    """A member of npy format 1.0 whose header is `text`."""
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def header(shape: tuple[int, ...], descr: str = "|u1") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def case(imgs: bytes | None = None, boxes: bytes | None = None, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A good case, or one of whose members something else was made."""
    return archive({"imgs.npy": imgs or npy(IMAGE), "boxes.npy": boxes or npy(BOXES)}, compression)


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, imgs=np.array([{"a": 1}], dtype=object), boxes=BOXES)
    return buffer.getvalue()


def endless_member() -> bytes:
    return case(imgs=npy_with_header(header(IMAGE.shape), bytes(INFLATED_BYTES)))


def endless_header() -> bytes:
    """Format 2.0 has four bytes for the length of its header."""
    return case(imgs=b"\x93NUMPY\x02\x00" + INFLATED_BYTES.to_bytes(4, "little") + b" " * INFLATED_BYTES)


def wrong_crc() -> bytes:
    data = bytearray(case(compression=zipfile.ZIP_STORED))
    data[data.index(IMAGE.tobytes()) + 20] ^= 0xFF
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(case())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.index(mark)
        data[position + flags] |= 1
    return bytes(data)


def endless_directory() -> bytes:
    """Ten thousand empty members with long names: a small file, of which zipfile makes many objects."""
    return archive(dict.fromkeys((f"{number:0150}" for number in range(10_000)), b""))


def nested_tuples() -> bytes:
    return case(imgs=npy_with_header(header(()).replace("()", "(" * 400 + ")" * 400), b""))


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a whole npz file"),
    "text": (lambda: b"hello", "not a whole npz file"),
    "bare pickle": (lambda: pickle.dumps({"imgs": IMAGE, "boxes": BOXES}), "not a whole npz file"),
    "object array": (object_array, "object array"),
    "pickle as a member": (lambda: case(imgs=pickle.dumps(IMAGE)), "no valid npy header"),
    "half of a case": (lambda: case()[: len(case()) // 2], "not a whole npz file"),
    "wrong CRC": (wrong_crc, "CRC"),
    "a million million voxels": (lambda: case(imgs=npy_with_header(header((10**6, 10**6)), b"")), "the limit allows"),
    "more voxels than numpy counts": (
        lambda: case(imgs=npy_with_header(header((10**40, 10**40)), b"")), "the limit allows"),
    "no voxels, absurd sides": (lambda: case(imgs=npy_with_header(header((0, 10**40)), b"")), "is empty"),
    "more data than promised": (endless_member, "more data than its header says"),
    "less data than promised": (lambda: case(imgs=npy_with_header(header((48, 640)), b"x" * 99)), "truncated"),
    "a header without end": (endless_header, "no valid npy header"),
    "a header that is code": (lambda: case(imgs=npy_with_header("__import__('os').abort()", b"")), "no valid npy"),
    "a header nested deeply": (nested_tuples, "no valid npy header"),
    "a directory without end": (endless_directory, "a directory of"),
    "a million boxes": (lambda: case(boxes=npy_with_header(header((10**6, 4)), bytes(4 * 10**6))), "1000000 boxes"),
    "names with path separators": (
        lambda: archive({"../../imgs.npy": npy(IMAGE), "/boxes.npy": npy(BOXES)}), "'imgs' is missing"),
    "an npz inside an npz": (lambda: archive({"case.npz": case()}), "'imgs' is missing"),
    "an npz for an array": (lambda: case(imgs=case()), "no valid npy header"),
    "encrypted": (encrypted, "numpy never writes"),
    "LZMA": (lambda: case(compression=zipfile.ZIP_LZMA), "numpy never writes"),
    "text for an image": (lambda: case(imgs=npy(np.full((4, 4), "a"))), "not numbers"),
    "not a number": (lambda: case(imgs=npy(np.full((48, 64), np.nan))), "NaN"),
}  # fmt: skip


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is limited to 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "not a regular file"),
    "pipe": (lambda path: os.mkfifo(path), "not a regular file"),
    "socket": (make_socket, "not a regular file"),
    "link to nowhere": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "link to a folder": (lambda path: path.symlink_to("."), "not a regular file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
}


def write_hostile(folder: Path) -> dict[str, str]:
    """Fill `folder` with all of them; returns the reason for each file name."""
    reasons = {}
    for kind, (content, reason) in FILES.items():
        path = folder / f"{kind}.npz"
        path.write_bytes(content())
        reasons[path.name] = reason
    for kind, (make, reason) in NO_FILES.items():
        path = folder / f"{kind}.npz"
        make(path)
        reasons[path.name] = reason
    return reasons
