"""What is said of a result: the report on the terminal, and the card beside the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from inference import __version__
from training.finetuning.scores import MEASURES, Gain, table

TITLES = {"dsc": "DSC", "nsd": "NSD"}


@dataclass(frozen=True)
class Verdict:
    """What the held-out objects say.

    gain: DSC of the int8 result over what it began from. loss_of_int8: DSC of float over int8.
    """

    gain: Gain
    loss_of_int8: float

    @property
    def is_better(self) -> bool:
        """Whether the interval of the gain lies above 0; never of one subject, which has none."""
        return self.gain.low > 0

    @property
    def sentence(self) -> str:
        mean, low, high = self.gain
        said = f"DSC {mean:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
        if self.is_better:
            return f"It was worth it: {said}."
        if low != low:
            return f"Not shown to be worth it: {said}; an interval takes two subjects that are held out."
        return f"Not shown to be worth it: {said} does not lie above 0."


def report(scores: pd.DataFrame, contenders: Sequence[str], before: str, after: str) -> dict[str, pd.DataFrame]:
    """The tables of DSC and NSD, by title."""
    return {TITLES[measure]: table(scores, measure, contenders, before, after) for measure in MEASURES}


def as_markdown(frame: pd.DataFrame) -> str:
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def card(title: str, model: str, facts: Mapping[str, str], tables: Mapping[str, pd.DataFrame], verdict: Verdict) -> str:
    """README.md beside the weights.

    Args:
        model: name of the model; facts: what was done, a line each, by what it is.
    """
    rows = "\n".join(f"- **{name}**: {value}" for name, value in facts.items())
    scored = "\n\n".join(f"### {name}\n\n{as_markdown(frame)}" for name, frame in tables.items())
    return f"""# {title}

Fine-tuned by QMedSAM {__version__}, `python -m training.finetune`. For research, not diagnosis.

{rows}

## Before and after

On the subjects that were held out. Figures are means over subjects; the gain is that of the int8 files. The held-out
part also chose the best weights on the way, so its scores are a little flattering.

{scored}

{verdict.sentence} Int8 against float: DSC {-verdict.loss_of_int8:+.4f}.

![learning curve](learning_curve.png)

![largest gain and loss](panel.png)

## Use

```sh
python -m inference cases inputs outputs --weights THIS_FOLDER
```

`{model}.pt` is the checkpoint in half precision: fine-tuning goes on from it with `--checkpoint`. The terms of what it
began from (for the weights that ship, `weights/LICENSE.md`) and of your images hold for these weights.
"""
