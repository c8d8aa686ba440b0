"""How much memory this process may use: the container's limit, else what the machine has."""

import os
from pathlib import Path

CGROUP_LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),  # cgroup v2
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # cgroup v1
)
# Interpreter, libraries, compiled models and their working buffers; measured peak of a small 2D case, rounded up.
RUNTIME_BYTES = 700 * 2**20


def memory_limit() -> int:
    """Bytes of memory that the container's cgroup allows, or that the machine has, whichever is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in CGROUP_LIMIT_FILES:
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # absent, or "max": no limit
            continue
    return min(limits)


def case_budget() -> int:
    """Bytes that the arrays of one case may take: what is left beside the runtime itself, with room for `segs`."""
    return max(0, memory_limit() - RUNTIME_BYTES) // 2
