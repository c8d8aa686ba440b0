"""The synthetic cases: in the challenge's format, complete, repeatable, and made without torch."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.cases.case import read_case
from inference.errors import EXIT_OK, EXIT_SETUP
from training.phantoms import CASES, Phantom, main, phantom_case_2d, phantom_volume, picture_phantom, write_phantoms

ENOUGH_BYTES = 2**28


def assert_complete(phantom: Phantom) -> None:
    """Every box has its label, encloses it, and is at most 5 % (and a pixel's rounding) wider on each side."""
    assert phantom.imgs.shape[: phantom.gts.ndim] == phantom.gts.shape
    assert set(np.unique(phantom.gts)) - {0} == set(range(1, len(phantom.boxes) + 1))
    for label, box in enumerate(phantom.boxes, 1):
        voxels = np.argwhere(phantom.gts == label)[:, ::-1]
        low, high = voxels.min(axis=0), voxels.max(axis=0)
        allowed = np.where(np.arange(len(low)) < 2, 0.05 * (high - low) + 1, 0)
        assert (box[: len(low)] <= low).all()
        assert (box[len(low) :] >= high).all()
        assert (low - box[: len(low)] <= allowed).all()
        assert (box[len(low) :] - high <= allowed).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_demonstration_cases_are_complete(name: str, seed: int):
    phantom = CASES[name](np.random.default_rng(seed))
    assert phantom.imgs.dtype == np.uint8
    assert phantom.imgs.std() > 20  # neither black nor flat
    assert (phantom.spacing is not None) == (phantom.gts.ndim == 3) == name.startswith("3DBox_")
    assert_complete(phantom)


def test_kinds_of_demonstration_cases():
    phantoms = {name: draw(np.random.default_rng(0)) for name, draw in CASES.items()}
    assert {phantom.imgs.ndim for phantom in phantoms.values()} == {2, 3}
    assert phantoms["2DBox_Dermoscopy_phantom"].imgs.shape[2] == 3
    assert len(phantoms["2DBox_Microscopy_phantom"].boxes) == 40
    assert len(phantoms["3DBox_CT_phantom"].boxes) == 3


@pytest.mark.parametrize(("size", "n"), [((64, 64), 1), ((48, 120), 7), ((200, 90), 13), ((256, 256), 300)])
def test_small_2d_cases(size: tuple[int, int], n: int):
    phantom = phantom_case_2d(size, n, seed=5)
    assert phantom.imgs.shape == size
    assert len(phantom.boxes) == n
    assert phantom.gts.dtype == (np.uint8 if n < 256 else np.uint16)
    assert_complete(phantom)
    inside, outside = phantom.imgs[phantom.gts > 0], phantom.imgs[phantom.gts == 0]
    assert np.percentile(inside, 10) > np.percentile(outside, 90)


def test_small_2d_case_in_colour_and_without_boxes():
    assert phantom_case_2d((40, 50), 2, seed=0, colour=True).imgs.shape == (40, 50, 3)
    empty = phantom_case_2d((40, 50), 0, seed=0)
    assert empty.boxes.shape == (0, 4)
    assert not empty.gts.any()


@pytest.mark.parametrize(("shape", "n"), [((6, 32, 32), 1), ((12, 64, 48), 6)])
def test_small_volumes(shape: tuple[int, int, int], n: int):
    phantom = phantom_volume(shape, n, seed=5)
    assert phantom.imgs.shape == shape
    assert phantom.boxes.shape == (n, 6)
    assert_complete(phantom)


def test_equal_seeds_give_equal_cases():
    first, again, other = (phantom_case_2d((64, 64), 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.imgs, again.imgs)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.gts, other.gts)


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
    assert_complete(phantom)


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
