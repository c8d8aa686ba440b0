"""DSC and NSD as the challenge "Segment Anything in Medical Images on Laptop" (CVPR 2024) computes them.

NSD is the surface Dice at a tolerance of Nikolov et al., "Deep learning to achieve clinically applicable segmentation
of head and neck anatomy for radiotherapy": the share of both surfaces that lies within the tolerance of the other one.

Surfaces live between voxels. Every 2 x 2 x 2 neighbourhood of voxels that is neither all object nor all background
holds one surface element, a patch of marching cubes, placed at the neighbourhood's centre and weighted with its area.
"""

from itertools import permutations, product

import numpy as np
from scipy import ndimage

TOLERANCE = 2.0  # mm in 3D, pixels in 2D
LEAST_DSC_FOR_NSD = 0.2  # a case whose DSC is not above this has NSD 0

# Vector areas, up to sign and in units of a voxel's faces, of the marching cubes triangles that cut a connected group
# of corners off a unit cube through the midpoints of its edges. All groups of one to four corners are rotations or
# reflections of these six: corner, edge, L, side, corner with its three neighbours, zigzag. The L and the zigzag are
# not flat, so their triangulation is a convention: here that of the surface-distance package, which the challenge uses.
_PATCHES = (
    ([(0, 0, 0)], [(1 / 8, 1 / 8, 1 / 8)]),
    ([(0, 0, 0), (0, 0, 1)], [(1 / 4, 1 / 4, 0), (1 / 4, 1 / 4, 0)]),
    ([(0, 0, 0), (0, 0, 1), (0, 1, 0)], [(1 / 2, 0, 0), (1 / 4, 1 / 4, 1 / 4), (1 / 8, 1 / 8, 1 / 8)]),
    ([(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)], [(1, 0, 0)]),
    ([(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)], [(3 / 4, 3 / 4, 3 / 4)]),
    (
        [(0, 1, 0), (0, 0, 0), (0, 0, 1), (1, 0, 1)],
        [(3 / 8, 3 / 8, 3 / 8), (1 / 8, 1 / 8, 1 / 8), (0, 1 / 4, 1 / 4), (1 / 4, 0, 1 / 4)],
    ),
)
_CORNERS = tuple(product((0, 1), repeat=3))


def _neighbour_code(corners: set[tuple[int, int, int]]) -> int:
    return sum(1 << _CORNERS.index(corner) for corner in corners)


def _patches_by_code() -> dict[int, np.ndarray]:
    """The patches of `_PATCHES` in all positions of the cube: neighbour code -> vector areas (triangles, 3)."""
    patches = {}
    for corners, areas in _PATCHES:
        for axes, flip in product(permutations(range(3)), _CORNERS):
            moved = {tuple(corner[a] ^ f for a, f in zip(axes, flip, strict=True)) for corner in corners}
            patches[_neighbour_code(moved)] = np.array(areas)[:, axes]
    return patches


def _connected_groups(corners: set[tuple[int, int, int]]) -> list[set[tuple[int, int, int]]]:
    """Splits corners of the unit cube into groups connected along its edges."""
    groups = []
    for corner in corners:
        touching = [g for g in groups if any(sum(a != b for a, b in zip(corner, c, strict=True)) == 1 for c in g)]
        groups = [g for g in groups if g not in touching] + [{corner}.union(*touching)]
    return groups


def _vector_areas() -> list[np.ndarray]:
    """Vector areas (triangles, 3) of the surface element of each of the 256 neighbour codes.

    The element cuts the scarcer kind of corner off, one patch for each connected group: exchanging object and
    background changes nothing.
    """
    patches = _patches_by_code()
    elements = []
    for code in range(256):
        inside = {corner for bit, corner in enumerate(_CORNERS) if code >> bit & 1}
        scarcer = min(inside, set(_CORNERS) - inside, key=len)
        elements.append(
            np.concatenate([np.zeros((1, 3))] + [patches[_neighbour_code(g)] for g in _connected_groups(scarcer)])
        )
    return elements


_ELEMENTS = _vector_areas()


