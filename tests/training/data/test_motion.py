"""Simulated motion: sections by hand, discs that grow, and boxes that hold what they must."""

import numpy as np
import pytest
import torch

from training.data import motion
from training.data.boxes import tight_boxes
from training.data.motion import (
    LARGEST_ZOOM,
    LEAST_SECTION,
    REACH,
    SMALLEST_ZOOM,
    box_of_volume,
    draw_motion,
    motion_grid,
    moved,
    section_at,
    unknown_extent,
    with_noise,
)

SIZE = 128


@pytest.fixture
def still(monkeypatch):
    """No shift, no bending: what is left of the motion is zoom."""
    monkeypatch.setattr(motion, "SHIFT", 0)
    monkeypatch.setattr(motion, "BEND", 0)


def disc(radius: float, x: float = 60, y: float = 70) -> torch.Tensor:
    centres = torch.arange(SIZE) + 0.5
    return ((centres[None, :] - x) ** 2 + (centres[:, None] - y) ** 2 < radius**2).float()


def test_sections_of_an_ellipsoid_by_hand():
    assert section_at(np.array([0, 2, 1, 40]), np.array([2, 2, 2, 40])) == pytest.approx(
        [1, 0.6, (1 - 0.16) ** 0.5, LEAST_SECTION]
    )


def test_motions_go_outward_within_the_object():
    drawn = draw_motion(np.random.default_rng(0), 500)
    before, now = drawn.places[:, 0], drawn.places[:, 1]
    np.testing.assert_array_equal(before[:, :2].sum(axis=1), now[:, :2].sum(axis=1))  # the object has one length
    assert (before[:, 2] == 0).all()
    assert (now[:, 2] == now[:, 0] - before[:, 0]).all()
    assert (now[:, 2] >= 1).all()
    assert (now[:, 1] >= 0).all()
    assert (before[:, 0] >= before[:, 1]).all()  # beyond the middle
    assert drawn.zoom.min() >= SMALLEST_ZOOM
    assert drawn.zoom.max() <= LARGEST_ZOOM
    assert np.median(drawn.zoom) > 1  # the slice before is nearer to the middle, and larger
    half = now[:, :2].sum(axis=1) / 2
    np.testing.assert_allclose(drawn.section, section_at(now[:, 0] - half, half), rtol=1e-6)


@pytest.mark.parametrize("zoom", [0.8, 1.0, 1.3])
def test_the_section_of_a_disc_grows_with_the_zoom(still, zoom):
    radius = 20.0
    mask = disc(radius)
    boxes = torch.tensor([[40.0, 50.0, 80.0, 90.0]])
    grid = motion_grid(np.random.default_rng(0), boxes, np.array([zoom], np.float32), SIZE)
    before = moved(mask[None, None], grid)[0, 0] > 0.5
    # At u radii from the centre lies what was at 1 radius before; further out the zoom fades.
    u = zoom
    for _ in range(50):
        u = 1 / (1 + np.exp(-(u**2) / (2 * REACH**2)) * (1 / zoom - 1))
    assert before.sum() / mask.sum() == pytest.approx(u**2, rel=0.03)
    assert min(1, zoom**2) <= u**2 <= max(1, zoom**2)
    assert abs(u - 1) >= 0.4 * abs(zoom - 1)
    torch.testing.assert_close(grid[0, 0, 0], torch.tensor([1 / SIZE - 1] * 2), atol=0.01, rtol=0)  # far away nothing


def test_shift_and_bending_move_a_little_and_differently():
    boxes = torch.tensor([[40.0, 50.0, 80.0, 90.0]]).repeat(8, 1)
    grid = motion_grid(np.random.default_rng(0), boxes, np.ones(8, np.float32), SIZE)
    before = moved(disc(20)[None, None].repeat(8, 1, 1, 1), grid)[:, 0] > 0.5
    overlap = (before & (disc(20) > 0)).sum(dim=(1, 2)) / (before | (disc(20) > 0)).sum(dim=(1, 2))
    assert (overlap > 0.6).all()
    assert (overlap < 1).all()
    assert len(set(overlap.tolist())) == 8


def test_the_box_of_the_volume_holds_both_slices():
    rng, count = np.random.default_rng(0), 50
    masks = torch.stack([disc(*values) for values in rng.uniform((5, 30, 30), (25, 90, 90), (count, 3))]) > 0
    boxes = tight_boxes(masks.roll(7, dims=1))
    masks[0] = False  # nothing there before
    found = box_of_volume(rng, boxes, masks, rng.uniform(0.2, 1, count), SIZE)
    around = torch.cat([boxes[:1], tight_boxes(masks)[1:]])
    for held in (boxes, around):
        assert (found[:, :2] <= held[:, :2] + 1e-3).all()
        assert (found[:, 2:] >= held[:, 2:] - 1e-3).all()
    assert found.min() >= 0
    assert found.max() <= SIZE
    sides = (found[:, 2:] - found[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    assert sides.median() > 1.2  # around the middle section, which is larger


def test_an_extent_that_is_not_told():
    places = torch.tensor([[[5.0, 3, 0], [7, 1, 2]]])
    assert unknown_extent(places).tolist() == [[[-1, -1, 0], [-1, -1, 2]]]


def test_noise_changes_images_a_little_and_stays_in_range():
    images = torch.rand(3, 3, 16, 16, generator=torch.manual_seed(0))
    noisy, again = (with_noise(np.random.default_rng(2), images) for _ in range(2))
    assert torch.equal(noisy, again)
    assert 0 < (noisy - images).abs().mean() < 0.02
    assert noisy.min() >= 0
    assert noisy.max() <= 1
