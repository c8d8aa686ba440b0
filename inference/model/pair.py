"""The model pair on OpenVINO: an image encoder and a box-prompted mask decoder."""

import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, Float32Array
from ..errors import SetupError
from ..options import AUTO, BF16, F32
from ..stopping import leave_signals_to_the_main_thread
from .compiled_cache import cache_folders, load_compiled
from .metadata import DECODER, ENCODER, Metadata, read_metadata
from .openvino_runtime import CompiledModel, ConstOutput, Core, InferRequest

log = logging.getLogger("qmedsam")

Embeddings = list[Array]

LOADERS = 2  # threads; encoder and decoder of a first case load side by side


class Variant(NamedTuple):
    """One way in which a file of the pair is run.

    Attributes:
        file: `ENCODER` or `DECODER`.
        streams: inferences that run side by side and share the CPU's threads.
    """

    file: str
    streams: int


class Loaded(NamedTuple):
    """A compiled model, and requests made beforehand for the first thread that asks."""

    compiled: CompiledModel
    requests: list[InferRequest]


class ModelPair:
    """Encodes images and decodes boxes on their embeddings. Every thread that uses it has requests of its own."""

    def __init__(self, weights: Path, precision: str = AUTO, threads: int = 0, cache: Path | None = None) -> None:
        """Read what the pair in `weights` says of itself. Its graphs are loaded when they are needed, or by `prepare`.

        Args:
            weights: folder with `encoder.onnx` and `decoder.onnx`.
            precision: `f32`, `bf16`, or `auto`: bf16 where the CPU has it.
            threads: CPU threads of all inferences together; 0 means all.
            cache: folder for compiled models, instead of the usual ones.

        Raises:
            SetupError: a file is missing, is not ONNX, or the two were not exported together.
        """
        self.metadata = _pair_metadata(weights)
        self.streams = 1
        self.threads = threads or len(os.sched_getaffinity(0))
        self._weights = weights
        self._folders = [cache] if cache else cache_folders(weights)
        self._pool = ThreadPoolExecutor(LOADERS, "load", leave_signals_to_the_main_thread)
        self._started = self._pool.submit(_start, precision, threads)
        self._loaded: dict[Variant, Future[Loaded]] = {}
        self._lock = threading.Lock()
        self._requests = threading.local()

    def close(self) -> None:
        """Wait for what is being loaded, which may be writing to the cache, and load nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def prepare(self, streams: int) -> None:
        """Say from how many threads the model is going to be used side by side.

        What this needs and is not loaded yet begins to load in the background.

        Args:
            streams: at most `threads`.
        """
        self.streams = streams
        for file in (ENCODER, DECODER):
            self._load(Variant(file, self.streams))

    def encode(self, image: Float32Array) -> Embeddings:
        """Embeddings of one preprocessed image (1, 3, S, S), in the order of `metadata.embeddings`.

        The arrays are the engine's own memory: they hold until this thread's next call. Copy what must live longer.
        """
        request = self._request(Variant(ENCODER, self.streams))
        outputs = request.infer({"image": image}, share_inputs=True, share_outputs=True)
        return [outputs[name] for name in self.metadata.embeddings]

    def decode(self, embeddings: Embeddings, boxes: Float32Array) -> Float32Array:
        """Low-resolution logits (N, S, S) of the objects in `boxes` (N, 4), input pixels.

        Valid until this thread's next call.
        """
        request = self._request(Variant(DECODER, self.streams))
        inputs = dict(zip(self.metadata.embeddings, embeddings, strict=True))
        outputs = request.infer({**inputs, "boxes": boxes}, share_inputs=True, share_outputs=True)
        logits: Float32Array = outputs["low_res_logits"]
        return logits

    def _request(self, variant: Variant) -> InferRequest:
        """This thread's inference request, once the variant is loaded."""
        requests: dict[Any, InferRequest] = self._requests.__dict__
        if variant not in requests:
            try:
                loaded = self._load(variant).result()
                requests[variant] = loaded.requests.pop() if loaded.requests else loaded.compiled.create_infer_request()
            except RuntimeError as error:
                raise SetupError(
                    f"{self._weights / variant.file}: OpenVINO cannot load it ({_last_line(error)})"
                ) from error
        return requests[variant]

    def _load(self, variant: Variant) -> "Future[Loaded]":
        with self._lock:
            if variant not in self._loaded:
                self._loaded[variant] = self._pool.submit(self._load_now, variant)
            return self._loaded[variant]

    def _load_now(self, variant: Variant) -> Loaded:
        core, config = self._started.result()
        config = {**config, "NUM_STREAMS": variant.streams}
        compiled = load_compiled(core, self._weights / variant.file, config, self.metadata.pair, self._folders)
        request = compiled.create_infer_request()
        if variant.file == DECODER:
            # Its first run makes it ready for the shape of its inputs, which takes longer than the run itself. Here
            # that happens while the image is being encoded.
            request.infer({port.any_name: np.zeros(_smallest(port), np.float32) for port in compiled.inputs})
        return Loaded(compiled, [request])


def engine_config(core: Core, precision: str, threads: int = 0) -> dict[str, Any]:
    """OpenVINO's settings; `precision` and `threads` as in `ModelPair`."""
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == AUTO:
        precision = BF16 if "BF16" in capabilities else F32
    log.debug("arithmetic %s; the CPU has %s", precision, ", ".join(capabilities))
    config = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    return {**config, "INFERENCE_NUM_THREADS": threads} if threads else config


def _start(precision: str, threads: int) -> tuple[Core, dict[str, Any]]:
    core = Core()
    return core, engine_config(core, precision, threads)


def _pair_metadata(weights: Path) -> Metadata:
    encoder, decoder = (read_metadata(weights / name) for name in (ENCODER, DECODER))
    if encoder != decoder:
        raise SetupError(f"{weights}: encoder and decoder were not exported together; export the pair again")
    return encoder


def _smallest(port: ConstOutput) -> list[int]:
    """The shape of an input, with one box."""
    return [side.get_min_length() or 1 for side in port.partial_shape]


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
