"""DSC and NSD on cases worked out by hand, and against figures of the surface-distance package."""

import numpy as np
import pytest
from scipy import ndimage

from training.scoring.metrics import (
    case_dice,
    case_ends,
    case_scores,
    dice,
    neighbour_codes,
    object_scores,
    surface_dice,
    surface_element_areas,
)

PIXELS = (1.0, 1.0)


def mask(shape: tuple[int, ...], *block: slice) -> np.ndarray:
    filled = np.zeros(shape, bool)
    filled[block] = True
    return filled


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return smooth > np.quantile(smooth, 0.7)


class TestDice:
    def test_squares_shifted_by_one_pixel(self):
        gt, seg = mask((8, 8), slice(1, 5), slice(1, 5)), mask((8, 8), slice(1, 5), slice(2, 6))
        assert dice(gt, seg) == 2 * 12 / (16 + 16)

    def test_empty_masks(self):
        empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
        assert dice(full, empty) == dice(empty, full) == 0
        assert np.isnan(dice(empty, empty))


class TestSurfaceElements:
    def test_areas_of_simple_cuts(self):
        areas = surface_element_areas((1, 1, 1))
        assert areas[0] == areas[255] == 0
        assert areas[0b1] == pytest.approx(np.sqrt(3) / 8)  # one corner: a triangle of side sqrt(1/2)
        assert areas[0b11] == pytest.approx(np.sqrt(2) / 2)  # one edge: a rectangle 1 by sqrt(1/2)
        assert areas[0b1111] == 1  # one side: a unit square
        assert areas[0b10111] == pytest.approx(3 * np.sqrt(3) / 4)  # a corner and its three neighbours: a hexagon
        assert areas[0b10000001] == pytest.approx(2 * np.sqrt(3) / 8)  # two opposite corners: two triangles

    def test_areas_with_anisotropic_spacing(self):
        areas = surface_element_areas((3, 1, 2))  # faces normal to the three axes: 2, 6 and 3 mm^2
        assert areas[0b1] == pytest.approx(np.sqrt(2**2 + 6**2 + 3**2) / 8)
        assert areas[0b00001111] == pytest.approx(2)  # the pair of layers along axis 0 is cut
        assert areas[0b00110011] == pytest.approx(6)
        assert areas[0b01010101] == pytest.approx(3)

    def test_object_and_background_are_exchangeable(self):
        areas = surface_element_areas((3, 1, 2))
        np.testing.assert_allclose(areas, areas[::-1])

    def test_codes_of_a_single_voxel_are_its_eight_corners(self):
        codes = neighbour_codes(np.ones((1, 1, 1), bool))
        assert sorted(codes.ravel()) == [1, 2, 4, 8, 16, 32, 64, 128]
        assert codes[0, 0, 0] == 128  # the voxel is the last one of the neighbourhood before it

    def test_surface_of_a_box(self):
        # Marching cubes chamfers a box: its sides lose a frame half a voxel wide, edges and corners become slopes.
        codes = neighbour_codes(np.ones((4, 5, 6), bool))
        sides = 2 * (3 * 4 + 4 * 5 + 3 * 5)
        edges = 4 * (3 + 4 + 5) * np.sqrt(2) / 2
        assert surface_element_areas((1, 1, 1))[codes].sum() == pytest.approx(sides + edges + 8 * np.sqrt(3) / 8)


