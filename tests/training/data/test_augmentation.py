"""Augmentations: what each does, that it can be switched off, and that without any a sample is the runtime's input."""

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING, INDICES, PIXEL_EDGES
from inference.segment.preprocess import Geometry, encoder_input
from training import gallery
from training.data import augmentation
from training.data.augmentation import AugmentationConfig, Range, change_intensities, draw_geometry, draw_intensities
from training.data.batch import Batch, cut_planes, draw_batch, normalise, render
from training.data.boxes import BoxConfig, draw_box_errors, tight_boxes, with_errors
from training.data.config import DataConfig, from_mapping
from training.data.phantoms import phantom_case_2d
from training.data.slices import Slice
from training.data.targets import TargetConfig, find_targets
from training.data.tiles import TITLE

NONE = AugmentationConfig().only()
EXACT_BOXES = BoxConfig(convention=PIXEL_EDGES, pixel_share=0, relative_high=0)
CPU = torch.device("cpu")


def phantom_slice(size: tuple[int, int], seed: int = 0, colour: bool = False, n_boxes: int = 3) -> Slice:
    phantom = phantom_case_2d(size, n_boxes=n_boxes, seed=seed, colour=colour)
    return Slice(phantom.imgs, find_targets(phantom.gts, "US/phantom", TargetConfig()), "US/phantom")


def make_batch(
    slices: list[Slice],
    augmentations: AugmentationConfig,
    boxes: BoxConfig = EXACT_BOXES,
    seed: int = 0,
    **more: object,
) -> Batch:
    config = DataConfig(root="", augmentation=augmentations, boxes=boxes, **more)
    draft = draw_batch(np.random.default_rng(seed), slices, config)
    return render(draft, cut_planes(draft, CPU), config)


def one(value: float) -> torch.Tensor:
    return torch.tensor([float(value)])


# Without augmentation


def test_a_configuration_names_the_augmentations_that_stay():
    config = from_mapping(AugmentationConfig, {"enabled": ["blur", "grey"], "grey": 0.3})
    assert config == replace(NONE, grey=0.3, blur=AugmentationConfig().blur)
    assert replace(config, noise=Range(1, 0, 1)).noise.probability == 1  # switched on again
    with pytest.raises(ValueError, match="no augmentation named largest_zoom"):
        AugmentationConfig(enabled=["largest_zoom"])


@pytest.mark.parametrize("size", [(288, 288), (256, 256), (100, 256), (97, 288), (300, 40), (30, 33), (600, 450)])
@pytest.mark.parametrize("order", [AFTER_PADDING, BEFORE_PADDING])
@pytest.mark.parametrize("colour", [False, True])
def test_an_unchanged_sample_is_what_the_runtime_feeds_the_model(
    size: tuple[int, int], order: str, colour: bool
) -> None:
    item = phantom_slice(size, colour=colour, n_boxes=1)
    batch = make_batch([item], NONE, normalise=order)
    expected = encoder_input(item.image, Geometry(*size, 256), order)
    # What is shrunk on the host goes to the device in whole grey values, its minimum and maximum too; the runtime's
    # resize rounds nothing.
    tolerance = 1e-4 if max(size) <= 256 else 1 / (float(item.image.max()) - float(item.image.min()))
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=tolerance)


def test_masks_and_boxes_of_an_unchanged_sample() -> None:
    item = phantom_slice((256, 200))
    batch = make_batch([item], NONE, BoxConfig(pixel_share=0, relative_high=0, per_image=10))
    masks = {tuple(box.round().int().tolist()[:2]): mask for box, mask in zip(batch.boxes, batch.masks, strict=True)}
    assert len(masks) == len(item.targets) == 3
    for numbers, box in zip(item.targets.members, item.targets.boxes.astype(int), strict=True):
        expected = np.isin(item.targets.objects, numbers)
        np.testing.assert_array_equal(masks[tuple(box[:2])][:, :200], expected)
    # Between the last pixel (a box in pixel numbers) and its far edge.
    high = np.sort(item.targets.boxes[:, 2:], axis=0)
    found = np.sort(batch.boxes[:, 2:].numpy(), axis=0)
    assert np.all((found <= high) & (found >= high - 1))


# Geometry


