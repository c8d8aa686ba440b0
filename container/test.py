"""`make container-test`: build the images, try in the challenge's whatever must not lose a case, say what came of it.

Every run is as strict as a run can be: no network, a read-only root file system, a writable /tmp and output folder, an
unprivileged user, a memory limit. Uses Docker, or beside this project ../shared/tools/container.sh.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.support import hostile

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = ROOT.parent / "shared/tools/container.sh"
TAG = "qmedsam:container-test"
TAG_OF_FILES, TAG_OF_SERVER = f"{TAG}-files", f"{TAG}-serve"
PREDICT = "sh predict.sh --verbose"
OK, FAILED, UNUSABLE, KILLED, STOPPED = 0, 1, 3, 137, 143  # exit statuses
Checks = list[Callable[[Path], str]]


class Ran(NamedTuple):
    """A finished container: exit status, both streams, seconds."""

    status: int
    log: str
    seconds: float

    def expect(self, status: int, *patterns: str) -> "Ran":
        """Fail unless it ended with `status` and its log has all `patterns`."""
        assert self.status == status, f"exit status {self.status}, not {status}:\n{self.log[-2000:]}"
        for pattern in patterns:
            assert re.search(pattern, self.log, re.MULTILINE), f"the log lacks '{pattern}':\n{self.log[-2000:]}"
        return self

    @property
    def peak(self) -> int:
        """MB of memory at most, as the run itself says."""
        return int(re.findall(r"^peak memory (\d+) MB", self.log, re.MULTILINE)[-1])

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, peak {self.peak} MB"


def build() -> None:
    command = ["bash", str(STAND_IN), "build", ".", TAG] if STAND_IN.exists() else ["docker", "build", "-t", TAG, "."]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def build_target(target: str, tag: str, folder: Path) -> None:
    """Build a stage by its name. The stand-in knows the last one only: it gets a copy that ends with it."""
    if not STAND_IN.exists():
        command = ["docker", "build", "--target", target, "-t", tag, str(ROOT)]
    else:
        command = ["bash", str(STAND_IN), "build", str(folder / "context"), tag]
        left_out = shutil.ignore_patterns(".git", ".venv", "datasets", "demo", "runs")
        shutil.copytree(ROOT, folder / "context", ignore=left_out)
        stages = re.match(rf".*^FROM \S+ AS {target}$.*?(?=^FROM )", (ROOT / "Dockerfile").read_text(), re.M | re.S)
        (folder / "context" / "Dockerfile").write_text(stages[0])
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def command(folder: Path, line: str, options: Iterable[str], tag: str) -> list[str]:
    """Run `line` in the image on `folder`/in and `folder`/out."""
    if STAND_IN.exists():
        return ["bash", str(STAND_IN), "run", tag, str(folder / "in"), str(folder / "out"), "/bin/bash", "-c", line]
    strict = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "-m", os.environ["MEMORY"]]
    mounts = ["-v", f"{folder}/in:/workspace/inputs", "-v", f"{folder}/out:/workspace/outputs"]
    return ["docker", "run", *strict, *mounts, *options, tag, "/bin/bash", "-c", line]


def start(
    folder: Path, line: str = PREDICT, memory: str = "8G", options: Iterable[str] = (), tag: str = TAG
) -> subprocess.Popen[str]:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out").chmod(0o777)
    os.environ.update(MEMORY=memory, EXTRA_RUN_ARGS=" ".join(options))
    return subprocess.Popen(
        command(folder, line, options, tag),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    )


def run(folder: Path, line: str = PREDICT, memory: str = "8G", options: Iterable[str] = (), tag: str = TAG) -> Ran:
    began = time.perf_counter()
    process = start(folder, line, memory, options, tag)
    log = process.communicate()[0]
    return Ran(process.returncode, log, time.perf_counter() - began)


def kill(name: str, signal: str) -> None:
    engine = ["podman", "--storage-driver=vfs"] if STAND_IN.exists() else ["docker"]
    subprocess.run([*engine, "kill", "--signal", signal, name], check=True, stdout=subprocess.DEVNULL)


def image(height: int, width: int, channels: int = 1) -> np.ndarray:
    """Bright discs on a gradient with noise, (H, W[, 3]) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    discs = np.hypot(y % 200 - 100, x % 200 - 100) < 70
    noise = np.random.default_rng(0).integers(0, 40, (height, width), np.uint8)
    gray = (60 * discs + 60 * x / width).astype(np.uint8) + noise
    return gray if channels == 1 else np.stack([gray] * channels, axis=-1)


