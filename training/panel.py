"""Draw chosen cases side by side: image, truth with its boxes, and what folders of segmentations hold, with its DSC.

  python -m inference -i ../shared/data/val/imgs -o runs/segs                                 # int8
  python -m inference -i ../shared/data/val/imgs -o runs/float_segs --weights runs/float      # float
  python -m training.baselines -i ../shared/data/val/imgs -o runs/grabcut --method grabcut
  python -m training.panel --val ../shared/data/val --segs float=runs/float_segs int8=runs/segs GrabCut=runs/grabcut \\
      --cases 2DBox_CT_0008 3DBox_MR_0002 --out panel.png

A volume is shown on the middle slice of the object that covers most voxels; its DSC is that of the whole volume.
"""

import argparse
import sys
from pathlib import Path

import cv2

from inference.atomic import write_atomically
from training.data.tiles import in_rows
from training.scoring.case_tiles import row_of


def named_folder(text: str) -> tuple[str, Path]:
    title, separator, folder = text.partition("=")
    if not separator or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"'{text}': expected TITLE=FOLDER, a folder of segmentations")
    return title, Path(folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.panel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="cases: imgs and gts")
    text = "columns: a title and a folder of segmentations each"
    parser.add_argument("--segs", type=named_folder, nargs="+", required=True, metavar="TITLE=DIR", help=text)
    parser.add_argument("--cases", nargs="+", required=True, metavar="NAME", help="rows: names without .npz")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the PNG")
    args = parser.parse_args(arguments)
    segs = dict(args.segs)
    tiles, problems = [], []
    for name in args.cases:
        try:
            tiles += row_of(args.val, segs, name)
        except ValueError as error:
            problems.append(str(error))
    for problem in problems:
        print(problem, file=sys.stderr)
    if tiles:
        encoded = cv2.imencode(".png", in_rows(tiles, 2 + len(segs)))[1].tobytes()
        write_atomically(args.out, lambda file: file.write(encoded))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
