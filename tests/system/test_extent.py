"""`--extent find` as a user runs it: a box on one slice is enough, where the weights follow objects."""

import numpy as np
import pytest

from inference.errors import EXIT_OK, EXIT_SETUP
from tests.support.volume_pair import LASTS, write_volume_pair
from tests.system.small_cases import IMAGE, write_cases

VOLUME = np.stack([IMAGE] * 9)
MARKED = np.array([[10, 10, 4, 60, 50, 4]])


@pytest.fixture
def cases(folders):
    write_cases(folders[0], 1)
    np.savez(folders[0] / "3DBox_CT_000.npz", imgs=VOLUME, boxes=MARKED)
    return folders


def test_objects_are_followed_from_the_slice_that_is_marked(tmp_path, cases, run, untrained):
    weights = write_volume_pair(untrained("light")[1], tmp_path / "weights")
    for extent, slices in (("find", range(4 - LASTS + 1, 4 + LASTS)), ("given", [4])):
        result = run("-i", cases[0], "-o", cases[1], "--extent", extent, weights=weights)
        assert (result.returncode, result.stderr) == (EXIT_OK, "")
        segs = np.load(cases[1] / "3DBox_CT_000.npz")["segs"]
        assert np.flatnonzero(segs.any(axis=(1, 2))).tolist() == list(slices)
        assert np.load(cases[1] / "2DBox_CT_000.npz")["segs"].shape == IMAGE.shape


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [([], "needs weights with a volume_decoder.onnx"), (["--strategy", "flatten"], "leave out --strategy flatten")],
)
def test_what_cannot_find_extents_is_refused_before_any_work(cases, run, arguments, reason):
    result = run("-i", cases[0], "-o", cases[1], "--extent", "find", *arguments)
    assert result.returncode == EXIT_SETUP
    (line,) = result.stderr.splitlines()
    assert line.startswith("ERROR: --extent find ")
    assert reason in line
    assert not cases[1].exists()
