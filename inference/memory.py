"""How much memory this process may use, and what a case is given of it, decided before it is allocated."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import does_not_fit
from inference.options import Options

if TYPE_CHECKING:
    from inference.case import Case

MB = 2**20
# Of the limit, what is planned with. The rest is for what nobody can plan: fragments, buffers of the operating system.
USABLE = 0.95
# Measured on LiteMedSAM in float32, the largest model: interpreter, libraries, both models compiled, one image encoded.
RUNTIME_BYTES = 420 * MB
# Likewise, one box more in a block of the decoder.
BOX_BYTES = 36 * MB
# Working memory per pixel of a slice: logits and scores at full size, what has been painted, and comparisons of them.
PIXEL_BYTES = 20
# Per pixel of a slice that two sweeps paint: the best score of each pixel, kept from the first to the second.
CANVAS_BYTES = 4
# Per pixel of a picture file while it is decoded and brought to 8 bits; four channels of 16 bits take most.
PICTURE_BYTES = 64

CLEAR_PEAK = "5"  # what proc(5) has written to clear_refs for this


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes of memory that the cgroup of this process allows (version 1 or 2), or that the machine has if that is less.

    Args:
        root: where `/proc` and `/sys` are.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files(root):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # absent, or "max": no limit
            continue
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


def case_budget() -> int:
    """Bytes that one case may take beside the runtime itself."""
    return max(0, int(memory_limit() * USABLE) - RUNTIME_BYTES)


def max_picture_pixels() -> int:
    """Size of the largest picture file that fits in memory."""
    return max(1, case_budget() // PICTURE_BYTES)


def fit(options: Options, case: "Case", kept_slices: int, budget: int) -> Options:
    """The options that keep a case within memory: as many boxes at once as wanted, if they fit; embeddings in the rest.

    Args:
        kept_slices: slices of the volume that are painted in two sweeps (see `inference.propagate`).
        budget: bytes that the case may take, from `case_budget`.

    Raises:
        CaseError: the case does not fit even with one box at once and no embeddings kept.
    """
    depth, height, width = case.shape
    labels = depth * height * width * case.segs_dtype().itemsize
    working = height * width * (PIXEL_BYTES + CANVAS_BYTES * kept_slices) + case.volume.nbytes // depth
    needed = case.volume.nbytes + labels + working + BOX_BYTES
    if needed > budget:
        raise does_not_fit(f"a case of {depth} x {height} x {width} voxels", needed, budget)
    box_batch = min(options.box_batch, 1 + (budget - needed) // BOX_BYTES, max(1, len(case.boxes)))
    return replace(options, box_batch=box_batch, kept_bytes=budget - needed - (box_batch - 1) * BOX_BYTES)


def reset_peak() -> None:
    """Start a new measurement of the peak, where the system lets a process do that."""
    try:
        Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    except OSError:
        return


def peak() -> int:
    """Most bytes of memory held since the last `reset_peak`, or since the start."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
