"""How `qmedsam serve` holds up when several people work at once, each with nnInteractive's client and without a pause.

  python -m training.benchmark.serve_load --sessions 1 2 4 --out runs/benchmark

Everybody sends a volume, and then marks its objects in turn: a box that is answered on its slice, the same box again
that is followed to the object's ends, and both are undone. The volume is a phantom, as CT in 16 bits.

Prints the CPU and a table, and writes both into serve_load.csv in --out: the number of requests of a kind (`count`),
how many of them the server `refused` since they had waited for so long, how many there were `per_second` while
everybody works, the `median` and the 99th percentile (`p99`) of the seconds of the others. These are as the client sees
them: with what it takes to pack and to send, on the same cores.

Of `image`, `image, packing` is what the client's packing takes, its function called alone, and `image, server` what
passes in the server on average, from a request's head to its answer, while the client writes. `image and buffer` ends
once the buffer is set too, for which the server has made the image ready. `peak_mb` is the largest resident memory of
the server. On a machine that does other work the figures are worth little.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from nnInteractive.inference.remote import ServerAtCapacityError, nnInteractiveRemoteInferenceSession
from nnInteractive.inference.remote.serialization import pack_array

from inference.arguments import positive
from training.benchmark.measured_table import measured_table
from training.benchmark.processes import ROOT
from training.benchmark.tables import Row
from training.data.phantoms import Phantom, phantom_volume

SHAPE, OBJECTS, SEED = (300, 512, 512), 3, 1
IMAGE, SLICE, EXTENT, UNDO = "image", "box, its slice", "box, its extent", "undo"
PACKING, IMAGE_IN_SERVER, READY = "image, packing", "image, server", "image and buffer"
KINDS = (IMAGE, PACKING, READY, SLICE, EXTENT, UNDO)
TABLE = "serve_load.csv"


class Timed(NamedTuple):
    """A request of a kind, how long it took, seconds, and whether the server was too busy for it."""

    kind: str
    seconds: float
    is_refused: bool = False


class Server(NamedTuple):
    """One that runs, at a URL, as a process."""

    url: str
    process: int

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process}/status").read_text()
        return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024

    def mean_seconds(self, path: str) -> float:
        """Of the requests to an address, as the server measured them."""
        text = httpx.get(f"{self.url}/metrics").text
        total, count = (
            float(re.findall(rf'^qmedsam_request_seconds_{part}{{path="{path}"}} (\S+)', text, re.MULTILINE)[0])
            for part in ("sum", "count")
        )
        return total / count


@contextmanager
def server(sessions: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "inference", "serve", "--port", "0", "--sessions", str(sessions)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = re.findall(r"http://\S+:\d+", process.stdout.readline())
        if not url:
            raise RuntimeError("the server did not start")
        yield Server(url[0], process.pid)
    finally:
        process.kill()
        process.wait()


def work(url: str, phantom: Phantom, rounds: int) -> list[Timed]:
    """What one person does."""
    done: list[Timed] = []

    def timed(kind: str, request: Callable[[], object]) -> None:
        began, is_refused = time.perf_counter(), False
        try:
            request()
        except ServerAtCapacityError:
            is_refused = True
        done.append(Timed(kind, time.perf_counter() - began, is_refused))

    scan = phantom.imgs[np.newaxis].astype(np.int16) * 4 - 700
    with nnInteractiveRemoteInferenceSession(url, read_timeout=600) as client:
        buffer = np.zeros(phantom.imgs.shape, np.uint8)

        def begin() -> None:
            timed(IMAGE, lambda: client.set_image(scan, {"spacing": [2.0, 1.0, 1.0]}))
            client.set_target_buffer(buffer)

        timed(PACKING, lambda: pack_array(scan, nthreads=os.cpu_count()))
        timed(READY, begin)
        for index in range(rounds):
            x0, y0, z0, x1, y1, z1 = phantom.boxes[index % len(phantom.boxes)].astype(int).tolist()
            middle = (z0 + z1) // 2
            box = [[middle, middle + 1], [y0, y1 + 1], [x0, x1 + 1]]
            for kind, autozoom in ((SLICE, False), (EXTENT, True)):
                client.set_do_autozoom(autozoom)
                timed(kind, partial(client.add_bbox_interaction, box, True))
            timed(UNDO, client.undo)
            client.undo()
    return done


def load_rows(sessions: int, phantom: Phantom, rounds: int) -> list[Row]:
    """The rows of so many people at once."""
    with server(sessions) as running, ThreadPoolExecutor(sessions) as people:
        began = time.perf_counter()
        everybody = [people.submit(work, running.url, phantom, rounds) for _ in range(sessions)]
        done = [timed for person in everybody for timed in person.result()]
        took = time.perf_counter() - began
        peak, of_images = running.peak_mb(), running.mean_seconds("/set_image")
    rows = [row(sessions, kind, done, took) for kind in KINDS]
    rows.insert(2, {**dict.fromkeys(rows[0]), "sessions": sessions, "request": IMAGE_IN_SERVER, "median": of_images})
    return [{**row, "peak_mb": peak} for row in rows]


def row(sessions: int, kind: str, done: Sequence[Timed], took: float) -> Row:
    """The requests of one kind, of all people, in `took` seconds."""
    of_kind = [timed for timed in done if timed.kind == kind]
    seconds = [timed.seconds for timed in of_kind if not timed.is_refused] or [np.nan]
    median, p99 = np.percentile(seconds, [50, 99]).tolist()
    return {
        "sessions": sessions,
        "request": kind,
        "count": len(of_kind),
        "refused": sum(timed.is_refused for timed in of_kind),
        "per_second": len(of_kind) / took,
        "median": median,
        "p99": p99,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmark.serve_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sessions", type=positive, nargs="+", default=[1, 2, 4], metavar="N",
                        help="people at once; a server of its own for each number (default: 1 2 4)")  # fmt: skip
    parser.add_argument("--rounds", type=positive, default=12, metavar="N",
                        help="objects that everybody marks (default: %(default)s)")  # fmt: skip
    parser.add_argument("--shape", type=positive, nargs=3, default=SHAPE, metavar=("D", "H", "W"),
                        help="of the volume (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), metavar="DIR",
                        help="for the CSV file (default: %(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    phantom = phantom_volume(tuple(options.shape), n_boxes=OBJECTS, seed=SEED)
    before: list[Row] = []
    for sessions in options.sessions:
        rows = load_rows(sessions, phantom, options.rounds)
        measured_table(rows, options.out / TABLE, before)
        before += rows
    return 0


if __name__ == "__main__":
    sys.exit(main())
