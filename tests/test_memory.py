"""What this process may use, and what a case is given of it."""

import os
from pathlib import Path

import numpy as np
import pytest

from inference import memory
from inference.case import make_case
from inference.errors import CaseError
from inference.memory import BOX_BYTES, MB, fit, memory_limit
from inference.options import Options

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


class TestFit:
    CASE = make_case(np.zeros((10, 200, 300), np.uint8), np.array([[3, 4, 1, 30, 40, 3]] * 20))
    OPTIONS = Options(box_batch=16)

    def least(self, kept_slices: int = 0) -> int:
        """The smallest budget that the case fits in."""
        low, high = 0, 2**40
        while high - low > 1:
            middle = (low + high) // 2
            try:
                fit(self.OPTIONS, self.CASE, kept_slices, middle)
                high = middle
            except CaseError:
                low = middle
        return high

    def test_plenty(self):
        fitted = fit(self.OPTIONS, self.CASE, 0, 2**33)
        assert fitted.box_batch == 16
        assert 2**32 < fitted.kept_bytes < 2**33

    def test_short_of_memory_fewer_boxes_go_at_once_and_no_embeddings_are_kept(self):
        least = self.least()
        assert fit(self.OPTIONS, self.CASE, 0, least).box_batch == 1
        assert fit(self.OPTIONS, self.CASE, 0, least).kept_bytes == 0
        assert fit(self.OPTIONS, self.CASE, 0, least + 3 * BOX_BYTES).box_batch == 4

    def test_volume_masks_and_working_memory_are_counted(self):
        voxels = self.CASE.volume.size
        assert self.least() > 2 * voxels + BOX_BYTES
        assert self.least(kept_slices=5) == self.least() + 5 * 200 * 300 * memory.CANVAS_BYTES

    def test_what_cannot_fit_is_refused_with_figures(self):
        with pytest.raises(CaseError, match=r"a case of 10 x 200 x 300 voxels needs \d+ MB.* allows 20 MB"):
            fit(self.OPTIONS, self.CASE, 0, 20 * MB)


def test_peak_is_measured_anew():
    memory.reset_peak()
    before = memory.peak()
    filled = np.ones(64 * MB, np.uint8)
    assert memory.peak() > before + 60 * MB
    del filled
    memory.reset_peak()
    assert memory.peak() < before + 40 * MB
