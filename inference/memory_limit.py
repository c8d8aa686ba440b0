"""How much memory this process may use, and how much it has used."""

import os
import re
from pathlib import Path

MB = 2**20
# Of the limit, what is planned with. The rest is for what nobody can plan: fragments, buffers of the operating system.
USABLE = 0.95
# What reading a file leaves for the rest of the process before it is known which model that holds.
RESERVED = 500 * MB
MOST_PIXELS = "OPENCV_IO_MAX_IMAGE_PIXELS"  # in the environment: OpenCV decodes no picture of more
# Per pixel of a picture file while it is decoded and brought to 8 bits; four channels of 16 bits take most.
PICTURE_BYTES = 64

AMOUNT = r"(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)"  # compiled on use: a start without --memory need not wait for it
BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

CLEAR_PEAK = "5"  # what proc(5) has written to clear_refs for this


def amount(text: str) -> int:
    """An amount of memory as bytes: a number alone, or with K, M, G or T (powers of 1024).

    Raises:
        ValueError: it is none, or less than a byte.
    """
    parts = re.fullmatch(AMOUNT, text.strip(), re.ASCII | re.IGNORECASE)
    size = int(float(parts[1]) * BYTES[parts[2].upper()]) if parts else 0
    if size < 1:
        raise ValueError(f"'{text}' is not an amount of memory such as 800M or 2G")
    return size


def memory_limit(share: int | None = None, root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use in all.

    Never more than the machine has, or than the cgroup of this process allows (version 1 or 2). Within that it is the
    share that the user gave to this process, else what it has and what is free: others may use the same machine.

    Args:
        share: bytes, as `--memory` says; None where it says nothing.
        root: where `/proc` and `/sys` are.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files(root):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # absent, or "max": no limit
            continue
    if share is not None:
        limits.append(share)
    elif free := _field(root / "proc/meminfo", "MemAvailable"):
        limits.append(free + _field(root / "proc/self/status", "VmRSS"))
    return min(limits)


def _limit_files(root: Path) -> list[Path]:
    """The files that may hold a limit: that of this process's own cgroup, and of every one around it."""
    mount = root / "sys/fs/cgroup"
    # In a container the path below is often that of the host, and the limit stands at the top.
    files = [mount / "memory.max", mount / "memory/memory.limit_in_bytes"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return files
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # version 2 names none
            top, name = (mount / "memory", "memory.limit_in_bytes") if controllers else (mount, "memory.max")
            parts = Path(path).parts[1:]
            files += [top.joinpath(*parts[:depth], name) for depth in range(1, len(parts) + 1)]
    return files


def case_budget(memory: int) -> int:
    """Of `memory` bytes, what arrays may take beside the rest of the process."""
    return max(0, int(memory * USABLE) - RESERVED)


def max_picture_pixels(memory: int) -> int:
    """Size of the largest picture file that fits in `memory` bytes."""
    return max(1, case_budget(memory) // PICTURE_BYTES)


def reset_peak() -> None:
    """Start a new measurement of the peak, where the system lets a process do that."""
    try:
        Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    except OSError:
        return


def peak() -> int:
    """Most bytes of memory held since the last `reset_peak`, or since the start; 0 where the system does not say."""
    return _field(Path("/proc/self/status"), "VmHWM")


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    return _field(Path("/proc/self/status"), "VmRSS")


def _field(file: Path, name: str) -> int:
    """Bytes that a line `name: N kB` of a file in `/proc` says; 0 where it is not there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
