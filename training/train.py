"""Trains a model: stage 0 in floating point from scratch, stages 1 to 3 quantization-aware (QMedSAM)."""

import argparse
import copy
import math
import os
import sys
import time
from pathlib import Path
from statistics import mean

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from training.data.loader import Loader
from training.model.checkpoint import CheckpointError, read_checkpoint
from training.quantization import Recipe, calibrate, expect_scales, with_unsigned
from training.scoring.means import by_modality
from training.scoring.validation import validate
from training.trainer import schedule
from training.trainer.config import OptimizerConfig, TrainConfig, read_config
from training.trainer.ema import update_ema
from training.trainer.run import BEFORE_COOLDOWN, LAST, Run
from training.trainer.stages import CALIBRATION_BATCHES, make_model, make_teacher, set_training
from training.trainer.step import TrainStep

DESCRIPTION = """\
Train a model. A run lives in the folder `output` of its configuration and goes on from its last checkpoint, exactly,
whenever it is started again. To extend a finished run, start it again with a larger budget and
--resume <output>/before_cooldown.pt.

  python -m training.train --config training/configs/light.yaml data.root=../datasets/train budget.minutes=60
  torchrun --nproc-per-node 4 -m training.train --config training/configs/stage1.yaml init=lite_medsam.pth
"""


