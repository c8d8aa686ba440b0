"""From a sample number to a file and a slice, without expanding a volume on disk (QMedSAM).

A volume of 600 slices stays one file. The index counts the slices of every file that hold a target; the cumulative
counts and a binary search turn a sample number into (file, slice). Finding out which slices hold targets means
reading every mask once, so the answer is cached and redone only for files whose size or time of change differs.
"""

import hashlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from inference.atomic import write_atomically
from inference.cases.npz import read_arrays
from inference.errors import CaseError
from training.data.labelled_case import LARGEST_CASE_BYTES, case_files
from training.data.objects import VolumeObject, find_objects
from training.data.targets import TargetConfig, find_targets

CACHE_NAME = ".index.npz"
RULES_VERSION = 2  # of what is counted: raise it with every change of `find_targets` or `find_objects` that matters
MOST_NAMED = 5  # a message names this many files at most


class FileCounts(NamedTuple):
    """What the index knows of one file: targets (slices,) uint16 and objects (K, 3) int32, see `VolumeIndex`."""

    targets: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True)
class VolumeIndex:
    """Samples are the slices that hold at least one target, numbered over all files in order.

    root: the data root; files: F paths `Modality/Dataset/id.npz` relative to it, sorted.
    slice_counts: (F,) int64, slices of each file (1 in 2D).
    target_counts: (sum of slice_counts,) uint16, targets in each slice of each file in turn.
    object_counts: (F,) int64, objects of each file that can be followed through its slices (0 in 2D).
    objects: (sum of object_counts, 3) int32, rows of `training.data.objects.VolumeObject`, of each file in turn.
    """

    root: Path
    files: list[str]
    slice_counts: np.ndarray
    target_counts: np.ndarray
    object_counts: np.ndarray
    objects: np.ndarray

    def __len__(self) -> int:
        """Number of samples."""
        return int(self.cumulative[-1]) if len(self.cumulative) else 0

    @cached_property
    def cumulative(self) -> np.ndarray:
        """(F,) int64: samples in the files up to and including each."""
        samples_before_slice = np.append(0, np.cumsum(self.target_counts > 0))
        return samples_before_slice[np.cumsum(self.slice_counts)]

    @cached_property
    def sample_slices(self) -> np.ndarray:
        """(samples,) int32: slice number of each sample in its file."""
        starts = np.cumsum(self.slice_counts) - self.slice_counts
        slice_numbers = np.arange(len(self.target_counts)) - np.repeat(starts, self.slice_counts)
        return slice_numbers[self.target_counts > 0].astype(np.int32)

    def locate(self, sample: int) -> tuple[int, int]:
        """File number and slice number of a sample, by binary search.

        Raises:
            IndexError: no such sample.
        """
        if not 0 <= sample < len(self):
            raise IndexError(f"sample {sample} of {len(self)}")
        return int(np.searchsorted(self.cumulative, sample, side="right")), int(self.sample_slices[sample])

    @cached_property
    def datasets(self) -> list[str]:
        """Names `Modality/Dataset` that hold samples, sorted."""
        return sorted({self.dataset_of_file(number) for number in np.flatnonzero(np.diff(self.cumulative, prepend=0))})

    @cached_property
    def sample_datasets(self) -> np.ndarray:
        """(samples,) int32: position in `datasets` of each sample's data set."""
        position = {name: i for i, name in enumerate(self.datasets)}
        of_file = [position.get(self.dataset_of_file(number), -1) for number in range(len(self.files))]
        return np.repeat(np.array(of_file, np.int32), np.diff(self.cumulative, prepend=0))

    @cached_property
    def object_files(self) -> np.ndarray:
        """(objects,) int32: file number of each object."""
        return np.repeat(np.arange(len(self.files), dtype=np.int32), self.object_counts)

    def object(self, number: int) -> tuple[int, VolumeObject]:
        """File number of an object, and the object."""
        return int(self.object_files[number]), VolumeObject(*self.objects[number].tolist())

    def dataset_of_file(self, number: int) -> str:
        """`Modality/Dataset` of a file."""
        return self.files[number].rsplit("/", 1)[0]


