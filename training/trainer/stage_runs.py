"""The three stages of quantization-aware training, one run after the other."""

from pathlib import Path

from training.model.checkpoint import DEFAULT_MODEL, read_checkpoint
from training.trainer.config import read_config
from training.trainer.loop import train
from training.trainer.run import BEST, LAST

CONFIGS = Path(__file__).parents[1] / "configs"
# File names of the stages' configurations: the paper's protocol, and ours for the light model.
STAGES = {"litemedsam": "stage{}.yaml", "light": "light_stage{}.yaml"}
CLIPS = 1  # per batch and process, of models that follow objects through volumes


def train_stages(
    checkpoint: Path, root: Path, runs: Path, normalise: str, overrides: list[str], configs: str | None = None
) -> Path:
    """Stages 1, 2 and 3.

    Args:
        checkpoint: floating-point checkpoint.
        root: training tree.
        runs: folder for the runs, `stage1` to `stage3`.
        normalise: `after_padding` or `before_padding`, as the checkpoint was trained.
        overrides: settings `key=value` for every stage.
        configs: file name of the stages' configurations with {} for the stage; None takes those of `STAGES`.

    Returns:
        The best checkpoint of stage 3.

    Raises:
        ValueError: a stage was begun from other weights than it would be now.
    """
    content = read_checkpoint(checkpoint)
    name = content.model_name or DEFAULT_MODEL
    if name not in STAGES:
        raise ValueError(f"{checkpoint}: no configurations of stages for the model {name!r}")
    configs = configs or STAGES[name]
    init = checkpoint
    for stage in (1, 2, 3):
        output = runs / f"stage{stage}"
        check_begun_from(output, init)
        settings = [f"output={output}", f"init={init}", f"data.root={root}", f"data.normalise={normalise}"]
        settings.append(f"distillation.teacher={checkpoint}")  # it teaches all stages, where they are taught
        if content.follows:
            settings.append(f"data.clips.per_batch={CLIPS}")
        train(read_config(CONFIGS / configs.format(stage), [*settings, *overrides]))
        init = output / BEST
    return init


def check_begun_from(output: Path, init: Path) -> None:
    """Raise ValueError where the run in `output` was begun from other weights than `init` holds now."""
    last = output / LAST
    if last.exists() and last.stat().st_mtime_ns < init.stat().st_mtime_ns:
        raise ValueError(f"{last}: older than {init}, from which it should go on; remove {output} to begin it anew")
