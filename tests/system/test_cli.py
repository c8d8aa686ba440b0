"""`python -m inference` and predict.sh as a user runs them: whole processes on folders of good and bad cases."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference import __version__
from inference.arguments import SUBCOMMANDS, Subcommand
from inference.cli import READ_SOON, _is_read_soon, main
from inference.errors import EXIT_CASE_FAILED, EXIT_OK, EXIT_SETUP, EXIT_USAGE, SetupError
from tests.system.conftest import ROOT
from tests.system.small_cases import BOX, IMAGE


def write_case(folder: Path, name: str, **arrays) -> None:
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / name, **arrays)


def test_a_bad_case_does_not_stop_the_others(tmp_path, run):
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    write_case(inputs, "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    write_case(inputs, "2DBox_CT_2.npz", imgs=IMAGE, boxes=BOX * np.nan)
    (inputs / "2DBox_CT_3.npz").write_bytes(b"not an archive")
    (inputs / "2DBox_CT_4.npz").mkdir()
    write_case(inputs, "3DBox_CT_5.npz", imgs=np.stack([IMAGE] * 3), boxes=np.array([[10, 10, 0, 60, 50, 1]]))
    write_case(inputs, "2DBox_CT_6.npz", imgs=IMAGE, boxes=np.array([[60, 10, 10, 150]]))
    (inputs / "notes.txt").write_text("not a case")

    result = run("-i", inputs, "-o", outputs)
    assert result.returncode == EXIT_CASE_FAILED
    assert sorted(path.name for path in outputs.iterdir()) == [
        "2DBox_CT_1.npz",
        "2DBox_CT_2.npz",
        "2DBox_CT_6.npz",
        "3DBox_CT_5.npz",
    ]
    problems = result.stderr.splitlines()
    assert problems[0].startswith("ERROR: 2DBox_CT_2.npz: box 1 holds NaN")
    assert problems[1].startswith("ERROR: 2DBox_CT_3.npz: not a whole npz file")
    assert problems[2].startswith("ERROR: 2DBox_CT_4.npz: cannot be read")
    assert problems[3] == "WARNING: 2DBox_CT_6.npz: box 1 swapped corners, reordered"
    assert problems[4] == "WARNING: 2DBox_CT_6.npz: box 1 stuck out of the image, clipped"
    assert problems[5] == "ERROR: 2 of 6 cases failed: 2DBox_CT_3.npz, 2DBox_CT_4.npz"
    assert problems[6] == "ERROR: 1 of 6 cases done without some of their boxes: 2DBox_CT_2.npz"
    assert len(problems) == 7
    assert [line.split(",")[0] for line in result.stdout.splitlines()] == [
        "2DBox_CT_1.npz: 70x90",
        "2DBox_CT_2.npz: 70x90",
        "2DBox_CT_6.npz: 70x90",
        "3DBox_CT_5.npz: 3x70x90",
    ]

    with np.load(outputs / "3DBox_CT_5.npz") as archive:
        segs = archive["segs"]
        assert archive.files == ["segs"]
    assert (segs.shape, segs.dtype) == ((3, 70, 90), np.uint8)
    assert not segs[2].any()  # no box on this slice


def test_shards_are_disjoint_and_complete_and_existing_results_are_skipped(tmp_path, run):
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    for number in range(5):
        write_case(inputs, f"2DBox_CT_{number}.npz", imgs=IMAGE, boxes=BOX)
    first = run("-i", inputs, "-o", outputs, "--shard", "1/2").stdout.splitlines()
    second = run("-i", inputs, "-o", outputs, "--shard", "2/2").stdout.splitlines()
    assert [line.split(":")[0] for line in first] == ["2DBox_CT_0.npz", "2DBox_CT_2.npz", "2DBox_CT_4.npz"]
    assert [line.split(":")[0] for line in second] == ["2DBox_CT_1.npz", "2DBox_CT_3.npz"]

    (outputs / "2DBox_CT_3.npz").unlink()
    rest = run("-i", inputs, "-o", outputs, "--skip-existing").stdout.splitlines()
    assert [line.split(":")[0] for line in rest] == ["2DBox_CT_3.npz"]


def test_file_name_that_is_not_text(tmp_path, run):
    (tmp_path / "in").mkdir()
    with open(os.fsencode(tmp_path / "in") + b"/2DBox_\xff.npz", "wb") as file:
        np.savez_compressed(file, imgs=IMAGE, boxes=BOX)
    result = run("-i", tmp_path / "in", "-o", tmp_path / "out")
    assert result.returncode == EXIT_OK
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_no_boxes_give_an_empty_mask(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=np.empty((0, 4)))
    write_case(tmp_path / "in", "3DBox_CT_2.npz", imgs=np.stack([IMAGE] * 3), boxes=np.empty((0, 6)))
    assert run("-i", tmp_path / "in", "-o", tmp_path / "out").returncode == EXIT_OK
    for name, shape in (("2DBox_CT_1.npz", (70, 90)), ("3DBox_CT_2.npz", (3, 70, 90))):
        segs = np.load(tmp_path / "out" / name)["segs"]
        assert segs.shape == shape
        assert not segs.any()


def test_more_than_255_boxes_are_uint16(tmp_path, run):
    boxes = np.stack([[i % 60, i % 40, i % 60 + 20, i % 40 + 20] for i in range(300)])
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=boxes)
    assert run("-i", tmp_path / "in", "-o", tmp_path / "out").returncode == EXIT_OK
    assert np.load(tmp_path / "out" / "2DBox_CT_1.npz")["segs"].dtype == np.uint16


def test_verbose_says_what_was_loaded_and_how_much_memory_it_took(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    for how in ("not in a cache, compiled in", f"loaded early from {tmp_path}/cache in"):
        result = run("-i", tmp_path / "in", "-o", tmp_path / "out", "--verbose", "--cache", tmp_path / "cache")
        assert f"encoder.onnx: {how}" in result.stdout
        assert f"decoder.onnx: {how}" in result.stdout
        assert re.search(r"^2DBox_CT_1.npz: peak memory \d+ MB$", result.stdout, re.MULTILINE)
        assert re.search(r"^arithmetic (bf16|f32); the CPU has .*FP32", result.stdout, re.MULTILINE)
        assert re.search(r"^memory limit \d+ MB: boxes at once 2, ", result.stdout, re.MULTILINE)


def test_a_process_is_given_its_share_of_the_memory(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    line = ("-i", tmp_path / "in", "-o", tmp_path / "out", "--verbose")
    assert "memory limit 700 MB: " in run(*line, "--memory", "700M").stdout
    from_environment = {"env": os.environ | {"QMEDSAM_MEMORY": "0.6G"}}
    assert "memory limit 614 MB: " in run(*line, **from_environment).stdout
    assert "memory limit 700 MB: " in run(*line, "--memory", "734003200", **from_environment).stdout
    refused = run(*line, env=os.environ | {"QMEDSAM_MEMORY": "a lot"})
    assert refused.returncode == EXIT_USAGE
    assert "'a lot' is not an amount of memory such as 800M or 2G" in refused.stderr


def test_overlay_shows_the_windows_only_when_asked_to(tmp_path, run):
    image, small = np.zeros((600, 600), np.uint8), np.array([[300, 300, 320, 320]])
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=image, boxes=small)

    def overlay(*more):
        assert run("-i", tmp_path / "in", "-o", tmp_path / "out", "--overlay", tmp_path, *more).returncode == EXIT_OK
        return cv2.imread(str(tmp_path / "2DBox_CT_1.png"))

    without = overlay("--no-zoom", "--overlay-windows")  # there are none
    np.testing.assert_array_equal(without, overlay("--no-zoom"))
    assert (overlay() != overlay("--overlay-windows")).any()


def test_picture_equals_the_same_case(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=np.array([[10, 10, 60, 50], [30, 20, 80, 60.5]]))
    cv2.imwrite(str(tmp_path / "scan.png"), IMAGE)
    run("-i", tmp_path / "in", "-o", tmp_path / "out")
    result = run("--image", tmp_path / "scan.png", "--box", "10,10,60,50", "--box", "30,20,80,60.5",
                 "-o", tmp_path / "mask.png")  # fmt: skip
    assert result.returncode == EXIT_OK, result.stderr
    mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, np.load(tmp_path / "out" / "2DBox_CT_1.npz")["segs"])


def test_broken_picture(tmp_path, run):
    (tmp_path / "scan.png").write_bytes(b"no picture")
    result = run("--image", tmp_path / "scan.png", "--box", "1,1,5,5", "-o", tmp_path / "mask.png")
    assert result.returncode == EXIT_CASE_FAILED
    assert result.stderr == "ERROR: scan.png: not a picture in a format that OpenCV reads\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-i", "in"], "-o/--output"),
        (["-o", "out"], "one of the arguments -i/--input --image is required"),
        (["--image", "a.png", "-o", "b.png"], "at least one --box"),
        (["-i", "in", "-o", "out", "--box", "1,2,3,4"], "--box goes with --image"),
        (["--image", "a.png", "-o", "b.png", "--box", "1,2,3"], "'1,2,3' is not x0,y0,x1,y1"),
        (["-i", "in", "-o", "out", "--box-batch", "0"], "'0' is not a whole number from 1 up"),
        (["-i", "in", "-o", "out", "--shard", "3/2"], "'3/2' is not i/n with i from 1 to n"),
        (["-i", "in", "-o", "out", "--shard", "a/b"], "'a/b' is not i/n"),
        (["--image", "a.png", "--box", "1,2,3,4", "-o", "b.png", "--skip-existing"], "go with --input"),
        (["--image", "a.png", "--box", "1,2,3,4", "-o", "b.jpg"], "-o is a mask, written as .png or .tif, not '.jpg'"),
        (["-i", "in", "-o", "out", "--overlay-windows"], "--overlay-windows goes with --overlay"),
        (["-i", "in", "-o", "out", "--memory", "lots"], "'lots' is not an amount of memory such as 800M or 2G"),
        (["-i", "in", "-o", "out", "--memory", "0G"], "'0G' is not an amount of memory"),
        (["-i", "in", "-o", "out", "--memory", "-1G"], "expected one argument"),
        (["-i", "in", "-o", "out", "--strategy", "guess"], "invalid choice"),
        (["case", "in", "out"], "no sub-command 'case'; there is cases"),
        (["cases", "in"], "the following arguments are required: OUTPUT"),
        (["cases", "in", "out", "--image", "a.png"], "unrecognized arguments: --image"),
        (["cases", "in", "out", "--overlay-windows"], "--overlay-windows goes with --overlay"),
    ],
)
def test_wrong_command_line(run, arguments, reason):
    result = run(*arguments)
    assert result.returncode == EXIT_USAGE
    assert reason in result.stderr


def test_help_teaches_without_loading_anything(run, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = run("--help")
    assert result.returncode == EXIT_OK
    assert "exit status" in result.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "inference.options" in imported
    assert not {"numpy", "cv2", "openvino"} & imported


def test_cases_are_what_a_folder_as_input_is(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    write_case(tmp_path / "in", "3DBox_CT_2.npz", imgs=np.stack([IMAGE] * 3), boxes=np.array([[10, 10, 0, 60, 50, 1]]))
    by_name = run("cases", tmp_path / "in", tmp_path / "out", "--strategy", "flatten", "--shard", "1/1")
    by_flags = run("-i", tmp_path / "in", "-o", tmp_path / "flags", "--strategy", "flatten")
    assert by_name.returncode == by_flags.returncode == EXIT_OK
    for name in ("2DBox_CT_1.npz", "3DBox_CT_2.npz"):
        ours, theirs = np.load(tmp_path / "out" / name)["segs"], np.load(tmp_path / "flags" / name)["segs"]
        np.testing.assert_array_equal(ours, theirs)


def test_help_names_the_subcommands_that_there_are(run):
    listed = run("--help").stdout.partition("sub-commands")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == list(SUBCOMMANDS)
    assert run("cases", "--help").stdout.startswith("usage: python -m inference cases [-h]")


@pytest.fixture
def plugged_in(monkeypatch):
    """`plugged_in(main)`: for the time of a test, a sub-command `other` that a module of its own does."""

    def plugged_in(main):
        monkeypatch.setitem(sys.modules, "inference.other", SimpleNamespace(main=main))
        monkeypatch.setitem(SUBCOMMANDS, "other", Subcommand("something else", ".other"))

    return plugged_in


def test_a_subcommand_of_a_module_of_its_own_gets_what_follows_its_name(plugged_in):
    got = []
    plugged_in(lambda arguments: got.append(arguments) or 7)
    assert main(["other", "a", "--b"]) == 7
    assert got == [["a", "--b"]]


def test_what_stops_a_subcommand_is_told_in_one_line(plugged_in, capsys):
    def unusable(arguments):
        raise SetupError("no such folder")

    plugged_in(unusable)
    assert main(["other"]) == EXIT_SETUP
    assert capsys.readouterr().err == "ERROR: no such folder\n"


def test_a_subcommand_that_an_image_leaves_out_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setitem(SUBCOMMANDS, "other", Subcommand("something else", ".others.cli"))
    assert main(["other"]) == EXIT_SETUP
    assert capsys.readouterr().err == (
        "ERROR: 'other' is not in this image; docker build --target others makes one that has it\n"
    )


def test_version(run):
    result = run("--version")
    assert (result.returncode, result.stdout) == (EXIT_OK, f"qmedsam {__version__}\n")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "the folder is empty"),
        ([".hidden.npz"], "the folder is empty"),
        (["a.nii.gz", "b.nii.gz", "c.NII.gz", "cases/"], "found 3 .nii.gz, 1 folder; `segment` takes such files"),
        (["a.png", "b.png", "notes"], "found 2 .png, 1 file; `segment` takes such files"),
        (["a.NPZ"], "found 1 .npz"),
    ],
)
def test_a_folder_without_cases_is_no_success(tmp_path, run, names, found):
    (tmp_path / "in").mkdir()
    for name in names:
        path = tmp_path / "in" / name
        path.mkdir() if name.endswith("/") else path.write_text("")
    result = run("-i", tmp_path / "in", "-o", tmp_path / "out")
    assert result.returncode == EXIT_SETUP
    assert result.stderr == f"ERROR: {tmp_path}/in: no cases in it, which are *.npz files; {found}\n"
    assert not (tmp_path / "out").exists()


def test_an_environment_without_the_libraries_is_told_how_to_get_them(tmp_path):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    bare_python = [sys.executable, "-S"]
    command = [*bare_python, "-m", "inference", "-i", tmp_path / "in", "-o", tmp_path / "out"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == EXIT_SETUP
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("ERROR: No module named 'openvino': ")
    assert "make demo" in result.stderr
    assert "pip install -r requirements.txt" in result.stderr


def test_a_library_that_is_missing_once_models_load_is_told_too(tmp_path, untrained):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    arguments = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--weights", untrained("light")[1]]
    code = "import sys; sys.modules['numpy'] = None; from inference.__main__ import run; run()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == EXIT_SETUP
    assert len(result.stderr.splitlines()) == 1
    assert "numpy" in result.stderr


def test_missing_input_folder(tmp_path, run):
    result = run("-i", tmp_path / "absent", "-o", tmp_path / "out")
    assert result.returncode == EXIT_SETUP
    assert "cannot read the input folder" in result.stderr


def test_output_folder_that_cannot_be_made(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    (tmp_path / "file").write_text("")
    result = run("-i", tmp_path / "in", "-o", tmp_path / "file" / "out")
    assert result.returncode == EXIT_SETUP
    assert "cannot write to the output folder" in result.stderr


def test_missing_weights(tmp_path, run):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    result = run("-i", tmp_path / "in", "-o", tmp_path / "out", weights=tmp_path / "absent")
    assert result.returncode == EXIT_SETUP
    assert result.stderr.startswith(f"ERROR: {tmp_path}/absent/encoder.onnx: No such file")
    assert len(result.stderr.splitlines()) == 1


def test_weights_of_two_exports(tmp_path, run, untrained):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name, model in (("encoder.onnx", "light"), ("decoder.onnx", "litemedsam")):
        (mixed / name).symlink_to(untrained(model)[1] / name)
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    result = run("-i", tmp_path / "in", "-o", tmp_path / "out", weights=mixed)
    assert result.returncode == EXIT_SETUP
    assert "were not exported together" in result.stderr


def test_predict_sh_takes_folders_from_the_environment_and_hands_arguments_on(tmp_path, untrained):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    environment = os.environ | {
        "INPUT_DIR": str(tmp_path / "in"),
        "OUTPUT_DIR": str(tmp_path / "out"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    weights = str(untrained("light")[1])
    subprocess.run(["sh", "predict.sh", "--weights", weights], cwd=ROOT, env=environment, check=True)
    assert (tmp_path / "out" / "2DBox_CT_1.npz").exists()


def test_predict_sh_started_from_another_folder_takes_names_from_there(tmp_path, untrained):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    (tmp_path / "inference.py").write_text("raise SystemExit('not the runtime')")
    (tmp_path / "weights").symlink_to(untrained("light")[1])
    environment = os.environ | {
        "INPUT_DIR": "in",
        "OUTPUT_DIR": "out/../out",
        "CDPATH": "/",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = ["sh", os.path.relpath(ROOT / "predict.sh", tmp_path), "--weights", "weights", "--overlay", "pictures"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == EXIT_OK, result.stderr
    assert (tmp_path / "out" / "2DBox_CT_1.npz").exists()
    assert (tmp_path / "pictures" / "2DBox_CT_1.png").exists()


def test_predict_sh_without_python_says_what_sets_it_up(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "readlink"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    command, environment = [shutil.which("sh"), "predict.sh"], {"PATH": str(tmp_path / "bin")}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == EXIT_SETUP
    assert result.stderr.startswith("ERROR: no python on the PATH; `make demo` sets one up")
    assert len(result.stderr.splitlines()) == 1


def test_predict_sh_started_by_a_link_finds_the_runtime(tmp_path):
    (tmp_path / "link.sh").symlink_to(ROOT / "predict.sh")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sh", tmp_path / "link.sh", "--version"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("qmedsam ")


def test_the_runtime_imports_neither_torch_nor_training():
    code = "import sys, inference.cli, inference.run; print({m.split('.')[0] for m in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("torch", "training", "onnx", "scipy", "openvino_telemetry"):
        assert f"'{name}'" not in imported


UNTIL_NUMPY = """
import os, sys
before = {*sys.modules}

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print(*(module for module in sys.modules if module not in before), flush=True)  # as they were completed
            os._exit(0)

