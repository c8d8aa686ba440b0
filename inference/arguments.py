"""What the command line takes."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import __version__
from .memory_limit import amount
from .options import (
    AUTO,
    EXTENTS,
    MASK_SUFFIXES,
    OVERLAP_RULES,
    PRECISIONS,
    STRATEGIES,
    WINDOWS,
    Options,
    Window,
    default_weights,
)

HOST_VARIABLE, LOCAL_HOST = "QMEDSAM_HOST", "127.0.0.1"
LAST_PORT = 2**16 - 1
MEMORY_VARIABLE = "QMEDSAM_MEMORY"
COMMAND = "qmedsam"  # the name under which an installed package can be called


class Subcommand(NamedTuple):
    """What the first argument can ask for.

    Attributes:
        summary: what it does, for `--help`.
        module: relative to this package; its `main(arguments)` does it and returns the exit status. Empty where the
            options below are its own.
    """

    summary: str
    module: str


CASES = "cases"
SUBCOMMANDS = {
    CASES: Subcommand("every *.npz case of a folder: cases INPUT OUTPUT", ""),
    "segment": Subcommand("your own files, NIfTI, NRRD, DICOM, PNG...: segment FILE --box ... -o MASK", ".files.cli"),
    "page": Subcommand("serve the page that segments in the browser: page [DIST]", ".page"),
    "serve": Subcommand("a server for 3D Slicer and napari", ".serve.cli"),
}

USAGE = """\
%(prog)s SUB-COMMAND ...
       %(prog)s -i IN -o OUT [options]
       %(prog)s --image FILE --box X0,Y0,X1,Y1 [--box ...] -o OUT [options]"""
DESCRIPTION = """\
Segment medical images with boxes as prompts, on the CPU.

  every case of a folder:   %(prog)s cases inputs outputs
  one ordinary picture:     %(prog)s --image scan.png --box 80,60,200,170 -o mask.png

A case is an .npz file with `imgs` and `boxes`; the result has the same name and one array, `segs`:
0 is background, i the object of the i-th box. README.md describes the format.
"""
CASES_DESCRIPTION = """\
Segment every case of a folder, each an .npz file with `imgs` and `boxes`; the result has the same name and one array,
`segs`: 0 is background, i the object of the i-th box. README.md describes the format.

  a folder:              %(prog)s inputs outputs
  and look at it:        %(prog)s inputs outputs --overlay pictures
  one half of it:        %(prog)s inputs outputs --shard 1/2
  what was left undone:  %(prog)s inputs outputs --skip-existing
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line of `cases`, or of no sub-command; argparse ends the process with status 2 where it is wrong.

    Both give the same: `input` is a folder of cases, or `image` a picture with `boxes`.
    """
    if arguments and arguments[0] == CASES:
        return _parse_cases(arguments[1:])
    parser = _parser(program(), DESCRIPTION + _listed_subcommands(), USAGE)
    if arguments and not arguments[0].startswith("-"):
        parser.error(f"no sub-command '{arguments[0]}'; there is {', '.join(SUBCOMMANDS)}")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-i", "--input", type=Path, metavar="IN", help="folder of *.npz cases, as `cases` takes it")
    source.add_argument("--image", type=Path, metavar="FILE", help="one picture, gray or colour, 8 or 16 bit")
    parser.add_argument("--box", type=box, action="append", default=[], metavar="X0,Y0,X1,Y1", dest="boxes",
                        help="with --image: a box in its pixels; repeat for more objects")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT",
                        help="folder for the results; with --image, the mask file (.png or .tif)")  # fmt: skip
    add_model_options(parser)
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
    return checked(parser, parsed)


def _parse_cases(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser(f"{program()} {CASES}", CASES_DESCRIPTION)
    parser.set_defaults(image=None, boxes=[])
    parser.add_argument("input", type=Path, metavar="INPUT", help="folder of *.npz cases")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the results")
    add_model_options(parser)
    add_run_options(parser)
    return checked(parser, parser.parse_args(arguments))


def program() -> str:
    """What the user has called: the installed command, or the package as it is named there."""
    return COMMAND if Path(sys.argv[0]).name == COMMAND else f"python -m {__package__}"


def _parser(name: str, description: str, usage: str | None = None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=name,
        usage=usage,
        description=description,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal.

    argparse asks `shutil` for the width, of each option that is added, help or not: importing it, with all its
    compressors, takes 2 ms of every start.
    """

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except OSError:  # no terminal
            columns = 0
        super().__init__(prog, width=(columns or 80) - 2)  # a terminal need not know either


def _listed_subcommands() -> str:
    width = max(map(len, SUBCOMMANDS))
    lines = (f"  {name:{width}}   {subcommand.summary}" for name, subcommand in SUBCOMMANDS.items())
    return "\nsub-commands (more of each: %(prog)s SUB-COMMAND --help):\n" + "\n".join(lines)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """How images are segmented, and with what."""
    add_runtime_options(parser)
    parser.add_argument("--box-batch", type=positive, default=Options.box_batch, metavar="N",
                        help="boxes in a block: from 48 on a case's boxes are decoded in two blocks side by side; "
                        "1 takes the least memory, all but 1 and 2 are compiled (default: %(default)s)")  # fmt: skip
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


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """With which models, and what of the machine."""
    parser.add_argument("--weights", type=Path, default=default_weights(), metavar="DIR",
                        help="folder with encoder.onnx and decoder.onnx (default: the pair that ships)")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default=AUTO,
                        help="arithmetic; auto takes bf16 where the CPU has it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--threads", type=positive, default=0, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--memory", type=memory, default=os.environ.get(MEMORY_VARIABLE) or None, metavar="BYTES",
                        help="what this process may use where others run beside it, such as 800M or 2G "
                        f"(default: ${MEMORY_VARIABLE}, else what container or job allow and is free)")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="compiled models (default: beside the weights, or ~/.cache/qmedsam)")  # fmt: skip


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Which cases are done, and what is shown of it."""
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
    parser.add_argument("--version", action="version", version=f"{COMMAND} {__version__}")


def checked(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> argparse.Namespace:
    """What was parsed; ends the process with status 2 where options of `add_run_options` do not go together."""
    if parsed.overlay_windows and not parsed.overlay:
        parser.error("--overlay-windows goes with --overlay, the folder for the pictures")
    return parsed


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


def add_address(parser: argparse.ArgumentParser, default_port: int) -> None:
    """Add `--host` and `--port` of a server."""
    parser.add_argument("--host", default=os.environ.get(HOST_VARIABLE) or LOCAL_HOST,
                        help=f"address to listen on; 0.0.0.0 is all of the machine's (default: ${HOST_VARIABLE}, else "
                        f"{LOCAL_HOST}, which other machines do not reach)")  # fmt: skip
    parser.add_argument("--port", type=port, default=default_port,
                        help="0 takes one that is free (default: %(default)s)")  # fmt: skip


def port(text: str) -> int:
    """A whole number up to 65535."""
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port, 0 to {LAST_PORT}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def memory(text: str) -> int:
    """An amount of memory as bytes (see `inference.memory_limit.amount`)."""
    try:
        return amount(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} (also from the environment: {MEMORY_VARIABLE})") from error


def window(text: str) -> Window:
    """The name of a window, or its level and width."""
    if text in WINDOWS:
        return WINDOWS[text]
    try:
        level, width = map(float, text.split(","))
    except ValueError:
        level = width = 0.0
    if not (0 < width < float("inf") and abs(level) < float("inf")):
        raise argparse.ArgumentTypeError(f"'{text}' is not level,width such as 40,400, nor {', '.join(WINDOWS)}")
    return Window(level, width)