@pytest.mark.parametrize("name", ["flip_horizontal", "flip_vertical", "quarter_turn"])
@pytest.mark.parametrize("size", [(256, 256), (120, 256), (256, 90)])
def test_flips_and_turns_are_exact(name: str, size: tuple[int, int]) -> None:
    """The sample is that of an image that was stored flipped or turned."""
    item = phantom_slice(size)
    batch = make_batch([item], AugmentationConfig(**{**vars(NONE), name: 1.0}))
    turned = {
        "flip_horizontal": [item.image[:, ::-1]],
        "flip_vertical": [item.image[::-1]],
        "quarter_turn": [np.rot90(item.image, turns) for turns in (1, 2, 3)],
    }[name]
    inputs = [encoder_input(np.ascontiguousarray(i), Geometry(*i.shape, 256), AFTER_PADDING) for i in turned]
    assert min(np.abs(batch.images.numpy() - expected).max() for expected in inputs) < 1e-3


def test_rotation_turns_by_the_angle() -> None:
    np.testing.assert_allclose(augmentation.rotation(30) @ [1, 0, 1], [np.sqrt(0.75), 0.5, 1])


def test_scaling_keeps_the_area_when_only_the_aspect_changes() -> None:
    matrix = augmentation.scaling(1.0, aspect=1.21)
    np.testing.assert_allclose(np.diag(matrix), [1.1, 1 / 1.1, 1])
    np.testing.assert_allclose(augmentation.scaling(2.0) @ [3, 4, 1], [6, 8, 1])


def test_shear_moves_points_sideways_in_proportion_to_their_height() -> None:
    np.testing.assert_allclose(augmentation.shear(45) @ [3, 2, 1], [5, 2, 1])


def test_translation_moves_the_image() -> None:
    item = phantom_slice((256, 256), n_boxes=1)
    still = make_batch([item], NONE)
    config = AugmentationConfig(**{**vars(NONE), "translation": Range(1, 0.125, 0.125)})
    moved = make_batch([item], config)
    found = moved.masks[0].nonzero().float().mean(dim=0) - still.masks[0].nonzero().float().mean(dim=0)
    expected = np.minimum(32, 256 - item.targets.boxes[0, [3, 2]])  # kept in view
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_geometry_without_augmentation_is_the_identity() -> None:
    np.testing.assert_allclose(draw_geometry(np.random.default_rng(0), NONE, 256, 100, 256), np.eye(3), atol=1e-12)


def test_every_image_has_a_box_and_its_mask_is_the_warped_object() -> None:
    """A disc stays a disc under rotation and scaling: its mask's area gives the scale, its centre the object's."""
    rows, columns = np.mgrid[:120, :120]
    disc = ((rows - 50) ** 2 + (columns - 70) ** 2 < 15**2).astype(np.uint8)
    item = Slice(disc * 200 + 20, find_targets(disc, "US/disc", TargetConfig()), "US/disc")
    config = AugmentationConfig().only("crop", "rotation", "scaling", "translation", "flip_horizontal", "quarter_turn")
    batch = make_batch([item] * 40, config)
    assert batch.image_index.tolist() == list(range(40))
    areas = batch.masks.sum(dim=(1, 2))
    assert areas.max() / areas.min() > 2
    for image, mask, box in zip(batch.images, batch.masks, batch.boxes, strict=True):
        bright = image[0] > 0.5
        union, both = (bright | (mask > 0)).sum(), (bright & (mask > 0)).sum()
        assert both / union > 0.97
        width, height = (box[2:] - box[:2]).tolist()
        assert abs(width - height) < 0.25 * max(width, height)


# Intensities


