"""3D Slicer's ROI markups (`.mrk.json`): a box in patient coordinates, which may be turned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .prompts import PATIENT, Prompt

# What markups call their coordinates, by name or by number (files of Slicer 4).
TO_LPS = {"LPS": (1, 1, 1), "1": (1, 1, 1), "RAS": (-1, -1, 1), "0": (-1, -1, 1)}


def slicer_prompts(content: Mapping[str, Any], name: str) -> list[Prompt]:
    """The boxes of all ROIs of a file.

    Args:
        name: of the file, which is what Slicer calls a ROI; used where a markup has none of its own.

    Raises:
        ValueError: a ROI is no box, or in coordinates that are not known.
        KeyError: a part is missing.
    """
    rois = [markup for markup in content["markups"] if markup["type"] == "ROI"]
    if not rois:
        kinds = ", ".join(sorted({str(markup["type"]) for markup in content["markups"]}))
        raise ValueError(f"no markup of type ROI, but {kinds}")
    numbered = len(rois) > 1
    return [
        Prompt(_corners(roi), PATIENT, name=str(roi.get("name") or (f"{name} {i}" if numbered else name)))
        for i, roi in enumerate(rois, 1)
    ]


def _corners(roi: Mapping[str, Any]) -> tuple[float, ...]:
    """The coordinates of the 8 corners, LPS."""
    if roi.get("roiType", "Box") not in ("Box", "BoundingBox"):
        raise ValueError(f"a ROI of type {roi['roiType']}")
    if str(roi["coordinateSystem"]) not in TO_LPS:
        raise ValueError(f"coordinates {roi['coordinateSystem']}")
    centre, size = np.array(roi["center"], np.float64), np.array(roi["size"], np.float64)
    axes = np.array(roi.get("orientation", np.eye(3).ravel()), np.float64).reshape(3, 3)
    signs = np.array(list(np.ndindex(2, 2, 2))) - 0.5
    corners = (centre + (signs * size) @ axes.T) * TO_LPS[str(roi["coordinateSystem"])]
    return tuple(corners.ravel().tolist())
