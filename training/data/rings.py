"""Rings: walls around a lumen, whose boxes nearly coincide, and what else encloses one another (cup, cell, nucleus).

Drawn for training: boxes that contain each other are many in use and few in the data sets.
"""

import cv2
import numpy as np

from training.data.drawing import (
    Point,
    blob,
    contrasting,
    grid,
    image_size,
    outline,
    paint,
    polar,
    speckle,
    texture,
    to_uint8,
)
from training.data.labelled_case import LabelledCase


def ultrasound_rings(rng: np.random.Generator) -> LabelledCase:
    """Walls around a lumen without echo: vessels, bladder, follicles; speckle, attenuation, enhancement behind them."""
    size = image_size(rng, 0.6, 1.4)
    echo, gts = _rings(rng, size, lumen=(3, 45), wall=(140, 190), around=(30, 90))
    depth = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
    lumen = cv2.GaussianBlur((gts % 2 == 0).astype(np.float32) * (gts > 0), (0, 0), 3)
    echo *= 1 + rng.uniform(0, 0.8) * np.cumsum(lumen, axis=0) / size[0] * (1 - lumen)
    echo = np.clip(echo, 2, None) * np.exp(-rng.uniform(0, 1) * depth)
    echo = cv2.GaussianBlur(echo, (0, 0), rng.uniform(0.5, 1.8))
    echo *= speckle(rng, size, rng.uniform(1, 3), rng.uniform(0.6, 1.6)) ** rng.uniform(0.3, 0.9)
    return LabelledCase(to_uint8(echo + np.abs(rng.normal(0, rng.uniform(1, 8), size))), gts)


def mr_rings(rng: np.random.Generator) -> LabelledCase:
    """Walls around a bright or dark lumen: bladder, heart, vessels; a smooth bias field and noise."""
    size = image_size(rng, 0.75, 1.33)
    lumen, wall = ((150, 240), (20, 100)) if rng.random() < 0.7 else ((5, 40), (80, 150))
    image, gts = _rings(rng, size, lumen, wall, around=(15, 60))
    if rng.random() < 0.5:
        body = blob(size, (size[1] / 2, size[0] / 2), 0.56 * np.array(size[::-1]), 0, 0.05, rng)
        paint(image, ~body, 2)
    image *= 1 + rng.uniform(0, 0.2) * texture(rng, size, 150)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
    return LabelledCase(to_uint8(np.abs(image + rng.normal(0, rng.uniform(1, 12), size))), gts)