def surface_element_areas(spacing: tuple[float, float, float]) -> np.ndarray:
    """Area of the surface element of each neighbour code.

    Args:
        spacing: voxel size along the three array axes, mm.

    Returns:
        float64 (256,), mm^2; 0 for the codes 0 and 255, which hold no surface. Bit 4 i + 2 j + k of a code is the voxel
        at offset (i, j, k) in its 2 x 2 x 2 neighbourhood.
    """
    face_areas = np.prod(spacing) / np.asarray(spacing, float)
    return np.array([np.linalg.norm(element * face_areas, axis=1).sum() for element in _ELEMENTS])


def neighbour_codes(mask: np.ndarray) -> np.ndarray:
    """Neighbour code of every 2 x 2 x 2 neighbourhood that touches the mask; outside the array is background.

    Args:
        mask: bool (D, H, W).

    Returns:
        uint8 (D + 1, H + 1, W + 1); entry (z, y, x) is for the voxels z - 1..z, y - 1..y, x - 1..x, and its place is
        their common corner.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    depth, height, width = (n + 1 for n in mask.shape)
    codes = np.zeros((depth, height, width), np.uint8)
    for bit, (i, j, k) in enumerate(_CORNERS):
        codes |= padded[i : i + depth, j : j + height, k : k + width] << np.uint8(bit)
    return codes


def dice(gt: np.ndarray, seg: np.ndarray) -> float:
    """Dice similarity coefficient 2 |gt and seg| / (|gt| + |seg|) of two bool masks of one shape.

    Returns:
        0..1; NaN where both masks are empty.
    """
    total = np.count_nonzero(gt) + np.count_nonzero(seg)
    return 2 * np.count_nonzero(gt & seg) / total if total else float("nan")


def surface_dice(gt: np.ndarray, seg: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> float:
    """Surface Dice at a tolerance (NSD): the share of the area of both surfaces within `tolerance` of the other one.

    A 2D mask is a slab one voxel thick, as in the challenge's evaluation (it appends an axis and calls the 3D code).
    So its surface is not the outline alone but also both faces of the slab, and what counts is above all how much of
    either object lies within the tolerance of the other object. A 2D NSD above the DSC comes from that.

    Args:
        gt, seg: bool (H, W) or (D, H, W), of one shape.
        spacing: voxel size along each axis of the masks, mm (2D: pixels, so ones).
        tolerance: in the unit of `spacing`; a distance equal to it is within.

    Returns:
        0..1; 0 where one mask is empty, NaN where both are.
    """
    if gt.ndim == 2:
        gt, seg, spacing = gt[..., None], seg[..., None], (*spacing, 1.0)
    box = _bounding_box(gt | seg)
    if box is None:
        return float("nan")
    codes_gt, codes_seg = neighbour_codes(gt[box]), neighbour_codes(seg[box])
    if gt.shape[2] == 1:  # the two faces of a slab are alike: one of them gives the same ratio
        codes_gt, codes_seg = codes_gt[..., :1], codes_seg[..., :1]
    area_of = surface_element_areas(spacing)
    area_gt, area_seg = area_of[codes_gt], area_of[codes_seg]
    if not area_gt.any() or not area_seg.any():
        return 0.0
    near_gt = ndimage.distance_transform_edt(area_gt == 0, sampling=spacing) <= tolerance
    near_seg = ndimage.distance_transform_edt(area_seg == 0, sampling=spacing) <= tolerance
    return float((area_gt[near_seg].sum() + area_seg[near_gt].sum()) / (area_gt.sum() + area_seg.sum()))


def case_dice(gts: np.ndarray, segs: np.ndarray) -> float:
    """DSC of one case: the first of `case_scores`, without NSD, which takes many times as long.

    Raises:
        ValueError: the shapes differ or are not 2D or 3D.
    """
    return _mean_dice(_object_masks(gts, segs))


def case_scores(
    gts: np.ndarray, segs: np.ndarray, spacing: tuple[float, float, float] | None = None
) -> tuple[float, float]:
    """DSC and NSD of one case: the means over the objects of the ground truth.

    NSD has a tolerance of 2 mm in 3D and 2 pixels in 2D, and is 0 for a case whose DSC is at most 0.2. An object is a
    label that occurs in `gts`; a gap in the numbering, which turns the means of the challenge's script into NaN, is no
    object here. Labels that occur only in `segs` count for nothing, as in the challenge.

    Args:
        gts, segs: label maps of integers, (H, W) or (D, H, W), of one shape; 0 is background.
        spacing: voxel size along the axes of `gts`, mm; used in 3D only, 1 mm where None.

    Returns:
        (DSC, NSD), each 0..1; both NaN where `gts` holds no object.

    Raises:
        ValueError: the shapes differ or are not 2D or 3D, or a spacing is not three positive numbers.
    """
    objects = _object_masks(gts, segs)
    spacing = _checked_spacing(spacing) if gts.ndim == 3 else (1.0, 1.0)
    dsc = _mean_dice(objects)
    if not objects:
        return dsc, dsc
    if dsc <= LEAST_DSC_FOR_NSD:
        return dsc, 0.0
    return dsc, float(np.mean([surface_dice(gt, seg, spacing, TOLERANCE) for gt, seg in objects]))


def object_scores(
    gts: np.ndarray, segs: np.ndarray, spacing: tuple[float, float, float] | None = None
) -> dict[int, tuple[float, float]]:
    """DSC and NSD of every object of a case, by its label; as in `case_scores`, but of one object at a time, so that
    one whose DSC is at most 0.2 has NSD 0."""
    masks = {label: (gts == label, segs == label) for label in np.unique(gts[gts > 0]).tolist()}
    return {label: case_scores(gt.view(np.uint8), seg.view(np.uint8), spacing) for label, (gt, seg) in masks.items()}


def case_ends(gts: np.ndarray, segs: np.ndarray) -> float:
    """DSC of one volume where its objects begin and end: the mean over the objects of the ground truth.

    Of the n slices that hold an object in the ground truth, its end slices are the first and the last k, with
    k = max(1, round(n / 8)), halves to even (k is 1 up to n = 11, 2 up to n = 20): about a quarter of them all. An
    object of one slice has that one. Its DSC is taken of all its end slices as one mask. What is segmented beyond an
    object's ends lies on none of them and does not count.

    Args:
        gts, segs: as for `case_scores`.

    Returns:
        0..1; NaN for a 2D case, and where `gts` holds no object.

    Raises:
        ValueError: the shapes differ or are not 2D or 3D.
    """
    if gts.ndim == 2:
        return float("nan")
    return _mean_dice([(gt[ends], seg[ends]) for gt, seg in _object_masks(gts, segs) for ends in [_end_slices(gt)]])


def _end_slices(mask: np.ndarray) -> np.ndarray:
    """Indices of the end slices of a mask (D, H, W) that is not empty, each once."""
    held = np.flatnonzero(mask.any(axis=(1, 2)))
    count = max(1, round(len(held) / 8))
    return np.union1d(held[:count], held[-count:])


def _object_masks(gts: np.ndarray, segs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks of every object in the ground truth and in the segmentation, each pair in its joint bounding box."""
    if gts.shape != segs.shape or gts.ndim not in (2, 3):
        raise ValueError(
            f"label maps of shapes {gts.shape} and {segs.shape}; two equal shapes (H, W) or (D, H, W) expected"
        )
    return [(gts[box] == label, segs[box] == label) for label, box in _object_boxes(gts, segs)]


def _mean_dice(objects: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.mean([dice(gt, seg) for gt, seg in objects])) if objects else float("nan")


def _checked_spacing(spacing: tuple[float, float, float] | None) -> tuple[float, float, float]:
    values = np.ones(3) if spacing is None else np.asarray(spacing, float)
    if values.shape != (3,) or not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(f"spacing {spacing}; three positive numbers (mm) expected")
    return tuple(values.tolist())


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    return ndimage.find_objects(mask.view(np.uint8), max_label=1)[0]


def _object_boxes(gts: np.ndarray, segs: np.ndarray) -> list[tuple[int, tuple[slice, ...]]]:
    """(label, joint bounding box of its two masks) of every label in `gts`."""
    boxes_gt = ndimage.find_objects(gts)
    if not boxes_gt:
        return []
    boxes_seg = ndimage.find_objects(segs, max_label=len(boxes_gt))
    return [(label, _join(*boxes)) for label, boxes in enumerate(zip(boxes_gt, boxes_seg, strict=True), 1) if boxes[0]]


def _join(box: tuple[slice, ...], other: tuple[slice, ...] | None) -> tuple[slice, ...]:
    if other is None:
        return box
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
