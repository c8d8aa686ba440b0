"""Segmenting from Python: images and boxes as arrays, masks as arrays."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from .arrays import Array, BoolArray
from .cases.boxes import common_form, repair
from .cases.case import Case, make_case
from .cases.intensity import window_level
from .cases.slice_axis import slice_axis, with_axis_first
from .errors import CaseError, only_case_errors
from .memory_limit import amount, memory_limit, resident
from .model.pair import ModelPair
from .options import AUTO, PRECISIONS, Options, check_choice, default_weights
from .segment.encoded_image import EncodedImage
from .segment.memory import check_fits, held_by_others, share_out
from .segment.segment_case import segment_case

log = logging.getLogger("qmedsam")

CtWindow = tuple[float, float]  # level and width, Hounsfield units


class Predictor:
    """Segments images and volumes, as the command line does: the same masks, to the pixel.

        predictor = Predictor()
        segs = predictor.segment(image, boxes)                                # all objects of an image or a volume
        predictor.set_image(image); mask, score = predictor.predict(box)      # one box after the other

    All methods may be called from any thread. They take turns, since each has all of the CPU and of the memory; and
    `predict` refers to the image that its own thread has set. A context manager: leaving it frees the models.

    What is repaired in a box, and which boxes cannot be used, goes to the log `qmedsam`, as warnings and errors.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        precision: str = AUTO,
        threads: int = 0,
        memory: int | str | None = None,
    ) -> None:
        """Read what the models say of themselves. They are loaded when they are first needed; the first time on a
        machine they are compiled, which takes about a second, and kept in `cache/` beside the weights or in
        `~/.cache/qmedsam`.

        Args:
            weights: folder with `encoder.onnx` and `decoder.onnx`; the pair that ships where None.
            precision: arithmetic, `f32`, `bf16`, or `auto`: bf16 where the CPU has it.
            threads: of the CPU; 0 means all.
            memory: what this process may use, in bytes or as `"800M"` or `"2G"`; where None, what the container or job
                allows and is free at each call.

        Raises:
            SetupError: a file is missing, is not ONNX, or the two were not exported together.
            ValueError: an argument is none of what it can be.
        """
        check_choice("precision", precision, PRECISIONS)
        if threads < 0:
            raise ValueError(f"threads is {threads}, not a number from 0 up")
        self._memory = amount(str(memory)) if memory is not None else None
        self._model: ModelPair | None = ModelPair(
            Path(weights) if weights is not None else default_weights(), precision, threads
        )
        self._lock = threading.Lock()  # of the model, and of the memory that a call may use
        self._own = threading.local()  # of each thread: `image`, an `EncodedImage`, and its `case`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the models, once a call that is running has ended; no other can be made then."""
        with self._lock:
            if self._model is not None:
                self._model.close()
                self._model = None
                self._own = threading.local()

    def segment(
        self,
        image: Any,
        boxes: Any,
        spacing: Any = None,
        extent: str = Options.extent,
        window: CtWindow | None = None,
        *,
        strategy: str = Options.strategy,
        overlap: str = Options.overlap,
        zoom: bool = Options.zoom,
        box_batch: int = Options.box_batch,
    ) -> Array:
        """Segment the object of each box.

        Args:
            image: an image (H, W) or (H, W, 3), or a volume (D, H, W) or (D, H, W, 3), of any real type, 0..255 unless
                `window` is given; arrays, nested lists, or what numpy makes an array of.
            boxes: (N, 4) `x_min, y_min, x_max, y_max` for an image, (N, 6) `x_min, y_min, z_min, x_max, y_max, z_max`
                for a volume: voxel indices, the last voxel belongs to the box. Or one such box.
            spacing: (3,) mm from voxel to voxel along the axes of a volume, z, y, x. The slices that are segmented lie
                across the axis where it is largest, since a scanner took those; where None, across the first. Images
                need none.
            extent: `given`, objects reach from `z_min` to `z_max` of their boxes; or `find`: a box of one slice marks
                an object, which is followed up and down until it ends, if the weights can.
            window: level and width, Hounsfield units, of the CT window to map to 0..255; 40, 400 shows soft tissue.
            strategy: way through a volume, `propagate` or `flatten`.
            overlap: who has a pixel that several objects claim, `later`, `logit` or `size`.
            zoom: segment small objects on magnifying windows.
            box_batch: boxes in a block of the decoder, where there are many.

        Returns:
            Label map (H, W) or (D, H, W), `uint8` (`uint16` above 255 boxes): 0 is background, i the object of the i-th
            box, from 1. That of a box that cannot be used stays empty.

        Raises:
            CaseError: image and boxes do not go together, values are not finite or not in 0..255, or the case does not
                fit in memory.
            SetupError: the models cannot be loaded, or cannot do what `extent` wants.
            ValueError: an option is none of what it can be.
        """
        options = Options(strategy, overlap, zoom, box_batch, extent)
        with self._turn() as model, only_case_errors():
            pixels, table = _intensities(image, window), _numbers("boxes", boxes)
            axis = _slice_axis(spacing, pixels, table)
            case = make_case(np.moveaxis(pixels, axis, 0) if axis else pixels, with_axis_first(table, axis))
            for warning in case.warnings:
                log.warning("%s", warning)
            for problem in case.problems:
                log.error("%s", problem)
            segs = segment_case(case, model, options, self._memory_left(model, box_batch)).segs
        return np.ascontiguousarray(np.moveaxis(segs, 0, axis)) if axis else segs

    def set_image(self, image: Any, window: CtWindow | None = None) -> None:
        """Encode an image, for the calls of `predict` that this thread makes from now on. It is copied.

        Args:
            image: (H, W) or (H, W, 3), an image or a slice of a volume; for the rest see `segment`.
            window: as for `segment`.

        Raises:
            CaseError: it is a volume, its values are not finite or not in 0..255, or it does not fit in memory.
            SetupError: the models cannot be loaded.
        """
        with self._turn() as model, only_case_errors():
            self._own.__dict__.clear()  # the image before must not be segmented in place of one that is refused
            pixels = _intensities(image, window)
            if pixels.ndim > 3 or (pixels.ndim == 3 and pixels.shape[2] != 3):
                raise CaseError(
                    f"set_image takes an image (H, W) or (H, W, 3), not a volume of shape {pixels.shape}; give it a "
                    "slice, or the whole volume with 3D boxes to segment"
                )
            case = make_case(pixels.copy(), np.empty((0, 4)))
            share = share_out(model.metadata, 1, self._memory_left(model, 1), model.threads)
            check_fits(case, 1, 0, 0, share.case_bytes)
            model.prepare(streams=1)
            self._own.image, self._own.case = EncodedImage(case, model), case

    def predict(self, box: Any, zoom: bool = True) -> tuple[BoolArray, float]:
        """Segment the object of a box on the image that was set, as `segment` does with no other box.

        Args:
            box: (4,) `x_min, y_min, x_max, y_max` in pixels of the image, the last pixel belongs to the box.
            zoom: magnify a small object, for which a window around it is encoded; without, it takes no more than to
                decode the box on the image that was encoded once.

        Returns:
            The mask, (H, W) bool, and the IoU with the object that the model expects of it, 0..1.

        Raises:
            CaseError: the box cannot be used, or this thread has set no image.
            SetupError: the models cannot be loaded.
        """
        with self._turn() as model, only_case_errors():
            encoded: EncodedImage | None = getattr(self._own, "image", None)
            if encoded is None:
                raise CaseError("no image to find the box on: call set_image first, in the same thread")
            corners = _usable_box(_numbers("box", box), self._own.case)
            model.prepare(streams=1)
            return encoded.segment(corners, zoom)

    @contextmanager
    def _turn(self) -> Iterator[ModelPair]:
        """The model, for one call at a time."""
        with self._lock:
            if self._model is None:
                raise ValueError("this Predictor is closed")
            yield self._model

    def _memory_left(self, model: ModelPair, box_batch: int) -> int:
        """Bytes that this call and the runtime may use, beside what the program holds for itself."""
        memory = memory_limit(self._memory)
        return memory - held_by_others(resident(), model.metadata, box_batch, memory, model.threads)


