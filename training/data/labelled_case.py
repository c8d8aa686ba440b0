"""A training case on disk: `<root>/<Modality>/<Dataset>/<id>.npz` with `imgs`, `gts` and, in 3D, `spacing`."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from inference.atomic import write_atomically
from inference.cases.npz import DEFLATE_LEVEL, read_arrays
from inference.errors import CaseError

LARGEST_LABEL = np.iinfo(np.uint16).max
LARGEST_CASE_BYTES = (
    64 * 2**30
)  # training data are our own: this only stops a damaged header from allocating everything


@dataclass(frozen=True)
class LabelledCase:
    """One image or volume with its label map.

    imgs: uint8 (H, W) or (H, W, 3) in 2D, (D, H, W) in 3D.
    gts: uint8 or uint16, (H, W) or (D, H, W); 0 is background, each number an object or structure.
    spacing: float32 (3,) z, y, x in mm, in 3D only.
    """

    imgs: np.ndarray
    gts: np.ndarray
    spacing: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_shapes(self.imgs.shape, self.gts.shape, self.spacing is not None)
        if self.imgs.dtype != np.uint8:
            raise CaseError(f"'imgs' is {self.imgs.dtype}, expected uint8")
        if self.gts.dtype not in (np.uint8, np.uint16):
            raise CaseError(f"'gts' is {self.gts.dtype}, expected uint8 or uint16")
        if self.spacing is not None and not (self.spacing.shape == (3,) and np.all(self.spacing > 0)):
            raise CaseError(f"'spacing' must be three positive numbers, not {self.spacing.tolist()}")

    @property
    def is_volume(self) -> bool:
        return self.gts.ndim == 3


def check_shapes(imgs: tuple[int, ...], gts: tuple[int, ...], has_spacing: bool) -> None:
    """Raise CaseError unless the shapes are those of a 2D or a 3D training case."""
    if 0 in imgs:
        raise CaseError(f"'imgs' of shape {imgs} is empty")
    flat = len(gts) == 2 and imgs in (gts, (*gts, 3))
    volume = len(gts) == 3 and imgs == gts
    if not flat and not volume:
        raise CaseError(f"'imgs' of shape {imgs} and 'gts' of shape {gts} do not belong together")
    if flat and has_spacing:
        raise CaseError("a 2D case has no 'spacing'")


def as_label_map(values: np.ndarray) -> np.ndarray:
    """Labels of any numeric type as the smallest of uint8 and uint16 that holds them.

    Raises:
        CaseError: labels that are not whole numbers in 0..65535.
    """
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise CaseError("labels hold NaN or infinity")
        whole = np.rint(values)
        if np.abs(values - whole).max(initial=0) > 1e-3:
            raise CaseError("labels are not whole numbers: is this the image?")
        values = whole
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > LARGEST_LABEL:
        raise CaseError(f"labels must lie in 0..{LARGEST_LABEL}, found {low}..{high}")
    return values.astype(np.uint8 if high <= 255 else np.uint16)


def read_labelled_case(path: Path) -> LabelledCase:
    """Read and validate one case.

    Raises:
        CaseError: the reason in one line, without the file name.
    """
    arrays = read_arrays(path, ("imgs", "gts", "spacing"), LARGEST_CASE_BYTES)
    for name in ("imgs", "gts"):
        if name not in arrays:
            raise CaseError(f"no array '{name}'")
    return LabelledCase(arrays["imgs"], arrays["gts"], arrays.get("spacing"))


def write_labelled_case(path: Path, case: LabelledCase) -> None:
    """Write a compressed npz; `path` is whole or absent, whatever happens meanwhile."""
    arrays = {"imgs": case.imgs, "gts": case.gts}
    if case.spacing is not None:
        arrays["spacing"] = case.spacing.astype(np.float32)

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)


def case_files(root: Path) -> list[Path]:
    """All `<root>/<Modality>/<Dataset>/*.npz`, sorted, so that their order is the same on every machine."""
    return sorted(path for path in root.glob("*/*/*.npz") if not path.name.startswith("."))
