"""Stages 1 to 3: what is quantized and trained in each, distillation, and that a stage starts where the last ended."""

from pathlib import Path

import pytest
import torch

from tests.support.data_root import write_phantom_root
from tests.support.small_sam import SIZE, narrow_litemedsam
from training.data.config import DataConfig, from_mapping
from training.data.loader import Loader
from training.model import MODELS, build_model
from training.model.checkpoint import load_model, read_checkpoint, save_checkpoint
from training.quantization import calibrate
from training.trainer.config import TrainConfig, apply_override
from training.trainer.loop import train
from training.trainer.stages import make_model, set_training
from training.trainer.step import TrainStep


@pytest.fixture(scope="module", autouse=True)
def narrow_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "litemedsam", narrow_litemedsam)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_phantom_root(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained_float(tmp_path_factory) -> Path:
    """A floating-point checkpoint whose BatchNorm statistics are not those of an untouched model."""
    torch.manual_seed(0)
    model = build_model("litemedsam")
    with torch.no_grad():
        model.encode(torch.rand(2, 3, SIZE, SIZE))
    path = tmp_path_factory.mktemp("float") / "float.pt"
    save_checkpoint(path, model)
    return path


def settings(root: Path, output: Path, stage: int, init: Path, *overrides: str) -> TrainConfig:
    values = {
        "output": str(output),
        "stage": stage,
        "init": str(init),
        "data": {
            "root": str(root),
            "batch_size": 2,
            "input_size": SIZE,
            "sampling": {"samples_per_modality": 2},
        },
        "budget": {"samples": 4},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "schedule": {"kind": "cosine"},
        "threads": 1,
    }
    for override in overrides:
        apply_override(values, override)
    return from_mapping(TrainConfig, values)


def test_small_images_are_distilled_too(root, trained_float, tmp_path):
    """The teacher, of the same model, sees them at their size: its embeddings are as large as the student's."""
    half = [f"data.input_size={SIZE // 2}", "distillation.embeddings=1", "budget.samples=2", "log_steps=1"]
    train(settings(root, tmp_path, 1, trained_float, *half))
    assert (tmp_path / "best.pt").exists()


def changed_parts(before: Path, after: Path) -> set[str]:
    """Parts of the model of which some weight or statistic differs between two checkpoints."""
    old, new = read_checkpoint(before).state, read_checkpoint(after).state
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


@pytest.fixture(scope="module")
def stages(root, trained_float, tmp_path_factory) -> dict[int, Path]:
    """Best checkpoint of each stage, two steps each; 0 is the floating-point one."""
    folder = tmp_path_factory.mktemp("stages")
    best = {0: trained_float}
    for stage in (1, 2, 3):
        overrides = ["distillation.embeddings=1", "log_steps=1"] if stage == 1 else []
        train(settings(root, folder / str(stage), stage, best[stage - 1], *overrides))
        best[stage] = folder / str(stage) / "best.pt"
    return best


@pytest.mark.slow
def test_each_stage_changes_only_what_it_trains(stages):
    assert changed_parts(stages[0], stages[1]) == {"image_encoder"}
    assert changed_parts(stages[1], stages[2]) == {"mask_decoder"}
    assert changed_parts(stages[2], stages[3]) == {"image_encoder", "mask_decoder"}
    old, new = read_checkpoint(stages[0]).state, read_checkpoint(stages[3]).state
    statistics = [name for name in old if "running_" in name or "num_batches" in name]
    assert statistics
    assert all(torch.equal(old[name], new[name]) for name in statistics)


@pytest.mark.slow
def test_stage_1_quantizes_the_encoder_and_the_others_the_decoder_too(stages):
    scales = {
        n: {name.split(".")[0] for name in read_checkpoint(p).state if "scaling_impl" in name}
        for n, p in stages.items()
    }
    assert scales == {0: set(), 1: {"image_encoder"}, 2: {"image_encoder", "mask_decoder"}, 3: scales[2]}


@pytest.mark.slow
def test_stage_1_logs_distillation_and_its_scales_learn(stages):
    state = read_checkpoint(stages[1].parent / "last.pt").extra["state"]
    assert [row["step"] for row in state["steps"]] == [1, 2]
    # The student's rounding sets it apart from its teacher; a teacher that is right about nothing has no say.
    assert max(row["distil_embeddings"] for row in state["steps"]) > 0
    before, after = (read_checkpoint(stages[n]).state for n in (1, 3))
    learned = [name for name in before if "input_quant" in name and "scaling" in name]
    assert learned
    assert any(not torch.equal(before[name], after[name]) for name in learned)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_quantized_run_resumes(root, stages, tmp_path, stage):
    train(settings(root, tmp_path / "short", stage, stages[stage - 1], "budget.samples=2"))
    longer = settings(root, tmp_path / "short", stage, stages[stage - 1])
    resumed, expected = train(longer).model.state_dict(), read_checkpoint(stages[stage].parent / "last.pt").state
    for name, value in expected.items():  # the gradient of a scale is a sum over pixels, whose order may differ
        torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6, msg=name)


@torch.no_grad()
def test_quantizing_a_trained_model_changes_its_masks_little(root, trained_float):
    loader = Loader(DataConfig(root=str(root), batch_size=2, input_size=SIZE))
    batch = loader.batch(0)
    floating = load_model(trained_float)
    config = settings(root, Path("unused"), 3, trained_float)
    quantized = make_model(config)
    calibrate(quantized, [batch])
    set_training(quantized, config)
    expected, _ = floating.decode(floating.encode(batch.images), batch.boxes, batch.image_index)
    found, _ = quantized.decode(quantized.encode(batch.images), batch.boxes, batch.image_index)
    assert 0 < (found - expected).abs().mean() < 0.1 * expected.std()


def test_a_teacher_equal_to_the_student_has_nothing_to_say(root, trained_float):
    loader = Loader(DataConfig(root=str(root), batch_size=2, input_size=SIZE))
    model, teacher = load_model(trained_float), load_model(trained_float)
    config = settings(root, Path("unused"), 1, trained_float, "distillation.embeddings=1", "distillation.logits=1")
    step = TrainStep(model, {"dice": 1.0}, config.distillation, teacher)
    loss, parts = step(loader.batch(0))
    assert parts["distil_embeddings"].item() == pytest.approx(0, abs=1e-9)
    assert parts["distil_logits"].item() == pytest.approx(0, abs=1e-5)
    assert loss.item() == pytest.approx(parts["dice"].item(), abs=1e-5)