def boxes(count: int, height: int, width: int, depth: int = 0, slices: int = 0) -> np.ndarray:
    """Boxes of many sizes, drawn from a seed: (N, 4), or (N, 6) of about `slices` slices."""
    rng = np.random.default_rng(count)
    size = rng.uniform(0.02, 0.25, (count, 2)) * min(height, width)
    low = rng.uniform(0, 1, (count, 2)) * ([width, height] - size)
    if not depth:
        return np.concatenate([low, low + size], axis=1)
    first = rng.integers(0, depth - slices, (count, 1))
    last = first + rng.integers(slices // 2, slices, (count, 1))
    return np.concatenate([low, first, low + size, last], axis=1)


def write_case(folder: Path, name: str, imgs: np.ndarray, boxes: np.ndarray) -> None:
    (folder / "in").mkdir(exist_ok=True)
    np.savez(folder / "in" / f"{name}.npz", imgs=imgs, boxes=boxes)


def write_small_cases(folder: Path, count: int) -> None:
    for number in range(count):
        write_case(folder, f"2DBox_CT_{number:04}", image(96, 120), boxes(1 + number % 3, 96, 120))


def results(folder: Path) -> list[str]:
    """Names of the results in `folder`/out; fails if one is not whole, or something else lies there."""
    names = []
    for path in sorted((folder / "out").iterdir()):
        if path.name.startswith(".qmedsam-"):
            continue
        with np.load(folder / "in" / path.name) as case, np.load(path) as result:
            assert result.files == ["segs"]
            shape = case["imgs"].shape
            assert result["segs"].shape == (shape[:3] if case["boxes"].shape[-1] == 6 else shape[:2])
        names.append(path.name)
    return names


def cases(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "in").glob("*.npz"))


# What is tried. A function's docstring is what it prints; what it returns is what came of it.


def bill_of_materials(folder: Path) -> str:
    """The bill of materials lists what requirements.lock pins; no telemetry"""
    bill = json.loads(run(folder, "cat sbom.json").expect(OK).log)
    listed = {f"{part['name']}=={part.get('version')}" for part in bill["components"]}
    assert {line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines()[1:]} <= listed
    run(folder, "python -c 'import openvino_telemetry'").expect(FAILED, "ModuleNotFoundError")
    return f"{len(listed)} components"


FILES_OF_ONES_OWN = """
import SimpleITK as itk
image = itk.GaussianSource(itk.sitkInt16, [64, 48, 12], [9.0] * 3, [40.0, 25.0, 6.0], 400.0) - 600
image.SetSpacing([0.7, 0.8, 4.0])
image.SetOrigin([-9.5, 20.25, 300.0])
itk.WriteImage(image, "/tmp/ct.nii.gz")
"""
SAME_PLACE = """
import highdicom, SimpleITK as itk
ct, mask = map(itk.ReadImage, ("/tmp/ct.nii.gz", "outputs/mask.nii.gz"))
sizes, spacings, origins = zip(*((some.GetSize(), some.GetSpacing(), some.GetOrigin()) for some in (ct, mask)))
assert (sizes[0], spacings[0], origins[0]) == (sizes[1], spacings[1], origins[1])
print(itk.GetArrayViewFromImage(mask).sum(), "voxels")
"""


