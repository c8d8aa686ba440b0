"""A pair with a volume decoder made by hand: an object fills its box, and is there for a few slices.

Its state proves that it was handed on: `count` is the number of slices before, which says when the object is gone, and
`first_box` the box on the slice from which the object was followed, whose mask it has on all slices.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inference.model.metadata import DECODER, ENCODER, PREFIX, VOLUME_DECODER

LASTS = 3  # slices, the first included


def write_volume_pair(pair: Path, folder: Path) -> Path:
    """Copy a pair, and put a volume decoder beside it; returns `folder`."""
    models = {name: onnx.load(pair / name) for name in (ENCODER, DECODER)}
    properties = {entry.key: entry.value for entry in models[ENCODER].metadata_props}
    models[VOLUME_DECODER] = volume_decoder(models[DECODER], int(properties[PREFIX + "logit_size"]))
    graphs = b"".join(model.graph.SerializeToString(deterministic=True) for model in models.values())
    properties |= {PREFIX + "state": "count,first_box", PREFIX + "pair": hashlib.sha256(graphs).hexdigest()[:16]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        onnx.checker.check_model(model)
        helper.set_model_props(model, properties)
        onnx.save(model, folder / name)
    return folder


def volume_decoder(decoder: onnx.ModelProto, side: int) -> onnx.ModelProto:
    """For the embeddings that `decoder` takes, and logits as large as the input."""
    embeddings = [port for port in decoder.graph.input if port.name != "boxes"]
    names = [port.name for port in embeddings]
    centres = np.arange(side, dtype=np.float32) + 0.5
    constants = {
        "x": centres.reshape(1, 1, side),
        "y": centres.reshape(1, side, 1),
        "one": np.float32(1),
        "none": np.float32(0),
        "lasts": np.float32(LASTS - 0.5),
        "sides": np.array([1, 1, 1, 1], np.int64),
        "last": np.array([2], np.int64),
        "flat": np.array([-1], np.int64),
    }
    nodes = [
        # On the first slice, where the count is 0, the box is the given one; later it is that of the state.
        helper.make_node("Equal", ["count", "none"], ["is_first"]),
        helper.make_node("Where", ["is_first", "boxes", "first_box"], ["next_first_box"]),
        helper.make_node("Add", ["count", "one"], ["next_count"]),
        helper.make_node("Sub", ["lasts", "count"], ["left"]),
        helper.make_node("Reshape", ["left", "flat"], ["presence"]),
        helper.make_node("Unsqueeze", ["next_first_box", "last"], ["edges"]),
        helper.make_node("Split", ["edges", "sides"], ["x0", "y0", "x1", "y1"], axis=1),
        helper.make_node("Sub", ["x", "x0"], ["right_of"]),
        helper.make_node("Sub", ["x1", "x"], ["left_of"]),
        helper.make_node("Sub", ["y", "y0"], ["below"]),
        helper.make_node("Sub", ["y1", "y"], ["above"]),
        helper.make_node("Min", ["right_of", "left_of", "below", "above"], ["inside"]),
        # What else is given has to be there, and changes nothing.
        *(helper.make_node("ReduceMean", [port.name], [f"{port.name}_mean"], keepdims=0) for port in embeddings),
        *(helper.make_node("ReduceMean", [name], [f"{name}_mean"], keepdims=0) for name in ("place", "neighbours")),
        helper.make_node("Sum", [f"{name}_mean" for name in (*names, "place", "neighbours")], ["rest"]),
        helper.make_node("Mul", ["rest", "none"], ["nothing"]),
        helper.make_node("Add", ["inside", "nothing"], ["low_res_logits"]),
    ]

    def port(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    state = (("count", 1), ("first_box", 4))
    graph = helper.make_graph(
        nodes,
        "volume_decoder",
        [
            *embeddings,
            port("boxes", "n", 4),
            port("place", "n", 3),
            port("neighbours", "n", 2, side // 4, side // 4),
            *(port(name, "n", size) for name, size in state),
        ],
        [
            port("low_res_logits", "n", side, side),
            port("presence", "n"),
            *(port(f"next_{name}", "n", size) for name, size in state),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = decoder.ir_version
    return model
