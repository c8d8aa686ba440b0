"""Clips of volumes: which slices and objects they hold, what is said of them, and which volumes they come from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.segment.extent import meet
from inference.segment.neighbours import SMALLER
from tests.support.labelled_volume import DEPTH, EXTENTS, labelled_volume
from training.data.augmentation import AugmentationConfig
from training.data.clips import (
    UNKNOWN,
    ClipConfig,
    ClipSample,
    ClipSource,
    convex_hull,
    draw_clip,
    draw_slices,
)
from training.data.index import build_index
from training.data.labelled_case import LabelledCase, read_labelled_case, write_labelled_case
from training.data.objects import VolumeObject
from training.data.sampling import SamplingConfig
from training.data.targets import TargetConfig

CASE = labelled_volume()
LARGE, SMALL = (VolumeObject(label, *EXTENTS[label]) for label in (1, 2))
PLAIN = AugmentationConfig().only()
SIZE = 96  # the volume's slices, twice as large
CONFIG = ClipConfig(per_batch=1, crop=0)


def drawn_slices(config: ClipConfig, is_found: bool = False, item: VolumeObject = LARGE) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [draw_slices(rng, CASE.gts, item, is_found, config) for _ in range(200)]


def clips(config: ClipConfig, augmentation: AugmentationConfig = PLAIN, count: int = 60) -> list[ClipSample]:
    rng = np.random.default_rng(1)
    return [draw_clip(rng, CASE, LARGE, [LARGE, SMALL], config, augmentation, SIZE) for _ in range(count)]


@pytest.mark.parametrize("is_found", [False, True])
def test_slices_go_outward_from_one_that_holds_the_object(is_found):
    drawn = drawn_slices(CONFIG, is_found)
    assert {len(slices) for slices in drawn} == {CONFIG.length}
    for slices in drawn:
        assert LARGE.first <= slices[0] <= LARGE.last
        away = np.diff(slices) * (1 if slices[-1] > slices[0] else -1)
        assert (away >= 0).all()
    assert {np.sign(slices[-1] - slices[0]) for slices in drawn} >= {-1, 1}
    jumps = {abs(slices[1] - slices[0]) for slices in drawn}
    assert jumps >= set(range(1, 7))  # from the start slice to anywhere between it and the object's end


def test_slices_of_a_known_extent_stay_in_it():
    drawn = drawn_slices(CONFIG)
    assert min(map(min, drawn)) == LARGE.first
    assert max(map(max, drawn)) == LARGE.last
    assert len({slices[0] for slices in drawn}) > 3


def test_slices_of_an_extent_to_find_pass_its_ends_but_not_the_volumes():
    drawn = drawn_slices(replace(CONFIG, stride=1, length=8), is_found=True)
    assert min(map(min, drawn)) == 0
    assert max(map(max, drawn)) == DEPTH - 1


def test_clips_may_all_start_in_the_middle():
    assert {slices[0] for slices in drawn_slices(replace(CONFIG, middle=1))} == {LARGE.middle}


def test_an_object_with_a_gap_is_not_followed_from_there():
    gts = CASE.gts.copy()
    gts[LARGE.middle - 1 : LARGE.middle + 2] = 0
    rng = np.random.default_rng(0)
    starts = {draw_slices(rng, gts, LARGE, False, replace(CONFIG, middle=1))[0] for _ in range(20)}
    assert starts <= {LARGE.middle - 2, LARGE.middle + 2}


@pytest.mark.parametrize("stride", [0, 1])
def test_clips_may_all_end_on_the_last_slice(stride):
    drawn = drawn_slices(replace(CONFIG, at_end=1, stride=stride, length=4))
    assert {slices[-1] for slices in drawn} == {LARGE.first, LARGE.last}
    steps = {step for slices in drawn for step in np.abs(np.diff(slices[1:])).tolist()}
    assert steps == ({0, 1, 2} if stride else {0, 1})


def rendered_slices(clip: ClipSample) -> list[int]:
    """The slice numbers of a clip, read off the grey values of what was cut out."""
    return [int(np.median(source.planes[0]) // 10) for source in clip.sources]


@pytest.mark.parametrize("found", [0, 1])
def test_places_say_where_the_slices_lie(found):
    for clip in clips(replace(CONFIG, found=found)):
        slices = rendered_slices(clip)
        assert len(slices) == CONFIG.length
        items = [LARGE, SMALL][: len(clip.boxes)]
        for places, item in zip(clip.places.tolist(), items, strict=True):
            for z, (below, above, steps) in zip(slices, places, strict=True):
                assert steps == abs(z - slices[0])
                assert (below, above) == ((UNKNOWN, UNKNOWN) if found else (z - item.first, item.last - z))


def test_all_objects_of_a_clip_are_on_all_of_its_slices():
    several = 0
    for clip in clips(replace(CONFIG, found=0, length=3)):
        several += len(clip.boxes) == 2
        assert {len(source.planes) for source in clip.sources} == {3 + len(clip.boxes)}
        assert all(plane.any() for source in clip.sources for plane in source.planes[3:])
        inside = [SMALL.first <= z <= SMALL.last for z in rendered_slices(clip)]
        assert len(clip.boxes) == 1 + all(inside)
    assert 5 < several < 55
    assert {len(clip.boxes) for clip in clips(replace(CONFIG, objects=1))} == {1}


def test_past_its_end_an_object_is_not_on_the_slice():
    there = [
        (LARGE.first <= z <= LARGE.last, source.planes[3].any())
        for clip in clips(replace(CONFIG, found=1, at_end=1, length=8))
        for z, source in zip(rendered_slices(clip), clip.sources, strict=True)
    ]
    assert {on_it for on_it, _ in there} == {True, False}
    assert all(on_it == seen for on_it, seen in there)


def tight(mask: np.ndarray) -> np.ndarray:
    corners = 2.0 * convex_hull(mask)  # in the input
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def test_a_box_holds_its_object_on_all_slices_or_on_the_start_slice_where_it_is_to_be_found():
    for found in (0, 1):
        for clip in clips(replace(CONFIG, found=found, box_low=0.05, box_high=0.1)):
            z = rendered_slices(clip)[0]
            for box, label in zip(clip.boxes, (1, 2), strict=False):
                inner = tight(CASE.gts[z] == label if found else (CASE.gts == label).any(axis=0))
                outward = (inner - box) * [1, 1, -1, -1]
                assert (outward >= -1e-4).all()
                assert (outward <= 0.1 * (inner[2] - inner[0]) + 1e-4).all()
    assert len({clip.boxes[0, 0] for clip in clips(CONFIG)}) > 50


def test_the_crop_holds_the_object():
    for clip in clips(replace(CONFIG, crop=1, found=0, box_low=0, box_high=0), AugmentationConfig()):
        assert clip.boxes[0, :2].min() >= -1e-3
        assert clip.boxes[0, 2:].max() <= SIZE + 1e-3


def test_shares_of_what_is_told_and_boxed():
    drawn = clips(replace(CONFIG, told=0.2, boxed=0.5, found=0.25), count=300)
    told, boxed = (np.concatenate([getattr(clip, name).ravel() for clip in drawn]) for name in ("told", "boxed"))
    assert told.mean() == pytest.approx(0.2, abs=0.03)
    assert boxed.mean() == pytest.approx(0.5, abs=0.08)
    assert np.mean([clip.places[0, 0, 0] == UNKNOWN for clip in drawn]) == pytest.approx(0.25, abs=0.08)


def test_objects_of_a_clip_are_told_of_the_boxes_of_all_others():
    case = labelled_volume()
    case.gts[10:18, 26:34, 14:24] = 4  # overlaps both of the others, which do not overlap
    items = [LARGE, SMALL, VolumeObject(4, 10, 17)]
    for chosen, count in ((LARGE, 1), (SMALL, 2)):
        for accompanied in (0, 1):
            rng = np.random.default_rng(2)
            config = replace(CONFIG, accompanied=accompanied, objects=count, found=0, box_low=0.0, box_high=0.0)
            for _ in range(10):
                clip = draw_clip(rng, case, chosen, items, config, PLAIN, SIZE)
                assert clip.neighbours.shape == (len(clip.boxes), 2, SIZE // 4, SIZE // 4)
                assert clip.neighbours.any() == accompanied
    expected = np.zeros((2, SIZE // 4, SIZE // 4))
    expected[SMALLER, 13:17, 7:12] = 1  # of the small one; the new one is even smaller
    np.testing.assert_array_equal(clip.neighbours[0], expected)


def test_objects_without_a_common_slice_do_not_meet():
    objects = [VolumeObject(1, 0, 5), VolumeObject(2, 5, 9), VolumeObject(3, 6, 8)]
    first, last = np.array([(item.first, item.last) for item in objects]).T
    assert meet(first, last).tolist() == [[True, True, False], [True, True, True], [False, True, True]]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three volumes in MR/a, one each in CT/b and CT/c, one without an object in MR/d, and an image."""
    root = tmp_path_factory.mktemp("root")
    for name in ("MR/a/0", "MR/a/1", "MR/a/2", "CT/b/0", "CT/c/0"):
        write_labelled_case(root / f"{name}.npz", CASE)
    write_labelled_case(root / "MR/d/0.npz", replace(CASE, gts=np.where(CASE.gts == 3, CASE.gts, 0)))
    write_labelled_case(root / "US/e/0.npz", LabelledCase(CASE.imgs[5], CASE.gts[5]))
    return root


