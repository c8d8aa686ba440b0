"""The model pair on OpenVINO: an image encoder and a box-prompted mask decoder.

Some have a third graph, the volume decoder. It follows objects from slice to slice: what it has seen of an object on
the slices so far, the object's state, is handed to it again with the next slice. What a state is only the graph knows.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import Array, Float32Array
from ..errors import SetupError
from ..options import AUTO
from ..stopping import leave_signals_to_the_main_thread
from .compiled_cache import load_compiled
from .compiled_file import cache_folders
from .engine import engine_config, tell
from .handed_over import as_inputs, next_state
from .metadata import ENCODER, PAIR, check_together, pair_metadata
from .openvino_runtime import CompiledModel, ConstOutput, Core, InferRequest
from .variant import Variant, decoder_variant, encoder_variant

if TYPE_CHECKING:
    from .early_load import EarlyLoads

Embeddings = list[Array]  # to be passed on, not to be read: see `handed_over`
State = list[Array]  # of one object, each array (1, ...), in the order of `metadata.state`; as embeddings are

LOADERS = 2  # threads; encoder and a decoder of a first case load side by side


class Block(NamedTuple):
    """Boxes that are decoded at once.

    Attributes:
        embeddings: of their image.
        boxes: (n, 4) input pixels; 1 to as many as `prepare` was told.
    """

    embeddings: Embeddings
    boxes: Float32Array


class Loaded(NamedTuple):
    """A compiled model, and requests made beforehand for the first thread that asks."""

    compiled: CompiledModel
    requests: list[InferRequest]


class Scored(NamedTuple):
    """What the decoder says of n objects. Valid until this thread decodes another block.

    Attributes:
        logits: (n, S, S) low-resolution logits.
        scores: (n,) the IoU of each mask with its object that the model expects, 0..1.
    """

    logits: Float32Array
    scores: Float32Array


class Followed(NamedTuple):
    """What the volume decoder says of an object on a slice. Valid until this thread's next call.

    Attributes:
        logits: (1, S, S) low-resolution logits.
        presence: a logit: positive where the object is on this slice.
        state: for the next slice.
    """

    logits: Float32Array
    presence: float
    state: State


class ModelPair:
    """Encodes images and decodes boxes on their embeddings. Every thread that uses it has requests of its own."""

    def __init__(
        self,
        weights: Path,
        precision: str = AUTO,
        threads: int = 0,
        cache: Path | None = None,
        early: "EarlyLoads | None" = None,
    ) -> None:
        """Read what the pair in `weights` says of itself. Its graphs are loaded when they are needed, or by `prepare`.

        Args:
            weights: folder with `encoder.onnx` and `decoder.onnx`, and maybe `volume_decoder.onnx`, which is not
                touched before it is needed.
            precision: `f32`, `bf16`, or `auto`: bf16 where the CPU has it.
            threads: CPU threads of all inferences together; 0 means all.
            cache: folder for compiled models, instead of the usual ones.
            early: what is being loaded already, of these weights and with these settings.

        Raises:
            SetupError: a file is missing, is not ONNX, or the two were not exported together.
        """
        self._pool = ThreadPoolExecutor(LOADERS, "load", leave_signals_to_the_main_thread)
        self.metadata = early.metadata if early else pair_metadata(weights)
        self.streams = self.block_size = 1
        self.threads = threads or len(os.sched_getaffinity(0))
        self._weights, self._early, self._settings = weights, early, (precision, threads)
        self._engine: tuple[Core, dict[str, Any]] | None = None
        self._making = threading.Lock()  # of the engine
        self._folders = cache_folders(weights, cache)
        self._loaded: dict[Variant, Future[Loaded]] = {}
        self._lock = threading.Lock()
        self._own = threading.local()  # of each thread: its requests, by variant

    def close(self) -> None:
        """Wait for what is being loaded, which may be writing to the cache, and load nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def prepare(self, streams: int, follow: bool = False, block_size: int = 1) -> None:
        """Say how the model is going to be used.

        What this needs and is not loaded yet begins to load in the background.

        Args:
            streams: threads that use it side by side, at most `threads`.
            follow: whether boxes are decoded by `follow`, instead of by `decode`.
            block_size: the most boxes that `decode` is given at once.
        """
        self.streams, self.block_size = streams, block_size
        self._load(encoder_variant(streams))
        self._load(decoder_variant(streams, follow, block_size, self.threads))

    def encode(self, image: Float32Array) -> Embeddings:
        """Embeddings of one preprocessed image (1, 3, S, S), in the order of `metadata.embeddings`.

        The arrays are the engine's own memory: they hold until this thread's next call. Copy what must live longer.
        """
        (request,) = self._requests(encoder_variant(self.streams))
        outputs = request.infer({"image": image}, share_inputs=True, share_outputs=True)
        return [outputs[name] for name in self.metadata.embeddings]

    def decode(self, blocks: Iterable[Block]) -> Iterator[Scored]:
        """What the decoder says of each block, in their order.

        The next few blocks are taken, and are being decoded, while the caller works with what it got. Their embeddings
        must hold until they are scored.

        Raises:
            ValueError: a block has more boxes than `prepare` was told.
        """
        variant = decoder_variant(self.streams, follow=False, block_size=self.block_size, threads=self.threads)
        at_once = variant.streams + 1
        running: deque[tuple[InferRequest, Block]] = deque()  # which holds the embeddings that are read
        try:
            for started, block in enumerate(blocks):  # the first is encoded while the decoder may still load
                if len(running) == at_once:
                    yield _scored(*running.popleft())
                turn, count = started % at_once, len(block.boxes)
                if count > variant.boxes:
                    raise ValueError(f"{count} boxes in a block of {variant.boxes}")
                request = self._requests(variant, turn + 1)[turn]
                inputs = dict(zip(self.metadata.embeddings, as_inputs(block.embeddings), strict=True))
                boxes = block.boxes[np.minimum(np.arange(variant.boxes), count - 1)]  # the last again, if they are few
                request.start_async({**inputs, "boxes": boxes}, share_inputs=True)
                running.append((request, block))
            while running:
                yield _scored(*running.popleft())
        finally:
            for request, _ in running:  # their embeddings may be written over next, and they are asked again
                request.wait()

    def follow(
        self,
        embeddings: Embeddings,
        box: Float32Array,
        place: Float32Array,
        neighbours: Float32Array,
        state: State | None,
    ) -> Followed:
        """Decode an object on one more slice of a volume; only where the metadata name a `state`.

        Args:
            box: (1, 4) its box, input pixels.
            place: (1, 3) where in its extent the slice is (see `inference.segment.extent`).
            neighbours: (1, 2, S/4, S/4) where the boxes of others lie (see `inference.segment.neighbours`).
            state: what came of the slice before; None on the object's first slice, where all of it is zeros.
        """
        variant = decoder_variant(self.streams, follow=True, block_size=1, threads=self.threads)
        (request,), names = self._requests(variant), self.metadata.state
        if state is None:
            state = [_zeros(request.get_compiled_model().input(name)) for name in names]
        handed = as_inputs((*embeddings, *state))
        inputs: dict[str, Any] = dict(zip((*self.metadata.embeddings, *names), handed, strict=True))
        inputs |= {"boxes": box, "place": place, "neighbours": neighbours}
        outputs = request.infer(inputs, share_inputs=True, share_outputs=True)
        after = [outputs[next_state(name)] for name in names]
        return Followed(outputs["low_res_logits"], float(outputs["presence"][0]), after)

    def _requests(self, variant: Variant, count: int = 1) -> list[InferRequest]:
        """So many inference requests of this thread's own, once the variant is loaded."""
        own: dict[Any, list[InferRequest]] = self._own.__dict__
        requests = own.setdefault(variant, [])
        while len(requests) < count:
            try:
                loaded = self._load(variant).result()
                requests.append(loaded.requests.pop() if loaded.requests else loaded.compiled.create_infer_request())
            except RuntimeError as error:
                raise SetupError(
                    f"{self._weights / variant.file}: OpenVINO cannot load it ({_last_line(error)})"
                ) from error
        return requests

    def _load(self, variant: Variant) -> "Future[Loaded]":
        with self._lock:
            if variant not in self._loaded:
                self._loaded[variant] = self._pool.submit(self._load_now, variant)
            return self._loaded[variant]

    def _load_now(self, variant: Variant) -> Loaded:
        if variant.file not in PAIR:
            check_together(self._weights, self.metadata, variant.file)
        compiled = self._loaded_early(variant)
        if compiled is None:
            compiled = self._compiled(variant)
        request = compiled.create_infer_request()
        if variant.file != ENCODER and variant.boxes == 1:
            # A decoder's first run takes longer than the next. Here that happens while the image is being encoded.
            # Of blocks there are many, and their first runs are side by side.
            request.infer({port.any_name: _zeros(port) for port in compiled.inputs})
        return Loaded(compiled, [request])

    def _loaded_early(self, variant: Variant) -> CompiledModel | None:
        compiled = self._early.result(variant) if self._early else None
        return None if compiled is None else CompiledModel(compiled)

    def _compiled(self, variant: Variant) -> CompiledModel:
        with self._making:  # made once, and only where not all was loaded early
            core, engine = self._engine = self._engine or _make_engine(*self._settings)
        path, config = self._weights / variant.file, variant.config(engine)
        return load_compiled(core, path, variant.shapes, config, self.metadata, self._folders)


def _make_engine(precision: str, threads: int) -> tuple[Core, dict[str, Any]]:
    core = Core()
    config = engine_config(core, precision, threads)
    tell(core, config)
    return core, config


def _scored(request: InferRequest, block: Block) -> Scored:
    """What the decoder says of the boxes of a block, once it is decoded."""
    request.wait()
    logits, scores = (request.get_tensor(name).data[: len(block.boxes)] for name in ("low_res_logits", "iou"))
    return Scored(logits, scores)


def _zeros(port: ConstOutput) -> Array:
    """Zeros in the shape of an input, for one box where any number would do."""
    shape = [1 if side.is_dynamic else side.get_length() for side in port.partial_shape]
    return np.zeros(shape, port.element_type.to_dtype())


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
