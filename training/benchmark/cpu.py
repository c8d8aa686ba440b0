"""The CPU that figures were measured on: a table without it says little."""

import os
import platform
import re
from pathlib import Path

from training.benchmark.tables import Row

CPUINFO = Path("/proc/cpuinfo")
# Of the instruction sets, those that decide how fast the models are, as Linux calls them: on x86-64, and on ARM64.
FLAGS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16"),
    *("asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


def cpu() -> Row:
    """Columns for a table: name, number of cores that this process may use, instruction sets."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    flags = _field(text, "flags|Features").split()
    return {
        "cpu": _field(text, "model name") or _arm_name(text),
        "cores": len(os.sched_getaffinity(0)),
        "flags": " ".join(flag for flag in FLAGS if flag in flags),
    }


def cpu_line() -> str:
    """The same as a line."""
    return "{cpu}, {cores} cores: {flags}".format(**cpu())


def _arm_name(text: str) -> str:
    """ARM's CPUs have numbers in place of a name, which manuals explain."""
    numbers = {name: _field(text, f"CPU {name}") for name in ("implementer", "part")}
    return ", ".join([platform.machine(), *(f"{name} {number}" for name, number in numbers.items() if number)])


def _field(text: str, name: str) -> str:
    """What the first core has under a name; nothing where it has none."""
    match = re.search(rf"^(?:{name})\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else ""
