"""The model pair on OpenVINO: an image encoder and a box-prompted mask decoder."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from inference.arrays import Array, Float32Array
from inference.compiled_cache import cache_folders, load_compiled
from inference.errors import SetupError
from inference.metadata import Metadata, read_metadata
from inference.openvino_runtime import CompiledModel, Core, InferRequest
from inference.options import AUTO, BF16, F32

Embeddings = list[Array]

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


class Model:
    """Encodes images and decodes boxes on their embeddings. Not safe for use from several threads at once."""

    def __init__(self, weights: Path, precision: str = AUTO, threads: int = 0, cache: Path | None = None) -> None:
        """Start loading the pair in `weights`; loading goes on in the background until it is first used.

        Args:
            weights: folder with `encoder.onnx` and `decoder.onnx`.
            precision: `f32`, `bf16`, or `auto`: bf16 where the CPU has it.
            threads: CPU threads of one inference; 0 means all.
            cache: folder for compiled models, instead of the usual ones.

        Raises:
            SetupError: a file is missing, is not ONNX, or the two were not exported together.
        """
        self.metadata = _pair_metadata(weights)
        core = Core()
        config = engine_config(core, precision, threads)
        self.precision: str = config["INFERENCE_PRECISION_HINT"]
        folders = [cache] if cache else cache_folders(weights)

        def load(name: str) -> CompiledModel:
            return load_compiled(core, weights / name, config, self.metadata.pair, folders)

        pool = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._encoder = _LazyRequest(pool.submit(load, ENCODER), weights / ENCODER)
        self._decoder = _LazyRequest(pool.submit(load, DECODER), weights / DECODER)
        pool.shutdown(wait=False)

    def encode(self, image: Float32Array) -> Embeddings:
        """Embeddings of one preprocessed image (1, 3, S, S), in the order of `metadata.embeddings`.

        The arrays are the engine's own memory: they hold until the next call. Copy what must live longer.
        """
        outputs = self._encoder.request.infer({"image": image}, share_inputs=True, share_outputs=True)
        return [outputs[name] for name in self.metadata.embeddings]

    def decode(self, embeddings: Embeddings, boxes: Float32Array) -> Float32Array:
        """Low-resolution logits (N, S, S) of the objects in `boxes` (N, 4), input pixels; valid until the next call."""
        inputs = dict(zip(self.metadata.embeddings, embeddings, strict=True))
        outputs = self._decoder.request.infer({**inputs, "boxes": boxes}, share_inputs=True, share_outputs=True)
        logits: Float32Array = outputs["low_res_logits"]
        return logits


class _LazyRequest:
    """An inference request of a model that may still be loading."""

    def __init__(self, compiled: "Future[CompiledModel]", path: Path) -> None:
        self._compiled, self._path = compiled, path
        self._request: InferRequest | None = None

    @property
    def request(self) -> InferRequest:
        if self._request is None:
            try:
                self._request = self._compiled.result().create_infer_request()
            except RuntimeError as error:
                raise SetupError(f"{self._path}: OpenVINO cannot load it ({_last_line(error)})") from error
        return self._request


def _pair_metadata(weights: Path) -> Metadata:
    encoder, decoder = (read_metadata(weights / name) for name in (ENCODER, DECODER))
    if encoder != decoder:
        raise SetupError(f"{weights}: encoder and decoder were not exported together; export the pair again")
    return encoder


def engine_config(core: Core, precision: str, threads: int = 0) -> dict[str, Any]:
    """OpenVINO's settings for one inference at a time, as quickly as may be; `precision` and `threads` as in `Model`."""
    if precision == AUTO:
        precision = BF16 if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else F32
    config = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    return {**config, "INFERENCE_NUM_THREADS": threads} if threads else config


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
