"""Pictures side by side, each under its title."""

import cv2
import numpy as np

TITLE = 16  # px


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """A picture, uint8 (H, W, 3), under its title: (TITLE + H, W, 3)."""
    tile = np.full((TITLE + picture.shape[0], *picture.shape[1:]), 255, np.uint8)
    tile[TITLE:] = picture
    cv2.putText(tile, title, (2, TITLE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def in_rows(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size, uint8 (H, W, 3), in rows of `columns`; the rest of the last row is white."""
    filled = [*tiles, *[np.full_like(tiles[0], 255)] * (-len(tiles) % columns)]
    return np.vstack([np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)])
