"""The command that draws training images: whole cases of the training tree, repeatable, read like any other."""

from pathlib import Path

import numpy as np
import pytest

from inference.errors import EXIT_OK, EXIT_SETUP
from training.data.config import DataConfig
from training.data.labelled_case import case_files, read_labelled_case
from training.data.loader import Loader
from training.data.sampling import SamplingConfig
from training.procedural import DATASETS, main


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tree")
    assert main(["--out", str(out), "--count", "2", "--seed", "3"]) == EXIT_OK
    return out


def test_equal_seeds_give_equal_cases_and_a_larger_count_more(root: Path, tmp_path: Path):
    main(["--out", str(tmp_path), "--count", "3", "--seed", "3"])
    first = [path.relative_to(root) for path in case_files(root)]
    assert len(first) == 2 * len(DATASETS)
    assert {path.parent.as_posix() for path in first} == set(DATASETS)
    assert len(case_files(tmp_path)) == 3 * len(DATASETS)
    seen = set()
    for name in first:
        case, again = read_labelled_case(root / name), read_labelled_case(tmp_path / name)
        np.testing.assert_array_equal(case.imgs, again.imgs)
        np.testing.assert_array_equal(case.gts, again.gts)
        seen.add(case.imgs.tobytes())
    assert len(seen) == len(first)


def test_another_seed_adds_other_cases(root: Path, tmp_path: Path):
    for seed in ("3", "4"):
        main(["--out", str(tmp_path), "--count", "1", "--seed", seed])
    for dataset in DATASETS:
        first, second = map(read_labelled_case, sorted((tmp_path / dataset).iterdir()))
        assert not np.array_equal(first.gts, second.gts)


def test_training_reads_them_and_weighs_them_by_pattern(root: Path):
    sampling = SamplingConfig("fixed", samples_per_modality=4, dataset_weights={"US/*_rings": 0})
    loader = Loader(DataConfig(root=str(root), batch_size=5, sampling=sampling))
    assert loader.index.datasets == sorted(DATASETS)
    assert loader.available == {"Fundus": 2, "MR": 2, "Microscopy": 2, "OCT": 2, "US": 2}
    for step in range(loader.steps_per_epoch):
        batch = loader.batch(step)
        assert batch.images.shape == (5, 3, 256, 256)
        assert (batch.masks.sum(dim=(1, 2)) > 0).all()


def test_what_cannot_be_written_is_named_and_what_is_written_stays(tmp_path: Path, capsys):
    first, second = list(DATASETS)[:2]
    blocked = tmp_path / second
    blocked.parent.mkdir()
    blocked.write_text("of the user")
    assert main(["--out", str(tmp_path), "--count", "1"]) == EXIT_SETUP
    assert capsys.readouterr().err.startswith(f"{blocked}: cannot be written (")
    assert blocked.read_text() == "of the user"
    assert [path.parent for path in case_files(tmp_path)] == [tmp_path / first]


def test_count_must_be_positive(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--count", "0"])
    assert "'0' is not a whole number from 1 up" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
