"""Make the training tree `<root>/<Modality>/<Dataset>/<id>.npz` from what people have, and describe such a tree."""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from glob import glob
from pathlib import Path

from inference.atomic import write_atomically
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, CaseError
from inference.options import CT, Window
from training.data import statistics
from training.data.labelled_case import case_files
from training.data.preparation import Job, in_parallel, make_cases, make_image_case, make_npz_case, make_volume_case
from training.scoring.csv_table import write_csv

DESCRIPTION = """\
Make the training tree from what people have:

  images    PNG/JPEG images with label maps, <Modality>/<dataset>/<id>.jpg beside <id>.png
  nifti     NIfTI volumes with NIfTI labels
  dicom     DICOM series with a label volume (NIfTI, npy, npz or DICOM)
  volumes   npz trees that already have imgs and gts: validated and copied
  stats     describe a finished tree: samples, sizes, intensities and objects per modality, and how often each class
            (`--stats ROOT` is short for `stats --root ROOT`)

CT is windowed (level 40, width 400 unless told otherwise); other modalities are rescaled by the 0.5 to 99.5
percentile of their non-zero voxels; 8-bit images stay as they are. Finished outputs that are newer than their source
are skipped, so a stopped run is continued by starting it again.
"""

EXAMPLES = """\
examples:
  python -m training.prepare images --in ../shared/data/train --out datasets/train
  python -m training.prepare images --in scans --image-suffix _img.png --label-suffix _mask.png \\
      --modality OCT --dataset fluid --out datasets/train
  python -m training.prepare nifti --images ct/imagesTr --image-suffix _0000 --labels ct/labelsTr \\
      --modality CT --dataset liver --out datasets/train
  python -m training.prepare --stats datasets/train --plot statistics.png --csv statistics.csv
"""


def image_jobs(args: argparse.Namespace) -> Iterator[Job]:
    """One job per label map; an image without a label map is no training case and is left out."""
    for label in sorted(args.input.rglob(f"*{args.label_suffix}")):
        stem = label.name.removesuffix(args.label_suffix)
        candidates = [label.with_name(stem + suffix) for suffix in args.image_suffix]
        image = next((path for path in candidates if path != label and path.exists()), candidates[0])
        folders = label.relative_to(args.input).parts[:-1]
        if args.modality:
            modality, dataset = args.modality, args.dataset
        elif len(folders) == 2:
            modality, dataset = folders
        else:
            sys.exit(f"{label}: not in <Modality>/<dataset>/ under {args.input}; give --modality and --dataset")
        yield Job(
            (image, label),
            args.out / modality / dataset / f"{stem}.npz",
            partial(make_image_case, image, label, args.longest_side, args.binary_threshold),
        )