class TestSurfaceDice:
    @pytest.mark.parametrize(("shift", "expected"), [(0, 1), (2, 1), (3, 0.5), (4, 0)])
    def test_two_single_pixels(self, shift: int, expected: float):
        # Their corners are `shift - 1` (half of them) and `shift` apart; a distance of just 2 is within the tolerance.
        gt, seg = mask((1, 9), slice(0, 1), slice(0, 1)), mask((1, 9), slice(0, 1), slice(shift, shift + 1))
        assert surface_dice(gt, seg, PIXELS, 2) == expected

    def test_tolerance_is_inclusive(self):
        gt, seg = mask((1, 9), slice(0, 1), slice(0, 1)), mask((1, 9), slice(0, 1), slice(3, 4))
        assert surface_dice(gt, seg, PIXELS, np.nextafter(2, 0)) == 0
        assert surface_dice(gt, seg, PIXELS, np.nextafter(3, 0)) == 0.5
        assert surface_dice(gt, seg, PIXELS, 3) == 1

    def test_squares_shifted_by_four_pixels(self):
        # The faces of the slab count: of the 11 columns of elements of either square only the outer two are more than
        # 2 px away from the other. Weights: 9 x 9 inner points 1, on the outline sqrt(2)/2, at the corners sqrt(3)/8.
        gt, seg = mask((10, 14), slice(0, 10), slice(0, 10)), mask((10, 14), slice(0, 10), slice(4, 14))
        outer_column = 9 * np.sqrt(2) / 2 + 2 * np.sqrt(3) / 8
        inner_column = 9 + 2 * np.sqrt(2) / 2
        expected = 1 - (outer_column + inner_column) / (2 * outer_column + 9 * inner_column)
        assert surface_dice(gt, seg, PIXELS, 2) == pytest.approx(expected)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_adjacent_plates_with_anisotropic_spacing(self, axis: int):
        # Plates one voxel (3 mm) thick, one on the other: they share a face, the other faces are 3 mm from the nearest.
        shape = [12, 12, 12]
        shape[axis] = 2
        gt = np.moveaxis(mask((2, 12, 12), slice(0, 1)), 0, axis)
        spacing = [1.0, 1.0, 1.0]
        spacing[axis] = 3.0
        assert surface_dice(gt, ~gt, tuple(spacing), 2) == pytest.approx(0.5)
        assert surface_dice(gt, ~gt, tuple(spacing), 3) == 1
        assert surface_dice(gt, ~gt, (1, 1, 1), 2) == 1

    def test_plates_far_apart_across_and_along_a_coarse_axis(self):
        gt, seg = mask((9, 4, 4), slice(0, 1)), mask((9, 4, 4), slice(3, 4))  # nearest faces 2 voxels apart, others 3
        assert surface_dice(gt, seg, (1, 5, 5), 2) == pytest.approx(0.5)
        assert surface_dice(gt, seg, (5, 1, 1), 2) == 0

    def test_empty_masks(self):
        empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
        assert surface_dice(full, empty, PIXELS, 2) == surface_dice(empty, full, PIXELS, 2) == 0
        assert np.isnan(surface_dice(empty, empty, PIXELS, 2))

    @pytest.mark.parametrize(
        ("seeds", "shape", "spacing", "tolerance", "expected"),
        [
            ((1, 2), (40, 50), (1.0, 1.0), 2, 0.634971112472),
            ((3, 4), (40, 50), (1.0, 1.0), 0, 0.382842200815),
            ((1, 2), (12, 20, 18), (1.0, 1.0, 1.0), 1, 0.540866978621),
            ((5, 6), (12, 20, 18), (3.0, 0.7, 0.8), 2, 0.747621573089),
            ((7, 8), (12, 20, 18), (0.5, 2.0, 1.0), 1, 0.568970853938),
        ],
    )
    def test_agrees_with_the_surface_distance_package(self, seeds, shape, spacing, tolerance, expected):
        # Figures of surface-distance 0.1; 2D masks were handed to it as (H, W, 1) with spacing (1, 1, 1).
        gt, seg = (blobs(seed, shape) for seed in seeds)
        assert surface_dice(gt, seg, spacing, tolerance) == pytest.approx(expected, abs=1e-9)

    def test_position_and_surroundings_do_not_matter(self):
        gt, seg = blobs(1, (9, 12, 10)), blobs(2, (9, 12, 10))
        spacing = (2.0, 1.0, 0.5)
        expected = surface_dice(gt, seg, spacing, 1)
        assert surface_dice(np.pad(gt, 3), np.pad(seg, 3), spacing, 1) == pytest.approx(expected)
        assert surface_dice(seg.T, gt.T, spacing[::-1], 1) == pytest.approx(expected)


class TestCaseScores:
    def test_mean_over_objects_with_one_missed(self):
        gts = np.zeros((20, 20), np.uint8)
        gts[2:6, 2:6], gts[10:14, 10:14] = 1, 2
        assert case_scores(gts, gts) == (1, 1)
        assert case_scores(gts, np.where(gts == 2, 0, gts)) == (0.5, 0.5)

    def test_a_gap_in_the_numbering_is_no_object_and_unasked_labels_do_not_count(self):
        gts = np.zeros((20, 20), np.uint16)
        gts[2:6, 2:6], gts[10:14, 10:14] = 1, 300
        segs = gts.copy()
        segs[15:18, 2:6] = 2
        segs[0, 0] = 301
        assert case_scores(gts, segs) == (1, 1)

    @pytest.mark.parametrize(("overlap", "expected"), [(2, (0.2, 0.0)), (3, (0.3, 1.0))])
    def test_nsd_is_zero_up_to_a_dsc_of_one_fifth(self, overlap: int, expected: tuple[float, float]):
        gts, segs = np.zeros((2, 10), np.uint8), np.zeros((2, 10), np.uint8)
        gts[0], segs[0, :overlap], segs[1, overlap:] = 1, 1, 1  # every element is within one pixel
        assert case_scores(gts, segs) == pytest.approx(expected)

    def test_spacing_is_used_in_3d(self):
        gts = mask((6, 12, 12), slice(0, 2)).astype(np.uint8)
        segs = mask((6, 12, 12), slice(0, 3)).astype(np.uint8)
        assert case_scores(gts, segs) == case_scores(gts, segs, np.ones(3, np.float32)) == (0.8, 1)
        assert case_scores(gts, segs, (3, 1, 1))[1] < 0.8
        assert case_scores(gts[0], segs[0], (3, 1, 1)) == (1, 1)

    def test_dsc_alone_is_that_of_both(self):
        gts = np.zeros((4, 8), np.uint8)
        gts[0, :4], gts[2, :4] = 1, 2
        segs = np.zeros_like(gts)
        segs[0, :2], segs[2, 2:6] = 1, 2  # 2 * 2 / (4 + 2) = 2/3 and 2 * 2 / (4 + 4) = 1/2
        for case in ((gts, segs), (np.stack([gts] * 3), np.stack([segs] * 3))):
            assert case_dice(*case) == case_scores(*case)[0] == pytest.approx((2 / 3 + 1 / 2) / 2)
        with pytest.raises(ValueError, match="shapes"):
            case_dice(gts, segs[:2])

    def test_label_types_may_differ(self):
        gts = np.zeros((5, 5), np.int64)
        gts[1:3, 1:3] = 1
        assert case_scores(gts, gts.astype(np.uint8)) == (1, 1)

    def test_no_object_no_score(self):
        empty = np.zeros((4, 4), np.uint8)
        assert np.isnan(case_scores(empty, empty)).all()
        assert np.isnan(case_scores(empty, empty + 1)).all()

    def test_bad_arguments(self):
        labels = np.ones((2, 3, 3), np.uint8)
        with pytest.raises(ValueError, match="shapes"):
            case_scores(labels, labels[:1])
        with pytest.raises(ValueError, match="shapes"):
            case_scores(labels[0, 0], labels[0, 0])
        for spacing in [(1, 1), (0, 1, 1), (1, np.nan, 1), (-1, 1, 1)]:
            with pytest.raises(ValueError, match="spacing"):
                case_scores(labels, labels, spacing)


