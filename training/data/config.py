"""Everything that decides which batches a training run sees, in one place."""

from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from torch import nn

from inference.model.metadata import AFTER_PADDING, BEFORE_PADDING
from training.data.augmentation import AugmentationConfig
from training.data.boxes import BoxConfig
from training.data.clips import ClipConfig
from training.data.sampling import SamplingConfig
from training.data.targets import TargetConfig

T = TypeVar("T")


@dataclass(frozen=True)
class DataConfig:
    """Configuration of the data side; its YAML form nests in the same way.

    root: `<root>/<Modality>/<Dataset>/*.npz`; index: file of the cached index (None: `<root>/.index.npz`).
    batch_size: images per batch and process; input_size: side of the model's input, px.
    normalise: `after_padding` (QMedSAM) or `before_padding` (LiteMedSAM), as at run time.
    seed: with the step number, all that randomness depends on.
    in_memory: decode the whole data set once; otherwise read from disk and hold `cache_gib` of decoded cases.
    on_device: hold the whole data set in the device's memory too, and cut out and shrink there: for a GPU that would
        wait for the host. Images may be up to twice as large as the input.
    workers: threads that prepare batches; ahead: batches prepared ahead of the step.
    augmentation_strength: factors on the probabilities of all augmentations but crops, by modality, for stills: more
        than 1 for modalities of which there is little (Yu).
    processes: draw crops, augmentations and clips in this many processes of their own, 0 for in the threads: for a GPU
        that would wait for the one interpreter. `ahead` should be as large; `cache_gib`, and volumes of clips, count
        for each of them.
    """

    root: str
    index: str | None = None
    batch_size: int = 16
    input_size: int = 256
    normalise: str = AFTER_PADDING
    seed: int = 0
    in_memory: bool = True
    on_device: bool = False
    cache_gib: float = 2.0
    workers: int = 1
    processes: int = 0
    ahead: int = 3
    targets: TargetConfig = field(default_factory=TargetConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    augmentation_strength: dict[str, float] = field(default_factory=dict)
    boxes: BoxConfig = field(default_factory=BoxConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)

    def __post_init__(self) -> None:
        if self.normalise not in (AFTER_PADDING, BEFORE_PADDING):
            raise ValueError(f"normalise '{self.normalise}': {AFTER_PADDING} or {BEFORE_PADDING} is needed")
        if self.processes < 0:
            raise ValueError(f"data.processes is {self.processes}: 0 or more is needed")
        if self.on_device and not self.in_memory:
            raise ValueError("on_device holds all data on the device: it needs in_memory too")
        if min(self.augmentation_strength.values(), default=0) < 0:
            raise ValueError("data.augmentation_strength must not be negative")

    def augmentation_of(self, modality: str) -> AugmentationConfig:
        """The augmentations of a modality's stills."""
        factor = self.augmentation_strength.get(modality)
        return self.augmentation if factor is None else self.augmentation.strengthened(factor)

    def with_boxes_of(self, model: nn.Module) -> "DataConfig":
        """This configuration with boxes that end where the model's do."""
        return replace(self, boxes=replace(self.boxes, convention=model.box_convention))


def from_mapping(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """Make a (nested) configuration dataclass from a mapping as YAML gives it; what is left out keeps its default.

    A nested mapping may name some of a nested dataclass' fields only. A `Range` is also accepted as a list
    `[probability, low, high]`.

    Raises:
        ValueError: a name that the configuration does not have, or text where a number is needed.
    """
    hints = get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise ValueError(f"unknown setting {where}{sorted(unknown)[0]}; known: {', '.join(hints)}")
    return kind(**{name: _value(hints[name], value, f"{where}{name}") for name, value in values.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _nested(kind, value, f"{where}.")
    if isinstance(value, str) and kind in (float, float | None):  # YAML takes 1e-3 for text: it lacks a point
        try:
            return float(value)
        except ValueError as error:
            raise ValueError(f"{where} is '{value}', a number is needed") from error
    return value


def _nested(kind: type, value: Any, where: str) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, list | tuple):
        return kind(*value)
    return from_mapping(kind, value, where)
