"""The command that writes the demonstration cases: whole files, repeatable, and made without torch."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from inference.cases.case import read_case
from inference.errors import EXIT_OK, EXIT_SETUP
from training.data.phantoms import CASES, picture_phantom
from training.phantoms import main, write_phantoms

ENOUGH_BYTES = 2**28


def test_files(tmp_path: Path):
    write_phantoms(tmp_path / "demo", seed=3)
    write_phantoms(tmp_path / "again", seed=3)
    names = sorted(f"{name}.npz" for name in CASES)
    assert sorted(path.name for path in (tmp_path / "demo/imgs").iterdir()) == names
    assert sorted(path.name for path in (tmp_path / "demo/gts").iterdir()) == names
    for name in names:
        case = read_case(tmp_path / "demo/imgs" / name, ENOUGH_BYTES)
        assert case.warnings == []
        with np.load(tmp_path / "demo/gts" / name) as gts, np.load(tmp_path / "again/gts" / name) as again:
            assert gts["gts"].shape == (case.shape if case.is_volume else case.shape[1:])
            assert ("spacing" in gts) == case.is_volume
            np.testing.assert_array_equal(gts["gts"], again["gts"])


def test_picture_has_sixteen_bits(tmp_path: Path):
    write_phantoms(tmp_path, seed=0)
    picture = cv2.imread(str(tmp_path / "picture.png"), cv2.IMREAD_UNCHANGED)
    assert picture.dtype == np.uint16
    assert picture.max() > 1000
    phantom = picture_phantom(seed=0)
    np.testing.assert_array_equal(picture, phantom.imgs)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "picture_gt.png"), cv2.IMREAD_UNCHANGED), phantom.gts)


def test_command_prints_what_to_do_next(tmp_path: Path, capsys):
    assert main(["--out", str(tmp_path), "--seed", "4"]) == EXIT_OK
    output = capsys.readouterr().out
    for box in picture_phantom(4).boxes:
        assert f"--box {','.join(map(str, box))} " in output


def test_folder_that_cannot_be_made(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == EXIT_SETUP
    error = capsys.readouterr().err
    assert error.startswith(str(tmp_path / "file"))
    assert error.count("\n") == 1


def test_needs_only_numpy_and_opencv():
    heavy = ("torch", "scipy", "pandas", "openvino")
    code = f"import sys, training.phantoms; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
