"""The validation of a run: when its model is scored, and how well it does."""

from training.scoring.means import by_modality
from training.scoring.validation import validate
from training.trainer.config import TrainConfig
from training.trainer.log import Rows
from training.trainer.run import Run


def is_due(config: TrainConfig, epoch: int, done: float) -> bool:
    """Whether the model is scored after this epoch: every so many, and when the budget is spent (`done` is 1)."""
    validation = config.validation
    return validation.root is not None and ((epoch + 1) % validation.every_epochs == 0 or done >= 1)


def is_exhausted(epochs: Rows, patience: int | None) -> bool:
    """Whether the last `patience` validations in the log of epochs were no better than one before them."""
    scores = [row["dsc_mean"] for row in epochs if "dsc_mean" in row]
    return patience is not None and len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])


def score(run: Run, config: TrainConfig) -> dict[str, float]:
    """DSC per modality and their `mean`, of the model that the run keeps."""
    return by_modality(validate(run.kept, config.validation, config.data.normalise))
