"""What a model pair says about itself: the metadata_props of its ONNX files, read without an ONNX library.

An ONNX file is one protobuf message (onnx.proto, `ModelProto`). Only its top level is walked: every field but
`metadata_props` (number 14) is skipped by its length, so that a file of any size costs a few microseconds.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError

PAIR = ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
VOLUME_DECODER = "volume_decoder.onnx"  # beside the two, where the model follows objects from slice to slice
PREFIX = "qmedsam."
AFTER_PADDING = "after_padding"  # QMedSAM: minimum and maximum include the zero padding
BEFORE_PADDING = "before_padding"  # LiteMedSAM baseline: minimum and maximum of the image alone
FORMAT = "2"
# Where a box ends for the model: at the index of its last pixel, as cases give it and the LiteMedSAM baseline takes it,
# or at that pixel's far edge, where the object really ends. For an object of 8 pixels the two differ by an eighth.
INDICES, PIXEL_EDGES = "xyxy_input_pixels", "xyxy_pixel_edges"
BOX_CONVENTIONS = (INDICES, PIXEL_EDGES)
GRAPH, METADATA_PROPS = 7, 14  # fields of ModelProto
KEY, VALUE = 1, 2  # fields of StringStringEntryProto
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5  # protobuf wire types


@dataclass(frozen=True)
class Metadata:
    """The part of the contract between training and runtime that is not in the graph.

    Attributes:
        model: name of the model, e.g. `litemedsam`.
        encoder: name of the image encoder, e.g. `tiny_vit`.
        input_size: side of the encoder's square input, pixels.
        logit_size: side of the decoder's square logits, pixels; they show what the input shows.
        normalise: `AFTER_PADDING` or `BEFORE_PADDING` (see `inference.segment.preprocess`).
        box_convention: where the model's boxes end, `INDICES` or `PIXEL_EDGES`.
        embeddings: names of the encoder's outputs, which are inputs of the decoder.
        precision: `float32` or `int8`.
        pair: hash common to the files that were exported together.
        state: names of what the volume decoder hands on from a slice to the next; empty where there is no volume
            decoder.
    """

    model: str
    encoder: str
    input_size: int
    logit_size: int
    normalise: str
    box_convention: str
    embeddings: tuple[str, ...]
    precision: str
    pair: str
    state: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that were exported together, in the order in which `pair` covers them."""
        return (*PAIR, VOLUME_DECODER) if self.state else PAIR


def read_metadata(path: Path) -> Metadata:
    """Read and check the metadata of one ONNX file.

    Raises:
        SetupError: the file is missing, is not ONNX, or was not exported for this runtime.
    """
    props = {key.removeprefix(PREFIX): value for key, value in _metadata_props(path).items() if key.startswith(PREFIX)}
    if props.get("format") != FORMAT:
        written = f"metadata of format {props['format']}" if "format" in props else "no metadata"
        raise SetupError(f"{path}: {written} in it, {FORMAT} is needed; export it with `python -m training.export`")
    try:
        metadata = Metadata(
            model=props["model"],
            encoder=props["encoder"],
            input_size=int(props["input_size"]),
            logit_size=int(props["logit_size"]),
            normalise=props["normalise"],
            box_convention=props["box_convention"],
            embeddings=tuple(props["embeddings"].split(",")),
            precision=props["precision"],
            pair=props["pair"],
            state=_names(props.get("state", "")),
        )
    except (KeyError, ValueError) as error:
        raise SetupError(f"{path}: incomplete metadata ({error}); export it again") from error
    if metadata.normalise not in (AFTER_PADDING, BEFORE_PADDING) or metadata.box_convention not in BOX_CONVENTIONS:
        raise SetupError(f"{path}: unknown normalisation or box convention in its metadata; use a matching runtime")
    return metadata


def pair_metadata(weights: Path) -> Metadata:
    """Read what encoder and decoder in a folder say of themselves.

    Raises:
        SetupError: one is missing, or not for this runtime, or the two were not exported together.
    """
    metadata = read_metadata(weights / ENCODER)
    check_together(weights, metadata, DECODER)
    return metadata


def check_together(weights: Path, encoder: Metadata, file: str) -> None:
    """Check that another file of the folder was exported with the encoder.

    Raises:
        SetupError: it was not, or is missing.
    """
    if read_metadata(weights / file) != encoder:
        names = f"encoder and {file.removesuffix('.onnx').replace('_', ' ')}"
        raise SetupError(f"{weights}: {names} were not exported together; export the pair again")


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name for name in listed.split(",") if name)


def check_content(weights: Path, metadata: Metadata) -> None:
    """Check that the files hold what was exported: `pair` is the hash of their graphs (`training.export.onnx_pair`).

    It takes a few ms per 10 MB, and is therefore asked for only where the graphs are used.

    Raises:
        SetupError: a file was damaged since.
    """
    from hashlib import sha256  # 3 ms, where a start only loads what was compiled

    digest = sha256(b"".join(graph for name in metadata.files for graph in _values(weights / name, GRAPH)))
    if digest.hexdigest()[: len(metadata.pair)] != metadata.pair:
        raise SetupError(f"{weights}: {' or '.join(metadata.files)} is damaged, its content is not what was exported")


def _metadata_props(path: Path) -> dict[str, str]:
    try:
        entries = [dict(_fields(value)) for value in _values(path, METADATA_PROPS)]
        return {entry[KEY].decode(): entry[VALUE].decode() for entry in entries}
    except (ValueError, IndexError, KeyError) as error:
        raise SetupError(f"{path}: not a whole ONNX file") from error


def _values(path: Path, wanted: int) -> list[bytes]:
    """The values of one field of an ONNX file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return [value for number, value in _fields(data, wanted) if number == wanted]
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise SetupError(f"{path}: not a whole ONNX file") from error


def _fields(data: mmap.mmap | bytes, wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Field numbers and raw values of a protobuf message; values that are not `wanted` are not copied."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, position = _varint(data, position)
            continue
        if wire_type == LENGTH_DELIMITED:
            length, position = _varint(data, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + length > end:
            raise ValueError("a field is longer than its message")
        yield number, data[position : position + length] if wanted in (None, number) else b""
        position += length


def _varint(data: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")
