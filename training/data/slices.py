"""Reading the slice of a sample: lazily from disk, or from memory after decoding the whole data set once."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from tqdm import tqdm

from training.data.index import VolumeIndex
from training.data.labelled_case import LabelledCase, read_labelled_case
from training.data.targets import TargetConfig, Targets, find_targets


@dataclass(frozen=True)
class Slice:
    """One sample before any augmentation.

    image: uint8 (H, W) or (H, W, 3); targets: what a box can be drawn around; dataset: `Modality/Dataset`.
    """

    image: np.ndarray
    targets: Targets
    dataset: str

    @property
    def modality(self) -> str:
        return self.dataset.split("/", 1)[0]


ReadSlice = Callable[[int], Slice]


class CaseCache:
    """The most recently used cases, decoded, at most `max_bytes` of them; safe to use from several threads.

    One slice of a compressed volume cannot be read without inflating the whole, so the volume is kept for the next.
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._cases: OrderedDict[Path, LabelledCase] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path) -> LabelledCase:
        with self._lock:
            if path in self._cases:
                self._cases.move_to_end(path)
                return self._cases[path]
        case = read_labelled_case(path)  # outside the lock: others read meanwhile
        with self._lock:
            if path not in self._cases:
                self._cases[path] = case
                self.held_bytes += _bytes(case)
            while self.held_bytes > self.max_bytes:
                _, dropped = self._cases.popitem(last=False)
                self.held_bytes -= _bytes(dropped)
        return case


def _bytes(case: LabelledCase) -> int:
    return case.imgs.nbytes + case.gts.nbytes


def lazy_slices(index: VolumeIndex, config: TargetConfig, cache_bytes: int) -> ReadSlice:
    """A reader that goes to disk, for data sets larger than memory.

    Args:
        cache_bytes: bound on the decoded cases held in memory.
    """
    cache = CaseCache(cache_bytes)

    def read(sample: int) -> Slice:
        number, slice_number = index.locate(sample)
        case = cache.read(index.root / index.files[number])
        return _take(case, slice_number, index.dataset_of_file(number), config)

    return read


def slices_in_memory(index: VolumeIndex, config: TargetConfig, workers: int = 2) -> ReadSlice:
    """A reader that has decoded every sample beforehand: native size, uint8, targets found."""

    def read_file(number: int) -> list[Slice]:
        first = int(index.cumulative[number - 1]) if number else 0
        slice_numbers = index.sample_slices[first : index.cumulative[number]]
        if len(slice_numbers) == 0:
            return []
        case = read_labelled_case(index.root / index.files[number])
        dataset = index.dataset_of_file(number)
        return [_take(case, int(slice_number), dataset, config) for slice_number in slice_numbers]

    with ThreadPoolExecutor(workers) as pool:
        numbers = range(len(index.files))
        per_file = tqdm(pool.map(read_file, numbers), "read data", total=len(numbers), unit="file", disable=None)
        slices = [item for items in per_file for item in items]
    return slices.__getitem__


def _take(case: LabelledCase, slice_number: int, dataset: str, config: TargetConfig) -> Slice:
    if not case.is_volume:
        return Slice(case.imgs, find_targets(case.gts, dataset, config), dataset)
    # A copy, so that one slice held in memory does not keep its volume there too.
    image = case.imgs[slice_number].copy()
    return Slice(image, find_targets(case.gts[slice_number], dataset, config), dataset)
