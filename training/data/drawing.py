"""Drawing what looks medical: soft-edged shapes, texture and speckle."""

from collections.abc import Sequence

import cv2
import numpy as np

Point = tuple[float, float]


def grid(rng: np.random.Generator, size: tuple[int, int], n: int, jitter: float = 0.1) -> list[tuple[Point, float]]:
    """n (centre, cell size) of a grid of square cells over the image, moved by up to `jitter` of a cell."""
    height, width = size
    columns = next(c for c in range(1, n + width + 1) if c * max(1, int(height * c / width)) >= n)
    rows = max(1, -(-n // columns))
    cell = min(height / rows, width / columns)
    places = [((i % columns + 0.5) * width / columns, (i // columns + 0.5) * height / rows) for i in range(n)]
    moves = rng.uniform(-jitter, jitter, (n, 2))
    return [((x + j * cell, y + k * cell), cell) for (x, y), (j, k) in zip(places, moves, strict=True)]


def texture(rng: np.random.Generator, size: tuple[int, int], scale: float | tuple[float, float]) -> np.ndarray:
    """Smooth noise (H, W), float32, mean 0 and standard deviation 1, with features about `scale` (y, x) pixels wide."""
    down, across = np.broadcast_to(scale, 2)
    height, width = size
    coarse = rng.normal(size=(int(height / down) + 4, int(width / across) + 4)).astype(np.float32)
    fine = cv2.resize(coarse, None, fx=across, fy=down, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return (fine - fine.mean()) / (fine.std() + 1e-6)


def speckle(rng: np.random.Generator, size: tuple[int, int], across: float, down: float) -> np.ndarray:
    """Fully developed speckle (H, W), mean 1: the magnitude of a complex Gaussian field, whose grains are blurred with
    standard deviations of `across` and `down` pixels."""
    waves = [cv2.GaussianBlur(rng.normal(size=size).astype(np.float32), (0, 0), across, sigmaY=down) for _ in range(2)]
    grains = np.hypot(*waves)
    return grains / grains.mean()


def polar(size: tuple[int, int], centre: Point, radii: Sequence[float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance (1 on the ellipse) and direction of every pixel in the frame of a rotated ellipse, each (H, W)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = x - centre[0], y - centre[1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / radii[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / radii[1]
    return np.hypot(u, v), np.arctan2(v, u)


def outline(rng: np.random.Generator, direction: np.ndarray, waviness: float) -> np.ndarray:
    """Radius of a closed line in each direction (rad), about 1 and wavy by about the fraction `waviness` of it."""
    edge = np.ones_like(direction)
    for frequency in range(2, 7):
        amplitude, phase = rng.normal(0, waviness / frequency), rng.uniform(0, 2 * np.pi)
        edge += amplitude * np.cos(frequency * direction + phase)
    return edge


def blob(
    size: tuple[int, int],
    centre: Point,
    radii: Sequence[float],
    angle: float = 0.0,
    waviness: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Bool (H, W): an ellipse around `centre` (x, y), its outline wavy by the fraction `waviness` of its radius."""
    reach = int(2 * max(radii)) + 2
    left, top = (max(int(c) - reach, 0) for c in centre)
    window = np.s_[top : int(centre[1]) + reach, left : int(centre[0]) + reach]
    mask = np.zeros(size, bool)
    radius, direction = polar(mask[window].shape, (centre[0] - left, centre[1] - top), radii, angle)
    edge = np.float32(1) if rng is None else outline(rng, direction, waviness)
    mask[window] = radius < edge
    return mask


def paint(image: np.ndarray, mask: np.ndarray, value: np.ndarray | float, softness: float = 1.0) -> None:
    """Paint `value` where `mask` is, in place; the edge is blurred with a standard deviation of `softness` pixels."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness)
    alpha = alpha if image.ndim == 2 else alpha[..., None]
    image += alpha * (value - image)


def to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def image_size(rng: np.random.Generator, flattest: float, tallest: float, longest_side: int = 288) -> tuple[int, int]:
    """(H, W) with a given longest side, px; height by width is drawn between `flattest` and `tallest`."""
    aspect = np.exp(rng.uniform(np.log(flattest), np.log(tallest)))
    scale = longest_side / max(aspect, 1)
    return round(scale * aspect), round(scale)


def contrasting(rng: np.random.Generator, level: float, least: float, most: float) -> float:
    """A grey level in 5..195 that is brighter or darker than `level`, itself one, by `least` to `most` (90 at most)."""
    step = rng.uniform(least, most) * rng.choice((-1, 1))
    return level + step if 5 <= level + step <= 195 else level - step