class TestCaseEnds:
    @pytest.mark.parametrize(
        ("slices", "ends"),
        [
            (1, [0]),
            (2, [0, 1]),
            (3, [0, 2]),
            (11, [0, 10]),  # 11 / 8 = 1.375
            (12, [0, 1, 10, 11]),  # 1.5: to even, 2
            (20, [0, 1, 18, 19]),  # 2.5: to even, 2
            (21, [0, 1, 2, 18, 19, 20]),
        ],
    )
    def test_end_slices_are_an_eighth_at_either_end(self, slices: int, ends: list[int]):
        gts = np.zeros((slices + 4, 2, 2), np.uint8)
        gts[2:-2] = 1
        only_ends = np.zeros_like(gts)
        only_ends[np.add(ends, 2)] = 1
        assert case_ends(gts, only_ends) == 1
        assert case_ends(gts, gts - only_ends) == 0  # all slices but these: nothing of the ends is found
        for z in ends:
            one_less = only_ends.copy()
            one_less[z + 2] = 0
            assert case_ends(gts, one_less) == pytest.approx(2 * (len(ends) - 1) / (2 * len(ends) - 1))

    def test_end_slices_count_as_one_mask(self):
        gts, segs = np.zeros((5, 1, 8), np.uint8), np.zeros((5, 1, 8), np.uint8)
        gts[0, 0, :2], gts[1:4, 0], gts[4, 0, :6] = 1, 1, 1
        segs[0, 0, 1:3], segs[4, 0, :3] = 1, 1
        # 1 of 2 and 2 on slice 0, 3 of 6 and 3 on slice 4: 2 * (1 + 3) / (8 + 5); a mean of slices is (1/2 + 2/3) / 2.
        assert case_ends(gts, segs) == pytest.approx(8 / 13)

    def test_mean_over_objects_with_one_missed(self):
        gts = np.zeros((6, 4, 4), np.uint8)
        gts[:3, :2], gts[2:, 2:] = 1, 3
        assert case_ends(gts, np.where(gts == 3, 0, gts)) == 0.5

    def test_slices_without_the_object_are_no_end_and_beyond_the_ends_nothing_counts(self):
        gts = mask((9, 2, 2), slice(2, 7)).astype(np.uint8)
        gts[4] = 0  # a gap: slices 2, 3, 5 and 6 hold the object
        assert case_ends(gts, np.ones_like(gts)) == 1
        ends = np.zeros_like(gts)
        ends[[2, 6]] = 1
        assert case_ends(gts, ends) == 1

    def test_images_and_volumes_without_objects_have_none(self):
        square = np.ones((4, 4), np.uint8)
        assert np.isnan(case_ends(square, square))
        assert np.isnan(case_ends(np.zeros((2, 4, 4), np.uint8), np.ones((2, 4, 4), np.uint8)))

    def test_shapes_that_differ(self):
        with pytest.raises(ValueError, match="shapes"):
            case_ends(np.ones((2, 3, 3), np.uint8), np.ones((1, 3, 3), np.uint8))


def test_scores_of_objects_are_those_of_cases_with_one_object_each():
    gts, segs = np.zeros((6, 9), np.uint8), np.zeros((6, 9), np.uint8)
    gts[:3, :4], gts[4:, 5:] = 1, 7
    segs[:3, 1:5], segs[0, 8] = 1, 7
    scores = object_scores(gts, segs)
    assert scores.keys() == {1, 7}
    assert scores[1] == case_scores(np.uint8(gts == 1), np.uint8(segs == 1))
    assert scores[1][0] == pytest.approx(0.75)
    assert scores[7] == (0.0, 0.0)
    assert np.mean([dsc for dsc, _ in scores.values()]) == pytest.approx(case_scores(gts, segs)[0])
