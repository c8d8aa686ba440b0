"""A person's images and volumes as what is learned from and what is held out: a training tree, and challenge cases."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from inference.errors import CaseError
from inference.files.itk import ending
from inference.options import CT, CT_WINDOW, Window
from training.data.challenge_files import make_folders, write_challenge_case
from training.data.labelled_case import LabelledCase, read_labelled_case
from training.data.labelled_files import LabelledFile, find_labelled
from training.data.preparation import Job, is_finished, make_cases, shrunk
from training.data.targets import TargetConfig, find_targets
from training.scoring.challenge_case import prompted

MODALITY = "Other"  # of images whose folders do not say
REPLAYED = " replayed"  # ends the modality of what is replayed, so that it can be sampled apart
MOST_REPLAYED = 200  # images and volumes, the same number of each modality


@dataclass(frozen=True)
class Source:
    """A folder of images or volumes with label maps, and what its files do not say.

    modality: of all files; None takes that of their folders `<Modality>/<dataset>/`, or `MODALITY` where they lie in
    others. longest_side: larger images are shrunk to it, px.
    """

    folder: Path
    modality: str | None = None
    image_suffix: str = ""
    label_suffix: str = ""
    longest_side: int = 1024
    ct_window: Window = CT_WINDOW

    @property
    def files(self) -> list[LabelledFile]:
        """Raises SetupError where nothing labelled is found."""
        return find_labelled(self.folder, self.image_suffix, self.label_suffix)


@dataclass(frozen=True)
class Prepared:
    """A case of the training tree, `<root>/<Modality>/<dataset>/<id>.npz`.

    name: of its file in the folder it comes from, with the folders below that and without ending.
    """

    path: Path
    name: str

    @property
    def modality(self) -> str:
        return self.path.parts[-3]

    @property
    def dataset(self) -> str:
        return self.path.parts[-2]


def prepare(files: Iterable[LabelledFile], source: Source, root: Path, workers: int) -> list[Prepared]:
    """Make cases of a training tree, as far as they are not made yet, with a line on standard error for each that
    cannot be used; those that can, in the order of the files.

    Raises:
        ValueError: a volume of unknown modality.
    """
    jobs = {"/".join((*file.folders, file.id)): job_of(file, source, root) for file in files}
    make_cases(list(jobs.values()), workers)
    return [Prepared(job.target, name) for name, job in jobs.items() if is_finished(job)]


def job_of(file: LabelledFile, source: Source, root: Path) -> Job:
    name = "_".join((*file.folders, file.id))
    modality, dataset = source.modality or MODALITY, source.folder.resolve().name
    if source.modality is None and len(file.folders) == 2:
        (modality, dataset), name = file.folders, file.id
    elif source.modality is None and is_scan(file):
        raise ValueError(f"{file.source}: CT is windowed, all else is not; say --modality CT, or MR, PET, US...")
    window = source.ct_window if modality == CT else None
    target = root / modality.replace("_", "-") / dataset / f"{name}.npz"
    sources = tuple(path for path in (file.image, file.label) if path is not None)
    return Job(sources, target, partial(read_usable, file, window, source.longest_side))


def is_scan(file: LabelledFile) -> bool:
    """Whether it is a volume in the unit of a scanner."""
    return file.label is not None and file.image is not None and (file.image.is_dir() or bool(ending(file.image)))


def read_usable(file: LabelledFile, ct_window: Window | None, longest_side: int) -> LabelledCase:
    """Read a case that holds something to learn.

    Raises:
        CaseError: it cannot be read, or all of its label map is one number.
    """
    case = file.read(ct_window)
    numbers = np.unique(case.gts)
    if len(numbers) == 1:
        what = f"holds the number {numbers[0]} alone; objects are numbered from 1, and 0 is background"
        raise CaseError(f"its label map {what if numbers[0] else 'holds no object, all of it is 0'}")
    return case if case.is_volume else shrunk(case, longest_side)


class Size(NamedTuple):
    """slices: images, and slices of volumes, that hold an object. held_bytes: of all cases when they are decoded."""

    slices: int
    held_bytes: int


def size_of(cases: Iterable[Prepared]) -> Size:
    """Read all cases, for how much there is."""
    slices = held_bytes = 0
    for prepared in cases:
        case = read_labelled_case(prepared.path)
        slices += np.count_nonzero(case.gts.any(axis=(-2, -1)))
        held_bytes += case.imgs.nbytes + case.gts.nbytes
    return Size(slices, held_bytes)


def write_training_tree(cases: Iterable[Prepared], replayed: Iterable[Prepared], root: Path) -> None:
    """Link the cases that are learned from, in place of what was there."""
    shutil.rmtree(root, ignore_errors=True)
    for kind, ending_of_modality in ((cases, ""), (replayed, REPLAYED)):
        for case in kind:
            link = root / f"{case.modality}{ending_of_modality}" / case.dataset / case.path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(case.path.resolve(), link)


def replayed_files(source: Source, most: int = MOST_REPLAYED, seed: int = 0) -> list[LabelledFile]:
    """Files to replay, drawn at random, as many of each modality as there are or as it gets of `most`."""
    queues: dict[str, list[LabelledFile]] = {}
    files = source.files
    for number in np.random.default_rng(seed).permutation(len(files)):
        queues.setdefault(files[number].folders[0] if files[number].folders else "", []).append(files[number])
    each = max(1, most // len(queues))
    return [file for queue in queues.values() for file in queue[:each]]


@dataclass(frozen=True)
class HeldOut:
    """An object that is held out.

    case: name of its challenge case, without ending. number: in the case, from 1. structure: what it is, as tables name
    it: its data set and its label.
    """

    case: str
    number: int
    subject: str
    dataset: str
    label: int


def write_held_out(cases: Sequence[Prepared], subject_of: Callable[[Prepared], str], root: Path) -> list[HeldOut]:
    """Write the challenge cases that are scored, `root/imgs` and `root/gts`, in place of what was there.

    Labels of images become objects as in training: one that is scattered over the image is many.

    Returns:
        Their objects; none of a case whose objects are all too small for a box, which is left out.
    """
    shutil.rmtree(root, ignore_errors=True)
    make_folders(root)
    objects: list[HeldOut] = []
    for case in tqdm(cases, "held out", unit="case", disable=None):
        labelled = read_labelled_case(case.path)
        split = labelled
        if not labelled.is_volume:
            targets = find_targets(labelled.gts, "", TargetConfig(unions={}))
            split = replace(labelled, gts=targets.objects)
        name = f"{labelled.gts.ndim}DBox_{case.modality}_{case.dataset}_{case.path.stem}"
        try:
            boxes, gts, _ = prompted(split, name)
        except CaseError as error:
            tqdm.write(f"{case.name}: not scored: {error}")
            continue
        write_challenge_case(root, name, labelled.imgs, boxes, gts, labelled.spacing)
        for number in range(1, len(boxes) + 1):
            label = int(labelled.gts[gts == number][0])
            objects.append(HeldOut(name, number, subject_of(case), case.dataset, label))
    return objects
