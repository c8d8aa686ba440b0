"""Files that nobody should send: refused with their reason, in no more memory than a good case of their size takes."""

import os
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from inference.cases.archive import READ_BYTES
from inference.cases.case import read_case
from inference.cases.npz import read_arrays
from inference.errors import CaseError
from tests.support import hostile

BUDGET = 256 * 2**20
# Beside the arrays: a part as read and as inflated, the directory, the parser.
OVERHEAD = 6 * READ_BYTES


@contextmanager
def peak_below(limit):
    """Fails if more than `limit` bytes are held at any time in its body, numpy's arrays included."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", hostile.FILES)
def test_file(tmp_path, kind):
    content, reason = hostile.FILES[kind]
    path = tmp_path / "case.npz"
    path.write_bytes(content())
    with peak_below(OVERHEAD), pytest.raises(CaseError, match=reason) as refusal:
        read_case(path, BUDGET)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("kind", hostile.NO_FILES)
def test_what_is_no_file(tmp_path, kind):
    make, reason = hostile.NO_FILES[kind]
    path = tmp_path / "case.npz"
    make(path)
    with pytest.raises(CaseError, match=reason):
        read_case(path, BUDGET)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything; the container test covers it")
def test_unreadable(tmp_path):
    path = tmp_path / "case.npz"
    path.write_bytes(hostile.case())
    path.chmod(0)
    with pytest.raises(CaseError, match="Permission denied"):
        read_case(path, BUDGET)


def test_link_to_a_case_is_the_case(tmp_path):
    (tmp_path / "elsewhere.npz").write_bytes(hostile.case())
    (tmp_path / "case.npz").symlink_to("elsewhere.npz")
    np.testing.assert_array_equal(read_case(tmp_path / "case.npz", BUDGET).volume[0], hostile.IMAGE)


def test_members_that_are_no_arrays_of_ours_are_never_read(tmp_path):
    path = tmp_path / "case.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("../imgs.npy", b"x"), ("imgs.npy", hostile.npy(hostile.IMAGE)), ("spacing.npy", b"y"),
                           ("boxes.npy", hostile.npy(hostile.BOXES)), ("imgs", b"z")):  # fmt: skip
            archive.writestr(name, data)
    np.testing.assert_array_equal(read_case(path, BUDGET).volume[0], hostile.IMAGE)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_good_case_takes_no_more_memory_than_its_arrays(tmp_path, dtype, order):
    volume = np.asarray(np.broadcast_to(np.arange(200, dtype=dtype), (60, 300, 200)), order=order)
    path = tmp_path / "case.npz"
    np.savez_compressed(path, imgs=volume, boxes=np.array([[3, 4, 1, 30, 40, 3]]))
    with peak_below(volume.nbytes + OVERHEAD):
        case = read_case(path, BUDGET)
    assert case.volume.shape == (60, 300, 200)
    assert case.volume[7, 9, 11] == 11


def test_the_budget_counts_the_masks(tmp_path):
    path = tmp_path / "case.npz"
    path.write_bytes(hostile.case())
    voxels = hostile.IMAGE.size
    read_case(path, 2 * voxels)
    with pytest.raises(CaseError, match="the limit allows"):
        read_case(path, 2 * voxels - 1)


def test_budget_of_several_arrays(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, gts=np.zeros(1000, np.uint8), spacing=np.ones(3))
    assert set(read_arrays(path, ("gts", "spacing"), 1024)) == {"gts", "spacing"}
    with pytest.raises(CaseError, match="'spacing' of shape"):
        read_arrays(path, ("gts", "spacing"), 1023)
