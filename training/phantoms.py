"""Makes demonstration cases: synthetic images that look medical, in the challenge's format, with ground truths.

Real images cannot be shipped with the project; these can. They are drawn, not simulated: anatomy as soft-edged shapes,
and the noise and texture of the modality over it (speckle, hairs, quantum noise), so that a model trained on real
images finds the objects and a reader sees at a glance what is going on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inference.atomic import write_atomically
from inference.errors import EXIT_OK, EXIT_SETUP
from training.data.challenge_files import make_folders, write_challenge_case
from training.data.phantoms import CASES, picture_phantom


def write_phantoms(out: Path, seed: int = 0) -> None:
    """Write `imgs/*.npz` and `gts/*.npz` for every case, and `picture.png` (16 bit) with `picture_gt.png`.

    Raises:
        OSError: a folder cannot be made or written.
    """
    make_folders(out)
    for number, (name, draw) in enumerate(CASES.items()):
        phantom = draw(np.random.default_rng([seed, number]))
        write_challenge_case(out, name, phantom.imgs, phantom.boxes, phantom.gts, phantom.spacing)
    picture = picture_phantom(seed)
    for file, image in (("picture.png", picture.imgs), ("picture_gt.png", picture.gts)):
        encoded = cv2.imencode(".png", image)[1].tobytes()
        write_atomically(out / file, lambda stream, data=encoded: stream.write(data))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.phantoms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for imgs/, gts/ and picture.png")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal cases (default: 0)")
    options = parser.parse_args(arguments)
    try:
        write_phantoms(options.out, options.seed)
    except OSError as error:
        print(f"{error.filename or options.out}: cannot be written ({error.strerror})", file=sys.stderr)
        return EXIT_SETUP
    boxes = " ".join("--box " + ",".join(map(str, box)) for box in picture_phantom(options.seed).boxes)
    print(f"{len(CASES)} cases in {options.out}/imgs, ground truths in {options.out}/gts, and a 16-bit picture; try")
    print(f"  python -m inference -i {options.out}/imgs -o {options.out}/segs --overlay {options.out}/overlay")
    print(f"  python -m inference --image {options.out}/picture.png {boxes} -o {options.out}/mask.png")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
