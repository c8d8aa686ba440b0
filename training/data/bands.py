"""Bands: layers of tissue under speckle and blur, as OCT shows a retina, and ultrasound skin, fascia and cartilage.

Several bands of neighbouring brightness cross the whole image, so that their boxes overlap. Drawn for training: the
data sets have next to none of them.
"""

import cv2
import numpy as np

from training.data.drawing import blob, contrasting, image_size, speckle, texture, to_uint8
from training.data.labelled_case import LabelledCase


def retina(rng: np.random.Generator) -> LabelledCase:
    """An OCT scan of 3 to 9 layers, often with a foveal pit, shadows of vessels and pockets of fluid."""
    size = height, width = image_size(rng, 0.45, 1.15)
    n = int(rng.integers(3, 10))
    x = np.linspace(-1, 1, width, dtype=np.float32)
    thickness = _thickness(rng, n, width, 40, height * rng.uniform(0.3, 0.6))
    if rng.random() < 0.6:
        pit = np.exp(-(((x - rng.uniform(-0.5, 0.5)) / rng.uniform(0.08, 0.35)) ** 2))
        thickness[: max(1, n // 2)] *= 1 - rng.uniform(0.4, 1) * pit
    layers = _levels(rng, n)
    bright = [layer for layer in range(1, n) if layers[layer] > 60]  # where fluid, which is dark, can be seen
    pockets = _pockets(rng, thickness, bright) if bright and rng.random() < 0.6 else []

    bottom = rng.uniform(-0.12, 0.12) * x * height + rng.normal(0, 0.06) * x**2 * height
    bottom += rng.uniform(0, 3) * _wave(rng, width, rng.uniform(30, 150))
    edges = np.cumsum(np.vstack([np.zeros(width), thickness]), axis=0)
    edges += bottom - edges[-1]
    room = height - edges.max() + edges.min()
    edges += rng.uniform(0.2, 0.7) * room - edges.min()
    band = _band_map(edges, height)

    levels = np.float32([rng.uniform(3, 30), *layers, rng.uniform(30, max(layers))])
    echo = levels[band]
    below = np.clip(np.arange(height)[:, None] - edges[-1], 0, None)
    choroid = band == n + 1  # grainy, and fading with depth
    grain = 1 + rng.uniform(0.1, 0.4) * texture(rng, size, rng.uniform(4, 14))
    echo[choroid] *= (grain * np.exp(-below / rng.uniform(15, 80)))[choroid]
    gts = _some_bands(rng, band, n)
    for label, (column, layer, radii) in enumerate(pockets, n + 1):
        centre = (column, (edges[layer, column] + edges[layer + 1, column]) / 2)
        pocket = blob(size, centre, radii, rng.normal(0, 0.2), 0.12, rng) & ~choroid & (band > 0)
        echo[pocket], gts[pocket] = levels[0] + rng.uniform(0, 25), label
    shade = np.exp(-rng.uniform(0, 1.2) * np.clip(np.arange(height)[:, None] - edges[0], 0, None) / height)
    shade *= 1 + rng.uniform(0, 0.15) * _wave(rng, width, rng.uniform(20, 100))
    echo *= shade * _shadows(rng, edges[1], height)
    echo = cv2.GaussianBlur(echo, (0, 0), rng.uniform(0.5, 1.2))
    return LabelledCase(_speckled(rng, echo, rng.uniform(0.5, 1.8), rng.uniform(0.5, 1.2)), gts)


def tissue_layers(rng: np.random.Generator) -> LabelledCase:
    """An ultrasound image of 3 to 8 layers, often as the fan of a curved probe, at times with bone at the bottom."""
    size = height, width = image_size(rng, 0.6, 1.4)
    n = int(rng.integers(3, 9))
    x = np.linspace(-1, 1, width, dtype=np.float32)
    thickness = _thickness(rng, n, width, 80, height * rng.uniform(0.5, 0.9))
    levels = np.float32([rng.uniform(0, 40), *_levels(rng, n), rng.uniform(20, 120)])
    if rng.random() < 0.4:  # cartilage, hardly any echo, on the bright surface of bone, with nothing to see behind it
        thickness[-1], levels[-3:] = rng.uniform(3, 7), (rng.uniform(5, 40), rng.uniform(180, 250), rng.uniform(2, 20))
    edges = np.cumsum(np.vstack([np.zeros(width), thickness]), axis=0)
    edges += rng.normal(0, 0.12) * x**2 * height + rng.uniform(-0.1, 0.1) * x * height
    edges += rng.uniform(0, 0.15) * height - edges[0].min()
    band = _band_map(edges, height)
    gts = _some_bands(rng, band, n)

    echo = levels[band]
    for number in range(1, n + 2):  # fibres and septa along the layers
        fibres = texture(rng, size, (rng.uniform(2, 6), rng.uniform(15, 60)))
        echo += (band == number) * rng.uniform(0.05, 0.3) * levels[number] * fibres
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    echo = np.clip(echo, 2, None) * np.exp(-rng.uniform(0, 1.2) * depth) * _shadows(rng, edges[1], height)
    echo = cv2.GaussianBlur(echo, (0, 0), rng.uniform(0.5, 1.5))
    image = _speckled(rng, echo, rng.uniform(1, 3), rng.uniform(0.6, 1.4))
    return LabelledCase(*_fan(rng, image, gts)) if rng.random() < 0.45 else LabelledCase(image, gts)


def _thickness(rng: np.random.Generator, n: int, width: int, most: float, room: float) -> np.ndarray:
    """Thickness of n layers in each column, (n, W): about 3 to `most` px, wavy, `room` px in all at most."""
    thickness = np.exp(rng.uniform(np.log(3), np.log(most), (n, 1)))
    thickness = np.maximum(thickness * min(1, room / thickness.sum()), 3)
    scale = rng.uniform(60, 250)
    waves = np.stack([_wave(rng, width, scale) for _ in range(n)])
    return np.maximum(thickness * np.exp(rng.uniform(0.03, 0.3) * waves), 2)


def _wave(rng: np.random.Generator, width: int, scale: float) -> np.ndarray:
    return texture(rng, (1, width), (1, scale))[0]


def _levels(rng: np.random.Generator, n: int) -> list[float]:
    """Grey levels of n layers, each a little or a lot brighter or darker than the one before."""
    levels = [rng.uniform(40, 190)]
    while len(levels) < n:
        levels.append(contrasting(rng, levels[-1], 18, 90))
    return levels


def _band_map(edges: np.ndarray, height: int) -> np.ndarray:
    """(H, W): 0 above all layers, the number of the layer from 1, n + 1 below; `edges` (n + 1, W), top to bottom."""
    return (np.arange(height)[:, None] + 0.5 > edges[:, None]).sum(axis=0)


def _some_bands(rng: np.random.Generator, band: np.ndarray, n: int) -> np.ndarray:
    """A label map with some of the layers, numbers 1 to n; now and then neighbours are one object."""
    objects = np.cumsum([1, *(rng.random(n - 1) > 0.15)])
    labelled = rng.random(n + 1) < 0.6
    labelled[rng.choice(objects)] = True
    return np.array([0, *np.where(labelled[objects], objects, 0), 0], np.uint8)[band]


def _pockets(
    rng: np.random.Generator, thickness: np.ndarray, layers: list[int]
) -> list[tuple[int, int, tuple[float, float]]]:
    """Pockets of fluid in some of these layers: (column, layer, radii), px. The layers grow thicker around them, in
    place."""
    width = thickness.shape[1]
    pockets = []
    middle, spread = rng.uniform(0.2, 0.8) * width, rng.uniform(0.05, 0.25) * width
    for _ in range(rng.integers(1, 8)):
        column = int(np.clip(rng.normal(middle, spread), 0, width - 1))
        layer = int(rng.choice(layers))
        radii = np.exp(rng.uniform(np.log(4), np.log(28))), np.exp(rng.uniform(np.log(3), np.log(16)))
        swelling = np.exp(-(((np.arange(width) - column) / (2 * radii[0])) ** 2))
        missing = max(0, 2.2 * radii[1] - thickness[layer, column])
        thickness[layer] += missing * swelling
        pockets.append((column, layer, radii))
    return pockets


def _shadows(rng: np.random.Generator, surface: np.ndarray, height: int) -> np.ndarray:
    """Factor (H, W) on what lies below `surface` (W,): columns under vessels are dark."""
    columns = np.arange(len(surface))
    light = np.ones(len(surface))
    for _ in range(rng.integers(0, 6)):
        distance = (columns - rng.uniform(0, len(surface))) / rng.uniform(1.5, 7)
        light *= 1 - rng.uniform(0.2, 0.8) * np.exp(-(distance**2))
    return np.where(np.arange(height)[:, None] > surface, light, 1).astype(np.float32)


def _speckled(rng: np.random.Generator, echo: np.ndarray, across: float, down: float) -> np.ndarray:
    """A speckled and noisy image of the echo (H, W), uint8; fine or coarse grains of weak or strong contrast."""
    image = echo * speckle(rng, echo.shape, across, down) ** rng.uniform(0.15, 0.9)  # scanners compress the range
    return to_uint8(image + np.abs(rng.normal(0, rng.uniform(2, 14), echo.shape)))


def _fan(rng: np.random.Generator, image: np.ndarray, gts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay depth along the beams of a curved probe, as a fan on black."""
    height, width = gts.shape
    nearest = rng.uniform(0.15, 0.8) * height  # radius of the probe
    half_angle = min(rng.uniform(0.4, 0.8), np.arcsin(width / 2 / (nearest + height)) * 1.3)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x -= (width - 1) / 2
    y += nearest * np.cos(half_angle)  # the ends of the probe's arc lie in the first row
    across = (np.arctan2(x, y) / half_angle + 1) / 2 * (width - 1)
    down = (np.hypot(x, y) - nearest) * (height - 1) / (height + nearest * (np.cos(half_angle) - 1))
    maps = across.astype(np.float32), down.astype(np.float32)
    return cv2.remap(image, *maps, cv2.INTER_LINEAR), cv2.remap(gts, *maps, cv2.INTER_NEAREST)
