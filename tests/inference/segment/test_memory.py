"""What this process may use, and what a case is given of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference.cases.case import make_case
from inference.errors import CaseError
from inference.segment.memory import (
    CANVAS_BYTES,
    COSTS,
    LARGEST,
    MB,
    PIXEL_BYTES,
    USABLE,
    check_fits,
    memory_limit,
    share_out,
)

ROOT = Path(__file__).parents[3]
GB = 1024 * MB
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
        assert memory_limit(tmp_path) == physical
        unlimited = {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1}
        assert memory_limit(system(tmp_path, unlimited)) == physical

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
        assert memory_limit(system(tmp_path, files)) == 123 * MB

    def test_limit_of_another_cgroup_is_not_ours(self, tmp_path):
        files = {"proc/self/cgroup": "0::/a", "sys/fs/cgroup/b/memory.max": 123 * MB}
        assert memory_limit(system(tmp_path, files)) > 123 * MB


class TestShares:
    @pytest.mark.parametrize(
        ("model", "limit"),
        [(model, limit) for model in ("light", "litemedsam") for limit in (1, 2, 4, 8, 64)]
        + [(model, limit) for model in ("medsam_vit_b", "a model that came later") for limit in (4, 8, 64)],
    )
    def test_add_up_to_less_than_the_limit(self, model, limit):
        share, cost = share_out(model, 16, limit * GB, 4), COSTS.get(model, LARGEST)
        blocks = share.box_batch * cost.box
        taken = cost.runtime + blocks + (cost.lanes + share.lanes * blocks if share.lanes > 1 else 0)
        assert taken + share.case_bytes <= limit * GB * USABLE
        assert share.case_bytes > 0
        assert share.box_batch >= 1

    def test_plenty_changes_nothing_that_was_asked_for(self):
        share = share_out("litemedsam", 20, 8 * GB, 4)
        assert (share.box_batch, share.lanes) == (20, 2)
        assert share.case_bytes > 4 * GB

    def test_one_thread_walks_along_one_lane(self):
        assert share_out("light", 16, 8 * GB, 1).lanes == 1

    def test_short_of_memory_boxes_and_slices_at_once_are_fewer(self):
        share = share_out("litemedsam", 16, 1 * GB, 4)
        assert (share.box_batch, share.lanes) == (4, 1)

    def test_less_than_the_model_needs_leaves_nothing(self):
        share = share_out("litemedsam", 16, 100 * MB, 4)
        assert (share.box_batch, share.case_bytes) == (1, 0)

    def test_a_model_that_nobody_measured_is_taken_to_be_the_largest(self):
        assert all(cost <= LARGEST for cost in COSTS.values())


class TestFit:
    CASE = make_case(np.zeros((10, 200, 300), np.uint8), np.array([[3, 4, 1, 30, 40, 3]] * 20))

    def needed(self, kept_slices: int = 0, lanes: int = 1) -> int:
        return check_fits(self.CASE, lanes, kept_slices, 2**40)

    def test_volume_masks_and_working_memory_are_counted(self):
        pixels = 200 * 300
        assert self.needed() >= 2 * self.CASE.volume.size + pixels * PIXEL_BYTES
        assert self.needed(kept_slices=5) == self.needed() + 5 * pixels * CANVAS_BYTES
        assert self.needed(lanes=2) >= self.needed() + pixels * PIXEL_BYTES

    def test_what_just_fits_is_allowed(self):
        assert check_fits(self.CASE, 1, 0, self.needed()) == self.needed()

    @pytest.mark.parametrize("missing", [1, 2**40])
    def test_what_cannot_fit_is_refused_with_figures(self, missing):
        allowed = max(0, self.needed() - missing)
        figures = rf"a case of 10 x 200 x 300 voxels needs {self.needed() >> 20} MB.* allows {allowed >> 20} MB"
        with pytest.raises(CaseError, match=figures):
            check_fits(self.CASE, 1, 0, allowed)


PEAK_SCRIPT = """
import numpy as np
from inference.segment import memory
from inference.segment.memory import MB

memory.reset_peak()
before = memory.peak()
filled = np.ones(64 * MB, np.uint8)
assert memory.peak() > before + 60 * MB
del filled
memory.reset_peak()
assert memory.peak() < before + 40 * MB
"""


def test_peak_is_measured_anew():
    # In a process of its own: threads that other tests have left may take memory meanwhile.
    subprocess.run([sys.executable, "-c", PEAK_SCRIPT], check=True, cwd=ROOT)