def files_image(folder: Path) -> str:
    """`--target files` segments a NIfTI file; the challenge's image has none of it, and says so"""
    segment = "python -m inference segment /tmp/ct.nii.gz --box 24,12,2,50,36,10 -o outputs/mask.nii.gz"
    lacking = run(folder, segment).expect(UNUSABLE, "'segment' is not in this image; docker build --target files")
    assert len(lacking.log.splitlines()) == 1
    run(folder, "! ls inference/files && ! python -c 'import SimpleITK'").expect(OK)
    build_target("files", TAG_OF_FILES, folder)
    write, check = (f"python -c '{script}'" for script in (FILES_OF_ONES_OWN, SAME_PLACE))
    run(folder, f"{write} && {segment} && {check}", tag=TAG_OF_FILES).expect(OK, r"^[1-9]\d+ voxels$")
    (folder / "out" / "mask.nii.gz").unlink()
    write_small_cases(folder, 1)
    run(folder, tag=TAG_OF_FILES).expect(OK)
    assert results(folder) == cases(folder)
    return "and segments cases too"


ASK_THE_SERVER = """
import json, re, time, httpx, numpy
from inference.serve.wire import pack
while not (token := re.findall(r"API key of viewers.: (.+)", open("/tmp/log").read())):
    time.sleep(0.1)
url, headers = "http://127.0.0.1:1527", {"Authorization": "Bearer " + token[0]}
assert httpx.get(url + "/healthz").json() == {"ok": True}
assert httpx.post(url + "/claim").status_code == 401
headers["X-Lease-Token"] = httpx.post(url + "/claim", headers=headers).json()["lease_token"]
imgs = numpy.full((1, 9, 96, 96), 40, numpy.uint8)
imgs[0, 2:7, 30:60, 30:60] = 200
httpx.post(url + "/set_image", headers=headers, content=pack(imgs)).raise_for_status()
box = {"bbox_coords": [[4, 5], [26, 64], [26, 64]], "include_interaction": True}
found = httpx.post(url + "/add_bbox_interaction", headers=headers, json=box)
print("found in", json.loads(found.headers["X-Meta"])["bbox"])
"""


def serve_image(folder: Path) -> str:
    """`--target serve` serves whoever has the token that it prints; the challenge's image says that it does not"""
    lacking = run(folder, "python -m inference serve").expect(UNUSABLE, "'serve' is not in this image; docker build")
    assert len(lacking.log.splitlines()) == 1
    build_target("serve", TAG_OF_SERVER, folder)
    line = f"python -m inference serve > /tmp/log 2>&1 & python -c '{ASK_THE_SERVER}'"
    ran = run(folder, line, memory="1G", options=["--entrypoint="], tag=TAG_OF_SERVER)
    ran.expect(OK, r"^found in \[\[\d+, \d+\], ")
    return "within 1 GB"


