"""The way of a fine-tuning: learn, bring to 8 bits, score against what there was, and put the result together."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import pandas as pd

from inference.atomic import write_atomically
from inference.model.metadata import ENCODER
from training.data.tiles import in_rows
from training.export.pair import export_pair
from training.finetuning.card import Verdict, card, report
from training.finetuning.held_out import Split
from training.finetuning.procedures import PROCEDURES, Procedure
from training.finetuning.scores import gain, largest_changes, mean_by_modality, score_objects, segment_all
from training.finetuning.task import Task
from training.finetuning.workplace import RESULT, write_text
from training.model.checkpoint import DEFAULT_MODEL, CheckpointError, load_model, read_checkpoint, save_checkpoint
from training.scoring.case_tiles import row_of
from training.scoring.csv_table import write_csv
from training.scoring.validation import open_runner
from training.trainer.config import TrainConfig, read_config
from training.trainer.log import plot
from training.trainer.loop import train
from training.trainer.run import BEST, Run
from training.trainer.stage_runs import check_begun_from

OF_ALL_RUNS = ("data.", "budget.", "threads=")  # settings of the run that those of quantization take too
BEFORE, TUNED, INT8 = "before", "tuned", " int8"  # contenders: in floating point, and with the last in 8 bits


@dataclass(frozen=True)
class Outcome:
    """tables: of scores, by title."""

    tables: dict[str, pd.DataFrame]
    verdict: Verdict


def procedure_of(checkpoint: Path, model: str | None, recipe: str) -> Procedure:
    """
    Args:
        model: what the checkpoint holds, as a person says; None where it says so itself.

    Raises:
        CheckpointError: a checkpoint that cannot be read, is quantized, of another model, or of one that has no
            procedure or no such recipe.
    """
    content = read_checkpoint(checkpoint)
    name = content.model_name or model or DEFAULT_MODEL
    if model not in (None, name):
        raise CheckpointError(f"{checkpoint}: holds the model {name}, not {model}")
    if content.recipe is not None:
        raise CheckpointError(f"{checkpoint}: is quantized already; give a floating-point checkpoint")
    if name not in PROCEDURES:
        raise CheckpointError(f"{checkpoint}: no way is known to fine-tune {name}; known: {', '.join(PROCEDURES)}")
    procedure = PROCEDURES[name]
    if recipe not in procedure.recipes:
        known = ", ".join(procedure.recipes)
        raise CheckpointError(f"{checkpoint}: no recipe {recipe} for the model {name}; known: {known}")
    return procedure


def run_config(task: Task, procedure: Procedure, split_settings: Sequence[str]) -> TrainConfig:
    """Raises ValueError where a setting cannot be used."""
    place = task.place
    settings = [f"output={place.run}", f"init={task.checkpoint}", f"validation.root={place.held_out}", *split_settings]
    return read_config(procedure.config, [*settings, *task.overrides])


def learn(task: Task, procedure: Procedure, split: Split) -> Run:
    """Train, from where it was stopped if it was."""
    config = run_config(task, procedure, split.settings)
    check_begun_from(task.place.run, task.checkpoint)
    return train(config)


def make_result(task: Task, procedure: Procedure, split: Split, run: Run) -> Outcome:
    """Put all files of the result into `task.place.result`, in place of what was there."""
    place, best = task.place, task.place.run / BEST
    shutil.rmtree(place.result, ignore_errors=True)
    print("8 bits: calibration and export", flush=True)
    data = [*split.calibration, *(text for text in task.overrides if text.startswith(OF_ALL_RUNS))]
    export_pair(procedure.quantize(best, place.root / "int8", data, task.recipe), place.result, task.normalise)
    model = load_model(best)
    save_checkpoint(place.result / f"{model.name}.pt", model, half=True)

    weights = contenders(task)
    segs = {name: segment_all(open_runner(path, None, task.normalise), place.held_out, place.segs(name), name)
            for name, path in weights.items()}  # fmt: skip
    scores = score_objects(split.objects, place.held_out, segs)
    write_csv(place.result / "objects.csv", scores.to_dict("records"), floats=".5f")
    baseline = BEFORE + INT8 if BEFORE + INT8 in weights else BEFORE
    verdict = Verdict(gain(scores, "dsc", baseline, TUNED + INT8), gain(scores, "dsc", TUNED + INT8, TUNED).mean)
    outcome = Outcome(report(scores, list(weights), baseline, TUNED + INT8), verdict)

    start = {"samples": 0} | {f"dsc_{name}": value for name, value in mean_by_modality(scores, BEFORE).items()}
    plot(place.result / "learning_curve.png", run.state.steps, [start, *run.state.epochs])
    write_panel(place.result / "panel.png", place.held_out, segs, largest_changes(scores, baseline, TUNED + INT8))
    facts = facts_of(task, split, run)
    (place.result / "README.md").write_text(card(task.out.resolve().name, model.name, facts, outcome.tables, verdict))
    write_text(place.result / RESULT, json.dumps(facts | {"settings": task.settings}, indent=1))
    return outcome


def contenders(task: Task) -> dict[str, Path]:
    """Weights by the names of the columns; those that were there in 8 bits are taken from beside the checkpoint."""
    beside = task.checkpoint.parent
    before = {BEFORE: task.checkpoint} | ({BEFORE + INT8: beside} if (beside / ENCODER).exists() else {})
    return before | {TUNED: task.place.run / BEST, TUNED + INT8: task.place.result}


def facts_of(task: Task, split: Split, run: Run) -> dict[str, str]:
    state = run.state
    best = max(reversed(state.epochs), key=lambda row: row.get("dsc_mean", -1.0))
    return {
        "from": str(task.checkpoint),
        "data": task.source.folder.resolve().name,
        **split.facts,
        "training": f"{state.step} steps, {state.seconds / 60:.1f} minutes; the best are those of step {best['step']}",
    }


def write_panel(path: Path, held_out: Path, segs: dict[str, Path], cases: Sequence[str]) -> None:
    """Image, truth, before and after, a row per case."""
    shown = {name: folder for name, folder in segs.items() if name in (BEFORE, TUNED)}
    tiles = [tile for case in cases for tile in row_of(held_out, shown, case)]
    encoded = cv2.imencode(".png", in_rows(tiles, 2 + len(shown)))[1].tobytes()
    write_atomically(path, lambda file: file.write(encoded))
