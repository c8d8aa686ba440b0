"""Everything that decides a training run, in one place; its YAML form nests in the same way."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from training.data.config import DataConfig, from_mapping
from training.quantization import Recipe
from training.scoring.validation import ValidationConfig
from training.trainer.compiled import COMPILERS
from training.trainer.losses import MASK_LOSSES

STAGES = (0, 1, 2, 3)
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("stable", "cosine", "plateau")
PRECISIONS = ("bf16", "float32")
PARTS = ("image_encoder", "prompt_encoder", "mask_decoder", "volume_decoder")
LOSSES = (*MASK_LOSSES, "iou")


@dataclass(frozen=True)
class BudgetConfig:
    """When a run is over: at the first limit that is reached. At least one is needed.

    samples counts images over all processes; minutes counts training time, without validation, over all resumptions.
    patience: a run also ends after so many validations without a better score; it is no limit of its own.
    """

    epochs: int | None = None
    samples: int | None = None
    minutes: float | None = None
    patience: int | None = None


@dataclass(frozen=True)
class OptimizerConfig:
    """kind: `adamw` or `sgd`. Weight decay is for matrices and kernels only. clip_norm: 0 for no clipping."""

    kind: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        check_choice("optimizer.kind", self.kind, OPTIMIZERS)


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate goes; see `training.trainer.schedule`.

    kind: `stable` (linear warm-up over `warmup_steps`, constant, linear cool-down to 0 over the last `cooldown` of the
    budget), `cosine` (per epoch: linear warm-up from `warmup_start` over `warmup_epochs`, cosine over `cosine_epochs`
    to `cosine_end`), or `plateau` (times `plateau_factor` after `plateau_patience` epochs without a better loss).
    """

    kind: str = "stable"
    warmup_steps: int = 500
    cooldown: float = 0.3
    warmup_start: float = 0.01
    warmup_epochs: int = 5
    cosine_epochs: int = 10
    cosine_end: float = 0.001
    plateau_factor: float = 0.9
    plateau_patience: int = 5

    def __post_init__(self) -> None:
        check_choice("schedule.kind", self.kind, SCHEDULES)


@dataclass(frozen=True)
class DistillationConfig:
    """teacher: a checkpoint; None takes the run's `init`. embeddings, logits: weights of the two losses, 0 for none."""

    teacher: str | None = None
    embeddings: float = 0.0
    logits: float = 0.0

    @property
    def is_on(self) -> bool:
        return self.embeddings > 0 or self.logits > 0


@dataclass(frozen=True)
class TrainConfig:
    """A run.

    output: folder of its checkpoints, logs and plots. stage: 0 floating point, 1 quantized encoder, 2 quantized
    decoder, 3 both. init: checkpoint to start from (stages 1 to 3 need one). frozen: parts of the model that stay as
    they are in stage 0, e.g. `image_encoder`. keep_batchnorm: BatchNorm keeps the running statistics that it has, as in
    stages 1 to 3: for runs that change a trained model a little, on batches of mixed kinds. quantization: what is
    quantized. losses: weights by name (`training.trainer.losses.MASK_LOSSES`, `iou`). ema: decay of the averaged
    weights, which are then those that are validated and kept; 0 for none. precision: `bf16` or `float32`. compiler: of
    image encoder and mask decoder, `inductor` for a GPU (minutes before the first step, quicker ones after); None for
    none. checkpoint_minutes: between two saves. log_steps: between two rows of the log. threads: CPU threads of a step
    (None: torch's default).
    """

    output: str
    data: DataConfig
    budget: BudgetConfig
    stage: int = 0
    model: str = "litemedsam"
    init: str | None = None
    frozen: tuple[str, ...] = ()
    keep_batchnorm: bool = False
    quantization: Recipe = field(default_factory=Recipe)
    losses: dict[str, float] = field(default_factory=lambda: {"dice": 1.0, "focal": 1.0})
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    ema: float = 0.0
    precision: str = "float32"
    compiler: str | None = None
    device: str = "auto"
    threads: int | None = None
    checkpoint_minutes: float = 5.0
    log_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("stage", self.stage, STAGES)
        check_choice("precision", self.precision, PRECISIONS)
        if self.compiler is not None:
            check_choice("compiler", self.compiler, COMPILERS)
        if self.stage > 0 and self.init is None:
            raise ValueError(f"stage {self.stage} starts from a checkpoint: set init=PATH")
        object.__setattr__(self, "frozen", tuple(self.frozen))  # YAML has lists
        for name in self.frozen:
            check_choice("frozen", name, PARTS)
        if replace(self.budget, patience=None) == BudgetConfig():
            raise ValueError("no budget: set budget.epochs, budget.samples or budget.minutes")
        if not self.losses:
            raise ValueError(f"no losses: at least one of {', '.join(LOSSES)} is needed")
        for name in self.losses:
            check_choice("losses", name, LOSSES)
        counts = {
            "data.batch_size": self.data.batch_size,
            "data.workers": self.data.workers,
            "validation.every_epochs": self.validation.every_epochs,
            "log_steps": self.log_steps,
            **{f"budget.{name}": limit for name, limit in vars(self.budget).items() if limit is not None},
        }
        for name, count in counts.items():
            if count <= 0:
                raise ValueError(f"{name} is {count}: more than 0 is needed")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value}: one of {', '.join(map(str, choices))} is needed")


def read_config(path: Path, overrides: list[str]) -> TrainConfig:
    """Read a YAML file and apply `key=value` overrides, where a key is dotted and a value is YAML.

    Raises:
        ValueError: the file cannot be read, or names a setting that does not exist; the message says which.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds no settings")
    for override in overrides:
        apply_override(values, override)
    try:
        return from_mapping(TrainConfig, values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `a.b=value` in a nested mapping, in place."""
    key, separator, value = override.partition("=")
    if not separator:
        raise ValueError(f"'{override}': expected key=value")
    *parents, name = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"'{override}': {parent} is a value, not a group of settings")
    values[name] = yaml.safe_load(value)