def image_of(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, -1).repeat(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # Level 0.5 + 0.1, width 0.5: 0.35..0.85 becomes 0..1.
        (augmentation.windowing(image_of([0.2, 0.35, 0.6, 0.9]), one(0.1), one(0.5)), [0, 0, 0.5, 1]),
        (augmentation.contrast(image_of([0.2, 0.4, 0.6, 0.8]), one(1.5)), [0.05, 0.35, 0.65, 0.95]),
        (augmentation.brightness(image_of([0.0, 0.5, 0.9]), one(0.2)), [0.2, 0.7, 1]),
        (augmentation.gamma(image_of([0.0, 0.5, 1.0]), one(2.0)), [0, 0.25, 1]),
        (augmentation.invert(image_of([0.0, 0.3, 1.0]), one(1)), [1, 0.7, 0]),
        (augmentation.invert(image_of([0.0, 0.3, 1.0]), one(0)), [0, 0.3, 1]),
        (augmentation.blur(image_of([0.0, 0.3, 1.0]), one(0)), [0, 0.3, 1]),
    ],
    ids=["window", "contrast", "brightness", "gamma", "invert", "not inverted", "not blurred"],
)
def test_intensities_by_hand(changed: torch.Tensor, expected: list[float]) -> None:
    for channel in changed[0, :, 0]:
        torch.testing.assert_close(channel, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


def test_channel_gain_and_grey_by_hand() -> None:
    colour = torch.tensor([0.2, 0.4, 0.9]).view(1, 3, 1, 1)
    gained = augmentation.channel_gain(colour, torch.tensor([[0.5, 1.0, 1.2]]))
    torch.testing.assert_close(gained.flatten(), torch.tensor([0.1, 0.4, 1.0]))
    torch.testing.assert_close(augmentation.grey(colour, one(1)).flatten(), torch.full((3,), 0.5))
    torch.testing.assert_close(augmentation.grey(colour, one(0)), colour)


def test_blur_spreads_a_point_as_a_gaussian_does() -> None:
    point = torch.zeros(2, 3, 21, 21)
    point[:, :, 10, 10] = 1
    blurred = augmentation.blur(point, torch.tensor([1.0, 1.5]))
    for image, sigma in zip(blurred, (1.0, 1.5), strict=True):
        assert image[0].sum() == pytest.approx(1, abs=1e-5)
        rows = torch.arange(21) - 10.0
        variance = (image[0].sum(dim=1) * rows**2).sum()
        assert variance == pytest.approx(sigma**2, rel=0.05)
        torch.testing.assert_close(image[0], image[0].T)


def test_noise_has_its_standard_deviation_and_is_grey() -> None:
    images = torch.full((2, 3, 64, 64), 0.5)
    noisy = augmentation.noise(images, torch.tensor([0.05, 0.0]), torch.Generator().manual_seed(0))
    assert noisy[0, 0].std() == pytest.approx(0.05, rel=0.05)
    torch.testing.assert_close(noisy[0, 0], noisy[0, 2])
    torch.testing.assert_close(noisy[1], images[1])


INTENSITY_NAMES = [
    "window_level",
    "window_width",
    "contrast",
    "brightness",
    "gamma",
    "channel_gain",
    "grey",
    "invert",
    "blur",
    "noise",
]


def always(name: str) -> AugmentationConfig:
    value = getattr(AugmentationConfig(), name)
    certain = Range(1, value.low, value.high) if isinstance(value, Range) else 1.0
    return AugmentationConfig(**{**vars(NONE), name: certain})


@pytest.mark.parametrize("name", INTENSITY_NAMES)
def test_each_intensity_augmentation_changes_images_only_when_on(name: str) -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((4, 3, 16, 16), np.float32))
    is_colour = np.ones(4, bool)
    for config, changes in ((NONE, False), (always(name), True)):
        parameters = draw_intensities(np.random.default_rng(1), [config] * 4)
        changed = change_intensities(images.clone(), parameters, is_colour, torch.Generator().manual_seed(0))
        assert ((changed != images).flatten(1).any(dim=1) == changes).all()
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_grey_images_stay_grey() -> None:
    slices = [phantom_slice((100, 100), seed=seed) for seed in range(8)]
    images = make_batch(
        slices, AugmentationConfig(**{**vars(AugmentationConfig()), "channel_gain": Range(1, 0.5, 1.5)})
    ).images
    torch.testing.assert_close(images[:, 0], images[:, 1])
    torch.testing.assert_close(images[:, 0], images[:, 2])


def test_padding_stays_zero_whatever_happens_to_the_intensities() -> None:
    slices = [phantom_slice((100, 200), seed=seed, colour=True) for seed in range(8)]
    every = {name: getattr(always(name), name) for name in INTENSITY_NAMES}
    images = make_batch(slices, AugmentationConfig(**{**vars(NONE), **every})).images
    assert not images[:, :, 128:].any()
    assert images[:, :, :128].flatten(1).std(dim=1).min() > 0.05
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize(("order", "expected"), [(AFTER_PADDING, [0.5, 1.0, 0.0]), (BEFORE_PADDING, [0.0, 1.0, 0.0])])
def test_normalisation_by_hand(order: str, expected: list[float]) -> None:
    images = image_of([0.4, 0.8, 0.3])
    inside = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    torch.testing.assert_close(normalise(images, inside, order)[0, 0, 0], torch.tensor(expected))