def build_index(root: Path, config: TargetConfig, cache: Path | None = None, workers: int = 2) -> VolumeIndex:
    """Index a data root, reading only files that the cached index does not know as they are now.

    Args:
        root: `<root>/<Modality>/<Dataset>/*.npz`.
        config: what counts as a target; another configuration makes another index.
        cache: file of the cached index, `<root>/.index.npz` if None.
        workers: threads that read masks.

    Raises:
        CaseError: no files, or files that cannot be read (named).
    """
    cache = cache or root / CACHE_NAME
    files = [path.relative_to(root).as_posix() for path in case_files(root)]
    if not files:
        raise CaseError(f"{root}: no <Modality>/<Dataset>/*.npz; make them with python -m training.prepare")
    stamps = {name: _stamp(root / name) for name in files}
    cached = _read_cache(cache, config)
    known = {name: counts for name, (stamp, counts) in cached.items() if stamps.get(name) == stamp}
    new = [name for name in files if name not in known]
    known |= _scan_all(root, new, config, workers)

    counts = [known[name] for name in files]
    index = VolumeIndex(
        root,
        files,
        np.array([len(file.targets) for file in counts], np.int64),
        np.concatenate([file.targets for file in counts]),
        np.array([len(file.objects) for file in counts], np.int64),
        np.concatenate([file.objects for file in counts]),
    )
    if new:
        _write_cache(cache, config, index, stamps)
    return index


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _scan_all(root: Path, names: list[str], config: TargetConfig, workers: int) -> dict[str, FileCounts]:
    def scan(name: str) -> FileCounts | str:
        try:
            return _count(root / name, name.rsplit("/", 1)[0], config)
        except CaseError as error:
            return f"{root / name}: {error}"

    with ThreadPoolExecutor(workers) as pool:
        results = list(
            tqdm(pool.map(scan, names), "index", total=len(names), unit="file", disable=None if names else True)
        )
    errors = [result for result in results if isinstance(result, str)]
    if errors:
        more = f"; and {len(errors) - MOST_NAMED} more files" if len(errors) > MOST_NAMED else ""
        raise CaseError("; ".join(errors[:MOST_NAMED]) + more)
    return dict(zip(names, results, strict=True))


def _count(path: Path, dataset: str, config: TargetConfig) -> FileCounts:
    """Reads the mask alone, never the image."""
    arrays = read_arrays(path, ("gts",), LARGEST_CASE_BYTES)
    if "gts" not in arrays:
        raise CaseError("no array 'gts'")
    gts = arrays["gts"]
    slices = gts if gts.ndim == 3 else gts[np.newaxis]
    targets = np.array([len(find_targets(labels, dataset, config)) for labels in slices], np.uint16)
    return FileCounts(targets, find_objects(gts) if gts.ndim == 3 else np.empty((0, 3), np.int32))


def _fingerprint(config: TargetConfig) -> str:
    """Of all that the counts of a file depend on, beside the file."""
    rules = json.dumps({"version": RULES_VERSION} | asdict(config), sort_keys=True)
    return hashlib.sha256(rules.encode()).hexdigest()[:16]


def _read_cache(cache: Path, config: TargetConfig) -> dict[str, tuple[tuple[int, int], FileCounts]]:
    """((size, mtime in ns), counts) of each cached file; nothing if there is no usable cache."""
    if not cache.is_file():
        return {}
    try:
        with np.load(cache, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
        if str(stored["fingerprint"]) != _fingerprint(config):
            return {}
        targets = np.split(stored["target_counts"], np.cumsum(stored["slice_counts"])[:-1])
        objects = np.split(stored["objects"], np.cumsum(stored["object_counts"])[:-1])
        counts = map(FileCounts, targets, objects)
        stamps = [(int(size), int(mtime)) for size, mtime in stored["stamps"]]
        return dict(zip(stored["files"].tolist(), zip(stamps, counts, strict=True), strict=True))
    except Exception as error:  # whatever is wrong with a cache, it can be made again
        warnings.warn(f"{cache}: unusable index cache, made again ({error})", stacklevel=2)
        return {}


def _write_cache(cache: Path, config: TargetConfig, index: VolumeIndex, stamps: dict[str, tuple[int, int]]) -> None:
    arrays = {
        "fingerprint": np.array(_fingerprint(config)),
        "files": np.array(index.files),
        "stamps": np.array([stamps[name] for name in index.files], np.int64),
        "slice_counts": index.slice_counts,
        "target_counts": index.target_counts,
        "object_counts": index.object_counts,
        "objects": index.objects,
    }
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, lambda file: np.savez_compressed(file, **arrays))
    except OSError as error:
        warnings.warn(f"{cache}: index not cached ({error.strerror}); give a writable cache file", stacklevel=2)
