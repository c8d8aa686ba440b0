"""The training loop: epochs of steps until the budget is spent, each with a validation and a row of the log."""

import copy
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from training.data.batch import Batch
from training.data.index import VolumeIndex
from training.data.loader import Loader
from training.data.slices import ReadSlice
from training.trainer import schedule, validation
from training.trainer.checks import check_run
from training.trainer.clock import Clock
from training.trainer.compiled import compile_parts
from training.trainer.config import TrainConfig
from training.trainer.ema import update_ema
from training.trainer.learning_rate import make_plateau, set_learning_rate
from training.trainer.optimizer import make_optimizer, update_weights
from training.trainer.processes import Processes, join_processes
from training.trainer.run import BEFORE_COOLDOWN, LAST, Run, RunState
from training.trainer.stages import make_model, make_teacher, set_scales, set_training
from training.trainer.step import TrainStep


def train(config: TrainConfig, resume: Path | None = None, data: tuple[VolumeIndex, ReadSlice] | None = None) -> Run:
    """Train until the budget is spent. What a run needs is looked at before its first step.

    Args:
        resume: checkpoint to continue from; None takes the run's last one, if there is one.
        data: of `config.data` that were opened before (`training.data.loader.open_data`).

    Returns:
        The finished run.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        CaseError: the training data cannot be used.
        ValueError: the configuration, the validation cases or the output folder cannot be used.
    """
    processes = join_processes(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    if processes.is_first:
        check_run(config)
    processes.wait_for_first()  # reading all validation cases may take longer than the time-out of what follows

    model = make_model(config)
    teacher = make_teacher(config)
    model.to(processes.device, memory_format=torch.channels_last)
    if teacher is not None:
        teacher.to(processes.device)
    loader = Loader(config.data.with_boxes_of(model), processes.device, processes.rank, processes.world_size, data)
    run = open_run(config, model, loader, resume)
    if config.compiler is not None:
        compile_parts(run.model, config.compiler)
    loop = Loop(config, processes, loader, run, teacher)

    if loop.has_epoch_to_end:  # stopped in a validation
        loop.end_epoch()
    while not loop.is_over:
        loop.train_epoch()
        loop.end_epoch()
    return run


def open_run(config: TrainConfig, model: nn.Module, loader: Loader, resume: Path | None) -> Run:
    """A new run, or one as its checkpoint left it."""
    resume = resume or Path(config.output) / LAST
    checkpoint = resume if resume.exists() else None
    set_scales(model, config, loader, checkpoint)
    optimizer = make_optimizer(model, config.optimizer)
    run = Run(
        folder=Path(config.output),
        model=model,
        average=copy.deepcopy(model).requires_grad_(False) if config.ema > 0 else None,
        optimizer=optimizer,
        plateau=make_plateau(optimizer, config.schedule),
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    if checkpoint is not None:
        run.load(checkpoint)
    return run


class Loop:
    """The parts of the loop of one run.

    done: finished part of the budget, 0..1, the same on every process.
    """

    def __init__(
        self, config: TrainConfig, processes: Processes, loader: Loader, run: Run, teacher: nn.Module | None
    ) -> None:
        self.config, self.processes, self.loader, self.run = config, processes, loader, run
        self.clock = Clock(run.state, loader)
        self.done = self._finished_part()
        self.compute: nn.Module = TrainStep(run.model, config.losses, config.distillation, teacher)
        if processes.world_size > 1:
            self.compute = DistributedDataParallel(self.compute, find_unused_parameters=True)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent, or the scores of the first process, which validates, rise no more."""
        patience = self.config.budget.patience
        if self.done >= 1 or patience is None:
            return self.done >= 1
        return bool(self.processes.of_first(float(validation.is_exhausted(self.run.state.epochs, patience))))

    @property
    def has_epoch_to_end(self) -> bool:
        """Whether the steps of an epoch, or of the whole budget, are done, but not what comes after them."""
        state = self.run.state
        is_over = state.step > 0 and (state.step % self.loader.steps_per_epoch == 0 or self.done >= 1)
        return is_over and not state.is_logged

    def train_epoch(self) -> None:
        """All steps of an epoch that are left, of it and of the budget."""
        state = self.run.state
        epoch, position = divmod(state.step, self.loader.steps_per_epoch)
        last_step = state.step - position + self.loader.steps_per_epoch
        set_training(self.run.model, self.config)
        self.clock.begin_epoch()
        is_hidden = None if self.processes.is_first else True
        with tqdm(desc=f"epoch {epoch}", total=last_step, initial=state.step, disable=is_hidden) as bar:
            for batch in self.loader.batches(state.step, last_step):
                set_learning_rate(self.run.optimizer, self.config, state.step, epoch, self.done)
                parts, norm = self.take_step(batch)
                done_before, self.done = self.done, self._finished_part()
                bar.update()
                if state.step % self.config.log_steps == 0 or state.step == last_step or self.done >= 1:
                    row = self.log_step(parts, norm)
                    bar.set_postfix(loss=f"{row['loss']:.3f}", loader=f"{row['loader_share']:.0%}")
                self.save_on_the_way(done_before)
                if self.done >= 1:
                    break

    def take_step(self, batch: Batch) -> tuple[dict[str, Tensor], float]:
        """One update of the weights and their average; the parts of the loss, and the norm of its gradient."""
        config, run, state = self.config, self.run, self.run.state
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            loss, parts = self.compute(batch)
        loss_value, norm = update_weights(run.optimizer, loss, config.optimizer.clip_norm, self.processes)
        if run.average is not None:
            update_ema(run.average, run.model, config.ema, state.step)
        state.step += 1
        state.samples += len(batch.images) * self.processes.world_size
        state.epoch_losses.append(loss_value)
        self.clock.count_step()
        return parts, norm

    def log_step(self, parts: dict[str, Tensor], norm: float) -> dict[str, float]:
        state = self.run.state
        row = {
            "step": state.step,
            "samples": state.samples,
            "minutes": round(state.seconds / 60, 3),
            "lr": self.run.optimizer.param_groups[0]["lr"],
            "loss": mean(state.epoch_losses[-self.config.log_steps :]),
            **{name: part.item() for name, part in parts.items()},
            "gradient_norm": norm,
            "samples_per_second": self.clock.samples_per_second,
            "loader_share": self.clock.loader_share,
        }
        state.steps.append(row)
        return row

    def save_on_the_way(self, done_before: float) -> None:
        """Save where the cool-down begins, and every few minutes."""
        if not self.processes.is_first:
            return
        plan = self.config.schedule
        with self.clock.paused():
            if plan.kind == "stable" and done_before < 1 - plan.cooldown <= self.done:
                self.run.save(BEFORE_COOLDOWN)
            if self.run.is_older_than(self.config.checkpoint_minutes):
                self.run.save()

    def end_epoch(self) -> None:
        """Validate where that is due, log, lower the learning rate of a plateau, keep the best weights.

        Saved before, and only then again: a run that is stopped meanwhile starts with this, as if it had not begun.
        """
        run, state = self.run, self.run.state
        epoch = (state.step - 1) // self.loader.steps_per_epoch
        loss = state.epoch_loss
        scores: dict[str, float] = {}
        if self.processes.is_first:
            run.save()
            if validation.is_due(self.config, epoch, self.done):
                scores = validation.score(run, self.config)
        if run.plateau is not None:
            run.plateau.step(loss)
        if state.step % self.loader.steps_per_epoch == 0:
            state.epoch_losses = []
        if self.processes.is_first:
            run.finish_epoch(scores)
            run.save()
            print(summary(state, epoch, loss, scores, self.clock.loader_share), flush=True)
        self.processes.wait_for_first()

    def _finished_part(self) -> float:
        minutes = self.run.state.seconds / 60
        if self.config.budget.minutes is not None:
            minutes = self.processes.of_first(minutes)
        epochs = self.run.state.step / self.loader.steps_per_epoch
        return schedule.progress(self.config.budget, epochs, self.run.state.samples, minutes)


def summary(state: RunState, epoch: int, loss: float, scores: dict[str, float], loader_share: float) -> str:
    """The line that is printed after an epoch."""
    line = f"epoch {epoch}  {state.samples} samples  {state.seconds / 60:.1f} min  loss {loss:.4f}"
    if scores:
        line += f"  DSC {scores['mean']:.4f} (best {state.best_dsc:.4f})"
        line += "".join(f"  {name} {value:.3f}" for name, value in scores.items() if name != "mean")
    return f"{line}  waited for data {loader_share:.1%} of the time"
