"""`qmedsam serve` as a process with the models that ship, and nnInteractive's client: masks to the voxel, memory, what
is left behind, and how it begins and ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession

from inference import Predictor
from inference.cases.intensity import rescale_percentiles
from inference.errors import EXIT_SETUP, EXIT_USAGE
from inference.serve.image import image_bytes
from training.data.phantoms import phantom_volume

ROOT = Path(__file__).resolve().parents[2]
MB = 2**20
STOPPED = 128 + signal.SIGTERM
PHANTOM = phantom_volume((16, 56, 64), n_boxes=2, seed=4)
SPACING = [2.5, 0.8, 0.8]
MR = "3DBox_MR_0007"
LARGE = (600, 512, 512)


class Process(NamedTuple):
    """A server that runs.

    Attributes:
        lines: what it said until it was ready.
    """

    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def client(self, token: str | None = None) -> nnInteractiveRemoteInferenceSession:
        return nnInteractiveRemoteInferenceSession(self.url, api_key=token)

    def stop(self) -> str:
        """End it; what it said since."""
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=30)[0]
        assert self.process.returncode == STOPPED
        return said

    def peak(self) -> int:
        """Bytes of memory at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "inference", "serve", "--port", "0", *map(str, arguments)]


@contextmanager
def serving(*arguments: object, cwd: Path = ROOT, **environment: str) -> Iterator[Process]:
    process = subprocess.Popen(
        command(*arguments), cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    try:
        lines: list[str] = []
        while not (lines and "serving on" in lines[-1]):
            line = process.stdout.readline()
            assert line, lines
            lines.append(line.strip())
        yield Process(process, re.search(r"http://\S+:\d+", lines[-1])[0].replace("0.0.0.0", "127.0.0.1"), lines)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def predictor():
    with Predictor() as predictor:
        yield predictor


def answered(server: Process, imgs: np.ndarray, box: Sequence[Sequence[int]], autozoom: bool = True) -> np.ndarray:
    """The mask of a box, by the client."""
    with server.client() as client:
        client.set_image(imgs[None], {"spacing": SPACING})
        buffer = np.zeros(imgs.shape, np.uint8)
        client.set_target_buffer(buffer)
        client.set_do_autozoom(autozoom)
        client.add_bbox_interaction(box, True)
    return buffer


def intervals(box: np.ndarray, z: int | None = None) -> list[list[int]]:
    """A case's box as the protocol has it; on slice `z` alone, if one is given."""
    x0, y0, z0, x1, y1, z1 = np.asarray(box).astype(int).tolist()
    return [[z0, z1 + 1] if z is None else [z, z + 1], [y0, y1 + 1], [x0, x1 + 1]]


def on_slice(box: np.ndarray, z: int) -> list[float]:
    x0, y0, _, x1, y1, _ = np.asarray(box).astype(int).tolist()
    return [x0, y0, z, x1, y1, z]


@pytest.mark.parametrize("extent", ["find", "given"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_box_of_one_slice_gives_the_masks_of_the_predictor(server, predictor, extent, number):
    box = PHANTOM.boxes[number]
    z = int(box[2] + box[5]) // 2
    mask = answered(server, PHANTOM.imgs, intervals(box, z), autozoom=extent == "find")
    expected = predictor.segment(PHANTOM.imgs, on_slice(box, z), extent=extent)
    assert expected.any()
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("axis", [1, 2])
def test_so_does_one_that_is_drawn_across_the_slices(server, predictor, axis):
    box = intervals(PHANTOM.boxes[0])
    middle = sum(box[axis]) // 2
    box[axis] = [middle, middle + 1]
    mask = answered(server, PHANTOM.imgs, box)
    turned = np.moveaxis(PHANTOM.imgs, axis, 0)
    rows, columns = (box[other] for other in range(3) if other != axis)
    marked = [columns[0], rows[0], middle, columns[1] - 1, rows[1] - 1, middle]
    expected = predictor.segment(turned, marked, extent="find")
    assert expected.any()
    np.testing.assert_array_equal(np.moveaxis(mask, axis, 0), expected)


def test_so_does_one_of_several_slices(server, predictor):
    mask = answered(server, PHANTOM.imgs, intervals(PHANTOM.boxes[1]))
    np.testing.assert_array_equal(mask, predictor.segment(PHANTOM.imgs, PHANTOM.boxes[1], SPACING))


def test_so_does_ct(server, predictor):
    scan = PHANTOM.imgs.astype(np.int16) * 4 - 700
    box = PHANTOM.boxes[0]
    z = int(box[2])
    expected = predictor.segment(scan, on_slice(box, z), extent="find", window=(40, 400))
    assert expected.any()
    np.testing.assert_array_equal(answered(server, scan, intervals(box, z)), expected)


def test_so_does_an_image_of_one_slice(server, predictor):
    box = PHANTOM.boxes[0]
    z = int(box[2] + box[5]) // 2
    mask = answered(server, PHANTOM.imgs[z : z + 1], [[0, 1], *intervals(box)[1:]])
    expected = predictor.segment(PHANTOM.imgs[z], box[[0, 1, 3, 4]].astype(int))
    assert expected.any()
    np.testing.assert_array_equal(mask[0], expected)


def test_so_does_a_real_mr(server, predictor, shared_data):
    """As a scanner gives it: whole numbers of any size. Objects one after the other: what comes last has a voxel."""
    with np.load(shared_data / "val" / "imgs" / f"{MR}.npz") as case:
        scan, boxes = case["imgs"].astype(np.uint16) * 11, case["boxes"]
    grey = rescale_percentiles(scan)
    with server.client() as client:
        client.set_image(scan[None], {"spacing": SPACING})
        buffer = np.zeros(scan.shape, np.uint8)
        client.set_target_buffer(buffer)
        for box in boxes[:2]:
            z = int(box[2] + box[5]) // 2
            client.add_bbox_interaction(intervals(box, z), True)
            expected = predictor.segment(grey, on_slice(box, z), extent="find")
            assert expected.any()
            np.testing.assert_array_equal(buffer, expected)
            assert client.undo()


def test_a_large_volume_stays_within_the_memory_that_was_planned():
    """600 x 512 x 512 in 16 bits, as a scanner gives it; a second one does not fit beside it, and says so."""
    limit = 1800 * MB
    scan = np.full((1, *LARGE), -1000, np.int16)
    scan[0, 295:305, 200:300, 200:300] = 80
    with serving("--memory", limit) as server, server.client() as client, server.client() as other:
        client.set_image(scan, {"spacing": SPACING})
        buffer = np.zeros(LARGE, np.uint8)
        client.set_target_buffer(buffer)
        client.add_bbox_interaction([[298, 303], [190, 310], [190, 310]], True)
        assert buffer[300, 250, 250]
        assert client.undo()
        assert not buffer.any()
        held = re.search(r"^qmedsam_memory_held_bytes (\S+)$", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
        assert float(held[1]) == image_bytes(scan.size)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            other.set_image(scan)
        assert re.search(r"needs \d+ MB of memory, \d+ MB are left", refused.value.response.json()["detail"])
        assert 600 * MB < server.peak() < limit


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_of_an_image_is_written_or_logged(tmp_path):
    folders = {name: tmp_path / name for name in ("cwd", "home", "tmp", "cache")}
    for folder in folders.values():
        folder.mkdir()
    where = {"HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"])}
    with serving("--cache", folders["cache"], cwd=folders["cwd"], **where) as server:
        answered(server, PHANTOM.imgs, intervals(PHANTOM.boxes[0]))
        with server.client() as client:
            client.set_image(np.full((1, 2, 3, 4), np.nan))
            with pytest.raises(httpx.HTTPStatusError):
                client.undo()
        said = server.stop()
    assert len(server.lines) == 1
    assert said.splitlines() == [
        "a session began, 1 of 4",
        "a session ended, 0 of 4 are left",
        "a session began, 1 of 4",
        "a session ended, 0 of 4 are left",
        "ERROR: stopped by SIGTERM",
    ]
    left = {name: files(folder) for name, folder in folders.items()}
    assert all(name.endswith(".blob") for name in left.pop("cache"))
    assert left == {"cwd": [], "home": [], "tmp": []}


def test_other_addresses_need_a_token_which_is_made_where_none_is_given(tmp_path):
    with serving("--host", "0.0.0.0") as server:
        said = [*server.lines, *(server.process.stdout.readline().strip() for _ in range(2))]
        token = re.fullmatch(r"token \(API key of viewers\): (\S{40,})", said[1])[1]
        assert "not encrypted" in said[2]
        assert httpx.post(f"{server.url}/claim").status_code == 401
        with server.client(token) as client:
            assert client.ping()
    file = tmp_path / "token"
    file.write_text("a token of sixteen and more\nand a comment\n")
    with serving("--token", file) as server, server.client("a token of sixteen and more"):
        assert httpx.post(f"{server.url}/claim").status_code == 401
        assert "token" not in "".join(server.lines)


def said_by(*arguments: object, code: str = "pass") -> tuple[int, str]:
    """Exit status, and the last line that it says."""
    start = [
        sys.executable,
        "-c",
        code + "; import sys; from inference.__main__ import run; run()",
        "serve",
        *arguments,
    ]
    ran = subprocess.run([*map(str, start)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return ran.returncode, ran.stderr.strip().splitlines()[-1]


def test_what_keeps_it_from_starting_is_said_in_one_line(server, tmp_path):
    port = server.url.rpartition(":")[2]
    (tmp_path / "short").write_text("secret\n")
    for arguments, expected in {
        ("--port", port): f"ERROR: cannot listen on 127.0.0.1, port {port} (Address already in use",
        ("--host", "nowhere.invalid"): "ERROR: cannot listen on nowhere.invalid, port 1527 (",
        ("--port", "0", "--token", tmp_path / "absent"): "absent: cannot be read as a token",
        ("--port", "0", "--token", tmp_path / "short"): "short: the token is shorter than 16 characters; `openssl rand",
        ("--port", "0", "--memory", "300M"): "ERROR: the memory limit leaves 0 MB for images",
        ("--port", "0", "--weights", tmp_path): "encoder.onnx: No such file",
    }.items():
        status, line = said_by(*arguments)
        assert (status, expected in line) == (EXIT_SETUP, True), line
    for arguments in (("--port", "65536"), ("--port", "x"), ("--sessions", "0"), ("--window", "wide"), ("more",)):
        assert said_by(*arguments)[0] == EXIT_USAGE


@pytest.mark.parametrize("name", ["starlette", "uvicorn", "blosc2", "prometheus_client"])
def test_a_library_that_is_missing_is_named_with_the_remedy(name):
    status, line = said_by(code=f"import sys; sys.modules['{name}'] = None")
    assert (status, line) == (
        EXIT_SETUP,
        f"ERROR: serving needs {name}, of the extra 'serve': pip install '.[serve]' where QMedSAM's sources are",
    )
