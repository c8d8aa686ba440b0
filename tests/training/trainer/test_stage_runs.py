"""The runs of quantization-aware training: which settings each recipe gives them, on a GPU and on a CPU."""

from pathlib import Path

import pytest
import torch

from tests.support.data_root import write_ct_and_ultrasound
from tests.support.small_sam import SIZE, narrow_litemedsam, small_sam
from training import qat
from training.configs import CONFIGS
from training.model import MODELS, build_model
from training.model.checkpoint import load_model, save_checkpoint
from training.quantization.quantize import activation_scales, is_set
from training.trainer import stage_runs, stages
from training.trainer.config import read_config

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


def test_calibration_alone_leaves_every_weight_as_it_is(tmp_path, trained, monkeypatch):
    monkeypatch.setitem(MODELS, "litemedsam", narrow_litemedsam)
    monkeypatch.setattr(stages, "CALIBRATION_BATCHES", 1)
    save_checkpoint(tmp_path / "own.pt", narrow_litemedsam())
    folders = {
        "checkpoint": tmp_path / "own.pt",
        "root": write_ct_and_ultrasound(tmp_path / "root"),
        "runs": tmp_path / "runs",
        "out": tmp_path / "out",
    }
    settings = [f"data.input_size={SIZE}", "data.batch_size=2", "quantization.weight_bits=4"]
    arguments = [part for name, path in folders.items() for part in (f"--{name}", str(path))]
    exported = []
    monkeypatch.setattr(qat, "export_pair", lambda *pair: exported.append(pair))
    assert qat.main([*arguments, "--calibrate-only", *settings]) == 0
    best = tmp_path / "runs/calibrated/best.pt"
    assert exported == [(best, tmp_path / "out", "after_padding")]
    assert trained == []

    model = load_model(best)
    assert (model.recipe.weight_bits, model.recipe.mask_decoder, model.recipe.signed) == (4, True, True)  # stage3.yaml
    assert all(map(is_set, activation_scales(model).values()))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in narrow_litemedsam().state_dict().items())


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
