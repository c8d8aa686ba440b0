"""Sample numbers to files and slices, the cached index, and reading slices lazily or from memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from inference.errors import CaseError
from tests.support.data_root import write_phantom_root
from tests.support.labelled_volume import EXTENTS, labelled_volume
from training.data import index as index_module
from training.data.index import CACHE_NAME, VolumeIndex, build_index
from training.data.labelled_case import LabelledCase, read_labelled_case, write_labelled_case
from training.data.objects import VolumeObject, find_objects
from training.data.slices import CaseCache, lazy_slices, slices_in_memory
from training.data.targets import TargetConfig, find_targets

CONFIG = TargetConfig()


def write_volume(path: Path, labelled: list[int], depth: int) -> None:
    """A volume whose slice z is filled with z; a square on the labelled slices."""
    imgs = np.broadcast_to(np.arange(depth, dtype=np.uint8)[:, None, None], (depth, 32, 32))
    gts = np.zeros((depth, 32, 32), np.uint8)
    gts[labelled, 4:20, 4:20] = 1
    write_labelled_case(path, LabelledCase(imgs, gts, np.float32([1, 1, 1])))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_volume(tmp_path / "CT/a/0.npz", labelled=[1, 3], depth=5)
    write_volume(tmp_path / "CT/a/1.npz", labelled=[], depth=4)
    write_volume(tmp_path / "MR/b/0.npz", labelled=[0, 1, 2], depth=3)
    write_labelled_case(
        tmp_path / "US/c/0.npz", LabelledCase(np.full((40, 30), 7, np.uint8), np.ones((40, 30), np.uint8))
    )
    return tmp_path


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose masks were read."""
    names: list[str] = []
    original = index_module._count

    def counting(path: Path, dataset: str, config: TargetConfig) -> index_module.FileCounts:
        names.append(path.relative_to(path.parents[2]).as_posix())
        return original(path, dataset, config)

    monkeypatch.setattr(index_module, "_count", counting)
    return names


def test_samples_are_the_slices_with_targets_in_order(root: Path) -> None:
    index = build_index(root, CONFIG)
    assert index.files == ["CT/a/0.npz", "CT/a/1.npz", "MR/b/0.npz", "US/c/0.npz"]
    assert index.cumulative.tolist() == [2, 2, 5, 6]
    assert [index.locate(sample) for sample in range(len(index))] == [(0, 1), (0, 3), (2, 0), (2, 1), (2, 2), (3, 0)]
    assert index.datasets == ["CT/a", "MR/b", "US/c"]
    assert index.sample_datasets.tolist() == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("sample", [-1, 6])
def test_there_are_no_other_samples(root: Path, sample: int) -> None:
    with pytest.raises(IndexError):
        build_index(root, CONFIG).locate(sample)


def test_binary_search_agrees_with_walking_through_all_slices() -> None:
    rng = np.random.default_rng(0)
    slice_counts = rng.integers(1, 30, 50)
    target_counts = rng.integers(0, 3, slice_counts.sum()).astype(np.uint16)
    no_objects = np.zeros(50, np.int64), np.empty((0, 3), np.int32)
    index = VolumeIndex(Path(), [f"CT/a/{n:02}.npz" for n in range(50)], slice_counts, target_counts, *no_objects)
    per_file = np.split(target_counts, np.cumsum(slice_counts)[:-1])
    walked = [(n, z) for n, counts in enumerate(per_file) for z in np.flatnonzero(counts)]
    assert [index.locate(sample) for sample in range(len(index))] == walked


def test_a_second_start_reads_no_mask(root: Path, scanned: list[str]) -> None:
    first = build_index(root, CONFIG)
    assert len(scanned) == 4
    again = build_index(root, CONFIG)
    assert len(scanned) == 4
    assert again.files == first.files
    np.testing.assert_array_equal(again.target_counts, first.target_counts)
    np.testing.assert_array_equal(again.slice_counts, first.slice_counts)


def test_only_changed_and_new_files_are_read_again(root: Path, scanned: list[str]) -> None:
    build_index(root, CONFIG)
    scanned.clear()
    write_volume(root / "CT/a/1.npz", labelled=[2], depth=4)
    write_volume(root / "CT/a/2.npz", labelled=[0], depth=1)
    (root / "US/c/0.npz").unlink()
    index = build_index(root, CONFIG)
    assert sorted(scanned) == ["CT/a/1.npz", "CT/a/2.npz"]
    assert [index.locate(sample) for sample in range(len(index))] == [
        (0, 1),
        (0, 3),
        (1, 2),
        (2, 0),
        (3, 0),
        (3, 1),
        (3, 2),
    ]


