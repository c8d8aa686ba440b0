"""Which objects of a label map can be asked for."""

import numpy as np
import pytest

from training.data.targets import TargetConfig, find_targets

ANY_SIZE = TargetConfig(min_pixels=1, min_side=0)


def boxes_and_areas(labels: np.ndarray, dataset: str = "CT/any", config: TargetConfig = ANY_SIZE) -> list[tuple]:
    targets = find_targets(labels, dataset, config)
    return [(*map(int, box), int(area)) for box, area in zip(targets.boxes, targets.areas, strict=True)]


def canvas(*rectangles: tuple[int, int, int, int, int], size: int = 256) -> np.ndarray:
    """Label map with rectangles (label, x0, y0, x1, y1)."""
    labels = np.zeros((size, size), np.uint8)
    for label, x0, y0, x1, y1 in rectangles:
        labels[y0:y1, x0:x1] = label
    return labels


def test_each_label_is_a_target_with_a_tight_box_in_pixel_edges() -> None:
    labels = canvas((3, 10, 20, 30, 25), (7, 100, 100, 101, 150))
    assert boxes_and_areas(labels) == [(10, 20, 30, 25, 100), (100, 100, 101, 150, 50)]


def test_a_label_of_many_objects_becomes_its_components() -> None:
    # Three squares of 100, 100 and 64 px: the largest has 38 % of the label.
    labels = canvas((1, 0, 0, 10, 10), (1, 50, 0, 60, 10), (1, 100, 0, 108, 8))
    assert boxes_and_areas(labels) == [(0, 0, 10, 10, 100), (50, 0, 60, 10, 100), (100, 0, 108, 8, 64)]


def test_a_label_that_one_component_dominates_is_one_target() -> None:
    # 200 of 300 px.
    assert boxes_and_areas(canvas((1, 0, 0, 20, 10), (1, 100, 0, 110, 10))) == [(0, 0, 110, 10, 300)]


def test_diagonal_neighbours_are_one_component() -> None:
    assert boxes_and_areas(canvas((1, 0, 0, 10, 10), (1, 10, 10, 20, 20))) == [(0, 0, 20, 20, 200)]


def test_specks_do_not_blow_up_the_box_of_a_dominated_label() -> None:
    # 2 of 402 px lie far away: below 2 %.
    labels = canvas((1, 0, 0, 20, 20), (1, 200, 200, 202, 201))
    targets = find_targets(labels, "CT/any", ANY_SIZE)
    assert targets.boxes.tolist() == [[0, 0, 20, 20]]
    assert targets.objects[200, 200] == 0


def test_small_and_thin_targets_are_left_out_at_256_scale() -> None:
    # At 512 px everything counts half as long: 7 x 9 px are 15.75 px at 256, 8 x 8 are 16; 5 px of height are 2.5.
    labels = canvas((1, 0, 0, 7, 9), (2, 50, 50, 58, 58), (3, 100, 100, 200, 105), size=512)
    assert boxes_and_areas(labels, config=TargetConfig(min_pixels=16, min_side=3)) == [(50, 50, 58, 58, 64)]


@pytest.mark.parametrize("dataset", ["Microscopy/wbc_tecom", "Fundus/disc_cup_messidor_like"])
def test_a_union_of_two_structures_is_one_more_target(dataset: str) -> None:
    labels = canvas((1, 10, 10, 50, 50), (2, 20, 20, 30, 30))
    targets = find_targets(labels, dataset, TargetConfig())
    assert targets.boxes.tolist() == [[10, 10, 50, 50], [20, 20, 30, 30], [10, 10, 50, 50]]
    assert targets.areas.tolist() == [1500, 100, 1600]
    whole = np.isin(targets.objects, targets.members[2])
    np.testing.assert_array_equal(whole, labels > 0)


def test_a_union_needs_more_than_one_of_its_parts() -> None:
    assert boxes_and_areas(canvas((2, 20, 20, 30, 30)), "Microscopy/wbc_tecom") == [(20, 20, 30, 30, 100)]


def test_a_union_is_of_its_own_data_sets_only() -> None:
    labels = canvas((1, 10, 10, 50, 50), (2, 20, 20, 30, 30))
    assert len(boxes_and_areas(labels, "Microscopy/dsb2018_nuclei")) == 2


def test_masks_by_object_number_are_the_labels_pixels() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((60, 80), np.uint16)
    for label in range(1, 300):  # more objects than uint8 holds
        y, x = rng.integers(0, 55), rng.integers(0, 75)
        labels[y : y + 5, x : x + 5] = label
    targets = find_targets(labels, "CT/any", TargetConfig(min_pixels=1, min_side=0, dominance=0))
    assert len(targets) > 255
    assert targets.objects.dtype == np.uint16
    for numbers, box, area in zip(targets.members, targets.boxes.astype(int), targets.areas, strict=True):
        rows, columns = np.nonzero(np.isin(targets.objects, numbers))
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == tuple(box)
        assert len(rows) == area
        assert len(np.unique(labels[rows, columns])) == 1


def test_an_empty_label_map_has_no_targets() -> None:
    targets = find_targets(np.zeros((30, 40), np.uint8), "CT/any", TargetConfig())
    assert len(targets) == 0
    assert targets.boxes.shape == (0, 4)
