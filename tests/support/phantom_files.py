"""An asymmetric object in files of every orientation, and runs over them with a model that needs no networks."""

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK

from inference.files.arguments import parse
from inference.files.cli import FilesRun
from inference.jobs import make_folders
from inference.model.metadata import PIXEL_EDGES
from inference.model.pair import ModelPair
from inference.options import Options
from inference.run import run_jobs
from tests.support.fake_model import FakeModel

MEMORY = 4 * 2**30
# Voxels along the patient's x, y, z and mm between them: no two alike; slices are axial.
SIZE, SPACING = (40, 32, 9), (0.7, 0.9, 4.0)
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
ORIGIN = (-11.5, 20.25, 300.0)


def scan() -> np.ndarray:
    """Hounsfield units (x, y, z) towards left, back and head: an L in soft tissue that is the same from no side."""
    values = np.full(SIZE, -900, np.int16)
    values[6:30, 5:12, 2:7] = 150
    values[6:14, 5:26, 2:7] = 150
    values[20:26, 12:16, 4:6] = 150
    return values


def mask() -> np.ndarray:
    """The object of `scan`, (x, y, z)."""
    return (scan() > 0).astype(np.uint8)


def stored(values: np.ndarray, order, signs) -> np.ndarray:
    """(x, y, z) of the patient as a file stores it whose i-th axis runs along the patient's `order[i]`."""
    turned = values.transpose(order)
    return turned[tuple(slice(None, None, sign) for sign in signs)]


def affine(order, signs, turn: np.ndarray | None = None) -> np.ndarray:
    """(4, 4) from indices of the file to LPS; `turn` (3, 3) turns the patient in the scanner."""
    steps = np.zeros((3, 3))
    for axis, (along, sign) in enumerate(zip(order, signs, strict=True)):
        steps[along, axis] = sign * SPACING[along]
    first = [0 if sign > 0 else SIZE[along] - 1 for along, sign in zip(order, signs, strict=True)]
    start = np.array(ORIGIN, float)
    for axis, at in enumerate(first):
        start[order[axis]] += at * SPACING[order[axis]]
    turn = np.eye(3) if turn is None else turn
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn @ steps, turn @ start
    return matrix


def oblique() -> np.ndarray:
    """A turn about all three axes, by less than half a right angle."""
    turn = np.eye(3)
    for angle, (i, j) in ((0.3, (0, 1)), (-0.2, (1, 2)), (0.15, (0, 2))):
        part = np.eye(3)
        part[i, i] = part[j, j] = np.cos(angle)
        part[i, j], part[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ part
    return turn


def write_image(path: Path, values: np.ndarray, lps: np.ndarray) -> Path:
    """A file of values (x, y, z) in its own order; NIfTI by nibabel, all else by SimpleITK."""
    if path.name.endswith((".nii", ".nii.gz")):
        ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
        nibabel.save(nibabel.Nifti1Image(values, ras), path)
        return path
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(values.T))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


def box_of(voxels: np.ndarray) -> str:
    """`x0,y0,z0,x1,y1,z1` around what is not 0."""
    places = np.nonzero(voxels)
    return ",".join(str(int(end)) for ends in ([p.min() for p in places], [p.max() for p in places]) for end in ends)


def segment(*arguments: object, model: FakeModel | ModelPair | None = None) -> int:
    """`qmedsam segment`, unless told otherwise with a model that finds what is bright in a box; the exit status.

    Raises:
        SetupError, SystemExit: as the command.
    """
    run = FilesRun()
    parsed = parse([str(argument) for argument in arguments])
    jobs = run.find_jobs(parsed, [])
    make_folders(jobs)
    options = Options(zoom=parsed.zoom, strategy=parsed.strategy)
    status = run_jobs(jobs, model or FakeModel(box_convention=PIXEL_EDGES), options, MEMORY) if jobs else 0
    return status if run.tell() else 1
