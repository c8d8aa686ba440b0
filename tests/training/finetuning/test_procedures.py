"""Fine-tuning of LiteMedSAM, a narrow model in its place: where it begins, and quantization in stages by a recipe."""

from pathlib import Path

import pytest

from tests.support.data_root import write_ct_and_ultrasound
from tests.support.small_sam import SIZE, narrow_litemedsam
from training import finetune
from training.finetuning.procedures import in_stages
from training.finetuning.tune import procedure_of
from training.model import MODELS
from training.model.checkpoint import CheckpointError, read_checkpoint, save_checkpoint, split_checkpoint
from training.scoring.validation import open_runner
from training.trainer import stages

LIGHT = Path(__file__).parents[3] / "weights/light.pt"


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(MODELS, "litemedsam", narrow_litemedsam)
    save_checkpoint(tmp_path / "own.pt", narrow_litemedsam())
    return tmp_path / "own.pt"


def test_stages_of_a_recipe_make_the_model_in_8_bits(own, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "CALIBRATION_BATCHES", 1)
    root = write_ct_and_ultrasound(tmp_path / "root")
    data = [f"data.root={root}", f"data.input_size={SIZE}", "data.batch_size=1", "data.normalise=before_padding"]
    model = in_stages(own, tmp_path / "int8", [*data, "budget.samples=1", "threads=1"], "paper")
    assert (model.recipe.mask_decoder, model.recipe.signed) == (True, True)  # the paper's
    assert [read_checkpoint(tmp_path / f"int8/stage{stage}/best.pt").extra["samples"] for stage in (1, 2, 3)] == [1] * 3


def test_model_and_recipe_choose_checkpoint_and_procedure(monkeypatch, tmp_path):
    def asked(*arguments):
        raise CheckpointError(" ".join(map(str, arguments)))

    monkeypatch.setattr(finetune, "procedure_of", asked)
    for arguments, expected in (
        ([], "weights/light.pt None fast"),
        (["--model", "litemedsam"], "weights/litemedsam/float litemedsam fast"),
        (["--checkpoint", "x.pth", "--model", "litemedsam", "--recipe", "paper"], "x.pth litemedsam paper"),
    ):
        task = finetune.parse_arguments([str(tmp_path), "--out", "out", *arguments])
        with pytest.raises(CheckpointError) as raised:
            finetune.finetune(finetune.task_of(task), task.model, force=False)
        assert str(raised.value) == expected


def test_what_does_not_go_together_is_said(own):
    assert procedure_of(own, None, "paper") == procedure_of(own, "litemedsam", "fast")
    for checkpoint, model, recipe, reason in (
        (own, "light", "fast", "holds the model litemedsam, not light"),
        (LIGHT, None, "paper", "no recipe paper for the model light; known: fast"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            procedure_of(checkpoint, model, recipe)


def test_a_checkpoint_in_parts_is_run_as_one(own, tmp_path):
    split_checkpoint(own, tmp_path / "parts")
    assert open_runner(tmp_path / "parts").metadata.model == "litemedsam"
