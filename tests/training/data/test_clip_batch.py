"""What a batch holds of clips and of pairs made of stills: the right images, masks, boxes and places."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.segment.extent import UNKNOWN
from inference.segment.prompts import MARGIN_FOUND
from tests.support.data_root import write_phantom_root
from tests.support.labelled_volume import EXTENTS, SIDE, labelled_volume
from training.data import clip_batch, motion
from training.data.augmentation import AugmentationConfig
from training.data.batch import Batch, Clips
from training.data.boxes import tight_boxes
from training.data.clip_batch import render_clips, still_pairs, with_clips
from training.data.clips import ClipConfig, draw_clip
from training.data.config import DataConfig
from training.data.loader import Loader
from training.data.objects import VolumeObject
from training.data.sampling import SamplingConfig

SIZE = 2 * SIDE
PLAIN = AugmentationConfig().only()
CONFIG = DataConfig(root="", input_size=SIZE, augmentation=PLAIN, clips=ClipConfig(per_batch=3, crop=0, length=4))
ITEMS = [VolumeObject(label, *EXTENTS[label]) for label in (1, 2)]


def samples(config: ClipConfig, seed: int = 0):
    rng, case = np.random.default_rng(seed), labelled_volume()
    return [draw_clip(rng, case, ITEMS[i % 2], ITEMS, config, PLAIN, SIZE) for i in range(config.per_batch)]


def stills() -> Batch:
    """Three images of 96 pixels; two objects on the first, none on the second, one on the third."""
    masks = torch.zeros(3, SIZE, SIZE)
    masks[0, 10:40, 20:60] = masks[1, 60:80, 10:30] = masks[2, 30:70, 30:70] = 1
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.manual_seed(0))
    return Batch(images, masks, tight_boxes(masks > 0), torch.ones(3), torch.tensor([0, 0, 2]), ["US"] * 3)


@pytest.fixture
def no_motion(monkeypatch):
    for name, value in {"SHIFT": 0, "BEND": 0, "NOISE": 0, "SMALLEST_ZOOM": 1, "LARGEST_ZOOM": 1}.items():
        monkeypatch.setattr(motion, name, value)


def white_row(image: torch.Tensor) -> int:
    """The number of the slice that an image shows."""
    return int(image[0].mean(dim=1).argmax()) // 2


def test_frames_of_clips_are_their_slices():
    drawn = samples(replace(CONFIG.clips, per_batch=8, found=0))
    images, clips = render_clips(np.random.default_rng(0), drawn, CONFIG, torch.device("cpu"))
    assert images.shape == (8 * 4, 3, SIZE, SIZE)
    row = 0
    for number, sample in enumerate(drawn):
        for slot in range(len(sample.boxes)):
            item = ITEMS[(number + slot) % 2]
            for t, (below, above, _) in enumerate(clips.places[row].tolist()):
                z = item.first + int(below)
                assert clips.frames[row, t] == 4 * number + t
                assert white_row(images[clips.frames[row, t]]) == z == item.last - above
                label = torch.from_numpy(labelled_volume().gts[z] == item.label)
                expected = label.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1).float()
                assert (clips.masks[row, t] != expected).float().mean() < 0.01
            row += 1
    assert row == len(clips.frames) > 8


def test_boxes_of_clips_hold_their_masks_and_lie_in_the_input():
    for found in (0.0, 1.0):
        drawn = samples(replace(CONFIG.clips, per_batch=8, found=found))
        _, clips = render_clips(np.random.default_rng(0), drawn, CONFIG, torch.device("cpu"))
        shown = clips.masks[:, 0] if found else clips.masks.amax(dim=1)
        inner = tight_boxes(shown > 0)
        assert (clips.boxes[:, :2] <= inner[:, :2] + 0.5).all()
        assert (clips.boxes[:, 2:] >= inner[:, 2:] - 0.5).all()
        assert clips.boxes.min() >= 0
        assert clips.boxes.max() <= SIZE
        assert (clips.places[..., :2] == UNKNOWN).all() if found else (clips.places >= 0).all()


def test_pairs_without_motion_are_the_still_twice(no_motion):
    batch = stills()
    images, clips = still_pairs(np.random.default_rng(0), batch, CONFIG)
    torch.testing.assert_close(images, batch.images, atol=1e-4, rtol=0)
    assert clips.frames.tolist() == [[0, ~0], [0, ~0], [2, ~2]]
    assert torch.equal(clips.masks[:, 0], batch.masks)
    assert torch.equal(clips.masks[:, 1], batch.masks)


def test_pairs_end_on_the_still_and_begin_with_what_moved():
    batch = replace(stills(), images=torch.zeros(3, 3, SIZE, SIZE))
    for image, mask in zip(batch.image_index, batch.masks, strict=True):
        batch.images[image, 0] += mask  # red where an object is
    together = with_clips(batch, np.random.default_rng(0), samples(CONFIG.clips), CONFIG)
    pairs, clips = together.clips
    assert len(together.images) == 3 + 3 + 3 * 4
    assert torch.equal(together.images[:3], batch.images)
    assert pairs.frames.tolist() == [[3, 0], [3, 0], [5, 2]]
    assert clips.frames.min() == 6
    assert clips.frames.max() == 17
    assert torch.equal(pairs.masks[:, 1], batch.masks)
    for row in range(3):
        seen = together.images[pairs.frames[row, 0], 0] > 0.5
        mask = pairs.masks[row, 0] > 0
        assert (seen & mask).sum() / mask.sum() > 0.97
    assert (pairs.masks[:, 0] != pairs.masks[:, 1]).flatten(1).any(dim=1).all()


def test_boxes_of_pairs():
    batch = stills()
    for found in (0.0, 1.0):
        config = replace(CONFIG, clips=replace(CONFIG.clips, found=found))
        _, clips = still_pairs(np.random.default_rng(3), batch, config)
        on_start = tight_boxes(clips.masks[:, 0] > 0)
        outward = (on_start - clips.boxes) * torch.tensor([1, 1, -1, -1])
        assert (outward >= 0).all()
        if found:  # around the object on the slice from which it is followed, and no more
            assert (outward <= MARGIN_FOUND * SIZE + 1e-3).all()
            assert (clips.places[..., :2] == UNKNOWN).all()
        else:
            assert (clips.boxes[:, :2] <= batch.boxes[:, :2]).all()
            assert (clips.boxes[:, 2:] >= batch.boxes[:, 2:]).all()
            assert (clips.places >= 0).all()
        assert (clips.places[:, 0, 2] == 0).all()
        assert (clips.places[:, 1, 2] >= 1).all()


def test_an_object_that_was_nowhere_before_is_left_out(monkeypatch):
    batch = stills()

    def some_gone(planes, grid):
        gone = torch.zeros_like(planes)
        gone[1:] = planes[1:]
        return gone

    monkeypatch.setattr(clip_batch, "moved", some_gone)
    _, clips = still_pairs(np.random.default_rng(0), batch, CONFIG)
    assert clips.frames.tolist() == [[0, ~0], [2, ~2]]
    assert torch.equal(clips.masks[:, 1], batch.masks[1:])


def test_without_any_object_before_there_are_no_pairs(monkeypatch):
    monkeypatch.setattr(clip_batch, "moved", lambda planes, grid: torch.zeros_like(planes))
    together = with_clips(stills(), np.random.default_rng(0), samples(CONFIG.clips), CONFIG)
    assert [clips.frames.shape[1] for clips in together.clips] == [4]
    assert together.clips[0].frames.min() == 3
    nothing = replace(
        stills(), masks=torch.zeros(0, SIZE, SIZE), boxes=torch.zeros(0, 4), image_index=torch.zeros(0).long()
    )
    monkeypatch.undo()
    assert len(with_clips(nothing, np.random.default_rng(0), samples(CONFIG.clips), CONFIG).clips) == 1


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> DataConfig:
    root = write_phantom_root(tmp_path_factory.mktemp("root"))
    return DataConfig(
        root=str(root),
        batch_size=4,
        input_size=64,
        seed=5,
        sampling=SamplingConfig("fixed", samples_per_modality=8),
        clips=ClipConfig(per_batch=2, length=3),
    )


def assert_same(first: Clips, second: Clips) -> None:
    for name in ("frames", "masks", "boxes", "places", "neighbours", "told", "boxed"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_a_step_always_gets_the_same_clips(config, tmp_path):
    first, other = Loader(config), Loader(replace(config, in_memory=False, cache_gib=1e-4, workers=2))
    other.batch(1)
    in_background = list(other.batches(4, 7))
    for step, batch in zip(range(4, 7), in_background, strict=True):
        expected = first.batch(step)
        assert torch.equal(expected.images, batch.images)
        for clips, others in zip(expected.clips, batch.clips, strict=True):
            assert_same(clips, others)
    later = first.batch(7)
    assert not torch.equal(later.clips[1].boxes[:1], expected.clips[1].boxes[:1])
    elsewhere = Loader(config, rank=1, world_size=2).batch(7)
    assert not torch.equal(later.clips[1].boxes[:1], elsewhere.clips[1].boxes[:1])


def test_clips_leave_the_stills_of_a_batch_as_they_are(config):
    with_them, without = Loader(config), Loader(replace(config, clips=ClipConfig()))
    for step in range(3):
        batch, plain = with_them.batch(step), without.batch(step)
        assert plain.clips == ()
        assert len(plain.images) == 4
        assert torch.equal(batch.images[:4], plain.images)
        for name in ("masks", "boxes", "image_index"):
            assert torch.equal(getattr(batch, name), getattr(plain, name)), name
        assert batch.modalities == plain.modalities
        frames = [clips.frames.unique().tolist() for clips in batch.clips]
        assert set(frames[0]) <= set(range(8))
        assert set(frames[1]) == set(range(8, 8 + 2 * 3))


def test_a_root_without_objects_to_follow_is_refused(config, tmp_path):
    root = write_phantom_root(tmp_path)
    Path(root / "CT/volumes/a.npz").unlink()
    with pytest.raises(ValueError, match="no volume holds an object to follow"):
        Loader(replace(config, root=str(root)))


def test_without_volumes_there_are_pairs_where_they_are_asked_for(config, tmp_path):
    for path in (Path(config.root) / "US").rglob("*.npz"):
        target = tmp_path / path.relative_to(config.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    batch = Loader(replace(config, root=str(tmp_path), clips=ClipConfig(pairs=True))).batch(0)
    assert len(batch.clips) == 1
    assert batch.clips[0].frames.shape[1] == 2
    assert len(batch.images) == 2 * config.batch_size
    assert Loader(replace(config, root=str(tmp_path), clips=ClipConfig())).batch(0).clips == ()
