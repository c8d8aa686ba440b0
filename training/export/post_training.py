"""Post-training quantization of a floating-point model: no training, a few hundred calibration images (Yu).

The model is exported, NNCF quantizes in both graphs the layers that quantization-aware training quantizes too, and the
int8 pair comes out as `export_pair` writes it, for the same runtime.
"""

import ast
import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from inference.model.metadata import AFTER_PADDING, DECODER, ENCODER, VOLUME_DECODER
from training.configs import CONFIGS
from training.data.augmentation import AugmentationConfig
from training.data.batch import Batch
from training.data.clips import ClipConfig
from training.data.config import DataConfig
from training.data.loader import Loader
from training.data.sampling import SamplingConfig
from training.export.form import for_export
from training.export.onnx_pair import INT8, describe, embedding_names, write_pair
from training.export.pair import trace_pair
from training.quantization import Recipe
from training.quantization.quantize import chosen_layers

sys.modules.setdefault("openvino_telemetry", None)  # NNCF and OpenVINO then report their use to nobody
import nncf  # noqa: E402
import openvino  # noqa: E402
from nncf.quantization.advanced_parameters import QuantizationParameters  # noqa: E402

Inputs = dict[str, np.ndarray]

# Which say what is quantized of a model, and what it is shown, as in its quantization-aware training.
STAGES = {"litemedsam": CONFIGS / "litemedsam_stage3.yaml", "light": CONFIGS / "light_stage3.yaml"}
IMAGES = 300  # for calibration
CLIPS = 60  # of five slices, for the calibration of the volume decoder


class StageChoice(NamedTuple):
    """What post-training quantization takes from a stage of training.

    recipe: which layers are quantized; numbers of bits, signs and scales are NNCF's own. dataset_weights: how often
    data sets are shown (`training.data.sampling.SamplingConfig`).
    """

    recipe: Recipe
    dataset_weights: dict[str, float]


EVERYTHING = StageChoice(Recipe(), {})  # all layers, all data sets alike


