"""What is to be fine-tuned on what, as a person asks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.model.metadata import AFTER_PADDING
from training.finetuning.data import Source
from training.finetuning.workplace import Workplace
from training.trainer.stage_runs import FAST


@dataclass(frozen=True)
class Task:
    """A fine-tuning.

    out: folder for the result. place: what is made on the way. checkpoint: what it begins from, floating-point.
    subject: pattern of the subject in a file's name; subjects: CSV that names it; without both each file is one.
    held_out: number of subjects that are held out; None takes a share of them. replay: what the model knew, or None;
    replay_share: of the images that are learned from. overrides: settings `key=value` of the run.
    recipe: of what comes to 8 bits, `training.trainer.stage_runs.RECIPES`.
    """

    source: Source
    out: Path
    place: Workplace
    checkpoint: Path
    normalise: str = AFTER_PADDING
    subject: str | None = None
    subjects: Path | None = None
    held_out: int | None = None
    replay: Source | None = None
    replay_share: float = 0.25
    overrides: Sequence[str] = ()
    workers: int = 1
    recipe: str = FAST

    @property
    def settings(self) -> dict[str, Any]:
        """What must stay the same for a run that goes on where it was, as it is named on the command line."""
        return {
            "DATA": str(self.source.folder.resolve()),
            "--checkpoint": str(self.checkpoint.resolve()),
            "--modality": self.source.modality,
            "--longest-side": self.source.longest_side,
            "CT window": list(self.source.ct_window),
            "--normalise": self.normalise,
            "--held-out": self.held_out,
            "--replay": self.replay and str(self.replay.folder.resolve()),
            "--replay-share": self.replay_share,
            "--recipe": self.recipe,
            "settings": list(self.overrides),
        }
