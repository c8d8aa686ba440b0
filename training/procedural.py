"""Draws training images of what the data sets lack: bands whose boxes overlap, and walls around a lumen.

They become ordinary cases of the training tree, `<root>/<Modality>/procedural_*/<seed>_<number>.npz`. Equal seeds give
equal cases, so that a second run with a larger count adds to the first.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.arguments import positive
from inference.errors import EXIT_OK, EXIT_SETUP
from training.data.bands import retina, tissue_layers
from training.data.labelled_case import LabelledCase, write_labelled_case
from training.data.rings import cells_and_nuclei, disc_and_cup, mr_rings, ultrasound_rings

DATASETS: dict[str, Callable[[np.random.Generator], LabelledCase]] = {
    "OCT/procedural_bands": retina,
    "US/procedural_bands": tissue_layers,
    "US/procedural_rings": ultrasound_rings,
    "MR/procedural_rings": mr_rings,
    "Fundus/procedural_discs": disc_and_cup,
    "Microscopy/procedural_cells": cells_and_nuclei,
}


def write_procedural(root: Path, count: int, seed: int) -> None:
    """Write `count` cases of every data set.

    Raises:
        OSError: a folder or file cannot be written.
    """
    for position, (dataset, draw) in enumerate(DATASETS.items()):
        for number in tqdm(range(count), dataset, unit="case", disable=None):
            case = draw(np.random.default_rng([seed, position, number]))
            write_labelled_case(root / dataset / f"{seed}_{number:05}.npz", case)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.procedural",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="ROOT", help="root of the training tree")
    parser.add_argument(
        "--count", type=positive, default=300, metavar="N", help="cases of each data set (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="equal seeds give equal cases (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        write_procedural(options.out, options.count, options.seed)
    except OSError as error:
        print(f"{error.filename or options.out}: cannot be written ({error.strerror})", file=sys.stderr)
        return EXIT_SETUP
    print(f"{options.count} cases of each of {', '.join(DATASETS)} in {options.out}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