def demo(folder: Path) -> str:
    """The demo's phantoms"""
    phantoms = [sys.executable, "-m", "training.phantoms", "--out", str(folder)]
    subprocess.run(phantoms, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (folder / "imgs").rename(folder / "in")
    ran = run(folder).expect(OK)
    assert results(folder) == cases(folder)
    return f"{len(cases(folder))} cases, {ran}"


def ordinary_in_1_gb(folder: Path) -> str:
    """Ordinary cases under -m 1G: 1024 x 1024 in colour with 100 boxes, 100 x 512 x 512 with 8"""
    write_case(folder, "2DBox_Microscopy_1", image(1024, 1024, 3), boxes(100, 1024, 1024))
    write_case(folder, "3DBox_CT_2", np.stack([image(512, 512)] * 100), boxes(8, 512, 512, 100, 30))
    ran = run(folder, memory="1G").expect(OK)
    assert results(folder) == cases(folder)
    return str(ran)


def large_image(folder: Path) -> str:
    """4032 x 3024 in colour with 1,000 boxes under -m 8G"""
    write_case(folder, "2DBox_Microscopy_1", image(3024, 4032, 3), boxes(1000, 3024, 4032))
    ran = run(folder).expect(OK)
    assert results(folder) == cases(folder)
    return str(ran)


def large_volume(folder: Path) -> str:
    """600 x 512 x 512 with 255 boxes under -m 8G; under -m 1G refused, not killed"""
    write_case(folder, "3DBox_CT_1", np.stack([image(512, 512)] * 600), boxes(255, 512, 512, 600, 60))
    write_small_cases(folder, 1)
    refused = run(folder, memory="1G").expect(FAILED, r"3DBox_CT_1.npz: a case .* needs \d+ MB .* the limit allows")
    assert results(folder) == ["2DBox_CT_0000.npz"]
    ran = run(folder, f"{PREDICT} --skip-existing").expect(OK)
    assert results(folder) == cases(folder)
    return f"{ran}; refused under 1G at {refused.peak} MB"


def hostile_files(folder: Path) -> str:
    """Hostile files among good cases"""
    write_small_cases(folder, 3)
    good = cases(folder)
    reasons = hostile.write_hostile(folder / "in")
    (folder / "in" / "unreadable.npz").write_bytes(hostile.case())
    (folder / "in" / "unreadable.npz").chmod(0)
    reasons["unreadable.npz"] = "Permission denied"
    ran = run(folder, memory="1G").expect(FAILED, f"{len(reasons)} of {len(reasons) + 3} cases failed")
    for name, reason in reasons.items():
        ran.expect(FAILED, f"ERROR: {re.escape(name)}: .*{reason}", f"cases failed: .*{re.escape(name)}")
    assert results(folder) == good
    return f"{len(reasons)} refused, {len(good)} segmented, {ran}"


def killed(folder: Path, signal: str, status: int) -> str:
    write_small_cases(folder, 200)
    name = f"qmedsam-{uuid.uuid4().hex[:8]}"
    process = start(folder, PREDICT, options=["--name", name])
    while len(list((folder / "out").glob("*.npz"))) < 5:
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()[0]
    kill(name, signal)
    log = process.communicate()[0]
    assert process.returncode == status, f"exit status {process.returncode}:\n{log[-2000:]}"
    done = len(results(folder))
    assert done < 200
    ran = run(folder, f"{PREDICT} --skip-existing").expect(OK)
    assert len(re.findall(r"^2DBox_CT.*boxe?s?, ", ran.log, re.MULTILINE)) == 200 - done
    assert results(folder) == cases(folder)
    return f"exit status {status}, {done} whole results; a second run made the other {200 - done}"


def terminated(folder: Path) -> str:
    """SIGTERM to process 1, as `docker stop` sends"""
    return killed(folder, "TERM", STOPPED)


def killed_outright(folder: Path) -> str:
    """SIGKILL"""
    return killed(folder, "KILL", KILLED)


def full_disk(folder: Path) -> str:
    """The output folder's disk is full after a few results"""
    write_small_cases(folder, 3)
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8)
    write_case(folder, "2DBox_CT_0001b", noise, boxes(255, 1500, 1500))
    options = ["--tmpfs", "/small:size=16k,mode=1777"]
    line = f"OUTPUT_DIR=/small {PREDICT}; status=$?; echo left: $(ls -A /small); exit $status"
    ran = run(folder, line, options=options)
    ran.expect(FAILED, r"2DBox_CT_0001b.npz: cannot be written \(No space left on device\)", "1 of 4 cases failed")
    ran.expect(FAILED, "^left: 2DBox_CT_0000.npz 2DBox_CT_0001.npz 2DBox_CT_0002.npz$")
    return "that case named, the others whole, nothing half-written"


def output_folders(folder: Path) -> str:
    """Output folder absent: made; on a read-only disk, or another user's: exit status 3"""
    write_small_cases(folder, 1)
    run(folder, f"OUTPUT_DIR=/tmp/a/b {PREDICT} && ls /tmp/a/b/2DBox_CT_0000.npz").expect(OK)
    run(folder, f"OUTPUT_DIR=/workspace/new {PREDICT}").expect(UNUSABLE, "cannot write to .*Read-only file system")
    run(folder, f"OUTPUT_DIR=/root/x {PREDICT}").expect(UNUSABLE, "cannot write to .*Permission denied")
    run(folder, f"INPUT_DIR=/workspace/absent {PREDICT}").expect(UNUSABLE, "cannot read the input folder")
    return "each said so"


