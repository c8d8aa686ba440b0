"""How each model is fine-tuned and brought to 8 bits. Another model is another entry of `PROCEDURES`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from training.data.loader import Loader
from training.trainer.config import read_config
from training.trainer.stage_runs import CONFIGS, FAST, RECIPES
from training.trainer.stages import make_model, set_scales


@dataclass(frozen=True)
class Procedure:
    """config: file of the run's settings. quantize: makes the quantized model of a floating-point checkpoint, of a
    folder for what it leaves, and of the settings `key=value` that say what data it sees."""

    config: Path
    quantize: Callable[[Path, Path, Sequence[str]], nn.Module]


def calibrated(checkpoint: Path, runs: Path, data: Sequence[str]) -> nn.Module:
    """The layers of stage 3 in 8 bits, with scales that a few batches of the data show; nothing is trained."""
    settings = [f"output={runs}", f"init={checkpoint}", f"distillation.teacher={checkpoint}", *data]
    config = read_config(CONFIGS / RECIPES["light"][FAST].format(3), settings)
    model = make_model(config)
    set_scales(model, config, Loader(config.data.with_boxes_of(model)), None)
    return model.eval()


PROCEDURES = {"light": Procedure(CONFIGS / "finetune_light.yaml", calibrated)}
