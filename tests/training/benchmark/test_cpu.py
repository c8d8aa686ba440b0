"""What the benchmark says of a CPU."""

import pytest

from training.benchmark import cpu as module
from training.benchmark.cpu import cpu, cpu_line

X86 = """processor\t: 0
model name\t: AMD EPYC 9R14
flags\t\t: fpu avx avx2 avx512f avx512_bf16 clzero avx512_vnni

processor\t: 1
model name\t: another
"""
ARM = """processor\t: 0
Features\t: fp asimd sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(module, "CPUINFO", path)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda process: {0, 3})
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    return path


def test_name_and_the_flags_that_matter_in_their_order(cpuinfo):
    cpuinfo.write_text(X86)
    assert cpu() == {"cpu": "AMD EPYC 9R14", "cores": 2, "flags": "avx2 avx512f avx512_vnni avx512_bf16"}
    assert cpu_line() == "AMD EPYC 9R14, 2 cores: avx2 avx512f avx512_vnni avx512_bf16"


def test_an_arm_cpu_has_numbers_for_a_name(cpuinfo):
    cpuinfo.write_text(ARM)
    assert cpu() == {"cpu": "aarch64, implementer 0x41, part 0xd40", "cores": 2, "flags": "i8mm bf16 sve"}


def test_where_the_system_says_nothing_there_is_still_a_row(cpuinfo):
    assert cpu() == {"cpu": "aarch64", "cores": 2, "flags": ""}
