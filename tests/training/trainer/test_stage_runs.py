"""The runs of quantization-aware training: which settings each recipe gives them, on a GPU and on a CPU."""

from pathlib import Path

import pytest
import torch

from tests.support.small_sam import narrow_litemedsam, small_sam
from training import qat
from training.model import build_model
from training.model.checkpoint import save_checkpoint
from training.trainer import stage_runs
from training.trainer.config import read_config

CONFIGS = Path(__file__).parents[3] / "training/configs"
LIGHT = Path(__file__).parents[3] / "weights/light.pt"


@pytest.fixture
def trained(monkeypatch) -> list:
    """The configurations of the stages, in place of training them."""
    configs = []
    monkeypatch.setattr(stage_runs, "train", configs.append)
    monkeypatch.setattr(qat, "load_model", lambda path: path)
    monkeypatch.setattr(qat, "export_pair", lambda *_: None)
    return configs


@pytest.fixture
def start(tmp_path):
    """Run the command from a checkpoint of LiteMedSAM, or another; its exit status."""
    own = tmp_path / "lite_medsam.pth"
    save_checkpoint(own, narrow_litemedsam())

    def command(*arguments: str, checkpoint: Path = own) -> int:
        folders = {"checkpoint": checkpoint, "root": tmp_path, "runs": tmp_path / "runs", "out": tmp_path / "out"}
        return qat.main([*(part for name, path in folders.items() for part in (f"--{name}", str(path))), *arguments])

    return command


@pytest.mark.parametrize("has_gpu", [True, False])
def test_recipes_take_their_files_and_the_fast_one_fits_a_cpu(start, trained, monkeypatch, has_gpu, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert start("--recipe", "fast", "--val", "mine") == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:3]] == [
        "stage 1 of 3",
        "stage 2 of 3",
        "stage 3 of 3",
    ]
    for stage, config in enumerate(trained, start=1):
        expected = read_config(CONFIGS / f"litemedsam_stage{stage}.yaml", ["init=any.pt"])
        assert (config.stage, config.quantization, config.budget) == (stage, expected.quantization, expected.budget)
        assert config.validation.root == "mine"
        assert config.data.on_device == has_gpu
        assert (config.data.batch_size, config.precision) == ((16, "float32") if has_gpu else (2, "bf16"))


def test_the_paper_is_the_default_and_no_validation_folder_is_needed(start, trained):
    assert start("data.workers=2") == 0
    for stage, config in enumerate(trained, start=1):
        assert config == read_config(
            CONFIGS / f"stage{stage}.yaml",
            [
                *(f"{name}={value}" for name, value in {"output": config.output, "init": config.init}.items()),
                f"data.root={config.data.root}",
                f"distillation.teacher={config.distillation.teacher}",
                "validation.root=null",
                "data.workers=2",
            ],
        )


def test_the_narrow_litemedsam_goes_through_the_papers_stages(start, trained, tmp_path):
    own = tmp_path / "narrow.pt"
    save_checkpoint(own, build_model("litemedsam_narrow"))
    assert start(checkpoint=own) == 0
    assert [(config.model, config.stage, config.optimizer.kind) for config in trained] == [
        ("litemedsam_narrow", stage, "sgd") for stage in (1, 2, 3)
    ]


def test_a_recipe_that_a_model_does_not_have_is_refused_in_one_line(start, trained, tmp_path, capsys):
    other = tmp_path / "other.pt"
    save_checkpoint(other, small_sam())
    for checkpoint, known in ((LIGHT, "known: fast"), (other, "none is known")):
        assert start("--recipe", "paper", checkpoint=checkpoint) == 2
        message = capsys.readouterr().err
        assert message.startswith(f"{checkpoint}: no recipe 'paper' for the model ")
        assert message.endswith(f"{known}\n")
    assert trained == []
    assert start(checkpoint=LIGHT) == 0
    assert {config.data.clips.per_batch for config in trained} == {stage_runs.CLIPS}
