"""How each model is fine-tuned and brought to 8 bits. Another model is another entry of `PROCEDURES`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from inference.model.metadata import AFTER_PADDING
from training.configs import CONFIGS
from training.model.checkpoint import load_model
from training.trainer.config import read_config
from training.trainer.stage_runs import FAST, RECIPES, train_stages
from training.trainer.stages import calibrated


@dataclass(frozen=True)
class Procedure:
    """config: file of the run's settings. quantize: makes the quantized model of a floating-point checkpoint, of a
    folder for what it leaves, of the settings `key=value` that say what data it sees, and of a recipe. recipes: those
    that there are. checkpoint: what ships of the model."""

    config: Path
    quantize: Callable[[Path, Path, Sequence[str], str], nn.Module]
    recipes: Sequence[str] = (FAST,)
    checkpoint: Path | None = None


def by_calibration(checkpoint: Path, runs: Path, data: Sequence[str], recipe: str) -> nn.Module:
    """The layers of stage 3 in 8 bits, with scales that a few batches of the data show; nothing is trained."""
    settings = [f"output={runs}", f"init={checkpoint}", f"distillation.teacher={checkpoint}", *data]
    return calibrated(read_config(CONFIGS / RECIPES["light"][recipe].format(3), settings))


def in_stages(checkpoint: Path, runs: Path, data: Sequence[str], recipe: str) -> nn.Module:
    """QMedSAM's three stages, of images of any size; those that are trained already are not trained again."""
    settings = ["validation.root=null", "data.on_device=false", *data]  # with root and order of normalisation
    return load_model(train_stages(checkpoint, Path(), runs, AFTER_PADDING, settings, recipe))


PROCEDURES = {
    "light": Procedure(CONFIGS / "finetune_light.yaml", by_calibration, checkpoint=Path("weights/light.pt")),
    "litemedsam": Procedure(
        CONFIGS / "finetune_litemedsam.yaml", in_stages, tuple(RECIPES["litemedsam"]), Path("weights/litemedsam/float")
    ),
}
