"""Phantoms: drawn images that look medical, with boxes and ground truths, for tests and demonstrations.

Anatomy as soft-edged shapes, and the noise and texture of the modality over it: speckle, hairs, quantum noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from training.data.drawing import blob, grid, paint, polar, speckle, texture, to_uint8


@dataclass(frozen=True)
class Phantom:
    """A case and its ground truth.

    Attributes:
        imgs: uint8 (H, W), (H, W, 3) or (D, H, W); uint16 (H, W) for a picture.
        boxes: int64 (N, 4) or (N, 6), inclusive corners as the challenge has them, up to 5 % wider than the object.
        gts: uint8 or uint16 label map, (H, W) or (D, H, W); the i-th box belongs to label i, counted from 1.
        spacing: float32 (3,), mm, z y x; 3D only.
    """

    imgs: np.ndarray
    boxes: np.ndarray
    gts: np.ndarray
    spacing: np.ndarray | None = None


# --- small cases for tests ---


def phantom_case_2d(size: tuple[int, int], n_boxes: int, seed: int, colour: bool = False) -> Phantom:
    """Bright blobs on a dark textured ground, one in each cell of a grid.

    Args:
        size: (H, W); every object needs about 8 x 8 pixels of it.
        n_boxes: number of objects.
        seed: of the random generator; equal arguments give equal cases.
        colour: (H, W, 3) instead of (H, W).
    """
    rng = np.random.default_rng(seed)
    gts = np.zeros(size, _label_type(n_boxes))
    for label, (centre, cell) in enumerate(grid(rng, size, n_boxes), 1):
        radii = np.maximum(rng.uniform(0.25, 0.4, 2) * cell, 1.5)
        gts[blob(size, centre, radii, rng.uniform(0, np.pi), 0.1, rng)] = label
    image = 50 + 15 * texture(rng, size, 8)
    paint(image, gts > 0, 160 + 15 * texture(rng, size, 3))
    image += rng.normal(0, 5, size)
    if colour:
        image = image[..., None] * np.float32([1.1, 0.9, 0.8])
    return Phantom(to_uint8(image), _boxes(gts, rng), gts)


def phantom_volume(shape: tuple[int, int, int], n_boxes: int, seed: int) -> Phantom:
    """Bright ellipsoids in a dark textured volume of 2 x 1 x 1 mm voxels, side by side in the plane.

    Args:
        shape: (D, H, W); D at least 4, and about 8 x 8 pixels of a slice for every object.
        n_boxes: number of objects.
        seed: of the random generator; equal arguments give equal cases.
    """
    rng = np.random.default_rng(seed)
    gts = np.zeros(shape, _label_type(n_boxes))
    for label, (centre, cell) in enumerate(grid(rng, shape[1:], n_boxes), 1):
        z, half_depth = rng.uniform(0.4, 0.6) * shape[0], rng.uniform(0.2, 0.35) * shape[0]
        radii = np.maximum((half_depth, *rng.uniform(0.3, 0.4, 2) * cell), 1.5)
        gts[_ellipsoid(shape, (z, centre[1], centre[0]), radii)] = label
    imgs = np.stack([50 + 15 * texture(rng, shape[1:], 8) for _ in range(shape[0])])
    imgs[gts > 0] += 110
    imgs += rng.normal(0, 5, shape)
    return Phantom(to_uint8(imgs), _boxes(gts, rng), gts, np.float32([2, 1, 1]))


def _label_type(n: int) -> type[np.unsignedinteger]:
    return np.uint8 if n <= np.iinfo(np.uint8).max else np.uint16


def _ellipsoid(shape: tuple[int, int, int], centre: Sequence[float], radii: Sequence[float]) -> np.ndarray:
    """Bool (D, H, W), `centre` and `radii` in voxels, z y x."""
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)) < 1


def _boxes(gts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Box of every label, each side in x and y moved outward by up to 5 % of the object, clipped; z exact."""
    boxes = []
    for label in range(1, int(gts.max()) + 1):
        voxels = np.argwhere(gts == label)[:, ::-1]  # x, y(, z)
        low, high = voxels.min(axis=0), voxels.max(axis=0)
        margin = (high - low)[:2] * rng.uniform(0, 0.05, (2, 2))
        low[:2] = np.maximum(low[:2] - margin[0], 0)
        high[:2] = np.minimum(high[:2] + margin[1] + 0.5, np.array(gts.shape[:-3:-1]) - 1)
        boxes.append([*low, *high])
    return np.array(boxes, np.int64).reshape(-1, 2 * gts.ndim)


# --- demonstration cases ---


