"""A phantom CT in every format that the runtime reads, for the benchmark.

  python -m training.benchmark.volume_files --out FOLDER --size 300 512 512

makes what is not there yet: `npz/3DBox_CT_1.npz`, `ct.nii.gz`, `ct.nii`, `ct.nrrd`, `ct.mha` and the series `dicom/`;
and prints the box of its object as `segment --box` takes it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK

from inference.atomic import replace_atomically, write_atomically
from inference.cases.intensity import to_uint8
from inference.options import CT_WINDOW
from training.data.phantoms import phantom_volume

SPACING, ORIGIN = (0.7, 0.7, 1.5), (-179.2, -179.2, 40.0)
FILES = ("ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha")
CASE, SERIES = "npz/3DBox_CT_1.npz", "dicom"
AIR = -1000  # at the sides


def hounsfield(imgs: np.ndarray) -> np.ndarray:
    """Intensities 0..255 as a scanner has them, int16 of the same shape: over the soft tissue window."""
    low, high = CT_WINDOW.ends
    fractions = np.random.default_rng(0).uniform(-0.5, 0.5, imgs.shape)
    values = np.rint(low + (imgs + fractions) * ((high - low) / 255)).astype(np.int16)
    margin = imgs.shape[2] // 20
    values[..., :margin] = values[..., -margin:] = AIR
    return values


def write_series(image: SimpleITK.Image, folder: Path) -> None:
    """A DICOM series, a file per slice."""
    folder.mkdir()
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    along = image.GetDirection()
    common = {
        "0008|0016": "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "0008|0060": "CT",
        "0010|0010": "Phantom",
        "0010|0020": "1",
        "0020|000d": "2.25.1",
        "0020|000e": "2.25.2",
        "0020|0052": "2.25.3",
        "0020|0037": "\\".join(f"{along[i]:g}" for i in (0, 3, 6, 1, 4, 7)),
    }
    for z in range(image.GetDepth()):
        plane = image[:, :, z]
        position = image.TransformIndexToPhysicalPoint((0, 0, z))
        own = {"0008|0018": f"2.25.4.{z + 1}", "0020|0013": str(z + 1)}
        own["0020|0032"] = "\\".join(f"{part:g}" for part in position)
        for key, value in (common | own).items():
            plane.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{z:03}.dcm"))
        writer.Execute(plane)


def write_files(out: Path, size: tuple[int, int, int]) -> np.ndarray:
    """Write what is not there yet; the object's box, (6,) x, y, z of the first and the last voxel.

    Args:
        size: slices, rows and columns.
    """
    phantom = phantom_volume(size, n_boxes=1, seed=0)
    values = hounsfield(phantom.imgs)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    (out / CASE).parent.mkdir(parents=True, exist_ok=True)
    if not (out / CASE).exists():
        imgs = to_uint8(values, *CT_WINDOW.ends)
        spacing = np.array(SPACING[::-1], np.float32)
        write_atomically(
            out / CASE, lambda file: np.savez_compressed(file, imgs=imgs, boxes=phantom.boxes, spacing=spacing)
        )
    for name in FILES:
        if not (out / name).exists():
            ending = name.removeprefix("ct")
            replace_atomically(out / name, lambda path: SimpleITK.WriteImage(image, str(path), True), ending)
    if not (out / SERIES).exists():
        write_series(image, out / SERIES)
    return phantom.boxes[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.volume_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", type=int, nargs=3, required=True, metavar=("D", "H", "W"))
    options = parser.parse_args(arguments)
    print(*write_files(options.out, tuple(options.size)), sep=",")
    return 0


if __name__ == "__main__":
    sys.exit(main())
