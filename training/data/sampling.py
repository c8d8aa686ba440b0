"""How many samples of each modality an epoch has, and which.

The data sets are uneven (a thousand X-rays, forty OCT scans): QMedSAM takes the same number of samples from every
modality, Yu oversamples and weighs. All functions here are pure; randomness comes in as a generator.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatch

import numpy as np

STRATEGIES = ("min", "tenth", "fixed", "oversample", "all", "weights")


@dataclass(frozen=True)
class SamplingConfig:
    """Samples of an epoch.

    strategy, with N_m samples in modality m:
        min: the smallest N_m from every modality (QMedSAM);
        tenth: max(N_m / 10, smallest N_m) (QMedSAM, ablation);
        fixed: `samples_per_modality` from every modality, repeated where there are fewer (QMedSAM's N_s = 900);
        oversample: the largest N_m from every modality, repeated where there are fewer (Yu);
        all: every sample once, in the natural proportions (QMedSAM, ablation; Yu's "no oversampling");
        weights: `samples_per_epoch` shared out by `modality_weights` (Yu); a modality not named weighs 1.
    dataset_weights: factor on the weight of each sample within its modality, by pattern of `Modality/Dataset`; 0 leaves
        a data set out.
    dataset_exponent: a data set of n samples is drawn in proportion to n ** dataset_exponent within its modality:
        1 treats all samples alike, 0 all data sets.
    """

    strategy: str = "fixed"
    samples_per_modality: int = 900
    samples_per_epoch: int = 9900
    modality_weights: dict[str, float] = field(default_factory=dict)
    dataset_weights: dict[str, float] = field(default_factory=dict)
    dataset_exponent: float = 1.0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"sampling strategy '{self.strategy}': one of {', '.join(STRATEGIES)} is needed")
        if min([*self.modality_weights.values(), *self.dataset_weights.values()], default=0) < 0:
            raise ValueError("sampling weights must not be negative")


def epoch_counts(available: dict[str, int], config: SamplingConfig) -> dict[str, int]:
    """Samples to draw from each modality in one epoch.

    Args:
        available: N_m of each modality, all positive.
    """
    fewest, most = min(available.values()), max(available.values())
    if config.strategy == "min":
        return dict.fromkeys(available, fewest)
    if config.strategy == "tenth":
        return {name: max(count // 10, fewest) for name, count in available.items()}
    if config.strategy == "fixed":
        return dict.fromkeys(available, config.samples_per_modality)
    if config.strategy == "oversample":
        return dict.fromkeys(available, most)
    if config.strategy == "all":
        return dict(available)
    weights = {name: config.modality_weights.get(name, 1.0) for name in available}
    total = sum(weights.values())
    return {name: round(config.samples_per_epoch * weight / total) for name, weight in weights.items()}


def sample_weights(datasets: list[str], sample_datasets: np.ndarray, config: SamplingConfig) -> np.ndarray:
    """(samples,) float64: relative weight of each sample within its modality.

    Args:
        datasets: names `Modality/Dataset`.
        sample_datasets: (samples,) position of each sample's data set in `datasets`.
    """
    counts = np.bincount(sample_datasets, minlength=len(datasets))
    factors = [
        np.prod([weight for pattern, weight in config.dataset_weights.items() if fnmatch(name, pattern)])
        for name in datasets
    ]
    return (np.array(factors) * np.maximum(counts, 1.0) ** (config.dataset_exponent - 1))[sample_datasets]


def draw(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    """Draw `count` positions so that position i comes floor or ceil of `count * weights[i] / sum(weights)` times.

    Systematic sampling: with equal weights nothing is repeated before everything was drawn.

    Returns:
        (count,) int64, in no particular order.
    """
    order = rng.permutation(np.flatnonzero(weights > 0))
    edges = np.cumsum(weights[order])
    points = (rng.random() + np.arange(count)) * (edges[-1] / max(count, 1))
    return order[np.minimum(np.searchsorted(edges, points, side="right"), len(order) - 1)]


def epoch_order(
    rng: np.random.Generator, sample_modalities: np.ndarray, weights: np.ndarray, counts: dict[str, int]
) -> np.ndarray:
    """The samples of one epoch, shuffled over modalities.

    Args:
        sample_modalities: (samples,) str.
        weights: (samples,), see `sample_weights`.
        counts: samples to draw from each modality, see `epoch_counts`.
    """
    chosen = []
    for modality, count in counts.items():
        members = np.flatnonzero(sample_modalities == modality)
        chosen.append(members[draw(rng, weights[members], count)])
    return rng.permutation(np.concatenate(chosen))