def files_drawn(root: Path, config: ClipConfig, sampling: SamplingConfig, count: int = 400) -> dict[str, float]:
    """Shares of the files in the clips that are drawn."""
    index, read = build_index(root, TargetConfig()), []

    def note(number: int) -> LabelledCase:
        read.append(index.files[number].removesuffix(".npz"))
        return read_labelled_case(root / index.files[number]) if len(read) < 2 else CASE

    source, rng = ClipSource(index, note, config, sampling), np.random.default_rng(0)
    for _ in range(count):
        source.draw(rng, PLAIN, 32)
    return {name: read.count(name) / count for name in sorted(set(read))}


def test_clips_come_from_all_modalities_alike_unless_told_otherwise(root):
    alike = {"CT/b/0": 1 / 4, "CT/c/0": 1 / 4} | dict.fromkeys(("MR/a/0", "MR/a/1", "MR/a/2"), 1 / 6)
    assert files_drawn(root, CONFIG, SamplingConfig()) == pytest.approx(alike, abs=0.05)
    weighed = replace(CONFIG, modality_weights={"CT": 4, "MR": 1})
    expected = {"CT/b/0": 0.4, "CT/c/0": 0.4} | dict.fromkeys(("MR/a/0", "MR/a/1", "MR/a/2"), 1 / 15)
    assert files_drawn(root, weighed, SamplingConfig()) == pytest.approx(expected, abs=0.05)


