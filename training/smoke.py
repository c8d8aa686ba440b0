"""The whole of training at small scale, on a CPU in minutes: 16 real images through every stage, and one table."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from inference.errors import CaseError
from training.configs import CONFIGS
from training.data.labelled_case import LabelledCase, case_files, read_labelled_case, write_labelled_case
from training.data.targets import TargetConfig, find_targets
from training.export.pair import export_pair
from training.export.post_training import choice_of, export_calibrated
from training.model.checkpoint import CheckpointError, load_model
from training.scoring.csv_table import write_csv
from training.scoring.folder import evaluate_folder, summarise
from training.scoring.means import MEAN, by_modality
from training.scoring.validation import ValidationConfig, open_runner, score_cases
from training.trainer.config import read_config
from training.trainer.loop import train
from training.trainer.run import BEST

DESCRIPTION = """\
Proof at small scale: stage 0 overfits 16 real images (DSC above 0.9); stages 1 to 3 of quantization-aware training and
post-training quantization go on from there and end within 0.02 of it; the int8 ONNX pair of stage 3 scores in the
runtime what its checkpoint scores in torch, to 0.01. Takes the images from a training tree, puts everything into --out
and prints a table; the exit status is 1 where a figure is missed. A run that was stopped goes on where it was.
"""
IMAGES = 16
LEAST_SHARE = 0.01  # of the image that an object covers; smaller ones are a matter of resolution, not of training
LEAST_FILL = 0.4  # of its box that an object covers: vessels and rings take longer than minutes to learn
LEAST_FLOAT_DSC = 0.9
LARGEST_LOSS = 0.02
LARGEST_EXPORT_ERROR = 0.01
PREDICT = Path(__file__).parents[1] / "predict.sh"
EXPORTED = "smoke_stage3 as an int8 pair"
STAGES = ("smoke_stage0", "smoke_stage1", "smoke_stage2", "smoke_stage3")


def choose_cases(root: Path, count: int = IMAGES) -> list[tuple[str, LabelledCase]]:
    """(`Modality/Dataset`, case) of `count` images, by turns from all modalities; only their large, solid objects are
    kept.

    Raises:
        ValueError: the root holds too few.
    """
    queues: dict[str, list[Path]] = {}
    for path in case_files(root):
        queues.setdefault(path.relative_to(root).parts[0], []).append(path)
    chosen: list[tuple[str, LabelledCase]] = []
    while len(chosen) < count and any(queues.values()):
        for queue in queues.values():
            found = next_case(root, queue)
            if found is not None and len(chosen) < count:
                chosen.append(found)
    if len(chosen) < count:
        raise ValueError(f"{root}: {len(chosen)} suitable images, {count} are needed")
    return chosen


def next_case(root: Path, queue: list[Path]) -> tuple[str, LabelledCase] | None:
    """Take files off the queue up to the first image with a large, solid object."""
    while queue:
        path = queue.pop(0)
        dataset = path.parent.relative_to(root).as_posix()
        case = read_labelled_case(path)
        if not case.is_volume and (kept := with_solid_objects(case, dataset)).gts.any():
            return dataset, kept
    return None


def with_solid_objects(case: LabelledCase, dataset: str) -> LabelledCase:
    targets = find_targets(case.gts, dataset, TargetConfig(unions={}))
    box_areas = np.prod(targets.boxes[:, 2:] - targets.boxes[:, :2], axis=1)
    solid = (targets.areas >= LEAST_SHARE * case.gts.size) & (targets.areas >= LEAST_FILL * box_areas)
    gts = np.zeros_like(case.gts)
    for label, target in enumerate(np.flatnonzero(solid), start=1):
        gts[targets.objects == targets.members[target][0]] = label
    return LabelledCase(case.imgs, gts)


def write_roots(cases: list[tuple[str, LabelledCase]], out: Path) -> None:
    """Write the cases twice: `out/data`, a training tree, and `out/val`, validation cases with their tight boxes."""
    for part in ("imgs", "gts"):
        (out / "val" / part).mkdir(parents=True, exist_ok=True)
    for number, (dataset, case) in enumerate(cases):
        write_labelled_case(out / "data" / dataset / f"{number}.npz", case)
        name = f"2DBox_{dataset.split('/')[0]}_{number:04d}.npz"
        edges = find_targets(case.gts, dataset, TargetConfig(unions={}, dominance=0)).boxes
        np.savez_compressed(out / "val/imgs" / name, imgs=case.imgs, boxes=edges - [0, 0, 1, 1])
        np.savez_compressed(out / "val/gts" / name, gts=case.gts)


def run_all(out: Path) -> pd.DataFrame:
    """Train every stage from the best checkpoint of the one before, export, quantize after training: a row each."""
    rows, init = [], None
    for name in STAGES:
        overrides = [f"output={out / name}", f"data.root={out / 'data'}", f"validation.root={out / 'val'}"]
        config = read_config(CONFIGS / f"{name}.yaml", overrides + ([f"init={init}"] if init else []))
        began = time.monotonic()
        run = train(config)
        init = out / name / BEST
        minutes = (time.monotonic() - began) / 60
        rows.append({"run": name, "samples": run.state.samples, "minutes": minutes, "DSC": score(init, out)})

    export_pair(load_model(init), out / "int8")
    rows.append({"run": EXPORTED, "DSC": score_through_predict_sh(out / "int8", out)})
    floating = load_model(out / STAGES[0] / BEST)
    export_calibrated(floating, out / "data", out / "ptq", choice_of(floating), IMAGES)
    rows.append({"run": "post-training quantization", "DSC": score_through_predict_sh(out / "ptq", out)})
    return pd.DataFrame(rows)


def score(checkpoint: Path, out: Path) -> float:
    """DSC of a checkpoint in torch on the smoke run's images."""
    return by_modality(score_cases(open_runner(checkpoint), ValidationConfig(root=str(out / "val"))))[MEAN]


