"""The command of quantization-aware training, from a checkpoint to a pair that scores what its checkpoint scores."""

from pathlib import Path

import pytest

from tests.support.data_root import write_phantom_root
from training import qat
from training.smoke import score, score_through_predict_sh
from training.trainer import stages

WEIGHTS = Path(__file__).parents[2] / "weights"


def test_what_cannot_be_used_is_one_line_before_the_training(tmp_path, monkeypatch, capsys):
    arguments = ["--checkpoint", str(WEIGHTS / "light.pt"), "--root", str(tmp_path / "none"), "--runs", str(tmp_path)]
    assert qat.main([*arguments, "--out", str(tmp_path / "int8"), "validation.root=null"]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'none'}: no <Modality>")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(qat, "train_stages", lambda *_: pytest.fail("trained for nothing"))
    assert qat.main([*arguments, "--out", str(tmp_path / "file/int8")]) == 2
    assert "file is a file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_int8_export_scores_through_predict_sh_as_the_torch_model_does(shared_data, tmp_path, monkeypatch):
    """The short form of `make train-smoke`: the shipped checkpoint through all stages, a few steps each, to the
    container's command, on one real image of each modality."""
    for part in ("imgs", "gts"):
        (tmp_path / "val" / part).mkdir(parents=True)
        for path in (shared_data / "val" / part).glob("2DBox_*_0001.npz"):
            (tmp_path / "val" / part / path.name).symlink_to(path)
    short = [
        "budget.samples=2",
        "data.batch_size=1",
        "data.sampling.samples_per_modality=2",
        "data.clips.length=3",
        "validation.root=null",
    ]
    monkeypatch.setattr(stages, "CALIBRATION_BATCHES", 2)
    root = write_phantom_root(tmp_path / "root")
    arguments = ["--checkpoint", WEIGHTS / "light.pt", "--root", root, "--runs", tmp_path, "--out", tmp_path / "int8"]
    assert qat.main([*map(str, arguments), "threads=1", *short]) == 0
    in_torch = score(tmp_path / "stage3" / "best.pt", tmp_path)
    assert in_torch > 0.7
    assert abs(score_through_predict_sh(tmp_path / "int8", tmp_path) - in_torch) < 0.01
