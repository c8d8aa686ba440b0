"""Augmentations: named functions, each with its range in one configuration.

Geometry is composed into one matrix per image, so that an image is resampled once (`warp.py`). Intensities are changed
in batches on the device, one parameter per image. Every range has a probability; 0 switches an augmentation off.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import InitVar, dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Range:
    """With `probability`, a value drawn evenly from `low` to `high`; otherwise no change."""

    probability: float
    low: float
    high: float

    def draw(self, rng: np.random.Generator, unchanged: float) -> float:
        # Both numbers are drawn always: switching one augmentation off leaves the others as they were.
        chance, position = rng.random(2)
        return self.low + position * (self.high - self.low) if chance < self.probability else unchanged


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of all augmentations.

    Crops: `crop` is the probability of a part around an object instead of the whole image; the longest side of the part
    is drawn evenly on a logarithmic scale from `smallest_context` times the object's longest box side to the whole
    image, and magnifies at most `largest_zoom` times against the whole image. The runtime shows small objects in such
    windows.

    Geometry: flips and quarter turns are probabilities; rotation and shear in degrees; scaling and aspect (width
    against height) as factors; translation as a fraction of the input side, drawn for each axis.

    Intensities, in units of the image's 0..1: window level (offset) and width (factor), contrast and channel gains
    (factors), brightness (offset), gamma (exponent), blur (standard deviation in input px), noise (standard deviation).
    `grey` and `invert` are probabilities.

    enabled: names of the augmentations that stay, by their ranges; all others are off. None keeps all.
    """

    crop: float = 0.65
    smallest_context: float = 2.0
    largest_zoom: float = 8.0

    flip_horizontal: float = 0.5
    flip_vertical: float = 0.25
    quarter_turn: float = 0.2
    rotation: Range = Range(0.4, -30, 30)
    scaling: Range = Range(0.4, 0.8, 1.2)
    aspect: Range = Range(0.2, 0.85, 1.18)
    shear: Range = Range(0.2, -10, 10)
    translation: Range = Range(0.3, -0.1, 0.1)

    window_level: Range = Range(0.3, -0.15, 0.15)
    window_width: Range = Range(0.3, 0.6, 1.3)
    contrast: Range = Range(0.3, 0.7, 1.3)
    brightness: Range = Range(0.3, -0.15, 0.15)
    gamma: Range = Range(0.3, 0.6, 1.6)
    channel_gain: Range = Range(0.3, 0.85, 1.15)
    grey: float = 0.1
    invert: float = 0.03
    blur: Range = Range(0.1, 0.4, 1.5)
    noise: Range = Range(0.15, 0.0, 0.06)

    enabled: InitVar[Collection[str] | None] = None

    def __post_init__(self, enabled: Collection[str] | None) -> None:
        if enabled is None:
            return
        names = {field.name for field in fields(self)} - {"smallest_context", "largest_zoom"}
        unknown = set(enabled) - names
        if unknown:
            raise ValueError(f"no augmentation named {', '.join(sorted(unknown))}")
        for name in names - set(enabled):
            value = getattr(self, name)
            object.__setattr__(self, name, replace(value, probability=0.0) if isinstance(value, Range) else 0.0)

    def only(self, *names: str) -> "AugmentationConfig":
        """This configuration with every augmentation off but the named ones; `only()` is no augmentation at all."""
        return replace(self, enabled=names)

    def strengthened(self, factor: float) -> "AugmentationConfig":
        """This configuration with every probability but that of crops `factor` times as large, 1 at most."""
        changed: dict[str, float | Range] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Range):
                changed[field.name] = replace(value, probability=min(1.0, factor * value.probability))
            elif field.name not in ("crop", "smallest_context", "largest_zoom"):
                changed[field.name] = min(1.0, factor * value)
        return replace(self, **changed)


# Geometry: 3x3 matrices on column vectors (x, y, 1), input pixels, pixel edges.


