"""Mask resampling: equal to whole-frame bilinear interpolation, on the region where it matters."""

import numpy as np
import pytest
import torch

from inference.segment.resample import Region, Span, bilinear, positive_region

SIZES = [(3000, 4000), (300, 400), (31, 29), (256, 256), (40, 700), (511, 97)]


def interpolate(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    tensor = torch.from_numpy(logits)[None, None]
    return torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()


def smooth_logits(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((max(2, height // 16), max(2, width // 16))).astype(np.float32)
    return interpolate(coarse, height, width)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_torch_on_the_whole_frame(height, width):
    logits = smooth_logits(190, 256, seed=1)
    whole = Region(Span(0, height), Span(0, width))
    np.testing.assert_allclose(
        bilinear(logits, (190, 256), height, width, whole), interpolate(logits, height, width), rtol=0, atol=2e-4
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("corner", [(0, 0), (100, 120), (180, 246)])
def test_nothing_is_positive_outside_the_region(height, width, corner):
    logits = np.full((190, 256), -1.0, np.float32)
    top, left = corner
    logits[top : top + 10, left : left + 10] = 4.0
    region = positive_region(logits, (190, 256), height, width)
    expected = interpolate(logits, height, width) > 0
    inside = np.zeros_like(expected)
    inside[region.rows.slice, region.columns.slice] = bilinear(logits, (190, 256), height, width, region) > 0
    assert expected.any()
    np.testing.assert_array_equal(inside, expected)


def test_region_is_small_for_a_small_object():
    logits = np.full((192, 256), -1.0, np.float32)
    logits[50:60, 70:80] = 1.0
    region = positive_region(logits, (192, 256), 3000, 4000)
    pixels = (region.rows.stop - region.rows.start) * (region.columns.stop - region.columns.start)
    assert pixels < 0.01 * 3000 * 4000


def test_no_positive_logit_gives_an_empty_region():
    region = positive_region(np.full((64, 64), -0.5, np.float32), (64, 64), 500, 500)
    assert not region.rows
    assert not region.columns


def test_zero_is_not_positive():
    assert not positive_region(np.zeros((64, 64), np.float32), (64, 64), 500, 500).rows