def ct_slice(rng: np.random.Generator) -> Phantom:
    """An abdominal CT slice, level 40 and width 400: liver, spleen, both kidneys, aorta."""
    size = (512, 512)
    organs = [
        (blob(size, (168, 226), (92, 80), 0.5, 0.1, rng), 175),
        (blob(size, (382, 250), (38, 62), 0.3, 0.08, rng), 190),
        (blob(size, (175, 335), (31, 42), 0.3, 0.05, rng), 215),
        (blob(size, (335, 335), (31, 42), -0.3, 0.05, rng), 215),
        (blob(size, (265, 290), (17, 17), 0, 0.02, rng), 232),
    ]
    image = np.zeros(size, np.float32)
    paint(image, blob(size, (256, 262), (228, 172), 0, 0.02, rng), 42)  # fat under the skin
    paint(image, blob(size, (256, 264), (206, 148), 0, 0.02, rng), 138)  # muscle
    paint(image, blob(size, (256, 255), (188, 130), 0, 0.02, rng), 55)  # fat around the organs
    for x, y in rng.uniform((215, 160), (340, 245), (9, 2)):  # bowel, some of it with gas
        loop = rng.uniform(12, 22)
        paint(image, blob(size, (x, y), (loop, loop), 0, 0.1, rng), 130)
        if rng.random() < 0.4:
            paint(image, blob(size, (x, y), (loop / 2, loop / 2), 0, 0.1, rng), 0)
    paint(image, blob(size, (256, 355), (33, 27), 0, 0.05, rng), 250)  # vertebra: cortex, marrow, canal
    paint(image, blob(size, (256, 353), (28, 22), 0, 0.05, rng), 200)
    paint(image, blob(size, (256, 388), (13, 10)), 120)
    gts = np.zeros(size, np.uint8)
    for label, (organ, value) in enumerate(organs, 1):
        gts[organ & (gts == 0)] = label
        paint(image, gts == label, value + 3 * texture(rng, size, 12))
    image += 7 * texture(rng, size, 2) * (image > 5)
    return Phantom(to_uint8(image), _boxes(gts, rng), gts)


