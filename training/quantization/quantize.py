"""From a floating-point model to the same model with quantizers, and to scales that fit its activations."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Protocol

import torch
import torch.distributed as dist
from brevitas.core.scaling import ParameterFromRuntimeStatsScaling
from brevitas.graph.calibrate import calibration_mode
from torch import Tensor, nn
from tqdm import tqdm

from training.quantization.layers import counterpart, drop_sign, has_counterpart
from training.quantization.recipe import Recipe

INPUT = ".input_quant"  # the quantizer of a layer's input; the inputs of a product of attention have others
MAPS_OF_MEMORY = "slice_memory.mix", "slice_memory.adds."
NEVER_RUN = ("mask_decoder.output_hypernetworks_mlps.[123].*",)  # the multimask outputs of LiteMedSAM


class Clips(Protocol):
    frames: Tensor
    boxes: Tensor
    places: Tensor
    neighbours: Tensor


class Batch(Protocol):
    images: Tensor
    boxes: Tensor
    image_index: Tensor
    clips: tuple[Clips, ...]


def quantize(model: nn.Module, recipe: Recipe) -> nn.Module:
    """Replace the layers that the recipe names by quantized ones, in place; returns the model.

    Weights keep their values and names; layers that are quantized already keep their scales, so that the stages of
    training can quantize one part after the other. Scales of activations are not set yet: `calibrate` does that, or
    loading a checkpoint. Raises ValueError for a model whose batch norms are merged already, or whose one part was
    quantized by another recipe, and for a pattern in `keep_float` that matches no module.
    """
    if getattr(model, "batchnorm_merged", False):
        raise ValueError("batch norms are merged into the weights already: quantize before merging")
    earlier = getattr(model, "recipe", None)
    recipe = joined(earlier, recipe)
    for name in chosen_layers(model, recipe):
        layer = model.get_submodule(name)
        model.set_submodule(name, counterpart(layer, recipe).train(layer.training))
    model.recipe = recipe
    return with_unsigned(model, recipe.unsigned) if earlier is None else model


def with_unsigned(model: nn.Module, names: Iterable[str]) -> nn.Module:
    """Drop the sign bit of these layers' inputs, whose scales are not set yet; in place."""
    for name in names:
        drop_sign(model.get_submodule(name))
    model.recipe = replace(model.recipe, unsigned=tuple(sorted({*model.recipe.unsigned, *names})))
    return model


def joined(earlier: Recipe | None, later: Recipe) -> Recipe:
    """The recipe of a model whose parts are quantized one after the other; they may differ in nothing else."""
    if earlier is None:
        return later
    parts = {part: getattr(earlier, part) or getattr(later, part) for part in ("image_encoder", "mask_decoder")}
    parts["unsigned"] = earlier.unsigned
    if replace(earlier, **parts) != replace(later, **parts):
        raise ValueError(f"the model is quantized in part already, by another recipe: {earlier}")
    return replace(later, **parts)


def chosen_layers(model: nn.Module, recipe: Recipe) -> list[str]:
    """Names of the floating-point layers that a recipe quantizes. Raises ValueError for a pattern in `keep_float` that
    matches no module."""
    names = [name for name, _ in model.named_modules()]
    for pattern in recipe.keep_float:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"quantization.keep_float: {model.name} has no module that matches '{pattern}'")
    parts = {"image_encoder": recipe.image_encoder, "mask_decoder": recipe.mask_decoder}
    kept = (*recipe.keep_float, *NEVER_RUN)
    return [
        name
        for name, module in model.named_modules()
        if parts.get(part_of(name), False)
        and has_counterpart(module, recipe)
        and not any(fnmatchcase(name, pattern) for pattern in kept)
    ]