def rotation(degrees: float) -> np.ndarray:
    """Rotation about the origin."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def scaling(factor: float, aspect: float = 1.0) -> np.ndarray:
    """Scaling by `factor`; the ratio of width to height changes by `aspect`."""
    return np.diag([factor * aspect**0.5, factor / aspect**0.5, 1.0])


def shear(degrees: float) -> np.ndarray:
    """Horizontal shear."""
    matrix = np.eye(3)
    matrix[0, 1] = np.tan(np.deg2rad(degrees))
    return matrix


def translation(x: float, y: float) -> np.ndarray:
    """Shift by (x, y) px."""
    matrix = np.eye(3)
    matrix[:2, 2] = x, y
    return matrix


def orientation(flip_horizontal: bool, flip_vertical: bool, quarter_turns: int) -> np.ndarray:
    """Flips, then turns by 90 degrees, about the origin; exact."""
    flips = np.diag([-1.0 if flip_horizontal else 1.0, -1.0 if flip_vertical else 1.0, 1.0])
    return np.linalg.matrix_power(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), quarter_turns) @ flips


def draw_geometry(
    rng: np.random.Generator, config: AugmentationConfig, width: int, height: int, input_size: int
) -> np.ndarray:
    """A random matrix from an upright crop to the augmented one.

    A flipped or turned crop lies at the top left again, as if the image had been stored that way and then preprocessed
    as at run time; the other changes are about its centre.

    Args:
        width, height: of the crop's content in the input, px; the longer one is `input_size`.
    """
    chances = rng.random(3)
    turns = int(rng.integers(1, 4)) if chances[2] < config.quarter_turn else 0
    upright = orientation(chances[0] < config.flip_horizontal, chances[1] < config.flip_vertical, turns)
    corners = upright[:2, :2] @ np.array([[0, width, 0, width], [0, 0, height, height]])
    to_origin = translation(*-corners.min(axis=1)) @ upright
    centre_x, centre_y = np.ptp(corners, axis=1) / 2

    about_centre = (
        translation(
            centre_x + config.translation.draw(rng, 0) * input_size,
            centre_y + config.translation.draw(rng, 0) * input_size,
        )
        @ rotation(config.rotation.draw(rng, 0))
        @ shear(config.shear.draw(rng, 0))
        @ scaling(config.scaling.draw(rng, 1), config.aspect.draw(rng, 1))
        @ translation(-centre_x, -centre_y)
    )
    return about_centre @ to_origin


# Intensities: images (B, 3, S, S) float32 in 0..1, parameters (B,) float32; all return images in 0..1.


def _per_image(values: Tensor) -> Tensor:
    return values.view(len(values), -1, 1, 1)


def windowing(images: Tensor, level: Tensor, width: Tensor) -> Tensor:
    """Window level and width: the range `0.5 + level` plus and minus `width / 2` becomes 0..1, the rest is clipped."""
    return ((images - _per_image(0.5 + level - width / 2)) / _per_image(width)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distances from the image's mean are multiplied."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * _per_image(factor)).add_(mean).clamp_(0, 1)


def brightness(images: Tensor, offset: Tensor) -> Tensor:
    """The same amount is added everywhere."""
    return (images + _per_image(offset)).clamp_(0, 1)


def gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Power law."""
    return images.pow(_per_image(exponent))


def channel_gain(images: Tensor, factors: Tensor) -> Tensor:
    """Each channel is multiplied by its own factor, (B, 3)."""
    return (images * _per_image(factors)).clamp_(0, 1)


def grey(images: Tensor, chosen: Tensor) -> Tensor:
    """Colour images become grey where chosen (1 or 0)."""
    return torch.lerp(images, images.mean(dim=1, keepdim=True).expand_as(images), _per_image(chosen))