def test_a_data_set_can_be_left_out_of_the_clips(root):
    left = files_drawn(root, CONFIG, SamplingConfig(dataset_weights={"CT/c": 0}))
    assert "CT/c/0" not in left
    assert left["CT/b/0"] == pytest.approx(0.5, abs=0.06)  # the modality keeps its share


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        (CONFIG, SamplingConfig(dataset_weights={"*/*": 0})),
        (replace(CONFIG, modality_weights={"CT": 0, "MR": 0}), SamplingConfig()),
    ],
)
def test_nothing_to_follow_is_said(root, config, sampling):
    with pytest.raises(ValueError, match="no volume holds an object to follow"):
        files_drawn(root, config, sampling)


def test_a_root_without_volumes_has_nothing_to_follow(tmp_path):
    write_labelled_case(tmp_path / "US/e/0.npz", LabelledCase(CASE.imgs[5], CASE.gts[5]))
    with pytest.raises(ValueError, match="no volume holds an object to follow"):
        files_drawn(tmp_path, CONFIG, SamplingConfig())


@pytest.mark.parametrize("setting", [{"per_batch": -1}, {"length": 1}, {"objects": 0}])
def test_clips_that_are_none_are_refused(setting):
    with pytest.raises(ValueError, match="clips: per_batch"):
        ClipConfig(**setting)
