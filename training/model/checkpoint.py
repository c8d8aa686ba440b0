"""Checkpoints: published ones (a plain state dictionary) and our own, which also say which model they hold."""

import io
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inference.atomic import write_atomically
from training.model import build_model

DEFAULT_MODEL = "litemedsam"  # what a checkpoint that does not say is taken for
OWN_KEYS = ("model", "model_name", "recipe", "batchnorm_merged")
HALVED_FROM = 4096  # elements; smaller tensors (norms, biases, scales of quantizers) weigh nothing
NAMES_SHOWN = 3


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message is one line naming the file and the reason."""


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    state: the state dictionary, names as in the model. model_name: None where the file does not say.
    recipe: what is quantized, None for a floating-point model. batchnorm_merged: whether batch norms are merged.
    extra: everything else that was saved with it (optimiser, epoch, ...).
    """

    state: dict[str, Tensor]
    model_name: str | None = None
    recipe: dict[str, Any] | None = None
    batchnorm_merged: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def follows(self) -> bool:
        """Whether the model follows objects through volumes (see `training.model.volume_decoder`)."""
        return any(name.startswith("volume_decoder.") for name in self.state)


def save_checkpoint(path: Path, model: nn.Module, half: bool = False, **extra: Any) -> None:
    """Write the model, what is needed to build it again, and `extra` (plain Python values and tensors) atomically.

    With `half`, large tensors are stored as float16.
    """
    recipe = getattr(model, "recipe", None)
    content = {
        "model": {name: halved(value) if half else value for name, value in model.state_dict().items()},
        "model_name": model.name,
        "recipe": recipe and recipe.to_dict(),
        "batchnorm_merged": getattr(model, "batchnorm_merged", False),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_content(path, content | extra)


def write_content(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. From memory: torch hides what the disk says, that it is full for one."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() and value.numel() >= HALVED_FROM else value


def split_checkpoint(path: Path, folder: Path) -> list[Path]:
    """Write a checkpoint once more, as one file for each part of its model, `<part>.pt`, which are smaller; `folder`
    then stands for the checkpoint. Returns the files."""
    checkpoint = read_checkpoint(path)
    parts = sorted({name.partition(".")[0] for name in checkpoint.state})
    about = {name: getattr(checkpoint, name) for name in OWN_KEYS[1:]} | checkpoint.extra
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        state = {name: value for name, value in checkpoint.state.items() if name.startswith(f"{part}.")}
        write_content(folder / f"{part}.pt", {"model": state, **about})
    return [folder / f"{part}.pt" for part in parts]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a state dictionary, or a dictionary that holds one under `model`, on the CPU; of a folder, those of all its
    files together (`split_checkpoint`).

    Raises CheckpointError for a file that is missing, damaged, or holds something else. Never runs code from it.
    """
    if path.is_dir():
        return joined_checkpoint(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: no checkpoint, or one with more than tensors and plain values in it") from error
    except (RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dictionary")
    is_plain = not isinstance(content.get("model"), dict)
    state = content if is_plain else content["model"]
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds no state dictionary, neither plain nor under 'model'")
    state = {name.removeprefix("module."): value for name, value in state.items()}  # DistributedDataParallel's prefix
    about = {} if is_plain else content
    return Checkpoint(
        state,
        about.get("model_name"),
        about.get("recipe"),
        about.get("batchnorm_merged", False),
        {key: value for key, value in about.items() if key not in OWN_KEYS},
    )


def joined_checkpoint(folder: Path) -> Checkpoint:
    parts = [read_checkpoint(path) for path in sorted(folder.glob("*.pt"))]
    if not parts:
        raise CheckpointError(f"{folder}: holds no checkpoint, neither whole nor in parts (*.pt)")
    return replace(parts[0], state={name: value for part in parts for name, value in part.state.items()})


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_state(model: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Load strictly, then put the model in eval mode, which is when TinyViT looks up its attention biases.

    Raises CheckpointError that lists missing and unexpected names and differing shapes.
    """
    expected = model.state_dict()
    different = [n for n in expected if n in state and state[n].shape != expected[n].shape]
    problems = {
        "missing": [n for n in expected if n not in state],
        "unexpected": [n for n in state if n not in expected],
        "of another shape": [f"{n} {tuple(state[n].shape)} for {tuple(expected[n].shape)}" for n in different],
    }
    found = [f"{len(names)} {kind} ({some(names)})" for kind, names in problems.items() if names]
    if found:
        raise CheckpointError(f"{source}: does not fit the model {model.name}: {', '.join(found)}")
    model.load_state_dict(state)
    model.eval()


def some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")


def load_model(path: Path, model_name: str | None = None) -> nn.Module:
    """The model in a checkpoint, floating-point or quantized as it was saved, float32, on the CPU, in eval mode.

    model_name: which model to build; None takes the name in the checkpoint, or LiteMedSAM where there is none.
    Raises CheckpointError for an unusable file, ValueError for an unknown name.
    """
    checkpoint = read_checkpoint(path)
    if model_name and checkpoint.model_name and model_name != checkpoint.model_name:
        raise CheckpointError(f"{path}: holds the model {checkpoint.model_name}, not {model_name}")
    model = build_model(model_name or checkpoint.model_name or DEFAULT_MODEL)
    if checkpoint.follows and hasattr(model, "learn_to_follow"):
        model.learn_to_follow()
    if checkpoint.recipe is not None or checkpoint.batchnorm_merged:
        # Brevitas takes seconds to import, and floating-point models do without.
        from training.quantization import Recipe, expect_scales, merge_batchnorm, quantize

        if checkpoint.recipe is not None:
            expect_scales(quantize(model, Recipe.from_dict(checkpoint.recipe)))
        if checkpoint.batchnorm_merged:
            merge_batchnorm(model)
    load_state(model, checkpoint.state, path)
    return model
