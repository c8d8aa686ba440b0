"""The models, by name. Each has `encode` and `decode`, `image_encoder`, `prompt_encoder` and `mask_decoder`,
`name`, `input_size` and `box_convention`; see `training.model.sam.SAM` for shapes."""

from collections.abc import Callable

from torch import nn

from training.model.light import LightModel
from training.model.sam import lite_medsam, medsam_vit_b, narrow_lite_medsam

MODELS: dict[str, Callable[[], nn.Module]] = {
    "light": LightModel,
    "litemedsam": lite_medsam,
    "litemedsam_narrow": narrow_lite_medsam,
    "medsam_vit_b": medsam_vit_b,
}


def build_model(name: str) -> nn.Module:
    """The model of that name, freshly initialised, in training mode. Raises ValueError for an unknown name."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}: choose one of {', '.join(MODELS)}")
    return MODELS[name]()
