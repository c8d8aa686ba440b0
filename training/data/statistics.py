"""What is in a data root: samples, sizes, intensities and objects per modality (Yu's data set statistics)."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import matplotlib
import numpy as np
import pandas as pd

from training.data.labelled_case import read_labelled_case

matplotlib.use("Agg")  # before pyplot: there may be no display
import matplotlib.pyplot as plt

INTENSITY_BINS = 64


@dataclass(frozen=True)
class CaseStatistics:
    """One case: counts over all its slices, sizes in px, intensities of all its voxels."""

    modality: str
    dataset: str
    slices: int
    labelled_slices: int
    height: int
    width: int
    channels: int
    objects: int
    intensity_mean: float
    intensity_std: float
    histogram: np.ndarray
    object_sides: np.ndarray


def case_statistics(path: Path) -> CaseStatistics:
    """Read one case and summarise it.

    Objects are labels per slice; `object_sides` is sqrt(area) of each as a fraction of the slice's longest side.
    """
    case = read_labelled_case(path)
    gts = case.gts if case.is_volume else case.gts[np.newaxis]
    longest = max(gts.shape[1:])
    areas = [np.bincount(labels.ravel())[1:] for labels in gts]
    areas = [counts[counts > 0] for counts in areas]
    histogram, _ = np.histogram(case.imgs, bins=INTENSITY_BINS, range=(0, 256))
    return CaseStatistics(
        modality=path.parts[-3],
        dataset=path.parts[-2],
        slices=len(gts),
        labelled_slices=sum(len(counts) > 0 for counts in areas),
        height=gts.shape[1],
        width=gts.shape[2],
        channels=3 if not case.is_volume and case.imgs.ndim == 3 else 1,
        objects=sum(map(len, areas)),
        intensity_mean=float(case.imgs.mean()),
        intensity_std=float(case.imgs.std()),
        histogram=histogram / case.imgs.size,
        object_sides=np.sqrt(np.concatenate(areas)) / longest,
    )


def table_by_modality(cases: list[CaseStatistics]) -> pd.DataFrame:
    """One row per modality; sizes as min, median and max of the longest side, intensities as means over cases."""
    frame = pd.DataFrame([vars(case) for case in cases])
    frame["side"] = frame[["height", "width"]].max(axis=1)
    groups = frame.groupby("modality")
    return pd.DataFrame(
        {
            "datasets": groups["dataset"].nunique(),
            "cases": groups.size(),
            "slices": groups["slices"].sum(),
            "labelled_slices": groups["labelled_slices"].sum(),
            "side_min": groups["side"].min(),
            "side_median": groups["side"].median(),
            "side_max": groups["side"].max(),
            "intensity_mean": groups["intensity_mean"].mean().round(1),
            "intensity_std": groups["intensity_std"].mean().round(1),
            "objects": groups["objects"].sum(),
            "objects_per_slice": (groups["objects"].sum() / groups["labelled_slices"].sum()).round(2),
            "object_side_median": groups["object_sides"]
            .agg(lambda sides: np.median(np.concatenate(list(sides))))
            .round(3),
        }
    ).reset_index()


def draw(cases: list[CaseStatistics], file: IO[bytes], picture_format: str) -> None:
    """Draw samples, image sizes, intensities and objects per modality into one picture (png, pdf or svg)."""
    modalities = sorted({case.modality for case in cases})
    grouped = {name: [case for case in cases if case.modality == name] for name in modalities}
    figure, ((samples, sizes), (intensities, objects)) = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")

    samples.barh(modalities, [sum(case.labelled_slices for case in group) for group in grouped.values()])
    samples.set(title="Samples: slices with labels", xscale="log")
    grey_values = np.linspace(0, 255, INTENSITY_BINS)
    colours = plt.colormaps["tab20"](np.arange(len(modalities)) % 20)
    for (name, group), colour in zip(grouped.items(), colours, strict=True):
        style = {"label": name, "color": colour}
        sizes.scatter([case.width for case in group], [case.height for case in group], s=8, alpha=0.5, **style)
        intensities.plot(grey_values, np.mean([case.histogram for case in group], axis=0), **style)
    sizes.set(title="Sizes", xlabel="width / px", ylabel="height / px")
    intensities.set(title="Intensities: share of voxels", xlabel="grey value", yscale="log")
    sizes.legend(fontsize="small")
    object_sides = [np.concatenate([case.object_sides for case in group]) for group in grouped.values()]
    objects.boxplot(object_sides, orientation="horizontal", tick_labels=modalities, showfliers=False)
    objects.set(title="Objects: square root of area / longest side", xlabel="fraction of the longest side")

    figure.savefig(file, dpi=100, format=picture_format)
    plt.close(figure)