def _numbers(name: str, values: Any) -> Array:
    """Values as an array of real numbers; CaseError where they are none."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of unequal lengths, a tensor that is not in memory
        raise CaseError(f"'{name}' is not an array of numbers ({error})") from error
    if array.dtype.kind not in "buif":
        raise CaseError(f"'{name}' has type {array.dtype}, not numbers")
    return array


def _intensities(image: Any, window: CtWindow | None) -> Array:
    """An image or a volume as an array; through a CT window, if one is given, uint8."""
    values = _numbers("image", image)
    if window is None:
        return values
    level, width = _level_and_width(window)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise CaseError("'image' holds NaN or infinity")
    windowed = np.empty(values.shape, np.uint8)
    # A slice at a time, so that floating point of the whole volume is never in memory.
    for part in range(len(values)) if values.ndim > 2 else [...]:
        windowed[part] = window_level(values[part], level, width)
    return windowed


def _level_and_width(window: CtWindow) -> CtWindow:
    numbers = _numbers("window", window)
    if numbers.shape != (2,) or not np.isfinite(numbers).all() or numbers[1] <= 0:
        raise CaseError(f"'window' is {window}, expected level and width, the width above 0")
    return float(numbers[0]), float(numbers[1])


def _slice_axis(spacing: Any, pixels: Array, boxes: Array) -> int:
    """The axis of a volume that its slices lie across, from 0."""
    if spacing is None or boxes.shape[-1:] != (6,):
        return 0
    steps = _numbers("spacing", spacing)
    if steps.shape != (3,) or not (np.isfinite(steps).all() and np.all(steps > 0)):
        raise CaseError(f"'spacing' is {steps.tolist()}, expected three numbers above 0, z, y, x")
    return slice_axis(steps) if pixels.ndim > 2 else 0


def _usable_box(box: Array, case: Case) -> Array:
    """`x_min, y_min, x_max, y_max` inside the image; CaseError where the box cannot be used."""
    if box.shape != (4,):
        raise CaseError(f"'box' has shape {box.shape}, expected (4,)")
    repaired = repair(common_form(box[np.newaxis]), case.shape)
    for warning in repaired.warnings:
        log.warning("%s", warning)
    for problem in repaired.problems:
        raise CaseError(problem)
    return repaired.boxes[0, [0, 1, 3, 4]]