def nifti_jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Images and labels are paired by file name, after the suffixes are taken off."""
    labels = {_stem(path, args.label_suffix): path for path in _matches(args.labels)}
    for image in _matches(args.images):
        stem = _stem(image, args.image_suffix)
        expected = Path(args.labels) / f"{stem}{args.label_suffix}.nii.gz"
        yield _volume_job(args, image, labels.get(stem, expected), stem)


def dicom_jobs(args: argparse.Namespace) -> Iterator[Job]:
    if len(args.series) != len(args.labels):
        sys.exit(f"{len(args.series)} series but {len(args.labels)} label volumes: they are paired in the order given")
    for series, label in zip(args.series, args.labels, strict=True):
        yield _volume_job(args, series, label, series.name)


def _volume_job(args: argparse.Namespace, image: Path, label: Path, stem: str) -> Job:
    ct_window = Window(args.window_level, args.window_width) if args.modality == CT else None
    make = partial(make_volume_case, image, label, ct_window, args.pixel_spacing)
    return Job((image, label), args.out / args.modality / args.dataset / f"{stem}.npz", make)


def volume_jobs(args: argparse.Namespace) -> Iterator[Job]:
    for path in case_files(args.input):
        yield Job((path,), args.out / path.relative_to(args.input), partial(make_npz_case, path, args.pixel_spacing))


def _matches(pattern: str) -> list[Path]:
    """Files of a folder, or of a glob pattern."""
    folder = Path(pattern)
    paths = folder.iterdir() if folder.is_dir() else map(Path, glob(pattern, recursive=True))
    return sorted(path for path in paths if path.name.endswith((".nii", ".nii.gz")))


def _stem(path: Path, suffix: str) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(suffix)


def describe_file(path: Path) -> statistics.CaseStatistics | str:
    try:
        return statistics.case_statistics(path)
    except CaseError as error:
        return f"{path}: {error}"


def prepare(args: argparse.Namespace) -> int:
    jobs = list(args.jobs(args))
    if not jobs:
        sys.exit("nothing to prepare: no input matches")
    attempted, errors = make_cases(jobs, args.workers)
    made, skipped, failures = attempted - len(errors), len(jobs) - attempted, len(errors)
    print(f"{made} cases made, {skipped} were finished before, {failures} failed; root {args.out}")
    return EXIT_CASE_FAILED if failures else EXIT_OK


def stats(args: argparse.Namespace) -> int:
    paths = case_files(args.root)
    if not paths:
        sys.exit(f"{args.root}: no <Modality>/<Dataset>/*.npz")
    results = list(in_parallel(describe_file, paths, args.workers, "statistics"))
    cases = [result for result in results if not isinstance(result, str)]
    errors = sorted(result for result in results if isinstance(result, str))
    for error in errors:
        print(error, file=sys.stderr)
    if cases:
        cases.sort(key=lambda case: (case.modality, case.dataset))
        table = statistics.table_by_modality(cases)
        print(table.to_string(index=False))
        classes = statistics.table_by_class(cases)
        print(f"\nclasses: labels of a data set, {statistics.MOST_CLASSES} at most")
        print(classes.to_string(index=False))
        if args.csv:
            write_csv(args.csv, table.to_dict("records"))
        if args.classes:
            write_csv(args.classes, classes.to_dict("records"))
        if args.plot:
            picture_format = args.plot.suffix.lstrip(".") or "png"
            write_atomically(args.plot, lambda file: statistics.draw(cases, file, picture_format))
    return EXIT_CASE_FAILED if errors else EXIT_OK


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="root of the training tree")
    _add_workers(parser)


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: %(default)s, one per core)"
    )


def _add_volume_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--modality", required=True, help="CT is windowed, anything else is rescaled by percentiles")
    parser.add_argument("--dataset", required=True, metavar="NAME")
    parser.add_argument("--window-level", type=float, default=40, help="CT, Hounsfield units (default: %(default)s)")
    parser.add_argument("--window-width", type=float, default=400, help="CT, Hounsfield units (default: %(default)s)")
    _add_pixel_spacing(parser)


def _add_pixel_spacing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pixel-spacing",
        type=positive,
        metavar="MM",
        help="resample the slices of all volumes to pixels of this size; slices stay as far apart (default: keep)",
    )


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: more than 0 is needed")
    return value


def parse_args(argv: list[str]) -> argparse.Namespace:
    if argv and argv[0] == "--stats":
        argv = ["stats", "--root", *argv[1:]]
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    images = commands.add_parser("images", help="PNG/JPEG images with label maps")
    images.add_argument("--in", dest="input", type=Path, required=True, metavar="DIR", help="searched in depth")
    images.add_argument(
        "--image-suffix",
        nargs="+",
        default=[".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"],
        metavar="SUFFIX",
        help="what follows the id in an image's name, first match wins (default: %(default)s)",
    )
    images.add_argument(
        "--label-suffix",
        default=".png",
        metavar="SUFFIX",
        help="what follows the id in a label map's name, e.g. _mask.png (default: %(default)s)",
    )
    images.add_argument("--modality", help="for folders that are not <Modality>/<dataset>/")
    images.add_argument("--dataset", metavar="NAME", help="needed with --modality")
    images.add_argument("--longest-side", type=int, metavar="PX", help="shrink larger images to this (default: keep)")
    images.add_argument(
        "--binary-threshold", type=int, metavar="T", help="label pixels above T become 1 (default: keep label numbers)"
    )
    _add_output(images)
    images.set_defaults(run=prepare, jobs=image_jobs)

    nifti = commands.add_parser("nifti", help="NIfTI volumes with NIfTI labels")
    nifti.add_argument("--images", required=True, metavar="DIR|GLOB")
    nifti.add_argument("--labels", required=True, metavar="DIR|GLOB", help="paired with the images by file name")
    nifti.add_argument(
        "--image-suffix", default="", metavar="SUFFIX", help="part of an image's name that its label lacks, e.g. _0000"
    )
    nifti.add_argument("--label-suffix", default="", metavar="SUFFIX", help="the same for labels, e.g. _seg")
    _add_volume_options(nifti)
    _add_output(nifti)
    nifti.set_defaults(run=prepare, jobs=nifti_jobs)

    dicom = commands.add_parser("dicom", help="DICOM series with a label volume")
    dicom.add_argument(
        "--series",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders, one series each; its name is the id",
    )
    dicom.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE|DIR",
        help="one per series, in the same order: .nii(.gz), .npy or .npz in z, y, x order, or a DICOM folder",
    )
    _add_volume_options(dicom)
    _add_output(dicom)
    dicom.set_defaults(run=prepare, jobs=dicom_jobs)

    volumes = commands.add_parser("volumes", help="npz trees that already have imgs and gts")
    volumes.add_argument(
        "--in", dest="input", type=Path, required=True, metavar="DIR", help="<Modality>/<Dataset>/*.npz"
    )
    _add_pixel_spacing(volumes)
    _add_output(volumes)
    volumes.set_defaults(run=prepare, jobs=volume_jobs)

    describe = commands.add_parser("stats", help="describe a finished tree")
    describe.add_argument("--root", type=Path, required=True, help="root of the training tree")
    describe.add_argument("--csv", type=Path, metavar="FILE", help="write the table here too")
    describe.add_argument("--classes", type=Path, metavar="FILE", help="write the distribution of classes here too")
    describe.add_argument("--plot", type=Path, metavar="FILE", help="draw the statistics (png, pdf or svg)")
    _add_workers(describe)
    describe.set_defaults(run=stats)

    args = parser.parse_args(argv)
    if args.command == "images" and bool(args.modality) != bool(args.dataset):
        parser.error("--modality and --dataset belong together")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(sys.argv[1:] if argv is None else argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