def dermoscopy(rng: np.random.Generator) -> Phantom:
    """A pigmented lesion on skin, with hairs and a vignette; colour."""
    size = (384, 512)
    lesion = blob(size, (265, 190), (118, 92), 0.4, 0.16, rng)
    skin = np.float32([222, 172, 148]) + np.float32([7, 8, 8]) * texture(rng, size, 40)[..., None]
    skin += 3 * texture(rng, size, 3)[..., None]
    pigment = np.float32([128, 78, 58]) + np.float32([26, 20, 16]) * texture(rng, size, 22)[..., None]
    pigment += 9 * texture(rng, size, 4)[..., None]
    image = skin.copy()
    paint(image, lesion, pigment, softness=4)
    paint(image, blob(size, (240, 165), (44, 34), 0.8, 0.2, rng), pigment * 0.62, softness=7)
    for start in rng.uniform((0, 0), (512, 384), (14, 2)):
        hair = np.zeros(size, np.uint8)
        heading = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.normal(0, 0.8), 60)
        steps = np.cumsum(4 * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
        cv2.polylines(hair, [np.rint(start + steps).astype(np.int32)], False, 1, 1, cv2.LINE_AA)
        paint(image, hair > 0, np.float32([60, 42, 36]), softness=0.8)
    distance, _ = polar(size, (256, 192), (330, 300), 0)
    image *= np.clip(1.25 - 0.5 * distance**2, 0.2, 1)[..., None]
    image += rng.normal(0, 2.5, image.shape)
    gts = lesion.astype(np.uint8)
    return Phantom(to_uint8(image), _boxes(gts, rng), gts)


def microscopy(rng: np.random.Generator) -> Phantom:
    """Forty stained nuclei in tissue; colour."""
    size, n = (400, 480), 40
    fibres = texture(rng, size, 14)[..., None]
    image = np.float32([226, 176, 205]) + np.float32([10, 18, 10]) * fibres + 6 * texture(rng, size, 3)[..., None]
    gts, shade = np.zeros(size, np.uint8), np.zeros(size, np.float32)
    for label, (centre, cell) in enumerate(grid(rng, size, n, jitter=0.22), 1):
        nucleus = blob(size, centre, rng.uniform(0.22, 0.36, 2) * cell, rng.uniform(0, np.pi), 0.07, rng)
        gts[nucleus], shade[nucleus] = label, rng.uniform(0.85, 1.15)
    shade = cv2.dilate(shade, np.ones((7, 7)))  # the soft edge reaches beyond the nucleus
    chromatin = np.float32([15, 12, 15]) * texture(rng, size, 4)[..., None]
    paint(image, gts > 0, shade[..., None] * np.float32([104, 62, 140]) + chromatin, softness=1.2)
    image += rng.normal(0, 3, image.shape)
    return Phantom(to_uint8(image), _boxes(gts, rng), gts)


def ultrasound(rng: np.random.Generator) -> Phantom:
    """A dark lesion between layers of tissue: speckle, attenuation, enhancement behind the lesion."""
    size = (360, 480)
    depth = np.linspace(0, 1, size[0], dtype=np.float32)[:, None] * np.ones(size, np.float32)
    lesion = blob(size, (245, 165), (84, 56), 0.15, 0.08, rng)
    echo = 0.42 + 0.1 * np.sin(2 * np.pi * (depth * 7 + 0.15 * texture(rng, size, 90))) + 0.07 * texture(rng, size, 25)
    paint(echo, depth < 0.07, 0.65, softness=5)  # skin
    paint(echo, np.abs(depth - 0.8 - 0.02 * texture(rng, size, 80)) < 0.02, 0.9, softness=3)  # fascia
    behind = (np.arange(size[0])[:, None] > 200) & (np.abs(np.arange(size[1]) - 245) < 62)
    echo *= 1 + 0.7 * cv2.GaussianBlur(behind.astype(np.float32), (0, 0), 12)
    paint(echo, lesion, 0.1, softness=2)
    image = 190 * (np.clip(echo, 0.02, None) * (1 - 0.5 * depth)) ** 0.9 * (0.35 + 0.65 * speckle(rng, size, 2.6, 1.4))
    gts = lesion.astype(np.uint8)
    return Phantom(to_uint8(image), _boxes(gts, rng), gts)


def ct_volume(rng: np.random.Generator) -> Phantom:
    """An abdominal CT volume, 28 slices of 5 mm, pixels of 2 mm: three organs as ellipsoids."""
    shape = (28, 176, 192)
    organs = [
        ((14, 82, 62), (10.5, 33, 37), 176),
        ((12, 96, 148), (7.5, 24, 15), 192),
        ((17, 117, 72), (8.0, 14, 11), 216),
    ]
    gts = np.zeros(shape, np.uint8)
    for label, (centre, radii, _) in enumerate(organs, 1):
        gts[_ellipsoid(shape, np.add(centre, rng.uniform(-1.5, 1.5, 3)), radii) & (gts == 0)] = label
    imgs = np.zeros(shape, np.float32)
    for z, image in enumerate(imgs):
        growth = 1 + 0.05 * np.sin(z / 9)
        paint(image, blob(shape[1:], (96, 90), (86 * growth, 66 * growth)), 42)
        paint(image, blob(shape[1:], (96, 91), (78 * growth, 57 * growth)), 138)
        paint(image, blob(shape[1:], (96, 88), (71 * growth, 50 * growth)), 60)
        paint(image, blob(shape[1:], (96, 126), (13, 10)), 245)
        paint(image, blob(shape[1:], (96, 125), (10, 7)), 195)
        for label, (_, _, value) in enumerate(organs, 1):
            paint(image, gts[z] == label, value, softness=0.7)
        image += 7 * texture(rng, shape[1:], 1.5) * (image > 5)
    return Phantom(to_uint8(imgs), _boxes(gts, rng), gts, np.float32([5, 2, 2]))


def radiograph(rng: np.random.Generator) -> Phantom:
    """A chest radiograph of 12 bits stored in 16: both lungs."""
    size = (448, 448)
    heart = blob(size, (258, 276), (72, 60), 0.5, 0.05, rng)
    left = blob(size, (140, 212), (66, 122), 0.1, 0.05, rng) & ~heart
    right = blob(size, (308, 212), (66, 122), -0.1, 0.05, rng) & ~heart
    density = np.full(size, 0.2, np.float32)
    paint(density, blob(size, (224, 300), (205, 290), 0, 0.02, rng), 0.72, softness=6)  # chest and shoulders
    paint(density, left | right, 0.3 + 0.03 * texture(rng, size, 30), softness=3)
    for x, tilt in ((128, 0.28), (322, -0.28)):
        for y in range(85, 350, 33):
            radius, direction = polar(size, (x, y + 40), (92, 46), tilt)
            rib = (np.abs(radius - 1) < 0.075) & (direction < 0)
            density += 0.055 * cv2.GaussianBlur(rib.astype(np.float32), (0, 0), 2)
    paint(density, blob(size, (224, 230), (22, 230)), 0.85, softness=6)  # spine and mediastinum
    paint(density, heart, 0.82, softness=3)
    image = 4095 * np.clip(density + 0.012 * texture(rng, size, 2), 0, 1)
    gts = (left + 2 * (right & ~left)).astype(np.uint8)
    return Phantom(image.astype(np.uint16), _boxes(gts, rng), gts)


CASES: dict[str, Callable[[np.random.Generator], Phantom]] = {
    "2DBox_CT_phantom": ct_slice,
    "2DBox_Dermoscopy_phantom": dermoscopy,
    "2DBox_Microscopy_phantom": microscopy,
    "2DBox_US_phantom": ultrasound,
    "3DBox_CT_phantom": ct_volume,
}


def picture_phantom(seed: int = 0) -> Phantom:
    """The case behind `picture.png`: its boxes are what `--box` of `python -m inference --image` takes."""
    return radiograph(np.random.default_rng([seed, len(CASES)]))