def train(config: TrainConfig, resume: Path | None = None) -> Run:
    """Train until the budget is spent.

    Args:
        resume: checkpoint to continue from; None takes the run's last one, if there is one.

    Returns:
        The finished run.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        ValueError: the configuration or the data cannot be used.
    """
    rank, world_size, device = join_processes(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)

    model = make_model(config).to(device, memory_format=torch.channels_last)
    loader = Loader(config.data.with_boxes_of(model), device, rank, world_size)
    resume = resume or Path(config.output) / LAST
    if config.stage > 0 and resume.exists():
        saved_recipe = Recipe.from_dict(read_checkpoint(resume).recipe or {})
        expect_scales(with_unsigned(model, saved_recipe.unsigned))
    elif config.stage > 0:
        calibrate(model, [loader.batch(step) for step in range(CALIBRATION_BATCHES)])
    teacher = make_teacher(config)
    if teacher is not None:
        if teacher.box_convention != model.box_convention:
            raise ValueError(f"the teacher {teacher.name} takes other boxes: {teacher.box_convention}")
        teacher.to(device)
    optimizer = make_optimizer(model, config.optimizer)
    run = Run(
        folder=Path(config.output),
        model=model,
        average=copy.deepcopy(model).requires_grad_(False) if config.ema > 0 else None,
        optimizer=optimizer,
        plateau=make_plateau(optimizer, config) if config.schedule.kind == "plateau" else None,
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    if resume.exists():
        run.load(resume)

    compute = TrainStep(model, config.losses, config.distillation, teacher)
    if world_size > 1:
        compute = DistributedDataParallel(compute, find_unused_parameters=True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    state = run.state
    saved = time.monotonic()
    while (done := finished_part(config, run, loader.steps_per_epoch)) < 1:
        epoch = state.step // loader.steps_per_epoch
        last_step = (epoch + 1) * loader.steps_per_epoch
        set_training(model, config.stage)
        samples, waited, began, tick = state.samples, loader.wait_seconds, time.monotonic(), time.monotonic()
        bar = tqdm(desc=f"epoch {epoch}", total=last_step, initial=state.step, disable=None if rank == 0 else True)
        for batch in loader.batches(state.step, last_step):
            if run.plateau is None:
                set_learning_rate(optimizer, config, state.step, epoch, done)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                loss, parts = compute(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(trained, config.optimizer.clip_norm or float("inf"))
            # The host waits for a GPU here and nowhere else in a step.
            loss_value, norm_value = torch.stack([loss.detach().float(), norm]).tolist()
            if math.isfinite(norm_value):  # one step with an overflow would spoil the weights and every step after it
                optimizer.step()
            if run.average is not None:
                update_ema(run.average, model, config.ema, state.step)

            now = time.monotonic()
            state.step += 1
            state.samples += len(batch.images) * world_size
            state.seconds += now - tick
            tick = now
            state.epoch_losses.append(loss_value)
            before, done = done, finished_part(config, run, loader.steps_per_epoch)
            bar.update()
            if state.step % config.log_steps == 0 or state.step == last_step or done >= 1:
                loader_share = (loader.wait_seconds - waited) / (now - began)
                row = {
                    "step": state.step,
                    "samples": state.samples,
                    "minutes": round(state.seconds / 60, 3),
                    "lr": optimizer.param_groups[0]["lr"],
                    "loss": mean(state.epoch_losses[-config.log_steps :]),
                    **{name: part.item() for name, part in parts.items()},
                    "gradient_norm": norm_value,
                    "samples_per_second": (state.samples - samples) / (now - began),
                    "loader_share": loader_share,
                }
                state.steps.append(row)
                bar.set_postfix(loss=f"{row['loss']:.3f}", loader=f"{loader_share:.0%}")

            if rank == 0 and before < 1 - config.schedule.cooldown <= done and config.schedule.kind == "stable":
                run.save(BEFORE_COOLDOWN)
            if rank == 0 and time.monotonic() - saved > 60 * config.checkpoint_minutes:
                run.save()
                saved = tick = time.monotonic()
            if done >= 1:
                break
        bar.close()

        mean_loss = over_processes(mean(state.epoch_losses), device)
        if state.step == last_step:
            state.epoch_losses = []
        if run.plateau is not None:
            run.plateau.step(mean_loss)
        if rank == 0:
            run.save()  # whatever happens in validation
            is_due = config.validation.root and ((epoch + 1) % config.validation.every_epochs == 0 or done >= 1)
            scores = by_modality(validate(run.kept, config.validation, config.data.normalise)) if is_due else {}
            run.finish_epoch(scores)
            run.save()
            saved = time.monotonic()
            share = (loader.wait_seconds - waited) / (tick - began)
            print(summary(run, epoch, mean_loss, scores, share), flush=True)
        if world_size > 1:
            dist.barrier()
    return run


def join_processes(device: str) -> tuple[int, int, torch.device]:
    """Rank, number of processes and device of this one, from what torchrun puts into the environment."""
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        torch.backends.cuda.matmul.allow_tf32 = True  # for the stages in float32; convolutions have it anyway
    if world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return rank, world_size, chosen


def over_processes(value: float, device: torch.device) -> float:
    """Mean of a number over all processes."""
    if not dist.is_initialized():
        return value
    total = torch.tensor(value, device=device)
    dist.all_reduce(total)
    return total.item() / dist.get_world_size()


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """The optimiser of the parameters that have gradients; vectors and scalars are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.kind == "adamw":
        return AdamW(groups, lr=config.lr)
    if config.kind == "sgd":
        return SGD(groups, lr=config.lr, momentum=config.momentum)
    raise ValueError(f"optimizer kind '{config.kind}': adamw or sgd is needed")


def make_plateau(optimizer: Optimizer, config: TrainConfig) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(
        optimizer, factor=config.schedule.plateau_factor, patience=config.schedule.plateau_patience
    )


def set_learning_rate(optimizer: Optimizer, config: TrainConfig, step: int, epoch: int, done: float) -> None:
    if config.schedule.kind == "stable":
        factor = schedule.stable(config.schedule, step, done)
    elif config.schedule.kind == "cosine":
        factor = schedule.cosine(config.schedule, epoch)
    else:
        raise ValueError(f"schedule kind '{config.schedule.kind}': stable, cosine or plateau is needed")
    for group in optimizer.param_groups:
        group["lr"] = config.optimizer.lr * factor


def finished_part(config: TrainConfig, run: Run, steps_per_epoch: int) -> float:
    """Finished part of the budget, the same on every process: the first one's clock counts."""
    minutes = run.state.seconds / 60
    if config.budget.minutes is not None and dist.is_initialized():
        agreed = torch.tensor(minutes, device=next(run.model.parameters()).device)
        dist.broadcast(agreed, src=0)
        minutes = agreed.item()
    return schedule.progress(config.budget, run.state.step / steps_per_epoch, run.state.samples, minutes)


def summary(run: Run, epoch: int, loss: float, scores: dict[str, float], loader_share: float) -> str:
    state = run.state
    line = f"epoch {epoch}  {state.samples} samples  {state.seconds / 60:.1f} min  loss {loss:.4f}"
    if scores:
        line += f"  DSC {scores['mean']:.4f} (best {state.best_dsc:.4f})"
        line += "".join(f"  {name} {value:.3f}" for name, value in scores.items() if name != "mean")
    return f"{line}  waited for data {loader_share:.1%} of the time"


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.train", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML file; training/configs has one per stage")
    parser.add_argument("--resume", type=Path, help="checkpoint to continue from (default: <output>/last.pt, if any)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings, e.g. optimizer.lr=0.001")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        config = read_config(args.config, args.overrides)
        if args.resume and not args.resume.exists():
            raise CheckpointError(f"{args.resume}: no such checkpoint")
        train(config, args.resume)
    except (CheckpointError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; start it again to go on from its last checkpoint", file=sys.stderr)
        return 130
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