def _rings(
    rng: np.random.Generator,
    size: tuple[int, int],
    lumen: tuple[float, float],
    wall: tuple[float, float],
    around: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Up to six rings in tissue: an image without noise, and a label map in which walls are odd and lumina even.

    Args:
        lumen, wall: ranges of grey levels.
        around: by how much the tissue around a wall differs from it.
    """
    n = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    wall_level, lumen_level = rng.uniform(*wall), rng.uniform(*lumen)
    ground = contrasting(rng, wall_level, *around)
    image = np.full(size, ground, np.float32)
    for _ in range(rng.integers(0, 8)):
        centre, radii = rng.uniform((0, 0), size[::-1]), rng.uniform(0.05, 0.35, 2) * min(size)
        organ = blob(size, centre, radii, rng.uniform(0, np.pi), 0.15, rng)
        paint(image, organ, rng.uniform(10, 200), rng.uniform(1, 4))
    image *= 1 + rng.uniform(0.02, 0.15) * texture(rng, size, rng.uniform(10, 40))

    content = lumen_level * (1 + rng.uniform(0, 0.2) * texture(rng, size, 30))
    gts = np.zeros(size, np.uint8)
    for label, (centre, cell) in enumerate(grid(rng, size, n), 1):
        outside, inside = _ring(rng, size, centre, rng.uniform(0.2, 0.4, 2) * cell)
        paint(image, outside, wall_level * rng.uniform(0.9, 1.1), rng.uniform(0.4, 1))
        paint(image, inside, content * rng.uniform(0.8, 1.2), rng.uniform(0.4, 1))
        gts[outside], gts[inside] = 2 * label - 1, 2 * label
    return image, gts


def _ring(
    rng: np.random.Generator, size: tuple[int, int], centre: Point, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Within the outer and within the inner outline of a closed wall, each bool (H, W).

    The wall is 3 % to 40 % of the radius thick, at least 1.5 px, and thicker on one side than on the other.
    """
    radius, direction = polar(size, centre, radii, rng.uniform(0, np.pi))
    outer = outline(rng, direction, rng.uniform(0.02, 0.12))
    thickness = np.exp(rng.uniform(np.log(0.03), np.log(0.4))) * outline(rng, direction, 0.15)
    thickness *= 1 + rng.uniform(0, 0.7) * np.cos(direction - rng.uniform(0, 2 * np.pi))
    return radius < outer, radius < outer - np.maximum(thickness, 1.5 / radii.min())


def disc_and_cup(rng: np.random.Generator) -> LabelledCase:
    """The optic disc of a fundus photograph, colour: the whole disc is labelled, or its cup."""
    size = image_size(rng, 0.8, 1.25)
    side = min(size)
    centre = tuple(rng.uniform(0.35, 0.65, 2) * size[::-1])
    disc, cup = _ring(rng, size, centre, side * rng.uniform(0.08, 0.3) * rng.uniform(0.85, 1.15, 2))
    orange = rng.uniform((150, 60, 20), (225, 120, 70)) * (1 + 0.06 * texture(rng, size, 50)[..., None])
    image = (orange * (1 + 0.04 * texture(rng, size, 6)[..., None])).astype(np.float32)
    pale = image + rng.uniform(0.15, 0.6) * (np.float32([255, 215, 150]) - image)
    paint(image, disc, pale, rng.uniform(1, 4))
    paint(image, cup, pale + rng.uniform(0.25, 0.8) * (np.float32([255, 245, 205]) - pale), rng.uniform(1, 4))
    for _ in range(rng.integers(6, 16)):
        heading = rng.choice((-1, 1)) * np.pi / 2 + rng.normal(0, 0.7) + np.cumsum(rng.normal(0, 0.12, 60))
        steps = side / 50 * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
        vessel = np.zeros(size, np.uint8)
        points = np.rint(centre + rng.normal(0, 0.03, 2) * side + steps).astype(np.int32)
        cv2.polylines(vessel, [points], False, 1, int(rng.integers(1, 5)))
        paint(image, vessel > 0, image * np.float32([0.75, 0.55, 0.6]), 0.8)
    shade = 1 - rng.uniform(0, 0.5) * polar(size, centre, (side, side), 0)[0] ** 2
    image = image * np.clip(shade, 0.1, 1)[..., None] + rng.normal(0, rng.uniform(1, 5), image.shape)
    return LabelledCase(to_uint8(image), (disc if rng.random() < 0.5 else cup).astype(np.uint8))


def cells_and_nuclei(rng: np.random.Generator) -> LabelledCase:
    """Stained cells on a bright ground, colour: whole cells are labelled, or their nuclei, or both apart."""
    size = image_size(rng, 0.7, 1.4)
    ground = rng.uniform((200, 180, 190), (245, 235, 245)) * (1 + 0.02 * texture(rng, size, 40)[..., None])
    image = (ground * (1 + 0.02 * texture(rng, size, 3)[..., None])).astype(np.float32)
    plasma = rng.uniform((140, 110, 150), (225, 190, 225)) * (1 + 0.06 * texture(rng, size, 8)[..., None])
    chromatin = rng.uniform((50, 20, 80), (130, 80, 160)) * (1 + 0.15 * texture(rng, size, 5)[..., None])
    gts = np.zeros(size, np.uint8)
    labelled = rng.choice(("cell", "nucleus", "both"))
    for label, (centre, width) in enumerate(grid(rng, size, int(rng.integers(1, 16)), 0.15), 1):
        radii = rng.uniform(0.22, 0.36, 2) * width
        cell = blob(size, centre, radii, rng.uniform(0, np.pi), 0.08, rng)
        within = centre + rng.uniform(-0.25, 0.25, 2) * radii
        nucleus = cell & blob(size, within, rng.uniform(0.35, 0.8, 2) * radii, rng.uniform(0, np.pi), 0.12, rng)
        paint(image, cell, plasma, rng.uniform(0.5, 1.5))
        paint(image, nucleus, chromatin, rng.uniform(0.5, 1.5))
        if labelled != "nucleus":
            gts[cell] = 2 * label - 1
        if labelled != "cell":
            gts[nucleus] = 2 * label
    image += rng.normal(0, rng.uniform(1, 5), image.shape)
    return LabelledCase(to_uint8(image), gts)