def invert(images: Tensor, chosen: Tensor) -> Tensor:
    """Dark becomes bright where chosen (1 or 0)."""
    return torch.lerp(images, 1 - images, _per_image(chosen))


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, separable, 9 taps; a sigma of 0 leaves the image as it is."""
    offsets = torch.arange(-4, 5, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (offsets / sigma.clamp_min(1e-3)[:, None]) ** 2)
    taps = (taps / taps.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)  # (B*3, 9)
    planes = F.pad(images.flatten(0, 1)[None], (4, 4, 4, 4), mode="replicate")  # (1, B*3, S+8, S+8)
    planes = F.conv2d(planes, taps[:, None, None, :], groups=len(taps))
    planes = F.conv2d(planes, taps[:, None, :, None], groups=len(taps))
    return planes.view_as(images)


def noise(images: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise, the same in all channels."""
    shape = (len(images), 1, *images.shape[2:])
    values = torch.randn(shape, generator=generator, device=images.device, dtype=images.dtype)
    return (images + values * _per_image(sigma)).clamp_(0, 1)


@dataclass(frozen=True)
class Intensities:
    """Intensity parameters of a batch: (B,) float32 each, `channel_gain` (B, 3)."""

    window_level: np.ndarray
    window_width: np.ndarray
    contrast: np.ndarray
    brightness: np.ndarray
    gamma: np.ndarray
    channel_gain: np.ndarray
    grey: np.ndarray
    invert: np.ndarray
    blur: np.ndarray
    noise: np.ndarray


def draw_intensities(rng: np.random.Generator, configs: Sequence[AugmentationConfig]) -> Intensities:
    """Random parameters for images, by the configuration of each."""

    def many(name: str, unchanged: float) -> np.ndarray:
        return np.array([getattr(config, name).draw(rng, unchanged) for config in configs], np.float32)

    def chosen(name: str) -> np.ndarray:
        probabilities = np.array([getattr(config, name) for config in configs])
        return (rng.random(len(configs)) < probabilities).astype(np.float32)

    return Intensities(
        window_level=many("window_level", 0),
        window_width=many("window_width", 1),
        contrast=many("contrast", 1),
        brightness=many("brightness", 0),
        gamma=many("gamma", 1),
        channel_gain=np.stack([many("channel_gain", 1) for _ in range(3)], axis=1),
        grey=chosen("grey"),
        invert=chosen("invert"),
        blur=many("blur", 0),
        noise=many("noise", 0),
    )


def change_intensities(
    images: Tensor, parameters: Intensities, is_colour: np.ndarray, generator: torch.Generator
) -> Tensor:
    """Apply all intensity augmentations; each touches only the images it was drawn for.

    Args:
        images: (B, 3, S, S) float32 in 0..1; changed in place.
        is_colour: (B,) bool; channel gains would tint a grey image, which never happens at run time.
        generator: of the images' device, for the noise.
    """
    windowed = (parameters.window_level != 0) | (parameters.window_width != 1)
    _apply(images, windowed, windowing, parameters.window_level, parameters.window_width)
    _apply(images, parameters.contrast != 1, contrast, parameters.contrast)
    _apply(images, parameters.brightness != 0, brightness, parameters.brightness)
    _apply(images, parameters.gamma != 1, gamma, parameters.gamma)
    _apply(images, is_colour & (parameters.channel_gain != 1).any(axis=1), channel_gain, parameters.channel_gain)
    _apply(images, is_colour & (parameters.grey != 0), grey, parameters.grey)
    _apply(images, parameters.invert != 0, invert, parameters.invert)
    _apply(images, parameters.blur != 0, blur, parameters.blur)
    _apply(images, parameters.noise != 0, lambda some, sigma: noise(some, sigma, generator), parameters.noise)
    return images


def _apply(images: Tensor, chosen: np.ndarray, function: Callable[..., Tensor], *parameters: np.ndarray) -> None:
    rows = np.flatnonzero(chosen)
    if len(rows):
        where = torch.from_numpy(rows).to(images.device)
        images[where] = function(images[where], *(torch.from_numpy(p[rows]).to(images.device) for p in parameters))