sys.meta_path.insert(0, Stop())
from inference.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("kind", ["case", "picture"])
def test_before_numpy_a_start_imports_no_more_of_the_standard_library_than_it_needs(tmp_path, untrained, kind):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    cv2.imwrite(str(tmp_path / "image.png"), IMAGE)
    picture = ["--image", tmp_path / "image.png", "--box", "10,10,60,50", "-o", tmp_path / "mask.png"]
    case = ["-i", tmp_path / "in", "-o", tmp_path / "out"]
    arguments = [*(case if kind == "case" else picture), "--weights", untrained("light")[1]]
    command = [sys.executable, "-c", UNTIL_NUMPY, *map(str, arguments)]
    imported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = imported.stdout.split()
    assert {"argparse", "inference.model.early_load", "inference.model.pair"} <= set(modules)  # models are being loaded
    assert not {"tempfile", "subprocess", "json", "csv", "socket", "http", "asyncio"} & set(modules)
    # Not before what loads models is there; then to count the boxes of a case, while its encoder loads.
    archives = {"shutil", "zipfile", "bz2", "lzma"}
    assert not archives & set(modules[: modules.index("inference.model.early_load")] if kind == "case" else modules)


@pytest.mark.parametrize(("boxes", "early"), [(1, {"encoder", "decoder"}), (60, {"encoder"})])
def test_what_a_start_loads_early(tmp_path, run, boxes, early):
    """Of many boxes the decoder is not needed that soon; a large case is read while all loads."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 3000), np.uint8)  # more than READ_SOON, however packed
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX.repeat(boxes, axis=0))
    write_case(tmp_path / "large", "2DBox_CT_1.npz", imgs=noise, boxes=BOX)
    line = ("-o", tmp_path / "out", "--cache", tmp_path / "cache", "--verbose")
    for folder, expected in (("in", set()), ("in", early), ("large", set())):
        told = run("-i", tmp_path / folder, *line).stdout
        assert set(re.findall(r"^(\w+)\.onnx: loaded early from", told, re.MULTILINE)) == expected


def test_a_large_case_is_read_before_its_models_load(tmp_path):
    job = SimpleNamespace(source=tmp_path / "case.npz")
    assert not _is_read_soon(job)  # as there is none
    assert not _is_read_soon(SimpleNamespace(source=tmp_path))
    with job.source.open("wb") as file:
        file.truncate(READ_SOON - 1)
    assert _is_read_soon(job)
    with job.source.open("wb") as file:
        file.truncate(READ_SOON)
    assert not _is_read_soon(job)


def test_a_run_imports_nothing_that_it_does_not_use_and_leaves_its_model_to_the_caller(tmp_path, untrained):
    write_case(tmp_path / "in", "2DBox_CT_1.npz", imgs=IMAGE, boxes=BOX)
    arguments = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--weights", untrained("light")[1]]
    code = (
        "import sys; from inference.cli import main; kept = []; status = main(sys.argv[1:], kept.append);"
        "print(status, [type(model).__name__ for model in kept], *sys.modules)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    status, kept, *imported = output.splitlines()[-1].split()
    assert (status, kept) == ("0", "['ModelPair']")
    assert {"numpy", "cv2", "openvino"} <= set(imported)
    assert not {"numpy.ma", "openvino.tools.ovc", "ssl", "sqlite3", "multiprocessing.pool"} & set(imported)
