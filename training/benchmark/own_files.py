"""How long people's own files take: a CT with one box, in npz and in every other format.

  python -m training.benchmark.own_files --work /tmp/benchmark

prints a table of whole processes, in turn, and writes own_files.csv: medians, peak memory, and how many times as long
as npz they take, wall time and CPU time: medians over rounds of the ratio within a round, which a busy machine disturbs
least. `by hand` is a script of one's own with nibabel: NIfTI to npz, the challenge's way, and back to NIfTI.

The volume is a phantom. Its files, 600 MB, are made in --work and kept for the next time.
"""

import argparse
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from inference.arguments import positive
from training.benchmark.measured_table import measured_table
from training.benchmark.processes import (
    BenchmarkError,
    Contender,
    environment,
    interleave,
    paired_ratio,
    python,
    run_process,
)
from training.benchmark.tables import Row

SIZE = (300, 512, 512)
NPZ, BY_HAND = "npz", "by hand"
RESULTS = {
    "ct.nii.gz": "mask.nii.gz",
    "ct.nii": "mask.nii",
    "ct.nrrd": "mask.nrrd",
    "ct.mha": "mask.mha",
    "dicom": "mask.seg.dcm",
}
CONVERT = """
import subprocess, sys, nibabel, numpy as np
source, work, box, *options = sys.argv[1:]
image = nibabel.load(source)
low, high = 40 - 200, 40 + 200
imgs = (np.clip((image.get_fdata(dtype=np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8).T
np.savez_compressed(f"{work}/in/3DBox_CT_1.npz", imgs=imgs, boxes=[[int(number) for number in box.split(",")]])
subprocess.run([sys.executable, "-m", "inference", "cases", f"{work}/in", f"{work}/out", *options], check=True)
segs = np.load(f"{work}/out/3DBox_CT_1.npz")["segs"]
nibabel.save(nibabel.Nifti1Image(segs.T, image.affine), f"{work}/mask.nii.gz")
"""


def contenders(files: Path, out: Path, box: str, options: Sequence[str | Path], repeats: int) -> list[Contender]:
    """The same case in every format, and by hand."""
    inference = ("-m", "inference")
    commands = {NPZ: python(*inference, "cases", files / "npz", out / "npz", *options)}
    for name, result in RESULTS.items():
        arguments = ("segment", files / name, "--box", box, "--modality", "CT", "-o", out / result)
        commands[f"{name} to {result.removeprefix('mask')}"] = python(*inference, *arguments, *options)
    hand = out / "by_hand"
    (hand / "in").mkdir(parents=True, exist_ok=True)
    commands[BY_HAND] = python("-c", CONVERT, files / "ct.nii.gz", hand, box, *options)
    return [Contender(name, command, repeats) for name, command in commands.items()]


def rows(measured: Sequence[Contender]) -> list[Row]:
    """A row for each contender, with its ratios to the first."""
    return [
        {
            "files": contender.name,
            "seconds": contender.seconds,
            "times_npz": paired_ratio(contender, measured[0], attrgetter("seconds")),
            "cpu_times_npz": paired_ratio(contender, measured[0], attrgetter("cpu_seconds")),
            "peak_mb": contender.peak_mb,
            "runs": len(contender.runs),
        }
        for contender in measured
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.own_files",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="files are made here, and kept")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR",
                        help="own_files.csv (default: %(default)s)")  # fmt: skip
    parser.add_argument("--size", type=int, nargs=3, default=SIZE, metavar=("D", "H", "W"),
                        help="slices, rows and columns (default: 300 512 512)")  # fmt: skip
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="rounds (default: %(default)s)")
    options = parser.parse_args(arguments)
    work = options.work.resolve()
    files, env = work / "x".join(map(str, options.size)), environment(work)
    try:
        size = map(str, options.size)
        command = python("-m", "training.benchmark.volume_files", "--out", files, "--size", *size)
        box = run_process(command, env).output.strip()
        model = ("--cache", work / "compiled")
        measured = contenders(files, work / "masks", box, model, options.repeats)
        interleave(measured, env)
        measured_table(rows(measured), options.out / "own_files.csv")
    except (BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
