"""Data held on the device: the batches that the host would have cut, whatever the images' sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.data_root import write_phantom_root
from training.data.batch import draw_batch
from training.data.config import DataConfig
from training.data.device_images import DeviceImages
from training.data.loader import Loader
from training.data.sampling import SamplingConfig
from training.data.slices import Slice
from training.data.sources import read_image, read_label_image
from training.data.targets import TargetConfig, Targets, find_targets
from training.data.warp import FRAME

CPU = torch.device("cpu")
CROWDED = ("Microscopy/*nuclei", "Microscopy/wbc_*", "CT/chd68_heart", "X-Ray/*teeth*")  # up to hundreds of objects


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    root = write_phantom_root(tmp_path_factory.mktemp("root"))
    return DataConfig(root=str(root), batch_size=6, sampling=SamplingConfig(samples_per_modality=8))


def slice_of(objects: list[list[int]], image: np.ndarray, members: tuple[tuple[int, ...], ...]) -> Slice:
    empty = np.zeros((len(members), 4), np.float32)
    return Slice(image, Targets(np.array(objects, np.uint8), members, empty, empty[:, 0]), "US/a")


def test_planes_by_hand() -> None:
    grey = slice_of([[1, 2], [0, 3]], np.array([[10, 20], [30, 40]], np.uint8), ((1,), (2, 3)))
    colour = slice_of([[1]], np.array([[[7, 8, 9]]], np.uint8), ((1,),))
    planes = DeviceImages([colour, grey], 256, CPU).planes(np.array([1, 0]), [[(2, 3), (1,)], [(1,)]])
    assert planes.dtype == torch.uint8
    assert planes.shape == (2, 5, 4, 4)
    replicated = [[10, 10, 20, 20], [10, 10, 20, 20], [30, 30, 40, 40], [30, 30, 40, 40]]
    assert planes[0, :3].tolist() == [replicated] * 3
    assert planes[0, 3].tolist() == [[0] * 4, [0, 0, 255, 0], [0, 0, 255, 0], [0] * 4]
    assert planes[0, 4].tolist() == [[0] * 4, [0, 255, 0, 0], [0] * 4, [0] * 4]
    one_pixel_framed = torch.zeros(4, 4)
    one_pixel_framed[:3, :3] = 1
    for channel, value in enumerate((7, 8, 9)):
        assert torch.equal(planes[1, channel].float(), value * one_pixel_framed)
    assert planes[1, 3].nonzero().tolist() == [[1, 1]]
    assert planes[1, 4].sum() == 0  # this image has one mask only


def assert_masks_hold_their_objects_only(slices: list[Slice], members: list[list[tuple[int, ...]]]) -> int:
    """Number of masks compared, those of all slices in one batch."""
    planes = DeviceImages(slices, 256, CPU).planes(np.arange(len(slices)), members)
    for row, (item, masks) in enumerate(zip(slices, members, strict=True)):
        height, width = item.targets.objects.shape
        for slot, numbers in enumerate(masks):
            expected = np.zeros(planes.shape[2:], np.uint8)
            expected[FRAME : FRAME + height, FRAME : FRAME + width] = 255 * np.isin(item.targets.objects, numbers)
            np.testing.assert_array_equal(planes[row, 3 + slot].numpy(), expected, err_msg=f"slice {row} {numbers}")
    return sum(map(len, members))


def test_objects_of_higher_numbers_than_those_asked_for_stay_out_of_the_masks() -> None:
    rng = np.random.default_rng(0)
    sizes, largest = [(5, 9), (12, 7), (30, 20), (8, 8)], [3, 40, 300, 65535]  # the last as in uint16 label maps
    slices, members = [], []
    for size, most in zip(sizes, largest, strict=True):
        objects = rng.integers(0, most, size, endpoint=True).astype(np.uint16)
        objects[0, :3] = 1, most - 1, most
        slices.append(Slice(np.zeros(size, np.uint8), Targets(objects, (), np.zeros((0, 4)), np.zeros(0)), "US/a"))
        members.append([(1,), (2, most - 1)])
    assert_masks_hold_their_objects_only(slices, members)
    for item, masks in zip(slices, members, strict=True):
        assert_masks_hold_their_objects_only([item], [masks[:1]])


def test_batches_of_real_labels_hold_the_masks_of_the_host(shared_data: Path) -> None:
    slices = []
    for pattern in CROWDED:
        for path in sorted((shared_data / "train").glob(f"{pattern}/*.png"))[:40:5]:
            dataset = path.parent.relative_to(shared_data / "train").as_posix()
            targets = find_targets(read_label_image(path), dataset, TargetConfig())
            if len(targets):
                slices.append(Slice(read_image(path.with_suffix(".jpg")), targets, dataset))
    assert max(item.targets.objects.max() for item in slices) > 100
    config, compared = DataConfig(root="unused"), 0
    for step, start in enumerate(range(0, len(slices), 8)):
        batch = slices[start : start + 8]
        draft = draw_batch(np.random.default_rng(step), batch, config)
        compared += assert_masks_hold_their_objects_only(batch, [sample.members for sample in draft.samples])
    assert compared > 60


def test_batches_are_those_of_the_host_where_nothing_is_shrunk(config: DataConfig) -> None:
    enlarged = replace(config, input_size=512)  # the phantoms have 300 px at most; scaling takes away a fifth
    host, device = Loader(enlarged), Loader(replace(enlarged, on_device=True))
    for step in range(3):
        expected, found = host.batch(step), device.batch(step)
        assert torch.equal(expected.image_index, found.image_index)
        assert found.modalities == expected.modalities
        assert (expected.masks != found.masks).float().mean() < 1e-5
        torch.testing.assert_close(found.boxes, expected.boxes, atol=1.01, rtol=0)
        torch.testing.assert_close(found.images, expected.images, atol=2e-3, rtol=0)


def test_shrinking_differs_little_from_the_host(config: DataConfig) -> None:
    host, device = Loader(config), Loader(replace(config, on_device=True))
    for step in range(3):
        expected, found = host.batch(step), device.batch(step)
        assert torch.equal(expected.image_index, found.image_index)
        assert (expected.masks != found.masks).float().mean() < 2e-3
        assert (expected.images - found.images).abs().mean() < 0.01


def test_settings_that_cannot_be_are_refused(config: DataConfig) -> None:
    with pytest.raises(ValueError, match="needs in_memory"):
        replace(config, in_memory=False, on_device=True)
    with pytest.raises(ValueError, match=r"an image has 300 px a side, 256 is the most"):
        Loader(replace(config, input_size=128, on_device=True))
