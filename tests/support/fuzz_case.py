"""`python -m tests.support.fuzz_case --minutes N`: coverage-guided fuzzing of the case reader with atheris.

Whatever the bytes: a valid case or a `CaseError` of one line, in bounded time and memory. An input that gives anything
else is left in the present folder as `crash-*`, `timeout-*` or `oom-*`, and the exit status is not 0. What was learnt
stays in the corpus folder, and a later run goes on from there. The suite has a short form:
`tests/inference/cases/test_fuzz_case.py`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports():
    import zipfile

    import numpy as np

    from inference.cases.case import read_case
    from inference.errors import CaseError
from tests.support import hostile

BUDGET = 2**20
MAX_LENGTH = 8192  # of an input; longer ones find nothing that shorter ones do not
RSS_LIMIT_MB, ALLOCATION_LIMIT_MB, TIMEOUT_SECONDS = 1024, 64, 120
MODES = ("file", "members", "header")


def seeds() -> list[bytes]:
    """Good cases, and the smaller ones of the hostile files, as what follows the byte that chooses the mode."""
    cases = [hostile.case(), hostile.case(compression=zipfile.ZIP_STORED)]
    return [data for data in cases + [content() for content, _ in hostile.FILES.values()] if len(data) < MAX_LENGTH]


def file_of(data: bytes) -> bytes:
    """The input file that the fuzzer's bytes stand for.

    A checksum is more than a fuzzer can guess: in two of three modes its bytes become members of a sound archive.
    """
    provider = atheris.FuzzedDataProvider(data)
    mode = MODES[provider.ConsumeIntInRange(0, len(MODES) - 1)]
    if mode == "file":
        return provider.ConsumeBytes(len(data))
    if mode == "members":
        imgs = provider.ConsumeBytes(provider.ConsumeIntInRange(0, len(data)))
        return hostile.archive({"imgs.npy": imgs, "boxes.npy": provider.ConsumeBytes(len(data))})
    text = provider.ConsumeUnicodeNoSurrogates(200)
    return hostile.case(imgs=hostile.npy_with_header(text, provider.ConsumeBytes(len(data))))


def check(path: Path, data: bytes) -> None:
    """Read the file that `data` stands for; anything but a case or the documented error goes through."""
    path.write_bytes(file_of(data))
    try:
        case = read_case(path, BUDGET)
    except CaseError as error:
        if len(str(error).splitlines()) != 1:
            raise AssertionError(f"not one line: {error}") from error
        return
    assert case.volume.dtype in (np.uint8, np.float32)
    assert case.boxes.shape == (len(case.usable), 6)
    assert len(case.problems) == len(case.usable) - case.usable.sum()
    assert np.isfinite(case.boxes).all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, default=Path("runs/fuzz"), help="what was learnt (default: %(default)s)")
    options = parser.parse_args()
    options.corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        # The provider takes numbers from the end: this last byte chooses the mode, to which the seed belongs as a file.
        (options.corpus / f"seed-{number:02}").write_bytes(data + b"\0")
    limits = [f"-max_total_time={round(options.minutes * 60)}", f"-timeout={TIMEOUT_SECONDS}", f"-max_len={MAX_LENGTH}",
              f"-rss_limit_mb={RSS_LIMIT_MB}", f"-malloc_limit_mb={ALLOCATION_LIMIT_MB}"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        atheris.Setup([sys.argv[0], *limits, str(options.corpus)], lambda data: check(path, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
