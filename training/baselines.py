"""Segments boxes without a trained model: what a person would otherwise use, as the yardstick for the models.

Methods: `box` fills the box; `otsu` thresholds the gray values inside it (Otsu 1979); `grabcut` starts OpenCV's GrabCut
(Rother et al. 2004) from it. A volume is done slice by slice, with the same 2D box on every slice of a 3D box. Where
objects overlap, the later box wins.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from inference.cases.case import Case, read_case
from inference.cases.npz import write_segs
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, CaseError
from inference.memory_limit import case_budget, memory_limit

GRABCUT_ITERATIONS = 5
GRABCUT_MARGIN = 0.5  # of the box's sides, on each side: the background that GrabCut learns from
GRABCUT_LEAST_MARGIN = 8  # pixels

Rectangle = tuple[slice, slice]  # rows and columns of a box
Method = Callable[[np.ndarray, Rectangle], np.ndarray]


def filled_box(image: np.ndarray, box: Rectangle) -> np.ndarray:
    """The whole box.

    Args:
        image: uint8 (H, W, 3).
        box: its rows and columns.

    Returns:
        Bool mask of the box's shape, as from every method here.
    """
    return np.ones(image[box].shape[:2], bool)


def otsu(image: np.ndarray, box: Rectangle) -> np.ndarray:
    """The bright or the dark side of Otsu's threshold inside the box: the one that has less of the box's border."""
    gray = cv2.cvtColor(np.ascontiguousarray(image[box]), cv2.COLOR_RGB2GRAY)
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    bright = gray > threshold
    border = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    return _or_filled(~bright if border.mean() > 0.5 else bright)


def grabcut(image: np.ndarray, box: Rectangle) -> np.ndarray:
    """GrabCut of the box and a margin around it, everything outside the box being background."""
    around = tuple(_widened(side, length) for side, length in zip(box, image.shape[:2], strict=True))
    inside = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(box, around, strict=True))
    crop = np.ascontiguousarray(image[around])
    labels = np.full(crop.shape[:2], cv2.GC_BGD, np.uint8)
    labels[inside] = cv2.GC_PR_FGD
    if (labels == cv2.GC_PR_FGD).all():  # no background to learn from
        return filled_box(image, box)
    cv2.setRNGSeed(0)  # GrabCut starts from a random k-means
    cv2.grabCut(crop, labels, None, None, None, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return _or_filled(labels[inside] == cv2.GC_PR_FGD)


METHODS: dict[str, Method] = {"box": filled_box, "otsu": otsu, "grabcut": grabcut}


def _or_filled(mask: np.ndarray) -> np.ndarray:
    """The mask, or the whole box where a method found nothing in it: the box says that there is something."""
    return mask if mask.any() else np.ones_like(mask)


def _widened(side: slice, length: int) -> slice:
    margin = max(GRABCUT_LEAST_MARGIN, round(GRABCUT_MARGIN * (side.stop - side.start)))
    return slice(max(0, side.start - margin), min(length, side.stop + margin))


def segment(case: Case, method: Method) -> np.ndarray:
    """Label map of a case, (H, W) or (D, H, W): label i, counted from 1, is the object of the i-th box."""
    segs = np.zeros(case.shape, case.segs_dtype)
    for index in np.flatnonzero(case.usable):
        x_min, y_min, z_min, x_max, y_max, z_max = case.boxes[index].astype(int)
        sides = slice(y_min, y_max + 1), slice(x_min, x_max + 1)
        box = tuple(slice(*side.indices(length)) for side, length in zip(sides, case.shape[1:], strict=True))
        for z in range(z_min, z_max + 1):
            segs[z][box][method(_rgb(case.volume[z]), box)] = index + 1
    return segs if case.is_volume else segs[0]


def _rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) of a slice (H, W) or (H, W, 3) with values 0..255."""
    image = image.astype(np.uint8, copy=False)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.baselines",
        description=__doc__,
        epilog="score the result with: python -m training.evaluate --segs OUTPUT --gts GTS",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-i", "--input", type=Path, required=True, help="folder of cases: npz with 'imgs' and 'boxes'")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the npz with 'segs'")
    parser.add_argument("--method", choices=METHODS, default="box", help="(default: box)")
    options = parser.parse_args(arguments)

    files = sorted(options.input.glob("*.npz"))
    if not files:
        print(f"{options.input}: no cases (*.npz) found", file=sys.stderr)
        return EXIT_SETUP
    status = EXIT_OK
    for file in tqdm(files, desc=options.method, unit="case", disable=None):
        try:
            options.output.mkdir(parents=True, exist_ok=True)
            case = read_case(file, case_budget(memory_limit()))
            write_segs(options.output / file.name, segment(case, METHODS[options.method]))
        except CaseError as error:
            tqdm.write(f"{file}: {error}", file=sys.stderr)
            status = EXIT_CASE_FAILED
        except OSError as error:
            print(f"{options.output}: cannot be written ({error.strerror})", file=sys.stderr)
            return EXIT_SETUP
    return status


if __name__ == "__main__":
    sys.exit(main())
