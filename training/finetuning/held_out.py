"""From a folder to what is learned from and what is held out."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference.errors import CaseError
from training.data.index import build_index
from training.data.targets import TargetConfig
from training.finetuning.data import (
    REPLAYED,
    HeldOut,
    Prepared,
    prepare,
    replayed_files,
    size_of,
    write_held_out,
    write_training_tree,
)
from training.finetuning.subjects import by_pattern, by_table, held_out
from training.finetuning.task import Task
from training.finetuning.workplace import fingerprint, keep_settings
from training.model.checkpoint import read_checkpoint

MOST_HELD = 2**30  # bytes of decoded cases that are all held in memory; the run holds them twice
FEWEST = 10  # images, or slices of volumes, that hold an object


@dataclass(frozen=True)
class Split:
    """objects: those that are held out. settings: `key=value` of what the run sees; calibration: of what the quantized
    model sees. facts: what was done, in words, by what it is."""

    objects: list[HeldOut]
    settings: list[str]
    calibration: list[str]
    facts: dict[str, str]


def split(task: Task) -> Split:
    """Prepare the data, and hold some of their subjects out.

    Raises:
        CaseError, SetupError, ValueError: they do not do; the message says why, and what would.
    """
    place = task.place
    cases = prepare(task.source.files, task.source, place.cases, task.workers)
    size = size_of(cases)
    if size.slices < FEWEST:
        raise CaseError(f"{task.source.folder}: {size.slices} images or slices hold objects, {FEWEST} are needed")
    subjects, how = subjects_of(cases, task)
    kept_back = held_out(subjects, task.held_out)
    keep_settings(place, task.settings | {"data": fingerprint(cases), "subjects": sorted(kept_back)})

    replayed: list[Prepared] = []
    if task.replay is not None:
        replayed = prepare(replayed_files(task.replay), task.replay, place.replay, task.workers)
    learned = [case for case in cases if subjects[case.name] not in kept_back]
    write_training_tree(learned, replayed, place.train)
    scored = [case for case in cases if subjects[case.name] in kept_back]
    objects = write_held_out(scored, lambda case: subjects[case.name], place.held_out)
    if not objects:
        raise CaseError("no object that is held out is large enough to be scored")
    settings = run_settings(task, learned, replayed)
    if size.held_bytes > MOST_HELD:
        settings.append("data.in_memory=false")
    follows = read_checkpoint(task.checkpoint).follows
    volumes = len(build_index(place.train, TargetConfig(), place.index).objects) > 0
    clips = ["data.clips.per_batch=1"] if follows and volumes else []
    facts = {
        "subjects": f"{len(set(subjects.values()))} in {len(cases)} files, {how}",
        "held out": f"{len(kept_back)} subjects, {len({item.case for item in objects})} files, {len(objects)} objects",
        "learned from": f"{len(learned)} files" + (f", and {len(replayed)} replayed" if replayed else ""),
        **({"volumes": "followed as before, there are none to learn from"} if follows and not volumes else {}),
    }
    moved = ["data.clips.pairs=true"] if follows and not volumes else []  # in place of slices, for the scales alone
    return Split(objects, [*settings, *clips], [*settings, *clips, *moved], facts)


def subjects_of(cases: Sequence[Prepared], task: Task) -> tuple[dict[str, str], str]:
    """The subject of each case by its name, and how it was found."""
    names = [case.name for case in cases]
    if task.subject is not None:
        return by_pattern(names, task.subject), f"by the pattern {task.subject} of their names"
    if task.subjects is not None:
        return by_table(names, task.subjects), f"by {task.subjects}"
    return {name: name for name in names}, "each file taken for one: --subject or --subjects where that is not so"


def run_settings(task: Task, learned: Sequence[Prepared], replayed: Sequence[Prepared]) -> list[str]:
    """What the run sees: own modalities alike, and what is replayed at its share."""
    own, others = ({case.modality for case in cases} for cases in (learned, replayed))
    share = task.replay_share if others else 0.0
    weights = {modality: (1 - share) / len(own) for modality in sorted(own)}
    weights |= {f"{modality}{REPLAYED}": share / len(others) for modality in sorted(others)}
    return [
        f"data.root={task.place.train}",
        f"data.index={task.place.index}",
        f"data.normalise={task.normalise}",
        f"data.sampling.modality_weights={weights}",
        f"data.clips.modality_weights={weights}",
    ]
