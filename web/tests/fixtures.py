"""What the page's tests hold it against: files of every kind, and what the runtime makes of them.

`files/` has an image NAME.*, or a folder NAME, and `expected/NAME.npz` the volume and the boxes that `qmedsam segment`
reads; `cases/` has cases and `masks/` their masks from `qmedsam cases`, `val/` and `val-masks/` a few real ones where
the validation data are there; `broken/` what is none.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import SimpleITK
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless, RLELossless

from inference.cases.picture import read_picture
from inference.files.dicom import read_dicom
from inference.files.file_case import file_case
from inference.files.image import Choice
from inference.files.itk import read_itk
from inference.files.prompts import Object
from tests.support.dicom_files import write_multi_frame, write_series
from tests.support.phantom_files import ORIENTATIONS, affine, oblique, scan, stored, write_image
from training.data.phantoms import CASES, phantom_case_2d, phantom_volume, picture_phantom

# Of pydicom's own test files, and so nobody's: JPEG 2000 and JPEG-LS, lossless and not, signed, colours, one that says
# another sign than it has.
COMPRESSED = (
    "693_J2KI",
    "GDCMJ2K_TextGBR",
    "J2K_pixelrep_mismatch",
    "JPEG2000",
    "JPEGLSNearLossless_08",
    "JPEGLSNearLossless_16",
    "MR_small_jp2klossless",
    "MR_small_jpeg_ls_lossless",
    "SC_rgb_jls_lossy_line",
    "SC_rgb_jls_lossy_sample",
    "examples_jpeg2k",
)
BOX = (3.0, 2.0, 1.0, 8.0, 7.0, 5.0)  # inside every image, in the axes of its file
MEMORY = 2**30
PHOTO = (3000, 4000)  # 12 megapixels
REAL = (
    "2DBox_CT_0004",
    "2DBox_Dermoscopy_0003",
    "2DBox_OCT_0004",
    "2DBox_US_0006",
    "2DBox_X-Ray_0004",
    "3DBox_MR_0018",
)


def write_scans(files: Path) -> None:
    """One scan in several orientations and formats."""
    for number, (order, signs) in enumerate([ORIENTATIONS[i] for i in (0, 5, 13, 22, 40)]):
        write_image(files / f"turned{number}.nii.gz", stored(scan(), order, signs), affine(order, signs))
    plain = ORIENTATIONS[0]
    tilted = affine(*plain, turn=oblique())
    write_image(files / "oblique.nii", scan(), tilted)
    write_image(files / "floats.nii.gz", scan().astype(np.float32) / 3, affine(*plain))
    write_series(files / "series", scan(), tilted)
    write_multi_frame(files / "frames.dcm", scan(), tilted)
    write_multi_frame(files / "unplaced.dcm", scan(), tilted, positions=False)
    for path in write_series(files / "runs", scan(), affine(*plain)).iterdir():
        item = dcmread(path)
        item.compress(RLELossless)
        item.save_as(path)
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetCompressor("JPEG")
    writer.UseCompressionOn()
    writer.SetFileName(str(files / "lossless.dcm"))
    writer.Execute(SimpleITK.GetImageFromArray(scan()[:, :, 3].T.astype(np.int16)))


def write_compressed(files: Path) -> None:
    """Files by other programs, as pydicom brings them, and some frames in one file."""
    for name in COMPRESSED:
        shutil.copy(get_testdata_file(f"{name}.dcm", download=False), files)
    frames = dcmread(files / "frames.dcm")
    frames.compress(JPEGLSLossless)
    frames.save_as(files / "frames_jls.dcm")


def write_pictures(files: Path) -> None:
    """Gray of 8 and 16 bits and floating point, colours."""
    deep = picture_phantom(0).imgs
    colour = phantom_case_2d((90, 120), n_boxes=1, seed=3, colour=True).imgs
    cv2.imwrite(str(files / "deep.png"), deep)
    cv2.imwrite(str(files / "deep.tif"), deep)
    cv2.imwrite(str(files / "floats.tif"), (deep / 7).astype(np.float32))
    cv2.imwrite(str(files / "colour.png"), colour)
    cv2.imwrite(str(files / "colour.tiff"), colour)
    cv2.imwrite(str(files / "grey.png"), colour[..., 0])
    cv2.imwrite(str(files / "bilevel.png"), (colour[..., 0] > 100) * np.uint8(255), [cv2.IMWRITE_PNG_BILEVEL, 1])
    cv2.imwrite(str(files / "alpha.png"), np.dstack([colour, colour[..., 0]]))


def write_expected(path: Path, out: Path) -> None:
    """What `qmedsam segment` reads of a file."""
    box = np.array(BOX)
    if path.suffix in (".png", ".tif", ".tiff"):
        case = read_picture(path, [[*BOX[:2], *BOX[3:5]]], MEMORY)
    else:
        read = read_dicom if path.is_dir() or path.suffix == ".dcm" else read_itk
        image = read(path, Choice(), MEMORY)
        case = file_case(image, [Object(1, "", box)], None, False)
    if not case.is_volume:
        box[[2, 5]] = 0
    np.savez(out, volume=case.volume, boxes=case.boxes, given=box)


def write_broken(folder: Path, files: Path) -> None:
    """What is no image."""
    images = ("turned0.nii.gz", "oblique.nii", "deep.png", "deep.tif", "frames.dcm")
    for name in (*images, "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm"):
        data = (files / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    (folder / "note.txt").write_text("no image\n")
    (folder / "case.npz").write_bytes(b"PK\3\4 no archive")
    (folder / "empty.png").write_bytes(b"")


def write_photos(folder: Path) -> None:
    """A photograph of 12 megapixels, and small pictures in the formats that the browser decodes itself."""
    colour = phantom_case_2d((300, 400), n_boxes=1, seed=5, colour=True).imgs
    cv2.imwrite(str(folder / "photo.jpg"), cv2.resize(colour, PHOTO[::-1], interpolation=cv2.INTER_CUBIC))
    cv2.imwrite(str(folder / "small.webp"), colour)


def write_cases(folder: Path) -> None:
    """The demonstration's pictures, and a small volume."""
    phantoms = {name: draw(np.random.default_rng([0, number])) for number, (name, draw) in enumerate(CASES.items())}
    chosen = {name: phantom for name, phantom in phantoms.items() if name.startswith("2D")}
    for name, phantom in {**chosen, "3DBox_phantom": phantom_volume((10, 96, 96), n_boxes=2, seed=1)}.items():
        np.savez_compressed(folder / name, imgs=phantom.imgs, boxes=phantom.boxes)


def segment(cases: Path, masks: Path, cache: Path) -> None:
    """`qmedsam cases`."""
    command = [sys.executable, "-m", "inference", "cases", cases, masks, "--cache", cache]
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)


def write_fixtures(out: Path, val: Path) -> None:
    """All of it, in an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    files, expected, broken, photos, cases = (out / name for name in ("files", "expected", "broken", "photos", "cases"))
    for folder in (files, expected, broken, photos, cases):
        folder.mkdir(parents=True)
    write_scans(files)
    write_compressed(files)
    write_pictures(files)
    for path in files.iterdir():
        write_expected(path, expected / f"{path.name}.npz")
    write_broken(broken, files)
    write_photos(photos)
    write_cases(cases)
    segment(cases, out / "masks", out / "cache")
    if (val / "imgs").is_dir():
        (out / "val").mkdir()
        for name in REAL:
            (out / "val" / f"{name}.npz").symlink_to((val / "imgs" / f"{name}.npz").resolve())
        segment(out / "val", out / "val-masks", out / "cache")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m web.tests.fixtures", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--val", type=Path, required=True, help="validation data, where they are there")
    options = parser.parse_args()
    write_fixtures(options.out, options.val)