def test_a_constant_image_is_normalised_to_zero() -> None:
    assert not normalise(torch.full((1, 3, 2, 2), 0.7), torch.ones(1, 1, 2, 2, dtype=torch.bool), AFTER_PADDING).any()


# Configuration


def test_every_augmentation_can_be_switched_off() -> None:
    off = {field.name: getattr(NONE, field.name) for field in fields(NONE)}
    limits = {off.pop("smallest_context"), off.pop("largest_zoom")}
    assert limits == {2.0, 8.0}
    assert all(value.probability == 0 if isinstance(value, Range) else value == 0 for value in off.values())


def test_only_keeps_what_is_named() -> None:
    config = AugmentationConfig().only("rotation", "grey")
    assert config.rotation == AugmentationConfig().rotation
    assert config.grey == AugmentationConfig().grey
    assert config.gamma.probability == 0
    with pytest.raises(ValueError, match="no augmentation named sharpen"):
        AugmentationConfig().only("sharpen")


def test_switching_one_augmentation_off_leaves_the_others_as_they_were() -> None:
    on = AugmentationConfig()
    off = AugmentationConfig(contrast=Range(0, 1, 1), gamma=Range(0, 1, 1))
    with_it, without = (draw_intensities(np.random.default_rng(3), [config] * 50) for config in (on, off))
    assert (with_it.contrast != 1).any()
    np.testing.assert_array_equal(with_it.brightness, without.brightness)
    np.testing.assert_array_equal(with_it.noise, without.noise)


def test_configuration_from_yaml() -> None:
    config = from_mapping(
        DataConfig,
        {
            "root": "data",
            "augmentation": {"rotation": [0.5, -90, 90], "blur": {"probability": 0, "low": 0, "high": 1}},
            "sampling": {"strategy": "min"},
        },
    )
    assert config.augmentation.rotation == Range(0.5, -90, 90)
    assert config.augmentation.blur.probability == 0
    assert config.augmentation.gamma == AugmentationConfig().gamma
    assert config.sampling.strategy == "min"
    with pytest.raises(ValueError, match=r"unknown setting augmentation\.rotate"):
        from_mapping(DataConfig, {"root": "data", "augmentation": {"rotate": 1}})


# Boxes


def test_tight_boxes_are_in_pixel_edges() -> None:
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    masks[0, 3:7, 5] = True
    masks[1] = True
    assert tight_boxes(masks).tolist() == [[5, 3, 6, 7], [0, 0, 20, 20]]


def box_errors(config: BoxConfig, box: list[float], pixel_size: float, input_size: int = 256) -> np.ndarray:
    """Outward movement of each side over 400 draws."""
    errors = draw_box_errors(np.random.default_rng(0), config, 400, input_size)
    boxes = torch.tensor([box]).repeat(400, 1)
    limits = torch.tensor([[0.0, 0, input_size, input_size]]).repeat(400, 1)
    moved = with_errors(boxes, errors, torch.full((400,), pixel_size), limits, config.convention)
    return ((moved - boxes) * torch.tensor([-1, -1, 1, 1])).numpy()


def test_pixel_errors_are_outward_up_to_ten_pixels() -> None:
    moved = box_errors(BoxConfig(pixel_share=1), [50, 60, 90, 100], pixel_size=0)
    assert moved.min() >= 0
    assert 9.5 < moved.max() <= 10
    assert box_errors(BoxConfig(pixel_share=1), [50, 60, 90, 100], 0, input_size=512).max() > 19


def test_relative_errors_follow_the_sides() -> None:
    config = BoxConfig(pixel_share=0, relative_low=-0.05, relative_high=0.1)
    moved = box_errors(config, [50, 60, 150, 80], pixel_size=0)
    np.testing.assert_allclose([moved[:, 0].min(), moved[:, 0].max()], [-5, 10], atol=0.2)
    np.testing.assert_allclose([moved[:, 3].min(), moved[:, 3].max()], [-1, 2], atol=0.04)


def test_boxes_are_rounded_to_image_pixels() -> None:
    moved = box_errors(EXACT_BOXES, [50, 60, 150, 80], pixel_size=4)
    np.testing.assert_allclose([moved.min(), moved.max()], [-2, 2], atol=0.1)


