"""`python -m inference.warm_cache`: compile the shipped models once, while the container image is built.

Compiled models lie in `cache/` beside the weights they belong to. A start on the same kind of CPU loads them instead of
compiling; on another kind they are not found (see `inference.model.compiled_file`).
"""

import sys
from pathlib import Path

import numpy as np

from .errors import EXIT_OK, EXIT_SETUP, SetupError
from .model.metadata import ENCODER
from .model.pair import Block, ModelPair
from .options import Options, default_weights
from .segment.memory import MOST_LANES
from .segment.neighbours import neighbour_maps


def warm(weights: Path) -> None:
    """Compile the pair in `weights`, keep it in `weights/cache`, and run it once to see that it works.

    Raises:
        SetupError: the pair is missing or broken.
    """
    model = ModelPair(weights, cache=weights / "cache")
    size = model.metadata.input_size
    image = np.zeros((1, 3, size, size), np.float32)
    box = np.array([[0, 0, size, size]], np.float32)
    # As of a volume or of many boxes, and of an image with a few. What is compiled for so many streams is good for any
    # number from there.
    for streams, boxes in ((MOST_LANES, Options.box_batch), (1, 1)):
        model.prepare(streams, block_size=boxes)
        embeddings = model.encode(image)
        for _ in model.decode([Block(embeddings, box)]):
            pass
    if model.metadata.state:
        neighbours = neighbour_maps(box, np.zeros((1, 1), np.bool_), size)
        model.follow(embeddings, box, np.zeros((1, 3), np.float32), neighbours, None)


def main() -> int:
    """Warm every pair under the folder of those that ship; returns the exit status."""
    weights = default_weights()
    for encoder in sorted(weights.rglob(ENCODER)):
        try:
            warm(encoder.parent)
        except SetupError as error:
            print(f"ERROR: {error}", file=sys.stderr)
            return EXIT_SETUP
        print(f"{encoder.parent.relative_to(weights.parent)}: compiled")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
