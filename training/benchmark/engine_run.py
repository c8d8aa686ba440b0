"""One model in one engine in one precision: loads it, runs one image and one box, says when the first mask was there.

  python -m training.benchmark.engine_run openvino bf16 --pair FOLDER --cache FOLDER

prints one line of JSON: `first_mask` (seconds of the clock that all processes share), and the warm times `encoder_ms`
and `decoder_ms`, medians.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from training.benchmark.names import BF16, ENGINES, FLOAT32, INT8, ONNXRUNTIME, PRECISIONS, PYTORCH

BOX = (0.25, 0.25, 0.7, 0.6)  # of the input's side

Engine = tuple[int, Callable, Callable]  # input size; image -> embeddings; embeddings, boxes -> logits


def load_pytorch(checkpoint: Path, precision: str) -> Engine:
    """Eager PyTorch. bf16 by autocast; int8 is what PyTorch has for CPUs: dynamic quantization of linear layers."""
    import torch

    from training.model.checkpoint import load_model

    model = load_model(checkpoint)
    if precision == INT8:
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def in_precision(function: Callable) -> Callable:
        @torch.inference_mode()
        def run(*arguments):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == BF16):
                return function(*arguments)

        return run

    encode = in_precision(lambda image: model.encode(torch.from_numpy(image)))
    decode = in_precision(lambda embeddings, boxes: model.decode(embeddings, torch.from_numpy(boxes))[0])
    return model.input_size, encode, decode


def load_onnxruntime(pair: Path) -> Engine:
    """ONNX Runtime on its CPU provider; the precision is that of the pair."""
    import onnxruntime

    encoder, decoder = (
        onnxruntime.InferenceSession(pair / name, providers=["CPUExecutionProvider"])
        for name in ("encoder.onnx", "decoder.onnx")
    )
    names = [output.name for output in encoder.get_outputs()]

    def decode(embeddings: list[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        return decoder.run(["low_res_logits"], {**dict(zip(names, embeddings, strict=True)), "boxes": boxes})[0]

    return encoder.get_inputs()[0].shape[-1], lambda image: encoder.run(names, {"image": image}), decode


def load_openvino(pair: Path, precision: str, cache: Path) -> Engine:
    """The runtime's own way. An int8 pair computes what is not quantized in the precision that suits the CPU."""
    from inference.model.pair import Block, ModelPair

    model = ModelPair(pair, {FLOAT32: "f32", BF16: "bf16", INT8: "auto"}[precision], cache=cache)

    def decode(embeddings: list[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        (scored,) = model.decode([Block(embeddings, boxes)])
        return scored.logits

    return model.metadata.input_size, model.encode, decode


def measure(engine: Engine, repeats: int) -> dict[str, float | None]:
    """First mask, then `repeats` warm runs of encoder and decoder each."""
    size, encode, decode = engine
    image = np.random.default_rng(0).random((1, 3, size, size), np.float32)
    boxes = np.array([BOX], np.float32) * size
    decode(encode(image), boxes)
    result: dict[str, float | None] = {"first_mask": time.perf_counter()}
    encoder_times, decoder_times = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        embeddings = encode(image)
        between = time.perf_counter()
        decode(embeddings, boxes)
        encoder_times.append(between - start)
        decoder_times.append(time.perf_counter() - between)
    for name, times in (("encoder_ms", encoder_times), ("decoder_ms", decoder_times)):
        result[name] = 1000 * median(times) if times else None
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.engine_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("precision", choices=PRECISIONS)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="for PyTorch")
    parser.add_argument("--pair", type=Path, metavar="DIR", help="for the others: encoder.onnx and decoder.onnx")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for OpenVINO: compiled models")
    parser.add_argument("--repeats", type=int, default=5, help="warm runs (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.engine == PYTORCH:
        engine = load_pytorch(options.checkpoint, options.precision)
    elif options.engine == ONNXRUNTIME:
        engine = load_onnxruntime(options.pair)
    else:
        engine = load_openvino(options.pair, options.precision, options.cache)
    print(json.dumps(measure(engine, options.repeats)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
