"""The phantoms: in the challenge's format, complete and repeatable."""

import numpy as np
import pytest

from training.data.phantoms import CASES, Phantom, phantom_case_2d, phantom_volume, picture_phantom


def assert_complete(phantom: Phantom) -> None:
    """Every box has its label, encloses it, and is at most 5 % (and a pixel's rounding) wider on each side."""
    assert phantom.imgs.shape[: phantom.gts.ndim] == phantom.gts.shape
    assert set(np.unique(phantom.gts)) - {0} == set(range(1, len(phantom.boxes) + 1))
    for label, box in enumerate(phantom.boxes, 1):
        voxels = np.argwhere(phantom.gts == label)[:, ::-1]
        low, high = voxels.min(axis=0), voxels.max(axis=0)
        allowed = np.where(np.arange(len(low)) < 2, 0.05 * (high - low) + 1, 0)
        assert (box[: len(low)] <= low).all()
        assert (box[len(low) :] >= high).all()
        assert (low - box[: len(low)] <= allowed).all()
        assert (box[len(low) :] - high <= allowed).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_demonstration_cases_are_complete(name: str, seed: int):
    phantom = CASES[name](np.random.default_rng(seed))
    assert phantom.imgs.dtype == np.uint8
    assert phantom.imgs.std() > 20  # neither black nor flat
    assert (phantom.spacing is not None) == (phantom.gts.ndim == 3) == name.startswith("3DBox_")
    assert_complete(phantom)


def test_kinds_of_demonstration_cases():
    phantoms = {name: draw(np.random.default_rng(0)) for name, draw in CASES.items()}
    assert {phantom.imgs.ndim for phantom in phantoms.values()} == {2, 3}
    assert phantoms["2DBox_Dermoscopy_phantom"].imgs.shape[2] == 3
    assert len(phantoms["2DBox_Microscopy_phantom"].boxes) == 40
    assert len(phantoms["3DBox_CT_phantom"].boxes) == 3


@pytest.mark.parametrize(("size", "n"), [((64, 64), 1), ((48, 120), 7), ((200, 90), 13), ((256, 256), 300)])
def test_small_2d_cases(size: tuple[int, int], n: int):
    phantom = phantom_case_2d(size, n, seed=5)
    assert phantom.imgs.shape == size
    assert len(phantom.boxes) == n
    assert phantom.gts.dtype == (np.uint8 if n < 256 else np.uint16)
    assert_complete(phantom)
    inside, outside = phantom.imgs[phantom.gts > 0], phantom.imgs[phantom.gts == 0]
    assert np.percentile(inside, 10) > np.percentile(outside, 90)


def test_small_2d_case_in_colour_and_without_boxes():
    assert phantom_case_2d((40, 50), 2, seed=0, colour=True).imgs.shape == (40, 50, 3)
    empty = phantom_case_2d((40, 50), 0, seed=0)
    assert empty.boxes.shape == (0, 4)
    assert not empty.gts.any()


@pytest.mark.parametrize(("shape", "n"), [((6, 32, 32), 1), ((12, 64, 48), 6)])
def test_small_volumes(shape: tuple[int, int, int], n: int):
    phantom = phantom_volume(shape, n, seed=5)
    assert phantom.imgs.shape == shape
    assert phantom.boxes.shape == (n, 6)
    assert_complete(phantom)


def test_equal_seeds_give_equal_cases():
    first, again, other = (phantom_case_2d((64, 64), 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.imgs, again.imgs)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.gts, other.gts)


def test_the_picture_is_complete_and_has_sixteen_bits():
    phantom = picture_phantom(seed=0)
    assert phantom.imgs.dtype == np.uint16
    assert phantom.imgs.max() > 1000
    assert_complete(phantom)
