"""What `qmedsam segment` takes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..arguments import add_model_options, add_run_options, checked, program, window
from ..options import WINDOWS

DESCRIPTION = """\
Segment your own image files: NIfTI, NRRD, MetaImage, DICOM, PNG, JPEG, TIFF.

  qmedsam segment ct.nii.gz --box 30,40,12,90,110,48 -o mask.nii.gz
  qmedsam segment ct.nii.gz --box-from rough.nii.gz -o mask.nrrd
  qmedsam segment dicom_folder/ --boxes boxes.json -o mask.seg.dcm
  qmedsam segment pictures/ --boxes coco.json -o masks/

Boxes are given in voxel indices x,y,z of the file, as viewers show them; the last voxel belongs to the box.
docs/files.md describes formats and options.
"""
EPILOG = """\
exit status: 0 all done; 1 some files failed or lost a box, each named on standard error; 2 wrong command line;
3 weights, input, output or libraries unusable, or no image; 130 or 143 stopped by SIGINT or SIGTERM.
"""
# Options whose numbers may begin with a minus, which argparse takes for another option.
NUMBERS = ("--box", "--window")
FORMATS = (".nii.gz", ".nii", ".nrrd", ".mha", ".seg.dcm", ".png", ".tif")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; argparse ends the process with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} segment", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("input", type=Path, metavar="IN",
                        help="an image file, the folder of a DICOM series, or a folder of images")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT",
                        help="file for the masks, whose ending is the format; a folder for a folder")  # fmt: skip
    parser.add_argument("--box", type=box, action="append", default=[], metavar="X0,Y0,Z0,X1,Y1,Z1", dest="box",
                        help="a box, in 2D without z; repeat for more objects")  # fmt: skip
    parser.add_argument("--box-from", type=Path, metavar="MASK",
                        help="a rough label map: a box around each of its labels; for a folder of images a folder with "
                        "masks of the same names")  # fmt: skip
    parser.add_argument("--boxes", type=Path, action="append", default=[], metavar="FILE",
                        help="boxes from JSON, CSV, COCO or a ROI of 3D Slicer (.mrk.json); for a folder of images "
                        "also a folder with a file per image; repeat for more")  # fmt: skip
    parser.add_argument("--world", action="store_true",
                        help="numbers of --box and --boxes are patient coordinates: mm, x to the patient's left, y to "
                        "the back, z to the head (LPS, as DICOM and ITK)")  # fmt: skip
    parser.add_argument("--window", type=window, metavar="LEVEL,WIDTH",
                        help=f"intensities that are told apart: two numbers, or {', '.join(WINDOWS)} (default: 40,400 "
                        "for CT; all else between the 0.5 and 99.5 percentile)")  # fmt: skip
    parser.add_argument("--modality", type=str.upper, default="",
                        help="CT, MR...: where the file does not say it")  # fmt: skip
    parser.add_argument("--volume", type=count, metavar="N", help="which volume of a 4D file, from 0")
    parser.add_argument("--series", type=count, metavar="N", help="which series of a DICOM folder, from 1")
    parser.add_argument("--format", choices=FORMATS,
                        help="of the results of a folder (default: that of each image; DICOM: .seg.dcm)")  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE",
                        help="a CSV table: object, label, name, voxels, millilitres, intensity, extent")  # fmt: skip
    add_model_options(parser)
    add_run_options(parser)
    parsed = parser.parse_args(_joined(arguments))
    if not (parsed.box or parsed.box_from or parsed.boxes):
        parser.error("no boxes: give --box, --box-from or --boxes")
    if parsed.series == 0:
        parser.error("--series counts from 1")
    return checked(parser, parsed)


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--box -1,2,3,4` as `--box=-1,2,3,4`."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in NUMBERS:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def box(text: str) -> tuple[float, ...]:
    """Four or six numbers."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (4, 6):
        raise argparse.ArgumentTypeError(f"'{text}' is not x0,y0,z0,x1,y1,z1 or x0,y0,x1,y1")
    return numbers


def count(text: str) -> int:
    """A whole number from 0 up."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)
