"""Tasks that the shipped weights have not learned well, as a person would bring them to `python -m training.finetune`.

dilated     60 radiographs whose clavicles are outlined 3 px further out: another style of annotation
vessels     20 fundus photographs whose vessel tree is the object, which was nearly left out of training
structure   volumes of the hippocampus of which one part is labelled

python -m training.benchmark.finetune_tasks --data ../shared/data --out /tmp/tasks
python -m training.finetune /tmp/tasks/dilated --subjects /tmp/tasks/subjects.csv --out /tmp/tuned/dilated
"""

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from inference.atomic import write_atomically
from training.data.labelled_case import read_labelled_case, write_labelled_case
from training.data.sources import read_label_image
from training.scoring.csv_table import write_csv

DILATED = 3  # px
STRUCTURE = 1  # label of the hippocampus' head


def write_images(source: Path, out: Path, count: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """The first `count` images of a data set, in `out/images`, and their changed labels in `out/labels`."""
    for name in ("images", "labels"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for label in sorted(source.glob("*.png"))[:count]:
        image, changed = label.with_suffix(".jpg").read_bytes(), change(read_label_image(label))
        write_atomically(out / "images" / f"{label.stem}.jpg", lambda file, content=image: file.write(content))
        encoded = cv2.imencode(".png", changed)[1].tobytes()
        write_atomically(out / "labels" / label.name, lambda file, content=encoded: file.write(content))


def dilated(labels: np.ndarray) -> np.ndarray:
    """Every object grown by `DILATED` px, where it meets no other."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * DILATED + 1, 2 * DILATED + 1))
    return np.where(labels > 0, labels, cv2.dilate(labels, kernel))


def write_structure(source: Path, out: Path, label: int) -> None:
    """Volumes of a data set with one of their labels."""
    for path in sorted(source.glob("*.npz")):
        case = read_labelled_case(path)
        write_labelled_case(out / path.name, replace(case, gts=(case.gts == label).astype(np.uint8)))


def write_tasks(data: Path, out: Path) -> None:
    write_images(data / "train/X-Ray/jsrt_clavicles", out / "dilated", 60, dilated)
    write_images(data / "train/Fundus/stare_vessels", out / "vessels", 20, lambda labels: labels)
    write_structure(data / "train_volumes/MR/msd_hippocampus", out / "structure/MR/hippocampus", STRUCTURE)
    with (data / "train.csv").open(newline="") as file:
        rows = [{"file": row["id"], "subject": row["subject"]} for row in csv.DictReader(file)]
    write_csv(out / "subjects.csv", rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.finetune_tasks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with train and train_volumes")
    parser.add_argument("--out", type=Path, required=True, help="not in the repository: the tasks are patients' images")
    args = parser.parse_args(arguments)
    write_tasks(args.data, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
