"""The figures of the papers against the YAML files that stand for them: a changed file turns this red."""

import pytest
import torch

from training.configs import CONFIGS
from training.data.augmentation import Range
from training.trainer import schedule
from training.trainer.config import DistillationConfig, OptimizerConfig, ScheduleConfig, TrainConfig, read_config
from training.trainer.learning_rate import set_learning_rate
from training.trainer.optimizer import make_optimizer

PROCESSES = 4
STAGES = (1, 2, 3)
FLIPS, NO_CHANCES = ("flip_horizontal", "flip_vertical"), ("smallest_context", "largest_zoom")


def read(stage: int) -> TrainConfig:
    return read_config(CONFIGS / f"stage{stage}.yaml", ["init=any.pt"])


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_trains_on_900_samples_per_modality_with_boxes_moved_outward_by_up_to_10_px(stage):
    data = read(stage).data
    assert (data.sampling.strategy, data.sampling.samples_per_modality) == ("fixed", 900)
    assert (data.boxes.per_image, data.boxes.pixel_share, data.boxes.pixels) == (1, 1.0, 10)
    assert data.input_size == 256


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_flips_every_second_sample_each_way_and_changes_nothing_else(stage):
    augmentation = read(stage).data.augmentation
    assert (augmentation.flip_horizontal, augmentation.flip_vertical) == (0.5, 0.5)
    values = [value for name, value in vars(augmentation).items() if name not in FLIPS + NO_CHANCES]
    assert len(values) == 17
    assert {value.probability if isinstance(value, Range) else value for value in values} == {0.0}


@pytest.mark.parametrize("name", ["stage1", "stage2", "stage3", "yu"])
def test_the_papers_draw_from_all_data_sets_alike(name):
    sampling = read_config(CONFIGS / f"{name}.yaml", ["init=any.pt"]).data.sampling
    assert (sampling.dataset_weights, sampling.dataset_exponent) == ({}, 1.0)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("li*.yaml")), ids=lambda path: path.stem)
def test_our_own_files_draw_few_vessels_and_drop_sign_bits(path):
    config = read_config(path, ["init=any.pt"])
    assert config.data.sampling.dataset_weights == {"Fundus/*_vessels": 0.1}
    assert not config.quantization.signed


@pytest.mark.parametrize(("stage", "batch_size"), [(1, 2), (2, 4), (3, 2)])
def test_qmedsam_has_batches_of_2_4_and_2_on_each_of_4_processes(stage, batch_size):
    assert read(stage).data.batch_size == batch_size
    text = (CONFIGS / f"stage{stage}.yaml").read_text()
    assert f"torchrun --nproc-per-node {PROCESSES} -m training.train" in text
    assert f"per process, on {PROCESSES} processes" in text


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_takes_sgd_without_anything_beside(stage):
    config = read(stage)
    assert config.optimizer == OptimizerConfig("sgd", lr=0.01, momentum=0.9, weight_decay=0.0, clip_norm=0.0)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), config.optimizer)
    assert isinstance(optimizer, torch.optim.SGD)
    assert all((group["lr"], group["momentum"]) == (0.01, 0.9) for group in optimizer.param_groups)
    assert config.ema == 0


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_warms_up_for_5_epochs_and_cools_down_over_10(stage):
    config = read(stage)
    assert config.schedule == ScheduleConfig(
        "cosine", warmup_start=0.01, warmup_epochs=5, cosine_epochs=10, cosine_end=0.001
    )
    assert (config.budget.epochs, config.budget.samples, config.budget.minutes) == (15, None, None)

    optimizer, rates = make_optimizer(torch.nn.Linear(2, 2), config.optimizer), []
    for epoch in range(15):
        set_learning_rate(optimizer, config, step=1000 * epoch, epoch=epoch, done=epoch / 15)
        rates.append(optimizer.param_groups[0]["lr"])
    # Linear from 1 % of 0.01; then 0.1 % + 99.9 % (1 + cos(pi t / 9)) / 2, whose middle lies between t = 4 and 5.
    assert rates[:6] == pytest.approx([0.0001, 0.00208, 0.00406, 0.00604, 0.00802, 0.01])
    assert rates[8] == pytest.approx(0.00001 + 0.00999 * 0.75)  # t = 3, cos 60 degrees
    assert (rates[9] + rates[10]) / 2 == pytest.approx(0.00001 + 0.00999 / 2)
    assert rates[14] == pytest.approx(0.00001)


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_learns_from_dice_and_focal_loss_and_in_stage_1_from_a_teachers_embeddings(stage):
    config = read(stage)
    assert config.losses == {"dice": 1.0, "focal": 1.0}
    weight = 1.0 if stage == 1 else 0.0  # of IoU x MSE, whose form test_losses holds
    assert config.distillation == DistillationConfig(teacher=None, embeddings=weight, logits=0.0)


@pytest.mark.parametrize("stage", STAGES)
def test_qmedsam_quantizes_the_encoder_then_the_decoder_and_keeps_the_best_epoch(stage):
    config = read(stage)
    assert (config.stage, config.model, config.precision) == (stage, "litemedsam", "float32")
    recipe = config.quantization
    assert (recipe.image_encoder, recipe.mask_decoder, recipe.attention_products) == (True, True, True)
    assert (recipe.weight_bits, recipe.keep_float, recipe.signed) == (8, (), True)
    assert config.validation.root is not None
    assert (config.validation.every_epochs, config.validation.limit) == (1, None)


def test_yu_takes_adamw_for_20_epochs_and_lowers_the_learning_rate_on_a_plateau():
    config = read_config(CONFIGS / "yu.yaml", [])
    assert (config.optimizer.kind, config.optimizer.lr) == ("adamw", 5e-5)
    assert (config.schedule.kind, config.budget.epochs, config.data.batch_size) == ("plateau", 20, 4)
    assert config.data.sampling.strategy == "oversample"
    assert {"dice", "bce"} <= set(config.losses)


def test_the_cosine_needs_no_more_than_its_configuration():
    assert schedule.cosine(ScheduleConfig("cosine", warmup_epochs=0, cosine_epochs=1), 0) == 1
