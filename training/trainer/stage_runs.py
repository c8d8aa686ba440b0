"""The three stages of quantization-aware training, one run after the other, or the calibration alone."""

import os
from pathlib import Path

import torch

from training.configs import CONFIGS
from training.model.checkpoint import DEFAULT_MODEL, read_checkpoint, save_checkpoint
from training.trainer.config import read_config
from training.trainer.loop import train
from training.trainer.run import BEST, LAST
from training.trainer.stages import calibrated

PAPER, FAST = "paper", "fast"
# File names of the stages' configurations: the paper's protocol, and ours, of those layers that a CPU runs faster in 8
# bits. A model's first recipe is taken where none is named.
RECIPES = {
    "litemedsam": {PAPER: "stage{}.yaml", FAST: "litemedsam_stage{}.yaml"},
    "litemedsam_narrow": {PAPER: "stage{}.yaml"},
    "light": {FAST: "light_stage{}.yaml"},
}
# LiteMedSAM's fast recipe is written for a GPU; on a CPU a batch of 16 would take some 80 GB, a step of it minutes.
ON_CPU = (
    "data.on_device=false",
    "data.batch_size=2",
    "precision=bf16",
    "optimizer.lr=5e-5",
    "schedule.warmup_steps=8",
    "log_steps=8",
)
CLIPS = 1  # per batch and process, of models that follow objects through volumes


def train_stages(
    checkpoint: Path, root: Path, runs: Path, normalise: str, overrides: list[str], recipe: str | None = None
) -> Path:
    """Stages 1, 2 and 3.

    Args:
        checkpoint: floating-point checkpoint.
        root: training tree.
        runs: folder for the runs, `stage1` to `stage3`.
        normalise: `after_padding` or `before_padding`, as the checkpoint was trained.
        overrides: settings `key=value` for every stage.
        recipe: of `RECIPES`; None takes the model's first.

    Returns:
        The best checkpoint of stage 3.

    Raises:
        ValueError: there is no such recipe, or a stage was begun from other weights than it would be now.
    """
    file, settings = configured(checkpoint, root, normalise, recipe)
    init = checkpoint
    for stage in (1, 2, 3):
        output = runs / f"stage{stage}"
        check_begun_from(output, init)
        if os.environ.get("RANK", "0") == "0":
            print(f"stage {stage} of 3: {output}", flush=True)
        run = [f"output={output}", f"init={init}"]
        train(read_config(CONFIGS / file.format(stage), [*run, *settings, *overrides]))
        init = output / BEST
    return init


def calibrate_only(
    checkpoint: Path, root: Path, runs: Path, normalise: str, overrides: list[str], recipe: str | None = None
) -> Path:
    """No stage: what stage 3 quantizes, with the scales that it would start from, and all weights of the checkpoint.

    Arguments as of `train_stages`; the folder in `runs` is `calibrated`.

    Returns:
        The quantized checkpoint.

    Raises:
        ValueError: there is no such recipe.
    """
    file, settings = configured(checkpoint, root, normalise, recipe)
    best = runs / "calibrated" / BEST
    # Of few batches, only the images that they show are read.
    run = [f"output={best.parent}", f"init={checkpoint}", "data.in_memory=false"]
    model = calibrated(read_config(CONFIGS / file.format(3), [*run, *settings, *overrides]))
    save_checkpoint(best, model)
    return best


def configured(checkpoint: Path, root: Path, normalise: str, recipe: str | None) -> tuple[str, list[str]]:
    """The name of the stages' files, with {} for the number, and the settings that all stages share."""
    content = read_checkpoint(checkpoint)
    name = content.model_name or DEFAULT_MODEL
    recipes = RECIPES.get(name, {})
    if not recipes or recipe not in (None, *recipes):
        known = f"known: {', '.join(recipes)}" if recipes else "none is known"
        raise ValueError(f"{checkpoint}: no recipe {recipe!r} for the model {name!r}; {known}")
    recipe = recipe or next(iter(recipes))
    settings = [f"model={name}", f"data.root={root}", f"data.normalise={normalise}"]
    settings.append(f"distillation.teacher={checkpoint}")  # it teaches all stages, where they are taught
    if content.follows:
        settings.append(f"data.clips.per_batch={CLIPS}")
    on_device = ON_CPU if (name, recipe) == ("litemedsam", FAST) and not torch.cuda.is_available() else ()
    return recipes[recipe], [*settings, *on_device]


def check_begun_from(output: Path, init: Path) -> None:
    """Raise ValueError where the run in `output` was begun from other weights than `init` holds now."""
    last = output / LAST
    if last.exists() and last.stat().st_mtime_ns < init.stat().st_mtime_ns:
        raise ValueError(f"{last}: older than {init}, from which it should go on; remove {output} to begin it anew")
