"""Checks what the page has saved: its images, boxes and masks are read by the runtime, which finds the same objects."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import SimpleITK

LEAST_DICE = 0.97
SAVED = "of a picture its PNG, boxes and case; of a volume its NIfTI, NRRD, boxes and case"


def dice(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least Dice of any label."""
    labels = (set(np.unique(ours)) | set(np.unique(theirs))) - {0}
    return min(
        2 * float(np.sum((ours == label) & (theirs == label))) / float(np.sum(ours == label) + np.sum(theirs == label))
        for label in labels
    )


def run(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "inference", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def check_picture(image: Path, mask: Path, boxes: Path, case: Path, out: Path) -> None:
    """`segment` with the boxes, and the case, have the mask."""
    ours = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    run("segment", image, "--boxes", boxes, "-o", out / "mask.png")
    assert dice(ours, cv2.imread(str(out / "mask.png"), cv2.IMREAD_UNCHANGED)) > LEAST_DICE
    check_case(case, ours, out)


def check_case(case: Path, ours: np.ndarray, out: Path) -> None:
    (out / "in").mkdir()
    (out / "in" / "case.npz").write_bytes(case.read_bytes())
    run("cases", out / "in", out / "out", "--extent", "find")
    with np.load(case) as saved, np.load(out / "out" / "case.npz") as found:
        np.testing.assert_array_equal(saved["segs"], ours)
        assert dice(ours, found["segs"]) > LEAST_DICE


def check_volume(image: Path, nifti: Path, nrrd: Path, boxes: Path, case: Path, out: Path) -> None:
    """The label maps lie on the image, and hold what `segment` finds with the boxes."""
    run("segment", image, "--boxes", boxes, "--extent", "find", "-o", out / "mask.nii.gz")
    expected, source = SimpleITK.ReadImage(str(out / "mask.nii.gz")), SimpleITK.ReadImage(str(image))
    for path in (nifti, nrrd):
        saved = SimpleITK.ReadImage(str(path))
        for what in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(saved, what)(), getattr(source, what)(), atol=1e-4)
        assert dice(SimpleITK.GetArrayFromImage(saved), SimpleITK.GetArrayFromImage(expected)) > LEAST_DICE
    assert saved.GetMetaData("Segment0_Name") == "L-shaped"
    with np.load(case) as arrays:
        check_case(case, arrays["segs"], out)
        assert arrays["segs"].any()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m web.tests.check_saved", description=__doc__)
    parser.add_argument(
        "saved", type=Path, nargs=7, help="of a picture PNG, boxes, case; of a volume NIfTI, NRRD, boxes, case"
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        check_picture(options.images / "deep.png", *options.saved[:3], Path(first))
        check_volume(options.images / "turned2.nii.gz", *options.saved[3:], Path(second))
    print("all as the runtime has it")


if __name__ == "__main__":
    main()
