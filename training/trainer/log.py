"""The log of a run: rows of figures, and the plot of them."""

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from inference.atomic import write_atomically

Rows = list[dict[str, Any]]


def plot(path: Path, steps: Rows, epochs: Rows) -> None:
    """Draw loss against samples and, where there was a validation, DSC per modality beside it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    losses = pd.DataFrame(steps)
    left.plot(losses["samples"], losses["loss"], linewidth=0.5, alpha=0.4)
    left.plot(losses["samples"], losses["loss"].ewm(span=20).mean(), label="loss")
    left.set(xlabel="image samples", ylabel="loss", title="training loss")
    scores = pd.DataFrame(epochs)
    for column in [name for name in scores if name.startswith("dsc_")]:
        is_mean = column == "dsc_mean"
        style = {"color": "black", "linewidth": 2.5} if is_mean else {"linewidth": 1}
        right.plot(scores["samples"], scores[column], label=column.removeprefix("dsc_"), **style)
    right.set(xlabel="image samples", ylabel="DSC", title="validation")
    if right.get_lines():
        right.legend(fontsize=8)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=110))
    plt.close(figure)
