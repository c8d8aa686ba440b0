"""The stages of QMedSAM: which part of the model is quantized, which is trained, and who teaches."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from training.data.loader import Loader
from training.model import build_model
from training.model.checkpoint import load_model, read_checkpoint
from training.quantization import Recipe, calibrate, expect_scales, quantize, with_unsigned
from training.trainer.config import PARTS, TrainConfig

# Parts that learn in each stage; all others are frozen: no gradient, BatchNorm by its running statistics.
TRAINED = {
    0: PARTS,
    1: ("image_encoder",),
    2: ("mask_decoder", "volume_decoder"),
    3: ("image_encoder", "mask_decoder", "volume_decoder"),
}
CALIBRATION_BATCHES = 8  # whose run-time statistics initialise the scales of activations


def make_model(config: TrainConfig) -> nn.Module:
    """The model of a stage, initialised, quantized as far as the stage goes, with gradients only where it trains.

    Raises:
        CheckpointError: `init` cannot be used.
        ValueError: the model takes no images of `data.input_size`, or cannot follow the clips asked for.
    """
    torch.manual_seed(config.seed)
    model = build_model(config.model) if config.init is None else load_model(Path(config.init), config.model)
    fit_inputs(model, config.data.input_size)
    if config.stage > 0:
        # Parts that `init` has quantized already keep their scales.
        quantize(
            model, replace(config.quantization, mask_decoder=config.stage > 1 and config.quantization.mask_decoder)
        )
    if config.data.clips.is_on:
        if config.stage == 0 and hasattr(model, "learn_to_follow"):
            model.learn_to_follow()
        if not model.state:
            raise ValueError(f"data.clips: the model {model.name} has not learnt to follow objects through volumes")
    return freeze(model, config)


def fit_inputs(model: nn.Module, size: int) -> None:
    """Have a model take images of `size` px a side, in place. Raises ValueError where it cannot."""
    if size != model.input_size:
        if not hasattr(model, "take_inputs_of"):
            raise ValueError(f"data.input_size={size}: the model {model.name} takes {model.input_size} only")
        model.take_inputs_of(size)


def freeze(model: nn.Module, config: TrainConfig) -> nn.Module:
    """Give the trained parts of a stage gradients, and the others none, in place; returns the model."""
    for name, part in model.named_children():
        part.requires_grad_(is_trained(name, config))
    return model


def is_trained(part: str, config: TrainConfig) -> bool:
    """Whether a part of the model learns in a run."""
    return part in TRAINED[config.stage] and part not in config.frozen


def make_teacher(config: TrainConfig) -> nn.Module | None:
    """The frozen teacher of a run with distillation: its own checkpoint, or the floating-point model of `init`.

    Raises:
        CheckpointError: its checkpoint cannot be used.
        ValueError: there is none.
    """
    if not config.distillation.is_on:
        return None
    path = config.distillation.teacher or config.init
    if path is None:
        raise ValueError("distillation needs a teacher: set distillation.teacher or init")
    teacher = load_model(Path(path))
    if teacher.name == config.model:
        fit_inputs(teacher, config.data.input_size)  # so that its embeddings are as large as the student's
    return teacher.requires_grad_(False)


def set_scales(model: nn.Module, config: TrainConfig, loader: Loader, checkpoint: Path | None) -> None:
    """Make the scales of a quantized model's activations ready: to be loaded from the checkpoint that the run goes on
    from, or, at its start, from what a few batches show."""
    if config.stage > 0 and checkpoint is not None:
        saved_recipe = Recipe.from_dict(read_checkpoint(checkpoint).recipe or {})
        expect_scales(with_unsigned(model, saved_recipe.unsigned))
    elif config.stage > 0:
        calibrate(model, [loader.batch(step) for step in range(CALIBRATION_BATCHES)])
    freeze(model, config)  # quantizers that have lost their sign bit are new


def calibrated(config: TrainConfig) -> nn.Module:
    """The model that a stage starts its training with, in eval mode: quantized, its scales set, no weight changed.

    Raises:
        CheckpointError: `init` cannot be used.
        CaseError: the training data cannot be used.
        ValueError: as `make_model` and `calibrate` do.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    model = make_model(config)
    set_scales(model, config, Loader(config.data.with_boxes_of(model)), None)
    return model.eval()


def set_training(model: nn.Module, config: TrainConfig) -> None:
    """Put the trained parts in training mode and the frozen ones in eval mode.

    Quantization-aware training starts from a trained model, in batches of two to four: BatchNorm keeps the running
    statistics that it has, which are also those that are merged into the weights at export.
    """
    for name, part in model.named_children():
        part.train(is_trained(name, config))
    if config.stage > 0 or config.keep_batchnorm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
