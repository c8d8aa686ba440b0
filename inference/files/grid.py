"""Where the voxels of an image lie in the patient."""

from dataclasses import dataclass

import numpy as np

from ..arrays import Float64Array

# Of a voxel: headers written by different programs differ in the last digits.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Grid:
    """Voxels in the order in which the file stores them, and their place in patient coordinates.

    Patient coordinates are DICOM's: x to the patient's left, y to the back, z to the head (LPS), in mm.

    Attributes:
        size: voxels along x, y and z of the file, as viewers show them; z is 1 for a file of two dimensions.
        spacing: mm between voxels, along the same.
        origin: where the centre of voxel 0, 0, 0 lies.
        direction: (3, 3), column i the direction of the file's axis i, of length 1.
        dimensions: of the file, 2 or 3.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: Float64Array
    dimensions: int = 3

    @property
    def steps(self) -> Float64Array:
        """(3, 3), column i the way in mm from a voxel to the next along the file's axis i."""
        steps: Float64Array = self.direction * np.array(self.spacing)
        return steps

    def to_patient(self, indices: Float64Array) -> Float64Array:
        """From voxel indices (N, 3) x, y, z, fractions allowed, to patient coordinates (N, 3)."""
        points: Float64Array = indices @ self.steps.T + self.origin
        return points

    def to_indices(self, points: Float64Array) -> Float64Array:
        """From patient coordinates (N, 3) to voxel indices (N, 3), fractions included."""
        indices: Float64Array = (points - self.origin) @ np.linalg.inv(self.steps).T
        return indices

    def box(self, points: Float64Array) -> Float64Array:
        """The voxels whose centres lie in the box around points (N, 3) of patient coordinates.

        Returns:
            (6,) `x_min, y_min, z_min, x_max, y_max, z_max`, whole numbers. Where there is no centre in it along an
            axis, the voxel nearest to its middle.
        """
        indices = self.to_indices(points)
        low, high = indices.min(axis=0), indices.max(axis=0)
        first, last = np.ceil(low - TOLERANCE), np.floor(high + TOLERANCE)
        middle = np.round((low + high) / 2)
        return np.concatenate([np.where(first > last, middle, first), np.where(first > last, middle, last)])
