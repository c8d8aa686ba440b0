"""The benchmark of people's own files: the same masks in every format, and ratios within rounds."""

import csv

import nibabel
import numpy as np
import pytest
import SimpleITK

from training.benchmark import one_box, own_files
from training.benchmark.cpu import cpu_line
from training.benchmark.processes import Contender, Run, run_process


def test_ratios_are_medians_over_rounds_of_pairs():
    def contender(name, seconds, cpu):
        return Contender(name, [], 3, runs=[Run(0, *times, 100, "") for times in zip(seconds, cpu, strict=True)])

    npz, other = own_files.rows([contender("npz", (1, 10, 4), (2, 2, 2)), contender("a.nii", (2, 11, 12), (3, 5, 4))])
    assert (npz["times_npz"], npz["cpu_times_npz"]) == (1, 1)
    assert (other["seconds"], other["times_npz"], other["cpu_times_npz"]) == (11, 2, 2)


@pytest.fixture
def once_each(monkeypatch):
    """No warming up, to save time."""

    def interleave(contenders, env):
        for contender in contenders:
            contender.runs.append(run_process(contender.command, env))

    monkeypatch.setattr(own_files, "interleave", interleave)


def test_a_small_volume_in_every_format(tmp_path, once_each, capsys):
    arguments = ["--size", "10", "40", "60", "--work", str(tmp_path), "--out", str(tmp_path / "out")]
    assert own_files.main(arguments) == 0
    with (tmp_path / "out" / "own_files.csv").open() as file:
        measured = [row["files"] for row in csv.DictReader(file)]
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[3:]] == measured
    assert len(measured) == 7
    masks = tmp_path / "masks"
    expected = np.load(masks / "npz" / "3DBox_CT_1.npz")["segs"]
    assert expected.any()
    for name in ("mask.nii.gz", "mask.nii", "mask.nrrd", "mask.mha"):
        found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(masks / name)))
        np.testing.assert_array_equal(found, expected)
    by_hand, ours = nibabel.load(masks / "by_hand" / "mask.nii.gz"), nibabel.load(masks / "mask.nii.gz")
    np.testing.assert_array_equal(by_hand.dataobj, expected.T)
    np.testing.assert_array_equal(by_hand.affine, ours.affine)
    assert (masks / "mask.seg.dcm").is_file()


def test_one_box_after_the_other(capsys):
    assert one_box.main(["--repeats", "2"]) == 0
    _, cpu, *lines = capsys.readouterr().out.splitlines()
    assert cpu == cpu_line()
    assert lines[0].split() == ["image", "what", "ms", "p90", "cpu"]
    assert [line.split()[0] for line in lines[1::3]] == ["256x256", "512x512", "1024x1024", "3024x4032"]
    assert all(float(number) > 0 for line in lines[1:] for number in line.split()[-3:])
