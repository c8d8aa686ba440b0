"""Make challenge cases, with boxes and ground truths, of images and volumes with label maps."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, CaseError, SetupError, only_case_errors
from inference.options import CT, CT_WINDOW, Window
from training.data.challenge_files import PARTS, make_folders, write_challenge_case
from training.data.labelled_files import LabelledFile, find_labelled
from training.data.preparation import in_parallel
from training.scoring.challenge_case import TOO_SMALL, prompted

DESCRIPTION = f"""\
Make challenge cases of your own images and volumes with label maps, to validate a model on: OUT/imgs/*.npz with boxes,
and OUT/gts/*.npz with the ground truths of `python -m training.evaluate`. Every number of a label map is one object and
gets a box as the challenge draws them: tight, every side in x and y moved outward by a random 0 to 10 % of the box's
width or height (5 % in volumes). Left out are objects {TOO_SMALL}.

LABELLED is searched in depth for label maps and their images:

  <id>.png beside <id>.jpg         pictures (PNG, JPEG, TIFF, BMP); --label-suffix _mask: <id>_mask.png beside <id>.png
  labels/<id> and images/<id>      pictures, NIfTI, NRRD, MetaImage, folders of DICOM slices; as nnU-Net has them too:
                                   labelsTr/<id>.nii.gz and imagesTr/<id>_0000.nii.gz with --image-suffix _0000
  <id>.npz                         imgs and gts, as `python -m training.prepare` makes them

in folders <Modality>/<dataset>/, or all of one --modality. Intensities become those of `python -m training.prepare`:
CT is windowed, other volumes are rescaled by percentiles. What is there already stays as it is.
"""
EXAMPLES = """\
examples:
  python -m training.cases scans --modality US --out val
  python -m inference cases val/imgs segs && python -m training.evaluate --segs segs --gts val/gts
  python -m training.validate --root val --weights weights

exit status: 0 all cases made, 1 at least one file is bad, 3 nothing can be made
"""


@dataclass(frozen=True)
class Job:
    """One case to make. title: its name without `2DBox_` or `3DBox_`, which its arrays decide."""

    file: LabelledFile
    title: str


def find_jobs(files: Sequence[LabelledFile], modality: str | None) -> list[Job]:
    """
    Raises:
        SetupError: a file whose modality is not known, or two that would have one name.
    """
    jobs: dict[str, Job] = {}
    for file in files:
        if modality is None and len(file.folders) < 2:
            raise SetupError(f"{file.source}: is in no folder <Modality>/<dataset>/; give --modality")
        of, *more = (*([modality] if modality else []), *file.folders, file.id)
        title = "_".join([of.replace("_", "-"), *more])
        if title in jobs:
            raise SetupError(f"{jobs[title].file.source} and {file.source}: would both be the case {title}; rename one")
        jobs[title] = Job(file, title)
    return list(jobs.values())


def make(out: Path, window: Window, job: Job) -> int | str:
    """Make one case; the number of objects that are too small for a box, or one line of what is wrong."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    try:
        with only_case_errors():
            case = job.file.read(window if job.title.startswith(f"{CT}_") else None)
            name = f"{case.gts.ndim}DBox_{job.title}"
            boxes, gts, left_out = prompted(case, name)
            for half in paths(out, name):
                if half.exists():
                    raise CaseError(f"{half} is there without its other half; remove it to make the case anew")
            write_challenge_case(out, name, case.imgs, boxes, gts, case.spacing)
    except (CaseError, SetupError) as error:
        return f"{job.file.source}: {error}"
    return left_out


def made_before(out: Path, job: Job) -> Path | None:
    """The case as an earlier run left it."""
    both = [paths(out, f"{dimensions}DBox_{job.title}") for dimensions in (2, 3)]
    return next((imgs for imgs, gts in both if imgs.exists() and gts.exists()), None)


def paths(out: Path, name: str) -> list[Path]:
    return [out / part / f"{name}.npz" for part in PARTS]


def complaint(file: LabelledFile, made: Path) -> str | None:
    """What is wrong with keeping a case that was made before."""
    if made.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in (file.image, file.label) if path):
        return None
    return f"{file.source}: newer than {made}, which is kept; remove that and its ground truth to make them anew"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.cases",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labelled", type=Path, metavar="LABELLED", help="folder of images or volumes and label maps")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for imgs/ and gts/")
    parser.add_argument("--modality", help=f"of all of them: {CT}, MR, US...; names have it, and {CT} is windowed")
    parser.add_argument("--image-suffix", default="", metavar="SUFFIX", help="of images, before the ending, e.g. _0000")
    parser.add_argument("--label-suffix", default="", metavar="SUFFIX", help="of label maps, likewise, e.g. _mask")
    units = "Hounsfield units (default: %(default)s)"
    parser.add_argument("--window-level", type=float, default=CT_WINDOW.level, help=f"{CT}, {units}")
    parser.add_argument("--window-width", type=float, default=CT_WINDOW.width, help=f"{CT}, {units}")
    text = "processes (default: %(default)s, one per core)"
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help=text)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        if args.out.resolve().is_relative_to(args.labelled.resolve()):
            raise SetupError(f"{args.out}: lies in {args.labelled}, which is searched; choose another place")
        jobs = find_jobs(find_labelled(args.labelled, args.image_suffix, args.label_suffix), args.modality)
        make_folders(args.out)
    except SetupError as error:
        print(error, file=sys.stderr)
        return EXIT_SETUP
    except OSError as error:
        print(f"{error.filename or args.out}: cannot be written ({error.strerror})", file=sys.stderr)
        return EXIT_SETUP
    there = {job.title: made for job in jobs if (made := made_before(args.out, job))}
    to_do = [job for job in jobs if job.title not in there]
    problems = [line for job in jobs if job.title in there and (line := complaint(job.file, there[job.title]))]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    failed = left_out = 0
    window = Window(args.window_level, args.window_width)
    for result in in_parallel(partial(make, args.out, window), to_do, args.workers, "cases"):
        if isinstance(result, str):
            failed += 1
            tqdm.write(result, file=sys.stderr)
        else:
            left_out += result
    print(f"{args.out}: {len(to_do) - failed} cases made, {len(there)} were there before, {failed} failed")
    if left_out:
        print(f"{left_out} objects have no box: {TOO_SMALL}")
    return EXIT_CASE_FAILED if failed or problems else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