def part_of(name: str) -> str:
    """The part of the model that a module belongs to; the volume decoder has parts of its own, of the same names.

    Of its memory what makes the maps that a mask decoder's inputs get belongs to that; what is compared does not.
    """
    name = name.removeprefix("volume_decoder.")
    return "mask_decoder" if name.startswith(MAPS_OF_MEMORY) else name.partition(".")[0]


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the scales that are not set yet from the activations of a few batches (run-time statistics), in place.

    The model runs in eval mode; a quantizer whose scale is not set lets its input pass. Where no input is negative, the
    quantizer loses its sign bit first, unless the recipe keeps all signed. Scales set before, learned or loaded, stay.
    Raises ValueError where a quantizer saw no data.
    """
    if all(map(is_set, activation_scales(model).values())):
        return
    batches = list(batches)
    was_training = model.training
    model.eval()
    if not model.recipe.signed:
        with_unsigned(model, never_negative(model, batches))
    fresh = {name: scale for name, scale in activation_scales(model).items() if not is_set(scale)}
    with ExitStack() as stack:
        for name in fresh:
            stack.enter_context(calibration_mode(model.get_submodule(proxy_of(name))))
        for batch in with_bar(batches, "calibrate scales"):
            show(model, batch)
        idle = [name for name, scale in fresh.items() if scale.counter == 0]
    model.train(was_training)
    if idle:
        raise ValueError(f"no data reached {len(idle)} quantizers in calibration, the first is {proxy_of(idle[0])}")


def with_bar(batches: Iterable[Batch], title: str) -> Iterable[Batch]:
    """The batches, under a progress bar on the terminal of the first process."""
    is_first = not dist.is_initialized() or dist.get_rank() == 0
    return tqdm(batches, title, unit="batch", disable=None if is_first else True)


def show(model: nn.Module, batch: Batch) -> None:
    """Run a model on a batch, for what can be seen on the way: its stills, and its clips slice after slice."""
    embeddings = model.encode(batch.images)
    model.decode(embeddings, batch.boxes, batch.image_index)
    for clips in batch.clips:
        state = model.empty_state(len(clips.boxes), embeddings[0])
        for frames, place in zip(clips.frames.T, clips.places.unbind(dim=1), strict=True):
            state = model.follow(embeddings, clips.boxes, place, clips.neighbours, state, frames).state


def never_negative(model: nn.Module, batches: Iterable[Batch]) -> list[str]:
    """Names of the quantized layers whose scale is not set and whose input is never below 0 in the batches, those of
    other processes included."""
    fresh = [proxy_of(name) for name, scale in activation_scales(model).items() if not is_set(scale)]
    layers = [name.removesuffix(INPUT) for name in fresh if name.endswith(INPUT)]
    lowest = torch.full((len(layers),), torch.inf, device=next(model.parameters()).device)

    def note(index: int, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        lowest[index] = torch.minimum(lowest[index], arguments[0].min())

    hooks = [model.get_submodule(name).register_forward_pre_hook(partial(note, i)) for i, name in enumerate(layers)]
    for batch in with_bar(batches, "calibrate signs"):
        show(model, batch)
    for hook in hooks:
        hook.remove()
    if dist.is_initialized():
        dist.all_reduce(lowest, op=dist.ReduceOp.MIN)
    return [name for name, value in zip(layers, lowest.tolist(), strict=True) if value >= 0]


def activation_scales(model: nn.Module) -> dict[str, ParameterFromRuntimeStatsScaling]:
    """The learned scales of activations, by module name."""
    modules = model.named_modules()
    return {name: module for name, module in modules if isinstance(module, ParameterFromRuntimeStatsScaling)}


def is_set(scale: ParameterFromRuntimeStatsScaling) -> bool:
    return scale.counter > scale.collect_stats_steps


def proxy_of(scale_name: str) -> str:
    """Module name of the quantizer that a scale belongs to: `...fc1.input_quant`, `...query_key.left.act_quant`."""
    return scale_name.partition(".fused_activation_quant_proxy")[0]


def expect_scales(model: nn.Module) -> nn.Module:
    """Give every scale that is not set a placeholder, so that a checkpoint's scales load strictly."""
    for scale in activation_scales(model).values():
        scale.init_scale()
    return model
