"""How many samples of each modality an epoch has, and which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.sampling import SamplingConfig, draw, epoch_counts, epoch_order, sample_weights

AVAILABLE = {"CT": 5000, "OCT": 40, "X-Ray": 1100}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SamplingConfig("min"), {"CT": 40, "OCT": 40, "X-Ray": 40}),
        (SamplingConfig("tenth"), {"CT": 500, "OCT": 40, "X-Ray": 110}),
        (SamplingConfig("fixed", samples_per_modality=900), {"CT": 900, "OCT": 900, "X-Ray": 900}),
        (SamplingConfig("oversample"), {"CT": 5000, "OCT": 5000, "X-Ray": 5000}),
        (SamplingConfig("all"), AVAILABLE),
        (SamplingConfig("weights", samples_per_epoch=300), {"CT": 100, "OCT": 100, "X-Ray": 100}),
        (
            SamplingConfig("weights", samples_per_epoch=300, modality_weights={"CT": 4, "OCT": 0}),
            {"CT": 240, "OCT": 0, "X-Ray": 60},
        ),
    ],
)
def test_counts_of_each_strategy(config: SamplingConfig, expected: dict[str, int]) -> None:
    assert epoch_counts(AVAILABLE, config) == expected


def test_a_wrong_strategy_or_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="one of min, tenth"):
        SamplingConfig("most")
    with pytest.raises(ValueError, match="negative"):
        SamplingConfig(dataset_weights={"CT/*": -1})


def test_data_sets_are_weighted_by_pattern() -> None:
    config = SamplingConfig(dataset_weights={"Fundus/*_vessels": 0.1, "Fundus/drive*": 0.5, "CT/a": 0})
    datasets = ["CT/a", "CT/b", "Fundus/discs", "Fundus/drive_vessels"]
    weights = sample_weights(datasets, np.array([0, 0, 1, 2, 3]), config)
    np.testing.assert_allclose(weights, [0, 0, 1, 1, 0.05])


@pytest.mark.parametrize(("exponent", "share_of_small"), [(1, 2 / 10), (0.5, 1 / 3), (0, 1 / 2)])
def test_the_exponent_evens_out_data_sets(exponent: float, share_of_small: float) -> None:
    sample_datasets = np.array([0] * 8 + [1] * 2)
    weights = sample_weights(["CT/large", "CT/small"], sample_datasets, SamplingConfig(dataset_exponent=exponent))
    assert weights[8:].sum() / weights.sum() == pytest.approx(share_of_small)


@given(
    weights=st.lists(st.floats(0, 10), min_size=1, max_size=30).filter(lambda values: max(values) > 1e-3),
    count=st.integers(0, 200),
    seed=st.integers(0, 1000),
)
def test_everything_is_drawn_as_often_as_it_should(weights: list[float], count: int, seed: int) -> None:
    values = np.array(weights)
    times = np.bincount(draw(np.random.default_rng(seed), values, count), minlength=len(values))
    assert times.sum() == count
    assert np.all(np.abs(times - count * values / values.sum()) < 1 + 1e-6)
    assert not times[values == 0].any()


def test_draws_differ_between_epochs() -> None:
    first, second = (set(draw(np.random.default_rng(seed), np.ones(1000), 100)) for seed in (0, 1))
    assert len(first) == len(second) == 100
    assert len(first & second) < 50


def test_an_epoch_has_the_counts_asked_for_and_is_shuffled() -> None:
    modalities = np.array(["CT"] * 50 + ["OCT"] * 4)
    order = epoch_order(np.random.default_rng(0), modalities, np.ones(54), {"CT": 20, "OCT": 10})
    assert len(order) == 30
    drawn = modalities[order]
    assert (drawn == "CT").sum() == 20
    assert np.bincount(order, minlength=54)[50:].min() >= 2  # 10 draws of 4 samples
    assert (drawn[:15] == "OCT").any()
    assert (drawn[15:] == "OCT").any()
