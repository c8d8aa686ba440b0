"""What this process may use of the memory, and what it has used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.memory_limit import MB, amount, memory_limit, resident

ROOT = Path(__file__).parents[2]
NO_LIMIT_V1 = 9223372036854771712  # what version 1 says where there is none


def system(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


class TestLimit:
    def test_physical_memory_where_there_is_no_cgroup(self, tmp_path):
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        assert memory_limit(root=tmp_path) == physical
        unlimited = {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1}
        assert memory_limit(root=system(tmp_path, unlimited)) == physical

    @pytest.mark.parametrize(
        "files",
        [
            # version 2, in a container: its own cgroup is the root that it sees
            {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": 123 * MB},
            # version 1, in a container: the path is that of the host, the limit at the mount
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": 123 * MB,
            },
            # version 2, a Slurm job on the host: the limit is set on the job, two levels up
            {
                "proc/self/cgroup": "0::/system.slice/slurm/job_7/step_0/task_0",
                "sys/fs/cgroup/system.slice/slurm/job_7/memory.max": 123 * MB,
                "sys/fs/cgroup/system.slice/slurm/job_7/step_0/memory.max": "max",
                "sys/fs/cgroup/system.slice/slurm/job_7/step_0/task_0/memory.max": "max",
            },
            # version 1 likewise
            {
                "proc/self/cgroup": "4:memory:/slurm/uid_1/job_7",
                "sys/fs/cgroup/memory/slurm/uid_1/job_7/memory.limit_in_bytes": 123 * MB,
                "sys/fs/cgroup/memory/slurm/memory.limit_in_bytes": NO_LIMIT_V1,
            },
            # of several limits the least counts
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/memory.max": 123 * MB,
                "sys/fs/cgroup/a/b/memory.max": 500 * MB,
            },
        ],
    )
    def test_cgroup(self, tmp_path, files):
        assert memory_limit(root=system(tmp_path, files)) == 123 * MB

    def test_limit_of_another_cgroup_is_not_ours(self, tmp_path):
        files = {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/b/memory.max": 123 * MB}
        assert memory_limit(root=system(tmp_path, files)) > 123 * MB

    def test_of_the_machine_only_what_is_free_and_what_this_process_has(self, tmp_path):
        free = {"proc/meminfo": "MemTotal: 9999 kB\nMemAvailable: 1000 kB", "proc/self/status": "VmRSS:\t 24 kB"}
        assert memory_limit(root=system(tmp_path, free)) == 1024 * 1024
        system(tmp_path, {"sys/fs/cgroup/memory.max": 1000})
        assert memory_limit(root=tmp_path) == 1000

    def test_a_share_is_taken_as_given_within_what_the_cgroup_allows(self, tmp_path):
        busy = {"proc/meminfo": "MemAvailable: 1 kB", "sys/fs/cgroup/memory.max": 123 * MB}
        assert memory_limit(100 * MB, system(tmp_path, busy)) == 100 * MB
        assert memory_limit(200 * MB, tmp_path) == 123 * MB


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("734003200", 700 * MB), ("700M", 700 * MB), (" 1.5g ", 1536 * MB), ("2T", 2**41)]
)
def test_amounts_of_memory(text, size):
    assert amount(text) == size


@pytest.mark.parametrize("text", ["", "lots", "0G", "-1G", "1e3", "1 G", "0.1", "1GB", "inf"])
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(ValueError, match=f"'{text}' is not an amount of memory such as 800M or 2G"):
        amount(text)


def test_what_a_process_holds_lies_between_an_interpreter_and_the_machine():
    assert 5 * MB < resident() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


PEAK_SCRIPT = """
import numpy as np
from inference.memory_limit import MB, peak, reset_peak

reset_peak()
before = peak()
filled = np.ones(64 * MB, np.uint8)
assert peak() > before + 60 * MB
del filled
reset_peak()
assert peak() < before + 40 * MB
"""


def test_peak_is_measured_anew():
    # In a process of its own: threads that other tests have left may take memory meanwhile.
    subprocess.run([sys.executable, "-c", PEAK_SCRIPT], check=True, cwd=ROOT)
