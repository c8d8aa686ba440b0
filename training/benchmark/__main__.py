"""`python -m training.benchmark`: see `--help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inference.arguments import positive
from training.benchmark.case_specs import SPECS
from training.benchmark.case_table import CONTENDERS, FLOAT32, IMPORTS, INT8, LIGHT, REFERENCE, Repeats, case_table
from training.benchmark.engine_table import engine_table
from training.benchmark.isa import ISAS, NATIVE
from training.benchmark.processes import ROOT, BenchmarkError
from training.benchmark.profile import profile
from training.benchmark.workplace import LITEMEDSAM, MEDSAM, Weights, Workplace
from training.benchmark.zoom_table import zoom_table

DESCRIPTION = """\
How long things take: whole processes, the contenders in turn, medians and ratios, peak memory.

  engines   one image and one box in PyTorch, ONNX Runtime and OpenVINO, each in float32, in bf16 where there is such a
            thing, and in int8. Cold is from the start of the process to the first mask, with OpenVINO's models
            compiled before, as in the container; warm is the median of later runs.
  cases     the cases of QMedSAM's Table 8: the plain PyTorch pipeline (the baseline's way) against the runtime, with
            the same LiteMedSAM in both, whose masks are the same (propagation, no zoom), and with the light model as it
            ships. `imports` is a bare `import numpy, cv2, openvino`, which no run can undercut.
  zoom      the light model on the validation cases, warm, with and without the zoom: DSC, NSD, encoder passes and
            milliseconds per case, by modality.

LiteMedSAM has untrained weights, which take as long as trained ones. The reference would take hours over volumes: of
what has more than 6 box-slices (pairs of a box and a slice) it is timed over 1 and over 5 of them, and the line through
both is read off at the whole; the tables mark these rows as extrapolated. --full-reference runs all.

  python -m training.benchmark --val ../shared/data/val --work /tmp/benchmark
  python -m training.benchmark ... --tables cases --cases 2DBox_256 --repeats 1          # one case, in a minute
  python -m training.benchmark ... --profile                                             # where the time goes

Results: engines.csv, cases.csv, zoom.csv, profile_*.csv in --out. On a machine that does other work the figures are
worth little.
"""
TABLES = ("engines", "cases", "zoom")
PROFILED = "2DBox_256x256_1"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="validation cases: DIR/imgs/*.npz")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR",
                        help="cases and weights are made here and kept for the next time; not in the repository, as "
                        "the cases are made of patients' images")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR",
                        help="the CSV files (default: %(default)s)")  # fmt: skip
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="(default: all)")
    parser.add_argument("--repeats", type=positive, default=3, metavar="N",
                        help="runs of each contender (default: %(default)s)")  # fmt: skip
    parser.add_argument("--reference-repeats", type=positive, default=1, metavar="N",
                        help="runs of the reference, which takes longest by far (default: %(default)s)")  # fmt: skip
    parser.add_argument("--full-reference", action="store_true", help="never extrapolate; takes a day")
    parser.add_argument("--cases", nargs="+", default=[""], metavar="PART",
                        help="cases whose name holds one of these, e.g. 2DBox or 287x512 (default: all)")  # fmt: skip
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME",
                        help=f"rows of the table of cases, of: {', '.join(CONTENDERS)} (default: all)")  # fmt: skip
    parser.add_argument("--isa", nargs="+", choices=ISAS, default=[NATIVE], metavar="ISA",
                        help="cases: hold the runtime's contenders to each of these instruction sets in turn, of: "
                        f"{', '.join(ISAS)}. They stand in for older CPUs, roughly: oneDNN's kernels keep to them, "
                        "but not all of OpenVINO's own do; clock, caches and memory stay those of this machine; below "
                        "AVX512_CORE_BF16 float32 takes the place of bf16 (default: %(default)s)")  # fmt: skip
    parser.add_argument("--runtime", type=lambda text: Path(text).absolute(), default=sys.executable, metavar="PYTHON",
                        help="cases: the Python that `imports` and the runtime are run with, such as "
                        ".venv/runtime/bin/python, which `make demo` leaves: it holds the container's libraries and no "
                        "more, and imports them in two thirds of the time that the environment of training takes "
                        "(default: the one that runs this)")  # fmt: skip
    parser.add_argument("--warm", type=positive, default=10, metavar="N",
                        help="warm runs in each process of the table of engines (default: %(default)s)")  # fmt: skip
    parser.add_argument("--medsam", action="store_true", help="engines: MedSAM ViT-B too (6 GB of memory, minutes)")
    parser.add_argument("--float32", type=Path, metavar="DIR", help="a float32 LiteMedSAM pair instead of our own")
    parser.add_argument("--int8", type=Path, metavar="DIR", help="an int8 LiteMedSAM pair instead of our own")
    parser.add_argument("--light", type=Path, default=ROOT / "weights", metavar="DIR",
                        help="the light model's pair (default: the one that ships)")  # fmt: skip
    parser.add_argument("--profile", action="store_true",
                        help="no tables, but where a cold run (of the first of --cases; a small 2D one if none is "
                        "named) and the encoder spend their time, for each of the runtime's contenders")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.profile and options.cases == [""]:
        options.cases = [PROFILED]
    options.specs = [spec for spec in SPECS if any(part in spec.name for part in options.cases)]
    if not options.specs:
        parser.error(f"--cases: no name holds {' or '.join(options.cases)}; names are {SPECS[0].name}, ...")
    for name in ("float32", "int8", "light"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).resolve())
    if options.work.resolve().is_relative_to(ROOT):
        parser.error("--work: choose a folder outside the repository")
    return options


def models_needed(options: argparse.Namespace) -> list[str]:
    """The models that the chosen tables and contenders need untrained weights of."""
    engines = "engines" in options.tables and not options.profile
    cases = {REFERENCE, FLOAT32, INT8} & set(options.contenders) and (options.profile or "cases" in options.tables)
    return [LITEMEDSAM] * bool(engines or cases) + [MEDSAM] * (engines and options.medsam)


def weights(place: Workplace, model: str, options: argparse.Namespace) -> Weights:
    """A model's weights: made by the benchmark, but for the pairs that were given."""
    made = place.weights(model)
    if model != LITEMEDSAM:
        return made
    return Weights(made.checkpoint, options.float32 or made.float32, options.int8 or made.int8)


def runtime_pairs(models: dict[str, Weights], options: argparse.Namespace) -> dict[str, Path]:
    """The pairs of ONNX files by the chosen contenders of the runtime."""
    pairs = {FLOAT32: models[LITEMEDSAM].float32, INT8: models[LITEMEDSAM].int8} if LITEMEDSAM in models else {}
    return {name: pair for name, pair in {**pairs, LIGHT: options.light}.items() if name in options.contenders}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        place = Workplace(options.val, options.work, options.out, options.runtime)
        models = {model: weights(place, model, options) for model in models_needed(options)}
        pairs = runtime_pairs(models, options)
        if options.profile:
            profile(place, options.specs[0], pairs, options.repeats)
            return 0
        if "engines" in options.tables:
            engine_table(place, models, options.repeats, options.warm)
        if "cases" in options.tables:
            repeats = Repeats(options.repeats, options.reference_repeats, options.full_reference)
            checkpoint = models[LITEMEDSAM].checkpoint if REFERENCE in options.contenders else None
            case_table(place, options.specs, pairs, checkpoint, IMPORTS in options.contenders, repeats, options.isa)
        if "zoom" in options.tables:
            zoom_table(place, options.light, options.repeats)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
