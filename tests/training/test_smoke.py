"""The smoke run: which images it takes, and what it finds missing in its table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.data_root import write_phantom_root
from training.data.labelled_case import case_files, read_labelled_case
from training.smoke import EXPORTED, choose_cases, missed, write_roots


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_phantom_root(tmp_path_factory.mktemp("data"))


def test_smoke_takes_images_by_turns_from_the_modalities(root, tmp_path):
    cases = choose_cases(root, 6)
    assert [dataset.split("/")[0] for dataset, _ in cases[:4]] == ["Dermoscopy", "US", "Dermoscopy", "US"]
    write_roots(cases, tmp_path)
    written = list(case_files(tmp_path / "data"))
    assert len(written) == 6
    for path in written:
        gts = read_labelled_case(path).gts
        name = f"2DBox_{path.parent.parent.name}_{int(path.stem):04d}.npz"
        boxes = np.load(tmp_path / "val/imgs" / name)["boxes"]
        rows, columns = np.nonzero(gts == 1)
        assert boxes[0].tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]
    with pytest.raises(ValueError, match="16 are needed"):
        choose_cases(root)


def test_smoke_says_what_is_missed():
    table = pd.DataFrame({"run": ["float", "stage 1", "stage 2"], "DSC": [0.95, 0.94, 0.92]})
    assert missed(table) == ["stage 2 ended at DSC 0.920, more than 0.02 below floating point"]
    exported = pd.DataFrame({"run": ["float", "smoke_stage3", EXPORTED], "DSC": [0.95, 0.95, 0.935]})
    assert missed(exported) == ["the export of smoke_stage3 scores 0.935, not 0.950"]
    assert "not 0.9" in missed(pd.DataFrame({"run": ["float"], "DSC": [0.85]}))[0]