def test_a_file_of_the_same_size_but_another_time_is_read_again(root: Path, scanned: list[str]) -> None:
    build_index(root, CONFIG)
    scanned.clear()
    status = (root / "CT/a/0.npz").stat()
    os.utime(root / "CT/a/0.npz", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    build_index(root, CONFIG)
    assert scanned == ["CT/a/0.npz"]


def test_objects_that_can_be_followed_are_known_by_file(root: Path) -> None:
    write_labelled_case(root / "CT/b/0.npz", labelled_volume())
    index = build_index(root, CONFIG)
    assert index.files == ["CT/a/0.npz", "CT/a/1.npz", "CT/b/0.npz", "MR/b/0.npz", "US/c/0.npz"]
    assert index.object_counts.tolist() == [1, 0, 2, 1, 0]  # none in the image
    assert index.object_files.tolist() == [0, 2, 2, 3]
    objects = [(0, 1, 1, 3), (2, 1, *EXTENTS[1]), (2, 2, *EXTENTS[2]), (3, 1, 0, 2)]
    assert [index.object(number) for number in range(4)] == [(file, VolumeObject(*item)) for file, *item in objects]


def test_objects_come_back_from_the_cache(root: Path, scanned: list[str]) -> None:
    build_index(root, CONFIG)
    write_volume(root / "CT/a/1.npz", labelled=[0, 2, 3], depth=4)
    first = build_index(root, CONFIG)
    scanned.clear()
    again = build_index(root, CONFIG)
    assert scanned == []
    for index in (first, again):
        assert index.objects.tolist() == [[1, 1, 3], [1, 0, 3], [1, 0, 2]]
        assert index.object_counts.tolist() == [1, 1, 1, 0]
    (root / "CT/a/0.npz").unlink()
    without = build_index(root, CONFIG)
    assert scanned == []
    assert without.objects.tolist() == [[1, 0, 3], [1, 0, 2]]


def test_a_cache_from_before_there_were_objects_is_made_again(root: Path, scanned: list[str]) -> None:
    build_index(root, CONFIG)
    with np.load(root / CACHE_NAME) as stored:
        arrays = {name: stored[name] for name in stored.files if "object" not in name}
    np.savez(root / CACHE_NAME, **arrays)
    scanned.clear()
    with pytest.warns(UserWarning, match="unusable index cache"):
        assert build_index(root, CONFIG).object_counts.tolist() == [1, 0, 1, 0]
    assert len(scanned) == 4


def test_other_targets_make_another_index(root: Path) -> None:
    assert len(build_index(root, CONFIG)) == 6
    # Only the slice of 40 x 30 px that is labelled all over is large enough.
    assert len(build_index(root, TargetConfig(min_pixels=30_000))) == 1


def test_other_rules_make_another_index(root: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(root, CONFIG)
    scanned.clear()
    monkeypatch.setattr(index_module, "RULES_VERSION", index_module.RULES_VERSION + 1)
    build_index(root, CONFIG)
    assert len(scanned) == 4


def test_rules_do_not_change_without_a_new_version() -> None:
    """Where this fails because targets or objects are found in another way: raise RULES_VERSION, note what is new."""
    rng = np.random.default_rng(0)
    maps = [np.kron(rng.integers(0, 4, (16, 16)), np.ones((n, n))).astype(np.uint8) for n in (2, 4, 8)]
    maps += [np.where(rng.random((64, 64)) < 0.02, 2, label) for label in (0, 1)]
    counts = [len(find_targets(labels.astype(np.uint8), "Microscopy/wbc_a", CONFIG)) for labels in maps]
    volume = np.kron(rng.integers(0, 4, (12, 8, 8)), np.ones((1, 2, 2))).astype(np.uint8)
    volume[(volume == 3) & (np.arange(12) > 2)[:, None, None]] = 0
    volume[(volume == 2) & (np.arange(12) > 1)[:, None, None]] = 0
    found = (counts, find_objects(volume).tolist())
    assert (index_module.RULES_VERSION, *found) == (2, [53, 45, 56, 85, 64], [[1, 0, 11], [3, 0, 2]])


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_a_damaged_cache_is_made_again(root: Path, damage: bytes | None) -> None:
    build_index(root, CONFIG)
    cache = root / CACHE_NAME
    cache.write_bytes(cache.read_bytes()[:-40] if damage is None else damage)
    with pytest.warns(UserWarning, match="unusable index cache"):
        assert len(build_index(root, CONFIG)) == 6
    assert len(build_index(root, CONFIG)) == 6


def test_a_pickle_in_the_cache_is_never_loaded(root: Path) -> None:
    build_index(root, CONFIG)
    with np.load(root / CACHE_NAME) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["files"] = arrays["files"].astype(object)
    np.savez(root / CACHE_NAME, **arrays, allow_pickle=True)
    with pytest.warns(UserWarning, match="allow_pickle"):
        assert len(build_index(root, CONFIG)) == 6


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(root: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.warns(UserWarning, match="index not cached"):
        assert len(build_index(root, CONFIG, cache=blocked / "index.npz")) == 6


def test_the_cache_may_lie_elsewhere(root: Path, tmp_path: Path, scanned: list[str]) -> None:
    for _ in range(2):
        build_index(root, CONFIG, cache=tmp_path / "elsewhere" / "index.npz")
    assert len(scanned) == 4
    assert not (root / CACHE_NAME).exists()


def test_bad_files_are_named(root: Path) -> None:
    (root / "CT/a/bad.npz").write_bytes(b"zip?")
    np.savez(root / "MR/b/none.npz", imgs=np.zeros((3, 4), np.uint8))
    with pytest.raises(CaseError, match=r"CT/a/bad\.npz: not a whole npz file.*; .*MR/b/none\.npz: no array 'gts'"):
        build_index(root, CONFIG)


def test_an_empty_root_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"training\.prepare"):
        build_index(tmp_path, CONFIG)


def test_nothing_but_the_index_is_written(root: Path) -> None:
    write_volume(root / "CT/long/0.npz", labelled=list(range(600)), depth=600)
    before = {path for path in root.rglob("*") if path.is_file()}
    index = build_index(root, CONFIG)
    read = lazy_slices(index, CONFIG, cache_bytes=10**6)
    for sample in range(0, len(index), 50):
        read(sample)
    assert {path for path in root.rglob("*") if path.is_file()} - before == {root / CACHE_NAME}
    assert len(index) == 606


def test_lazy_and_in_memory_reading_give_the_files_slices(root: Path) -> None:
    write_phantom_root(root)
    index = build_index(root, CONFIG)
    lazy, memory = lazy_slices(index, CONFIG, cache_bytes=10**6), slices_in_memory(index, CONFIG)
    for sample in range(len(index)):
        number, z = index.locate(sample)
        case = read_labelled_case(root / index.files[number])
        image, gts = (case.imgs[z], case.gts[z]) if case.is_volume else (case.imgs, case.gts)
        expected = find_targets(gts, index.dataset_of_file(number), CONFIG)
        for item in (lazy(sample), memory(sample)):
            np.testing.assert_array_equal(item.image, image)
            np.testing.assert_array_equal(item.targets.objects, expected.objects)
            assert item.targets.members == expected.members
            assert item.dataset == index.dataset_of_file(number)
            assert len(item.targets) > 0


def test_slices_in_memory_do_not_hold_their_volumes(root: Path) -> None:
    read = slices_in_memory(build_index(root, CONFIG), CONFIG)
    assert read(0).image.base is None


def test_the_cache_of_cases_is_bounded_and_drops_what_was_used_longest_ago(root: Path) -> None:
    paths = [root / "CT/a" / name for name in ("p.npz", "q.npz", "r.npz")]
    for path in paths:
        write_volume(path, labelled=[0], depth=4)  # 4 * 32 * 32 bytes, twice
    one = 2 * 4 * 32 * 32
    cache = CaseCache(max_bytes=2 * one)
    p, q = cache.read(paths[0]), cache.read(paths[1])
    assert cache.read(paths[0]) is p
    cache.read(paths[2])
    assert cache.held_bytes == 2 * one
    assert cache.read(paths[0]) is p
    assert cache.read(paths[1]) is not q


def test_a_case_larger_than_the_cache_is_read_all_the_same(root: Path) -> None:
    cache = CaseCache(max_bytes=10)
    assert cache.read(root / "MR/b/0.npz").gts.shape == (3, 32, 32)
    assert cache.held_bytes == 0


def test_real_volumes(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "train_volumes"
    index = build_index(root, CONFIG, cache=tmp_path / "index.npz")
    assert {name.split("/")[0] for name in index.datasets} == {"CT", "MR", "PET"}
    read = lazy_slices(index, CONFIG, cache_bytes=10**8)
    for sample in np.random.default_rng(0).choice(len(index), 20, replace=False):
        number, z = index.locate(int(sample))
        with np.load(root / index.files[number]) as arrays:
            assert arrays["gts"][z].any()
            np.testing.assert_array_equal(read(int(sample)).image, arrays["imgs"][z])