def test_indices_end_one_pixel_before_the_edges() -> None:
    edges = box_errors(EXACT_BOXES, [50, 60, 150, 80], pixel_size=4)
    indices = box_errors(replace(EXACT_BOXES, convention=INDICES), [50, 60, 150, 80], pixel_size=4)
    np.testing.assert_allclose(indices - edges, np.broadcast_to([0, 0, -4, -4], edges.shape), atol=1e-4)


def test_a_box_never_vanishes() -> None:
    config = replace(EXACT_BOXES, convention=INDICES)
    moved = box_errors(config, [50, 60, 52, 62], pixel_size=8)
    assert (2 + moved[:, :2] + moved[:, 2:]).min() >= 1 - 1e-5


def test_boxes_stay_in_the_image() -> None:
    slices = [phantom_slice((120, 240), seed=seed) for seed in range(8)]
    boxes = make_batch(slices, NONE, BoxConfig(convention=PIXEL_EDGES, pixel_share=1, pixels=200)).boxes
    assert boxes[:, :2].min() == 0
    assert boxes[:, 2].max() == 256
    assert boxes[:, 3].max() == 128


def test_objects_that_are_mostly_out_of_view_are_not_asked_for() -> None:
    labels = np.zeros((256, 256), np.uint8)
    labels[100:120, 100:120] = 1
    labels[100:140, 240:256] = 2
    item = Slice(labels * 100, find_targets(labels, "US/x", TargetConfig()), "US/x")
    # Moved by 64 px (unless the object itself would leave), object 2 is out of view when object 1 is the anchor.
    config = AugmentationConfig(**{**vars(NONE), "translation": Range(1, 0.25, 0.25)})
    batch = make_batch([item] * 20, config)
    counts = torch.bincount(batch.image_index, minlength=20)
    assert counts.min() == 1
    assert counts.max() == 2


# Documentation


def test_the_gallery_shows_every_augmentation(tmp_path: Path) -> None:
    assert gallery.main(["--out", str(tmp_path / "docs" / "gallery.png")]) == 0
    picture = cv2.imread(str(tmp_path / "docs" / "gallery.png"))
    size = TITLE + gallery.TILE
    still = picture[TITLE:size, : gallery.TILE]
    shown = [title.split()[0] for title, _, _ in gallery.tiles()]
    assert set(shown) >= {field.name for field in fields(NONE)} - {"smallest_context", "largest_zoom"}
    changed = set()
    for number, name in enumerate(shown):
        row, column = divmod(number, gallery.COLUMNS)
        top, left = row * size + TITLE, column * gallery.TILE
        if (picture[top : top + gallery.TILE, left : left + gallery.TILE] != still).any():
            changed.add(name)
    # One end of a range may show nothing: normalisation undoes a wider window on an image without padding.
    assert changed == set(shown) - {"unchanged"}


def test_a_weak_modality_is_augmented_more_than_the_others() -> None:
    ranges = AugmentationConfig(crop=0, enabled=["gamma", "invert"], gamma=Range(0.3, 2, 2), invert=0.2)
    config = DataConfig(root="", augmentation=ranges, augmentation_strength={"OCT": 3, "PET": 0})
    names = ["CT", "OCT", "PET"] * 1000
    drawn = draw_intensities(np.random.default_rng(0), [config.augmentation_of(name) for name in names])
    gamma, inverted = ((drawn.gamma != 1).reshape(-1, 3).mean(axis=0), drawn.invert.reshape(-1, 3).mean(axis=0))
    np.testing.assert_allclose(gamma, [0.3, 0.9, 0], atol=0.05)
    np.testing.assert_allclose(inverted, [0.2, 0.6, 0], atol=0.05)
    assert replace(ranges, crop=0.65).strengthened(3).crop == 0.65
    with pytest.raises(ValueError, match="must not be negative"):
        DataConfig(root="", augmentation_strength={"CT": -1})
    item = phantom_slice((64, 64))  # of modality US
    flips = AugmentationConfig(enabled=["flip_horizontal"])
    plain, flipped, off = (
        draw_batch(np.random.default_rng(0), [item] * 40, DataConfig(root="", augmentation=flips, **more)).samples
        for more in ({}, {"augmentation_strength": {"US": 2}}, {"augmentation_strength": {"US": 0}})
    )
    mirrored = [sum(np.linalg.det(s.source.matrix[:2, :2]) < 0 for s in some) for some in (plain, flipped, off)]
    assert 0 < mirrored[0] < 40
    assert mirrored[1:] == [40, 0]
