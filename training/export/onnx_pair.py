"""The ONNX files that training hands to the runtime, and their metadata (read by inference.model.metadata)."""

import hashlib
import os
from pathlib import Path

import onnx
from torch import nn

from inference.model.metadata import FORMAT, PREFIX, VOLUME_DECODER

FLOAT32, INT8 = "float32", "int8"


def embedding_names(count: int) -> list[str]:
    """Names of the encoder's outputs: image_embedding, image_embedding_1, ..."""
    return ["image_embedding"] + [f"image_embedding_{i}" for i in range(1, count)]


def describe(model: nn.Module, embeddings: int, normalise: str, precision: str) -> dict[str, str]:
    """What the runtime needs to know of a model. The encoder goes by the name of the file that defines it."""
    description = {
        "format": FORMAT,
        "model": model.name,
        "encoder": type(model.image_encoder).__module__.rpartition(".")[2],
        "input_size": str(model.input_size),
        "logit_size": str(model.logit_size),
        "normalise": normalise,
        "box_convention": model.box_convention,
        "embeddings": ",".join(embedding_names(embeddings)),
        "precision": precision,
    }
    return description | ({"state": ",".join(model.state)} if model.state else {})


def write_pair(folder: Path, graphs: dict[str, onnx.ModelProto], description: dict[str, str]) -> None:
    """Check the graphs, write description and a common hash into them and save them by their names.

    All files are complete before any gets its name. A volume decoder that was there before goes, if none is written.

    Args:
        graphs: by file name, in the order in which `inference.model.metadata` lists them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {name: without_notes(graph) for name, graph in graphs.items()}
    digest = hashlib.sha256(b"".join(graph.graph.SerializeToString(deterministic=True) for graph in graphs.values()))
    properties = {**description, "pair": digest.hexdigest()[:16]}
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in graphs}
    try:
        for name, graph in graphs.items():
            onnx.checker.check_model(graph, full_check=True)
            onnx.helper.set_model_props(graph, {PREFIX + key: value for key, value in properties.items()})
            onnx.save(graph, temporary[name])
        for name, path in temporary.items():
            os.replace(path, folder / name)
        if VOLUME_DECODER not in graphs:
            (folder / VOLUME_DECODER).unlink(missing_ok=True)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop, in place, what tracing noted beside the graph: shapes in between, and stack traces with local paths."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del noted.metadata_props[:]
    del graph.value_info[:]
    return model
