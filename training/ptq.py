"""Post-training quantization of a floating-point checkpoint: no training, a few hundred calibration images (Yu).

The checkpoint is exported, NNCF quantizes both graphs, and the int8 pair comes out as `python -m training.export`
writes it, for the same runtime. It is what quantization-aware training has to beat.

  python -m training.ptq --checkpoint lite_medsam.pth --root ../datasets/train --out runs/ptq
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from inference.errors import CaseError
from inference.preprocess import AFTER_PADDING, BEFORE_PADDING
from training.checkpoint import DEFAULT_MODEL, CheckpointError, load_model
from training.data.augmentation import AugmentationConfig
from training.data.batch import Batch
from training.data.config import DataConfig
from training.data.loader import Loader
from training.export import export_pair
from training.model import MODELS
from training.onnx_pair import INT8, embedding_names, read_description, write_pair

sys.modules.setdefault("openvino_telemetry", None)  # NNCF and OpenVINO then report their use to nobody
import nncf  # noqa: E402
import openvino  # noqa: E402

Inputs = dict[str, np.ndarray]


def calibration_batches(config: DataConfig, images: int) -> list[Batch]:
    """Single images of all modalities with a few boxes each, as the runtime sees them.

    That is: whole images and windows of the zoom, not otherwise augmented; boxes with drawing errors.
    """
    loader = Loader(config)
    batches = [loader.batch(step) for step in range(images)]
    return [batch for batch in batches if len(batch.boxes)]


def quantize_pair(folder: Path, batches: list[Batch], out: Path) -> None:
    """Quantize the floating-point pair in a folder with NNCF and write the int8 pair.

    The encoder is calibrated on the images, the decoder on their floating-point embeddings and boxes.
    """
    encoder, decoder = (onnx.load(folder / name) for name in ("encoder.onnx", "decoder.onnx"))
    encode = openvino.Core().compile_model(folder / "encoder.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def encoder_inputs(batch: Batch) -> Inputs:
        return {"image": batch.images.numpy()}

    def decoder_inputs(batch: Batch) -> Inputs:
        embeddings = encode(encoder_inputs(batch)).to_tuple()
        return {**dict(zip(embedding_names(len(embeddings)), embeddings, strict=True)), "boxes": batch.boxes.numpy()}

    write_pair(
        out,
        quantize_graph(encoder, batches, encoder_inputs),
        quantize_graph(decoder, batches, decoder_inputs),
        {**read_description(folder / "encoder.onnx"), "precision": INT8},
    )


def quantize_graph(graph: onnx.ModelProto, batches: list[Batch], inputs: Callable[[Batch], Inputs]) -> onnx.ModelProto:
    has_attention = any(node.op_type == "Softmax" for node in graph.graph.node)
    return nncf.quantize(
        graph,
        nncf.Dataset(batches, inputs),
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if has_attention else None,
    )


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.ptq", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="floating-point checkpoint")
    parser.add_argument("--root", required=True, metavar="DIR", help="training tree <Modality>/<Dataset>/*.npz")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the two files")
    parser.add_argument("--images", type=int, default=300, help="calibration images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which images these are (default: %(default)s)")
    parser.add_argument(
        "--model", choices=list(MODELS), help=f"model (default: the checkpoint's own, else {DEFAULT_MODEL})"
    )
    parser.add_argument(
        "--normalise",
        choices=[AFTER_PADDING, BEFORE_PADDING],
        default=AFTER_PADDING,
        help="min-max normalisation that the model was trained with (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    nncf.set_log_level(logging.ERROR)
    try:
        model = load_model(options.checkpoint, options.model)
        if hasattr(model, "recipe"):
            raise CheckpointError(f"{options.checkpoint}: is quantized already; give a floating-point checkpoint")
        config = DataConfig(
            root=options.root,
            batch_size=1,
            input_size=model.input_size,
            normalise=options.normalise,
            seed=options.seed,
            in_memory=False,
            augmentation=AugmentationConfig().only("crop"),
        )
        batches = calibration_batches(config, options.images)
        with tempfile.TemporaryDirectory() as folder:
            export_pair(model, Path(folder), options.normalise)
            quantize_pair(Path(folder), batches, options.out)
    except (CaseError, CheckpointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: encoder.onnx and decoder.onnx of {model.name}, calibrated on {len(batches)} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
