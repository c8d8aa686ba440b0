"""What the command line takes."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import __version__
from .options import AUTO, EXTENTS, MASK_SUFFIXES, OVERLAP_RULES, PRECISIONS, STRATEGIES, Options

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
MEMORY_VARIABLE = "QMEDSAM_MEMORY"
AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)", re.ASCII | re.IGNORECASE)
BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

DESCRIPTION = """\
Segment medical images with boxes as prompts, on the CPU.

  every case of a folder:   python -m inference -i inputs -o outputs
  one ordinary picture:     python -m inference --image scan.png --box 80,60,200,170 -o mask.png

A case is an .npz file with `imgs` and `boxes`; the result has the same name and one array, `segs`:
0 is background, i the object of the i-th box. README.md describes the format.
"""
EPILOG = """\
exit status: 0 all cases done; 1 some failed or lost a box, each named on standard error; 2 wrong command line;
3 weights, input or output folder or Python's libraries unusable, or no case in the input folder;
130 or 143 stopped by SIGINT or SIGTERM.
"""


class Shard(NamedTuple):
    """The `part`-th (from 1) of `parts` of a folder."""

    part: int
    parts: int

    def of(self, cases: Sequence[Path]) -> Sequence[Path]:
        """Its cases: every `parts`-th, so that all shards have about as many of each kind."""
        return cases[self.part - 1 :: self.parts]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; argparse ends the process with status 2 where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m inference",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-i", "--input", type=Path, metavar="IN", help="folder of *.npz cases")
    source.add_argument("--image", type=Path, metavar="FILE", help="one picture, gray or colour, 8 or 16 bit")
    parser.add_argument("--box", type=box, action="append", default=[], metavar="X0,Y0,X1,Y1", dest="boxes",
                        help="with --image: a box in its pixels; repeat for more objects")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT",
                        help="folder for the results; with --image, the mask file (.png or .tif)")  # fmt: skip
    add_run_options(parser)
    parsed = parser.parse_args(arguments)
    if parsed.image and not parsed.boxes:
        parser.error("--image needs at least one --box X0,Y0,X1,Y1")
    if parsed.image and parsed.output.suffix.lower() not in MASK_SUFFIXES:
        parser.error(f"with --image, -o is a mask, written as .png or .tif, not '{parsed.output.suffix}'")
    if parsed.image and (parsed.skip_existing or parsed.shard.parts > 1):
        parser.error("--skip-existing and --shard go with --input, a folder of cases")
    if parsed.boxes and not parsed.image:
        parser.error("--box goes with --image; cases in a folder hold their own boxes")
    check_run_options(parser, parsed)
    return parsed


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of every run, whatever its cases are read from."""
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR",
                        help="folder with encoder.onnx and decoder.onnx (default: the pair that ships)")  # fmt: skip
    parser.add_argument("--box-batch", type=positive, default=Options.box_batch, metavar="N",
                        help="boxes decoded at once: fewer take less memory (default: %(default)s)")  # fmt: skip
    parser.add_argument("--strategy", choices=STRATEGIES, default=Options.strategy,
                        help="in volumes: the same box on every slice, or from the middle slice outward with each "
                        "slice prompted by the last mask (default: %(default)s)")  # fmt: skip
    parser.add_argument("--extent", choices=EXTENTS, default=Options.extent,
                        help="in volumes: objects reach from z_min to z_max of their boxes; or, with find, a box on a "
                        "single slice (z_min = z_max) marks an object there, and it is followed up and down until it "
                        "ends, which needs weights with a volume_decoder.onnx (default: %(default)s)")  # fmt: skip
    parser.add_argument("--overlap", choices=OVERLAP_RULES, default=Options.overlap,
                        help="who has a pixel claimed twice, see README (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-zoom", action="store_false", dest="zoom",
                        help="do not segment small objects on magnifying windows of their own")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default=AUTO,
                        help="arithmetic; auto takes bf16 where the CPU has it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=positive, default=0, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--memory", type=memory, default=os.environ.get(MEMORY_VARIABLE) or None, metavar="BYTES",
                        help="what this process may use where others run beside it, such as 800M or 2G "
                        f"(default: ${MEMORY_VARIABLE}, else what container or job allow and is free)")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="compiled models (default: beside the weights, or ~/.cache/qmedsam)")  # fmt: skip
    parser.add_argument("--skip-existing", action="store_true",
                        help="leave out cases whose result is there and no older: finish a stopped run")  # fmt: skip
    parser.add_argument("--shard", type=shard, default=Shard(1, 1), metavar="I/N",
                        help="do the I-th of N disjoint parts of the folder, I from 1")  # fmt: skip
    parser.add_argument("--overlay", type=Path, metavar="DIR",
                        help="folder for one PNG per case that shows image, boxes and masks")  # fmt: skip
    parser.add_argument("--overlay-windows", action="store_true",
                        help="with --overlay: also show the windows that magnify small objects")  # fmt: skip
    parser.add_argument("--verbose", action="store_true",
                        help="also say what was loaded or compiled, and the peak memory")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"qmedsam {__version__}")


def check_run_options(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    """End the process with status 2 where options of `add_run_options` do not go together."""
    if parsed.overlay_windows and not parsed.overlay:
        parser.error("--overlay-windows goes with --overlay, the folder for the pictures")


def box(text: str) -> list[float]:
    """`x0,y0,x1,y1` as four numbers."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"'{text}' is not x0,y0,x1,y1")
    return numbers


def shard(text: str) -> Shard:
    """`i/n` with i from 1 to n."""
    parts = text.split("/")
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        chosen = Shard(*map(int, parts))
        if 1 <= chosen.part <= chosen.parts:
            return chosen
    raise argparse.ArgumentTypeError(f"'{text}' is not i/n with i from 1 to n")


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def memory(text: str) -> int:
    """An amount of memory as bytes: a number alone, or with K, M, G or T (powers of 1024)."""
    amount = AMOUNT.fullmatch(text.strip())
    size = int(float(amount[1]) * BYTES[amount[2].upper()]) if amount else 0
    if size < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not an amount of memory such as 800M or 2G (also from the environment: {MEMORY_VARIABLE})"
        )
    return size
