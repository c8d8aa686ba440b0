"""What is in a data root: samples, sizes, intensities and objects per modality (Yu's data set statistics)."""

from collections import Counter
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
MOST_CLASSES = 20  # of a data set; where labels number objects, as nuclei, each alone says nothing


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
    class_slices: dict[int, int]  # by label: slices that have it
    class_pixels: dict[int, int]  # by label


def case_statistics(path: Path) -> CaseStatistics:
    """Read one case and summarise it.

    Objects are labels per slice; `object_sides` is sqrt(area) of each as a fraction of the slice's longest side.
    """
    case = read_labelled_case(path)
    gts = case.gts if case.is_volume else case.gts[np.newaxis]
    longest = max(gts.shape[1:])
    counts = np.stack([np.bincount(labels.ravel(), minlength=int(gts.max()) + 1)[1:] for labels in gts])
    areas = [row[row > 0] for row in counts]
    classes = np.flatnonzero(counts.any(axis=0))
    histogram, _ = np.histogram(case.imgs, bins=INTENSITY_BINS, range=(0, 256))
    return CaseStatistics(
        modality=path.parts[-3],
        dataset=path.parts[-2],
        slices=len(gts),
        labelled_slices=sum(len(sizes) > 0 for sizes in areas),
        height=gts.shape[1],
        width=gts.shape[2],
        channels=3 if not case.is_volume and case.imgs.ndim == 3 else 1,
        objects=sum(map(len, areas)),
        intensity_mean=float(case.imgs.mean()),
        intensity_std=float(case.imgs.std()),
        histogram=histogram / case.imgs.size,
        object_sides=np.sqrt(np.concatenate(areas)) / longest,
        class_slices={int(i) + 1: int((counts[:, i] > 0).sum()) for i in classes},
        class_pixels={int(i) + 1: int(counts[:, i].sum()) for i in classes},
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


def table_by_class(cases: list[CaseStatistics]) -> pd.DataFrame:
    """One row per data set and label, in how many of its labelled slices the label is, and its share of all labelled
    pixels, in per cent; data sets of more than `MOST_CLASSES` labels have one row for all of them."""
    rows = []
    groups: dict[tuple[str, str], list[CaseStatistics]] = {}
    for case in cases:
        groups.setdefault((case.modality, case.dataset), []).append(case)
    for (modality, dataset), group in groups.items():
        slices = sum((Counter(case.class_slices) for case in group), Counter())
        pixels = sum((Counter(case.class_pixels) for case in group), Counter())
        labelled = sum(case.labelled_slices for case in group)
        of_data_set = {"modality": modality, "dataset": dataset}
        if len(slices) > MOST_CLASSES:
            every = {"class": f"{len(slices)} labels", "slices": labelled, "slices_%": 100.0, "pixels_%": 100.0}
            rows.append(of_data_set | every)
            continue
        for label in sorted(slices):
            shares = {
                "slices_%": round(100 * slices[label] / labelled, 1),
                "pixels_%": round(100 * pixels[label] / pixels.total(), 1),
            }
            rows.append(of_data_set | {"class": str(label), "slices": slices[label]} | shares)
    return pd.DataFrame(rows)


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
