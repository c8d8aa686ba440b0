"""The pairs in `weights/` segment as well as they did when they were shipped: a floor under their Dice on validation
cases.

Those of the light model are one small image of each modality and a volume, chosen among those whose Dice hardly
depends on CPU and arithmetic (0.007 at most between bf16 and float32, AMX, AVX-512 and AVX2), but falls when the
weights are rounded to 4 bits or the logits are off by a half. A new pair, or a runtime that makes other masks, brings
floors of its own: 0.01 below its scores.
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
    "2DBox_CT_0008": 0.623,
    "2DBox_Dermoscopy_0002": 0.908,
    "2DBox_Endoscopy_0008": 0.936,
    "2DBox_Fundus_0009": 0.786,
    "2DBox_MR_0004": 0.906,
    "2DBox_Mammography_0006": 0.937,
    "2DBox_Microscopy_0002": 0.928,
    "2DBox_OCT_0003": 0.806,
    "2DBox_PET_0008": 0.821,
    "2DBox_US_0011": 0.914,
    "2DBox_X-Ray_0009": 0.824,
    "3DBox_CT_0003": 0.979,
}
LITEMEDSAM = Path(__file__).parents[2] / "weights/litemedsam"
LITEMEDSAM_FLOORS = {
    "2DBox_MR_0005": 0.932,
    "2DBox_MR_0007": 0.901,
    "2DBox_US_0011": 0.918,
    "2DBox_X-Ray_0003": 0.961,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def below_floors(cache, shared_data, tmp_path):
    """The cases whose Dice is below their floor, segmented by the command line that users call."""

    def below_floors(floors: dict[str, float], *options: str | Path) -> dict[str, float]:
        val, cases, segs = shared_data / "val", tmp_path / "cases", tmp_path / "segs"
        cases.mkdir()
        for name in floors:
            (cases / f"{name}.npz").symlink_to(val / "imgs" / f"{name}.npz")
        assert main([*map(str, ["-i", cases, "-o", segs, "--cache", cache, *options])]) == EXIT_OK
        scores = {}
        for name in floors:
            with np.load(val / "gts" / f"{name}.npz") as truth, np.load(segs / f"{name}.npz") as ours:
                scores[name], _ = case_scores(truth["gts"], ours["segs"], truth.get("spacing"))
        return {name: score for name, score in scores.items() if score < floors[name]}

    return below_floors


@pytest.mark.parametrize("precision", [AUTO, F32])
def test_no_case_scores_below_its_floor(below_floors, precision):
    assert below_floors(FLOORS, "--precision", precision) == {}


@pytest.mark.parametrize("shift", [-0.5, 0.5])
def test_the_floors_notice_a_threshold_that_is_off(below_floors, monkeypatch, shift):
    decode = ModelPair.decode

    def shifted(model, blocks):
        return (scored._replace(logits=scored.logits + np.float32(shift)) for scored in decode(model, blocks))

    monkeypatch.setattr(ModelPair, "decode", shifted)
    assert len(below_floors(FLOORS, "--precision", F32)) >= 2


def test_no_case_of_litemedsam_scores_below_its_floor(below_floors):
    assert below_floors(LITEMEDSAM_FLOORS, "--weights", LITEMEDSAM) == {}