def choice_of(model: nn.Module, config: Path | None = None) -> StageChoice:
    """The choice of a stage's configuration: the given one, or the model's own (`STAGES`); of other models everything.

    Raises ValueError, naming the file, where it says nothing that can be used.
    """
    config = config or STAGES.get(model.name)
    if config is None:
        return EVERYTHING
    try:
        settings = yaml.safe_load(config.read_text())
        recipe = Recipe.from_dict(settings["quantization"])
        chosen_layers(model, recipe)
        sampling = settings.get("data", {}).get("sampling", {})
        return StageChoice(recipe, sampling.get("dataset_weights", {}))
    except (OSError, TypeError, KeyError, ValueError, AttributeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{config}: no quantization for the model {model.name}: {reason}") from error


def export_calibrated(
    model: nn.Module,
    root: Path,
    folder: Path,
    choice: StageChoice,
    images: int = IMAGES,
    normalise: str = AFTER_PADDING,
    seed: int = 0,
) -> int:
    """Write the int8 files of a floating-point model, as `export_pair` does, calibrated on images of a training tree.

    Args:
        choice: which layers are quantized, and which data sets shown.
        images: how many; seed: which these are.
        normalise: `after_padding` or `before_padding`, as the model was trained.

    Returns:
        The number of images that hold an object, on which the scales were found.

    Raises:
        CaseError, ValueError: the tree cannot be used.
    """
    nncf.set_log_level(logging.ERROR)
    config = DataConfig(
        root=str(root),
        batch_size=1,
        input_size=model.input_size,
        normalise=normalise,
        seed=seed,
        in_memory=False,
        sampling=SamplingConfig(dataset_weights=choice.dataset_weights),
        augmentation=AugmentationConfig().only("crop"),
        clips=ClipConfig(per_batch=1 if model.state else 0),
    )
    batches = calibration_batches(config.with_boxes_of(model), images)
    graphs = quantize_pair(model, choice.recipe, batches)
    write_pair(folder, graphs, describe(model, len(graphs[ENCODER].graph.output), normalise, INT8))
    return len(batches)


def calibration_batches(config: DataConfig, images: int) -> list[Batch]:
    """Single images of all modalities with a few boxes each, as the runtime sees them.

    That is: whole images and windows of the zoom, not otherwise augmented; boxes with drawing errors.
    """
    loader = Loader(config)
    steps = tqdm(range(images), "calibration images", unit="image", disable=None)
    batches = [loader.batch(step) for step in steps]
    return [batch for batch in batches if len(batch.boxes)]


def quantize_pair(model: nn.Module, recipe: Recipe, batches: list[Batch]) -> dict[str, onnx.ModelProto]:
    """The int8 graphs of a floating-point model by the names of their files.

    The encoder is calibrated on the images, the decoders on their floating-point embeddings and boxes. Of the recipe,
    the choice of layers counts; scales are NNCF's own.
    """
    to_quantize = chosen_layers(model, recipe)
    graphs = trace_pair(model, to_quantize)
    encode = compiled(graphs[ENCODER])
    names = embedding_names(len(graphs[ENCODER].graph.output))

    def encoder_inputs(batch: Batch) -> Inputs:
        return {"image": batch.images[:1].numpy()}

    def embeddings_of(image: Tensor) -> Inputs:
        return dict(zip(names, encode({"image": image[None].numpy()}).to_tuple(), strict=True))

    def decoder_inputs(batch: Batch) -> Inputs:
        return {**embeddings_of(batch.images[0]), "boxes": batch.boxes.numpy()}

    layers = chosen_layers(for_export(model, to_quantize), recipe)

    def calibrated(name: str, items: list, inputs: Callable[..., Inputs]) -> onnx.ModelProto:
        with tqdm(desc=f"calibrate {name}", total=len(items), unit="image", disable=None) as bar:

            def counted(item: Any) -> Inputs:
                bar.update()
                return inputs(item)

            return quantize_graph(graphs[name], layers, nncf.Dataset(items, counted))

    quantized = {
        ENCODER: calibrated(ENCODER, batches, encoder_inputs),
        DECODER: calibrated(DECODER, batches, decoder_inputs),
    }
    if VOLUME_DECODER in graphs:
        follow = compiled(graphs[VOLUME_DECODER])
        clips = tqdm(batches[:CLIPS], "calibration clips", unit="clip", disable=None)
        slices = [item for batch in clips for item in clip_inputs(model, follow, embeddings_of, batch)]
        quantized[VOLUME_DECODER] = calibrated(
            VOLUME_DECODER, slices, lambda item: {**embeddings_of(item.image), **item.prompts}
        )
    return quantized


def compiled(graph: onnx.ModelProto) -> openvino.CompiledModel:
    """A graph, to be run in float32."""
    core = openvino.Core()
    return core.compile_model(core.read_model(graph.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class SliceInputs(NamedTuple):
    """What the volume decoder gets on one slice of a clip: its image (3, S, S), and all but its embeddings."""

    image: Tensor
    prompts: Inputs


def clip_inputs(
    model: nn.Module, follow: openvino.CompiledModel, embeddings_of: Callable[[Tensor], Inputs], batch: Batch
) -> Iterator[SliceInputs]:
    """What the volume decoder gets of each object on the slices of the volume clip of a batch, one after the other."""
    clips, first = batch.clips[-1], model.empty_state(1, batch.images)
    for index, frames in enumerate(clips.frames.tolist()):
        one = slice(index, index + 1)
        own = {"boxes": clips.boxes[one].numpy(), "neighbours": clips.neighbours[one].numpy()}
        state = {name: part.numpy() for name, part in zip(model.state, first, strict=True)}
        for frame, place in zip(frames, clips.places[one].unbind(dim=1), strict=True):
            prompts = {**own, "place": place.numpy(), **state}
            yield SliceInputs(batch.images[frame], prompts)
            outputs = follow({**embeddings_of(batch.images[frame]), **prompts})
            state = {name: outputs[f"next_{name}"].copy() for name in model.state}


def quantize_graph(graph: onnx.ModelProto, layers: list[str], calibration: nncf.Dataset) -> onnx.ModelProto:
    """Quantize the operations that come from the named layers and no other: not, for one, the coordinates of boxes."""
    ignored = [node.name for node in graph.graph.node if module_of(node) not in layers]
    with redirect_stdout(io.StringIO()):  # bars of NNCF's own, in files too
        return nncf.quantize(
            graph,
            calibration,
            preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric: OpenVINO runs other convolutions in float32
            subset_size=calibration.get_length(),
            ignored_scope=nncf.IgnoredScope(names=ignored),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_quantization_params=QuantizationParameters(per_channel=False),
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
            ),
        )


def module_of(node: onnx.NodeProto) -> str:
    """Name of the model's module that a traced operation comes from, as tracing noted it; empty where it did not."""
    notes = {entry.key: entry.value for entry in node.metadata_props}
    scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
    modules = [scope.removeprefix("model.") for scope in scopes if scope.startswith("model.")]
    return modules[-1] if modules else ""
