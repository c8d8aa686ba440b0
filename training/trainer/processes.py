"""The processes of a run: one alone, or several that torchrun started, each with its device and share of a batch."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(days=30)  # that the others have while the first process validates


@dataclass(frozen=True)
class Processes:
    """This process among those of a run. The first, of rank 0, is the one that validates and writes.

    patient: the group in which the others wait for the first; None in a run of one process.
    """

    rank: int
    world_size: int
    device: torch.device
    patient: dist.ProcessGroup | None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes, float32 ()."""
        total = value.detach().float()
        if self.world_size > 1:
            dist.all_reduce(total)
        return total / self.world_size

    def of_first(self, value: float) -> float:
        """The first process' value, on all of them."""
        if self.world_size == 1:
            return value
        agreed = torch.tensor(value, device=self.device)
        dist.broadcast(agreed, src=0)
        return agreed.item()

    def wait_for_first(self) -> None:
        """Return once every process is here, however long the first takes."""
        if self.patient is not None:
            dist.barrier(self.patient)


def join_processes(device: str) -> Processes:
    """Join the processes that torchrun's environment names.

    What they do in step keeps the default time-out, so that a process that hangs is noticed within minutes. They wait
    for a validation, which may take hours, in a group of its own; that one is gloo on GPUs too, since NCCL would keep
    them busy meanwhile. A first process that dies ends the wait at once.

    Args:
        device: `auto`, or a device of torch.

    Raises:
        ValueError: no such device.
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = choose_device(device)
    if world_size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    patient = dist.new_group(backend="gloo", timeout=PATIENCE) if world_size > 1 else None
    return Processes(rank, world_size, chosen, patient)


def choose_device(device: str) -> torch.device:
    """The device of that name, ready for use; `auto` is this process' GPU where there is one."""
    if device == "auto":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
            torch.backends.cuda.matmul.allow_tf32 = True  # for the stages in float32; convolutions have it anyway
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"device '{device}': {str(error).splitlines()[0]}") from error
    return chosen
