"""The page's try-it images: the demonstration's phantoms, each with a small picture of it."""

import argparse
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np

from training.phantoms import write_phantoms

SHOWN = ("2DBox_CT_phantom", "3DBox_CT_phantom", "2DBox_US_phantom", "2DBox_Dermoscopy_phantom")
PICTURE = (248, 192)  # width and height, twice those on the page


def write_page_phantoms(out: Path) -> None:
    """Write an npz case and a WebP picture of each to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder))
        for name in SHOWN:
            source = Path(folder) / "imgs" / f"{name}.npz"
            shutil.copy(source, out)
            with np.load(source) as case:
                cv2.imwrite(str(out / f"{name}.webp"), _picture(case["imgs"]), [cv2.IMWRITE_WEBP_QUALITY, 80])


def _picture(imgs: np.ndarray) -> np.ndarray:
    """The middle of an image (H, W[, 3]), or of the middle slice of a volume (D, H, W), in the size of the picture."""
    image = imgs[len(imgs) // 2] if imgs.ndim == 3 and imgs.shape[2] != 3 else imgs
    colours = image[..., ::-1] if image.ndim == 3 else image
    height, width = colours.shape[:2]
    scale = min(width / PICTURE[0], height / PICTURE[1])
    part = round(PICTURE[0] * scale), round(PICTURE[1] * scale)
    left, top = (width - part[0]) // 2, (height - part[1]) // 2
    return cv2.resize(colours[top : top + part[1], left : left + part[0]], PICTURE, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m web.phantoms", description=__doc__)
    parser.add_argument("out", type=Path)
    write_page_phantoms(parser.parse_args().out)
