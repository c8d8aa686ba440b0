"""The pair in `weights/` segments as well as it did when it was shipped: a floor under its Dice on validation cases.

The cases are one small image of each modality and a volume, chosen among those whose Dice hardly depends on CPU and
arithmetic (0.007 at most between bf16 and float32, AMX, AVX-512 and AVX2), but falls when the weights are rounded to
4 bits or the logits are off by a half. A new pair, or a runtime that makes other masks, brings floors of its own: 0.01
below its scores.
"""

from pathlib import Path

import numpy as np
import pytest

from inference.cli import main
from inference.errors import EXIT_OK
from inference.model.pair import ModelPair
from inference.options import AUTO, F32
from training.scoring.metrics import case_scores

FLOORS = {
    "2DBox_CT_0008": 0.618,
    "2DBox_Dermoscopy_0002": 0.907,
    "2DBox_Endoscopy_0008": 0.937,
    "2DBox_Fundus_0009": 0.787,
    "2DBox_MR_0004": 0.906,
    "2DBox_Mammography_0006": 0.936,
    "2DBox_Microscopy_0002": 0.928,
    "2DBox_OCT_0003": 0.807,
    "2DBox_PET_0008": 0.821,
    "2DBox_US_0011": 0.912,
    "2DBox_X-Ray_0009": 0.822,
    "3DBox_CT_0003": 0.979,
}


@pytest.fixture(scope="module")
def cases(shared_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for name in FLOORS:
        (folder / f"{name}.npz").symlink_to(shared_data / "val" / "imgs" / f"{name}.npz")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def dice(cases, cache, shared_data, tmp_path):
    """Dice of each case, segmented by the command line that users call."""

    def dice(precision: str) -> dict[str, float]:
        arguments = ["-i", cases, "-o", tmp_path, "--precision", precision, "--cache", cache]
        assert main([*map(str, arguments)]) == EXIT_OK
        scores = {}
        for name in FLOORS:
            with (
                np.load(shared_data / "val" / "gts" / f"{name}.npz") as truth,
                np.load(tmp_path / f"{name}.npz") as ours,
            ):
                scores[name], _ = case_scores(truth["gts"], ours["segs"], truth.get("spacing"))
        return scores

    return dice


def below_their_floors(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if score < FLOORS[name]}


@pytest.mark.parametrize("precision", [AUTO, F32])
def test_no_case_scores_below_its_floor(dice, precision):
    assert below_their_floors(dice(precision)) == {}


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_the_floors_notice_a_threshold_that_is_off(dice, monkeypatch, shift):
    decode = ModelPair.decode
    monkeypatch.setattr(ModelPair, "decode", lambda model, *inputs: decode(model, *inputs) + np.float32(shift))
    assert len(below_their_floors(dice(F32))) >= 2