def weights(folder: Path) -> str:
    """Weights missing, truncated, damaged inside, or not ONNX at all: exit status 3"""
    write_small_cases(folder, 1)
    copy = "cp -r weights /tmp/w && rm -rf /tmp/w/cache"
    for damage, reason in {
        "rm /tmp/w/decoder.onnx": "decoder.onnx: No such file",
        "truncate -s 100000 /tmp/w/encoder.onnx": "not a whole ONNX file",
        "echo hello > /tmp/w/encoder.onnx": "not a whole ONNX file",
        "dd if=/dev/urandom of=/tmp/w/encoder.onnx bs=1k seek=3000 count=20 conv=notrunc status=none": "is damaged",
    }.items():
        ran = run(folder, f"{copy} && {damage} && {PREDICT} --weights /tmp/w")
        ran.expect(UNUSABLE, f"ERROR: /tmp/w.*{reason}")
    return "each said so"


def model_cache(folder: Path) -> str:
    """Model cache half-written, damaged inside, of another version, unreadable: compiled again"""
    write_small_cases(folder, 1)
    copy = "cp -r weights /tmp/w && rm -rf /tmp/.cache"
    for damage in (
        "truncate -s 100000 /tmp/w/cache/*",
        "for f in /tmp/w/cache/*; do dd if=/dev/zero of=$f bs=1k seek=100 count=20 conv=notrunc status=none; done",
        "for f in /tmp/w/cache/*; do mv $f $f-other-version; done",
        "chmod 0 /tmp/w/cache/*",
        "chmod 0 /tmp/w/cache",
    ):
        run(folder, f"{copy} && {damage} && {PREDICT} --weights /tmp/w").expect(OK, "compiled in")
    return "each time"


def shards(folder: Path) -> str:
    """--shard 1/3, 2/3, 3/3 side by side"""
    write_small_cases(folder, 20)
    processes = [start(folder, f"{PREDICT} --shard {part}/3") for part in (1, 2, 3)]
    logs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [OK] * 3, logs
    done = [name for log in logs for name in re.findall(r"^(2DBox_CT_\d+.npz): 96", log, re.MULTILINE)]
    assert sorted(done) == cases(folder) == results(folder)
    return "each case once"


def thousand_cases(folder: Path) -> str:
    """1,000 small cases: memory stays flat"""
    write_small_cases(folder, 1000)
    ran = run(folder, memory="1G").expect(OK)
    assert results(folder) == cases(folder)
    peaks = [int(peak) for peak in re.findall(r"npz: peak memory (\d+) MB", ran.log)]
    assert len(peaks) == 1000
    assert max(peaks[500:]) <= max(peaks[:100]) * 1.05, peaks[::50]
    return f"{ran}; case 100: {peaks[99]} MB, case 1,000: {peaks[999]} MB"


CHECKS: Checks = [
    bill_of_materials, files_image, serve_image, demo, ordinary_in_1_gb, large_image, large_volume, hostile_files,
    terminated, killed_outright, full_disk, output_folders, weights, model_cache, shards, thousand_cases,
]  # fmt: skip


def main() -> int:
    began = time.perf_counter()
    build()
    print(f"built in {time.perf_counter() - began:.0f} s", flush=True)
    chosen = [check for check in CHECKS if not sys.argv[1:] or check.__name__ in sys.argv[1:]]
    failed = 0
    for check in chosen:
        folder = Path(tempfile.mkdtemp(prefix="qmedsam-"))
        folder.chmod(0o755)
        try:
            print(f"ok      {check.__doc__}: {check(folder)}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {check.__doc__}: {error}", flush=True)
        finally:
            shutil.rmtree(folder)
    print(f"{len(chosen) - failed} of {len(chosen)} as they should be, {time.perf_counter() - began:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