def score_through_predict_sh(pair: Path, out: Path) -> float:
    """DSC of an ONNX pair in the runtime, as the container starts it, on the smoke run's images."""
    segs = out / "segs" / pair.name
    environment = os.environ | {
        "INPUT_DIR": str((out / "val/imgs").resolve()),
        "OUTPUT_DIR": str(segs.resolve()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = ["sh", str(PREDICT), "--no-zoom", "--weights", str(pair.resolve())]  # torch is scored without zoom too
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return float(summarise(evaluate_folder(segs, out / "val/gts", workers=1)).loc[("2D", MEAN), "dsc"])


def missed(table: pd.DataFrame) -> list[str]:
    """What the table should show and does not."""
    scores = dict(zip(table["run"], table["DSC"], strict=True))
    reached = table["DSC"].iloc[0]
    complaints = [] if reached > LEAST_FLOAT_DSC else [f"stage 0 reached DSC {reached:.3f}, not {LEAST_FLOAT_DSC}"]
    for run, dsc in list(scores.items())[1:]:
        if dsc < reached - LARGEST_LOSS:
            complaints.append(f"{run} ended at DSC {dsc:.3f}, more than {LARGEST_LOSS} below floating point")
    if EXPORTED in scores and abs(scores[EXPORTED] - scores[STAGES[-1]]) > LARGEST_EXPORT_ERROR:
        complaints.append(f"the export of {STAGES[-1]} scores {scores[EXPORTED]:.3f}, not {scores[STAGES[-1]]:.3f}")
    return complaints


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.smoke",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path("../datasets/train"), help="training tree")
    parser.add_argument("--out", type=Path, default=Path("runs/smoke"), help="folder for data, runs and the table")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    try:
        write_roots(choose_cases(args.root), args.out)
        table = run_all(args.out)
    except (CaseError, CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    write_csv(args.out / "table.csv", table.to_dict("records"))
    print(table.to_string(index=False, float_format="{:.3f}".format))
    complaints = missed(table)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
