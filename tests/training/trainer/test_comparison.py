"""Lists of ablations: what is refused, and the table as text."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.data_root import write_validation_case
from training import compare
from training.data.augmentation import AugmentationConfig
from training.data.sampling import epoch_counts, sample_weights
from training.trainer import comparison
from training.trainer.comparison import as_text, config_of, read_comparison, table_of
from training.trainer.config import TrainConfig

LIGHT = "training/configs/light.yaml"
WEIGHTS = Path(__file__).parents[3] / "weights"


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ("[{name: a, weights: x}, {name: a, weights: y}]", "two runs have the same name"),
        ("[{name: a, weights: x, config: y}]", "'a': give either config or weights"),
        ("[{name: a}]", "'a': give either config or weights"),
        ("[{name: a, weight: x}]", "weight"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, runs: str, reason: str):
    path = tmp_path / "list.yaml"
    path.write_text(f"validation: {{root: val}}\nruns: {runs}\n")
    with pytest.raises(ValueError, match=reason) as error:
        read_comparison(path)
    assert str(error.value).startswith(f"{path}: ")


def configs_of(name: str) -> dict[str, TrainConfig]:
    comparison = read_comparison(Path(f"training/configs/compare/{name}.yaml"))
    return {entry.name: config_of(entry, comparison.common, Path("out")) for entry in comparison.entries}


def test_lists_of_the_papers_switch_off_what_they_say():
    distillation = configs_of("distillation")
    assert [config.distillation.is_on for config in distillation.values()] == [True, True, False]
    assert distillation["embeddings"].distillation.logits == 0 < distillation["embeddings"].distillation.embeddings

    augmentation = configs_of("augmentation")
    assert augmentation["none"].data.augmentation == AugmentationConfig().only()
    assert augmentation["all"].data.augmentation == AugmentationConfig()

    natural = configs_of("sampling")["natural proportions"].data.sampling
    assert epoch_counts({"CT": 5000, "OCT": 40}, natural) == {"CT": 5000, "OCT": 40}
    weights = sample_weights(["Fundus/a", "Fundus/b_vessels"], np.array([0, 0, 0, 1]), natural)
    assert len(set(weights.tolist())) == 1


def test_the_table_has_a_line_per_modality_and_three_columns_per_run():
    cases = pd.DataFrame(
        {
            "run": ["b", "b", "b", "a", "a", "a"],
            "modality": ["CT", "CT", "US"] * 2,
            "dsc": [0.9, 0.8, 0.4, 0.8, 0.8, 0.6],
            "nsd": [0.95, 0.85, 0.5, 0.85, 0.85, 0.7],
            "seconds": [0.1, 0.3, 0.4, 1.0, 1.0, 2.0],
        }
    )
    lines = [line.split() for line in as_text(table_of(cases)).splitlines()]
    assert lines[-3] == ["CT", "85.0", "90.0", "0.2", "80.0", "85.0", "1.0"]
    assert lines[-1] == ["mean", "62.5", "70.0", "0.3", "70.0", "77.5", "1.5"]


def test_entries_are_chosen_from_by_their_ranks_if_they_run_alike(tmp_path: Path, capsys):
    for number in (1, 2):
        write_validation_case(tmp_path / "val", f"2DBox_US_000{number}.npz", seed=number)
    path = tmp_path / "list.yaml"

    def compared(second: str) -> int:
        runs = f"[{{name: a, weights: {WEIGHTS}}}, {{name: b, {second}}}]"
        path.write_text(f"validation: {{root: {tmp_path / 'val'}}}\nruns: {runs}\n")
        return compare.main(["--config", str(path), "--out", str(tmp_path / "out"), "--choose"])

    assert compared(f"weights: {WEIGHTS}") == 0
    *_, first, second, chosen = (line.split() for line in capsys.readouterr().out.splitlines())
    assert [first[1:3], second[1:3]] == [["1.50", "1.50"]] * 2  # the same masks
    assert float(first[3]) <= 1.5 <= float(second[3])
    assert chosen == ["chosen:", first[0]]

    for other in (f"weights: {WEIGHTS / 'light.pt'}", f"config: {LIGHT}"):
        assert compared(other) == 2
        assert "needs all weights as ONNX pairs, or none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("root", "second", "reason"),
    [
        ("none", "weights: runs/ptq", "none/imgs: holds no validation case"),
        ("val", "weights: runs/ptq", "'b': runs/ptq does not exist"),
        ("val", f"config: {LIGHT}, set: [optimizer.rate=1]", "optimizer.rate"),
        ("val", "config: none.yaml", "none.yaml"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_anything_is_trained(
    tmp_path: Path, monkeypatch, capsys, root: str, second: str, reason: str
):
    write_validation_case(tmp_path / "val", "2DBox_US_0001.npz", seed=1)
    path = tmp_path / "list.yaml"
    path.write_text(
        f"validation: {{root: {tmp_path / root}}}\nruns: [{{name: a, config: {LIGHT}}}, {{name: b, {second}}}]\n"
    )
    monkeypatch.setattr(comparison, "train", lambda config: pytest.fail("trained for nothing"))
    assert compare.main(["--config", str(path), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert reason in message
    assert message.count("\n") == 1


def test_training_data_that_are_missing_are_one_line(tmp_path: Path, capsys):
    write_validation_case(tmp_path / "val", "2DBox_US_0001.npz", seed=1)
    path = tmp_path / "list.yaml"
    settings = f"set: [data.root={tmp_path / 'none'}, validation.root=null]"
    path.write_text(f"validation: {{root: {tmp_path / 'val'}}}\nruns: [{{name: a, config: {LIGHT}, {settings}}}]\n")
    assert compare.main(["--config", str(path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'none'}: no <Modality>")
