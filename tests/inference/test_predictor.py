"""The interface in Python: the masks of the command line, one box after the other, threads, and what is refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from inference import CaseError, Predictor, SetupError
from inference.cases.intensity import window_level
from inference.cli import main
from inference.errors import EXIT_OK
from inference.model.metadata import ENCODER, read_metadata
from inference.model.pair import ModelPair
from inference.options import F32
from training.data.phantoms import CASES, phantom_case_2d, phantom_volume

ROOT = Path(__file__).resolve().parents[2]
REAL = ["2DBox_PET_0002", "2DBox_Dermoscopy_0001", "2DBox_X-Ray_0004", "3DBox_MR_0007"]
IMAGE = phantom_case_2d((120, 160), n_boxes=3, seed=1)
VOLUME = phantom_volume((8, 64, 72), n_boxes=2, seed=2)
OPTIONS = {"strategy": "flatten", "overlap": "later", "zoom": False, "box_batch": 3}
FLAGS = ["--strategy", "flatten", "--overlap", "later", "--no-zoom", "--box-batch", "3"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """The pair that ships, in a folder that keeps its compiled models apart."""
    folder = tmp_path_factory.mktemp("weights")
    for name in read_metadata(ROOT / "weights" / ENCODER).files:
        (folder / name).symlink_to(ROOT / "weights" / name)
    return folder


@pytest.fixture(scope="module")
def predictor(weights):
    with Predictor(weights, precision=F32) as predictor:
        yield predictor


@pytest.fixture
def assert_same_as_the_command_line(weights, predictor, tmp_path):
    def assert_same(folder, names, flags=(), **options):
        arguments = ["cases", folder, tmp_path, "--weights", weights, "--precision", F32, *flags]
        assert main([*map(str, arguments)]) == EXIT_OK
        for name in names:
            with np.load(folder / f"{name}.npz") as case, np.load(tmp_path / f"{name}.npz") as result:
                segs = predictor.segment(case["imgs"], case["boxes"], **options)
                assert segs.any()
                np.testing.assert_array_equal(segs, result["segs"], strict=True)

    return assert_same


@pytest.mark.parametrize(("flags", "options"), [([], {}), (FLAGS, OPTIONS)], ids=["defaults", "options"])
def test_masks_of_phantoms_are_those_of_the_command_line(
    assert_same_as_the_command_line, tmp_path_factory, flags, options
):
    folder = tmp_path_factory.mktemp("phantoms")
    for name, draw in CASES.items():
        phantom = draw(np.random.default_rng(0))
        np.savez(folder / name, imgs=phantom.imgs, boxes=phantom.boxes)
    assert_same_as_the_command_line(folder, CASES, flags, **options)


def test_masks_of_real_cases_are_those_of_the_command_line(
    assert_same_as_the_command_line, shared_data, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("real")
    for name in REAL:
        (folder / f"{name}.npz").symlink_to(shared_data / "val" / "imgs" / f"{name}.npz")
    assert_same_as_the_command_line(folder, REAL)


@pytest.mark.parametrize("zoom", [True, False])
def test_one_box_after_the_other_is_each_box_alone(predictor, zoom):
    phantom = CASES["2DBox_Microscopy_phantom"](np.random.default_rng(0))
    predictor.set_image(phantom.imgs)
    for box in [*phantom.boxes[:4], [10, 20, 200.5, 180], phantom.boxes[0]]:
        mask, score = predictor.predict(box, zoom=zoom)
        alone = predictor.segment(phantom.imgs, [box], zoom=zoom)
        np.testing.assert_array_equal(mask, alone == 1, strict=True)
        assert mask.any()
        assert 0.5 < score <= 1


def test_a_slice_of_a_volume_is_an_image(predictor):
    box = VOLUME.boxes[0][[0, 1, 3, 4]]
    predictor.set_image(VOLUME.imgs[4])
    np.testing.assert_array_equal(predictor.predict(box)[0], predictor.segment(VOLUME.imgs[4], box) == 1)


def test_the_image_is_encoded_once(predictor, monkeypatch):
    encoded, encode = [], ModelPair.encode
    monkeypatch.setattr(ModelPair, "encode", lambda model, image: (encoded.append(image), encode(model, image))[1])
    predictor.set_image(IMAGE.imgs)
    for box in IMAGE.boxes:
        predictor.predict(box, zoom=False)
    assert len(encoded) == 1


def test_what_the_caller_does_with_the_image_later_does_not_matter(predictor):
    image = IMAGE.imgs.copy()
    predictor.set_image(image)
    before, _ = predictor.predict(IMAGE.boxes[0])
    image[:] = 0
    predictor.predict(IMAGE.boxes[1])  # another window
    np.testing.assert_array_equal(predictor.predict(IMAGE.boxes[0])[0], before)


@pytest.mark.parametrize("form", [np.float32, np.float64, np.int16, np.uint8], ids=lambda form: form.__name__)
def test_numbers_of_any_type_and_order_give_the_same_masks(predictor, form):
    expected = predictor.segment(IMAGE.imgs, IMAGE.boxes)
    image = np.asfortranarray(IMAGE.imgs.astype(form))
    np.testing.assert_array_equal(predictor.segment(image, IMAGE.boxes.astype(np.float32)), expected)
    mirrored = IMAGE.imgs[:, ::-1].astype(form)[:, ::-1]  # a view, from back to front
    np.testing.assert_array_equal(predictor.segment(mirrored, IMAGE.boxes), expected)


def test_lists_will_do(predictor):
    expected = predictor.segment(IMAGE.imgs, IMAGE.boxes)
    np.testing.assert_array_equal(predictor.segment(IMAGE.imgs.tolist(), IMAGE.boxes.tolist()), expected)
    assert not predictor.segment(IMAGE.imgs, []).any()
    assert not predictor.segment(VOLUME.imgs, []).any()


@pytest.mark.parametrize("colour", [False, True], ids=["gray", "colour"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_lie_across_the_axis_of_the_largest_spacing(predictor, axis, colour):
    volume = np.stack([VOLUME.imgs] * 3, axis=3) if colour else VOLUME.imgs
    stored = np.moveaxis(volume, 0, axis)
    order = [1, 2]
    order.insert(axis, 0)
    corners = VOLUME.boxes.reshape(-1, 2, 3)[:, :, ::-1][:, :, order]  # z, y, x as stored
    boxes = corners[:, :, ::-1].reshape(-1, 6)
    spacing = np.array([2.5, 0.7, 0.8])[order]
    segs = predictor.segment(stored, boxes, spacing)
    expected = predictor.segment(volume, VOLUME.boxes)
    assert expected.any()
    np.testing.assert_array_equal(segs, np.moveaxis(expected, 0, axis), strict=True)


def test_equal_spacing_is_that_of_slices_in_storage_order(predictor):
    expected = predictor.segment(VOLUME.imgs, VOLUME.boxes)
    spacing = [1, 1.0000001, 1]
    np.testing.assert_array_equal(predictor.segment(VOLUME.imgs, VOLUME.boxes, spacing=spacing), expected)


@pytest.mark.parametrize("phantom", [IMAGE, VOLUME], ids=["image", "volume"])
@pytest.mark.parametrize("form", [np.int16, np.float32], ids=lambda form: form.__name__)
def test_hounsfield_units_go_through_a_window(predictor, phantom, form):
    scan = phantom.imgs.astype(form) * 4 - 500
    with pytest.raises(CaseError, match=r"expected 0\.\.255; .* window=\(40, 400\)"):
        predictor.segment(scan, phantom.boxes)
    expected = predictor.segment(window_level(scan, 0, 800), phantom.boxes)
    assert expected.any()
    np.testing.assert_array_equal(predictor.segment(scan, phantom.boxes, window=(0, 800)), expected)


def test_set_image_takes_a_window_too(predictor):
    scan = IMAGE.imgs.astype(np.int16) * 4 - 500
    predictor.set_image(scan, window=(0, 800))
    expected = predictor.segment(scan, IMAGE.boxes[0], window=(0, 800)) == 1
    np.testing.assert_array_equal(predictor.predict(IMAGE.boxes[0])[0], expected)


def test_every_thread_has_an_image_of_its_own(predictor):
    phantoms = [phantom_case_2d((100, 90 + 20 * seed), n_boxes=3, seed=seed) for seed in range(4)]
    expected = [predictor.segment(phantom.imgs, phantom.boxes) for phantom in phantoms]
    alone = [[predictor.segment(phantom.imgs, box) == 1 for box in phantom.boxes] for phantom in phantoms]
    volume = predictor.segment(VOLUME.imgs, VOLUME.boxes)
    all_are_set = Barrier(len(phantoms))

    def work(number):
        phantom = phantoms[number]
        predictor.set_image(phantom.imgs)
        all_are_set.wait()
        for _ in range(3):
            for box, mask in zip(phantom.boxes, alone[number], strict=True):
                np.testing.assert_array_equal(predictor.predict(box)[0], mask)
            np.testing.assert_array_equal(predictor.segment(phantom.imgs, phantom.boxes), expected[number])
        np.testing.assert_array_equal(predictor.segment(VOLUME.imgs, VOLUME.boxes), volume)

    with ThreadPoolExecutor(len(phantoms)) as pool:
        list(pool.map(work, range(len(phantoms))))


def test_what_is_repaired_and_what_cannot_be_used_is_logged(predictor, caplog):
    swapped, outside = IMAGE.boxes[0][[2, 3, 0, 1]], [900, 900, 950, 950]
    segs = predictor.segment(IMAGE.imgs, [swapped, outside])
    assert set(np.unique(segs)) == {0, 1}
    assert [(record.levelname, record.getMessage().partition(",")[0]) for record in caplog.records] == [
        ("WARNING", "box 1 swapped corners"),
        ("ERROR", "box 2 is outside the image (width 160"),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (([[1, 2], [3]], [0, 0, 1, 1]), "'image' is not an array of numbers"),
        (("scan.png", [0, 0, 1, 1]), "'image' has type <U8, not numbers"),
        ((None, [0, 0, 1, 1]), "'image' has type object, not numbers"),
        ((IMAGE.imgs * 1j, [0, 0, 1, 1]), "'image' has type complex128"),
        ((7, [0, 0, 1, 1]), "'imgs' has shape \\(\\)"),
        ((IMAGE.imgs, [[0, 0, 1, 1], [2, 2]]), "'boxes' is not an array of numbers"),
        ((IMAGE.imgs, [[0, 0, 1]]), "'boxes' has shape \\(1, 3\\)"),
        ((IMAGE.imgs, VOLUME.boxes), "expected \\(D, H, W\\)"),
        ((IMAGE.imgs * np.nan, IMAGE.boxes), "'imgs' holds NaN"),
        ((IMAGE.imgs * np.nan, IMAGE.boxes, None, "given", (40, 400)), "'image' holds NaN"),
        ((IMAGE.imgs, IMAGE.boxes, None, "given", (40, 0)), "'window' is \\(40, 0\\), expected level and width"),
        ((IMAGE.imgs, IMAGE.boxes, None, "given", 400), "'window' is 400, expected level and width"),
        ((VOLUME.imgs, VOLUME.boxes, [1, 1]), "'spacing' is \\[1, 1\\], expected three numbers"),
        ((VOLUME.imgs, VOLUME.boxes, [1, 0, 1]), "'spacing' is \\[1, 0, 1\\], expected three numbers"),
    ],
)
def test_what_cannot_be_segmented_is_a_case_error(predictor, arguments, reason):
    with pytest.raises(CaseError, match=reason):
        predictor.segment(*arguments)


@pytest.mark.parametrize("volume", [VOLUME.imgs, np.stack([VOLUME.imgs] * 3, axis=3)], ids=["gray", "colour"])
def test_set_image_takes_no_volume_and_leaves_no_other_image_in_its_place(predictor, volume):
    predictor.set_image(IMAGE.imgs)
    with pytest.raises(CaseError, match="not a volume of shape"):
        predictor.set_image(volume)
    with pytest.raises(CaseError, match="call set_image first"):
        predictor.predict(IMAGE.boxes[0])


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([200, 200, 300, 300], "box 1 is outside the image"),
        ([0, 0, np.nan, 5], "box 1 holds NaN"),
        (VOLUME.boxes[0], "'box' has shape \\(6,\\), expected \\(4,\\)"),
        (IMAGE.boxes, "'box' has shape \\(3, 4\\)"),
        ("here", "'box' has type"),
    ],
)
def test_a_box_that_cannot_be_used_is_a_case_error(predictor, box, reason):
    predictor.set_image(IMAGE.imgs)
    with pytest.raises(CaseError, match=reason):
        predictor.predict(box)


def test_memory_is_planned_with(weights):
    with Predictor(weights, memory="100M") as small:
        with pytest.raises(CaseError, match="MB of memory, the limit allows 0 MB"):
            small.segment(IMAGE.imgs, IMAGE.boxes)
        with pytest.raises(CaseError, match="MB of memory, the limit allows 0 MB"):
            small.set_image(IMAGE.imgs)


def test_extents_cannot_be_found_without_a_volume_decoder(untrained):
    with (
        Predictor(untrained("light")[1], precision=F32) as predictor,
        pytest.raises(SetupError, match="needs weights with a volume_decoder"),
    ):
        predictor.segment(VOLUME.imgs, VOLUME.boxes, extent="find")


def test_weights_that_are_not_there_are_a_setup_error(tmp_path):
    with pytest.raises(SetupError, match=r"encoder\.onnx: No such file"):
        Predictor(tmp_path)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"precision": "int8"}, "precision is 'int8', not one of auto, f32, bf16"),
        ({"threads": -1}, "threads is -1"),
        ({"memory": "lots"}, "'lots' is not an amount of memory"),
        ({"memory": 0}, "'0' is not an amount of memory"),
    ],
)
def test_settings_that_there_are_not(weights, settings, reason):
    with pytest.raises(ValueError, match=reason):
        Predictor(weights, **settings)


@pytest.mark.parametrize(
    ("option", "value"), [("strategy", "guess"), ("overlap", "first"), ("extent", "all"), ("box_batch", 0)]
)
def test_options_that_there_are_not(predictor, option, value):
    with pytest.raises(ValueError, match=f"{option} is"):
        predictor.segment(IMAGE.imgs, IMAGE.boxes, **{option: value})


def test_a_closed_one_says_so(weights):
    predictor = Predictor(weights)
    with predictor:
        predictor.set_image(IMAGE.imgs)
    predictor.close()
    for call in (
        lambda: predictor.segment(IMAGE.imgs, IMAGE.boxes),
        lambda: predictor.set_image(IMAGE.imgs),
        lambda: predictor.predict(IMAGE.boxes[0]),
    ):
        with pytest.raises(ValueError, match="this Predictor is closed"):
            call()


def test_the_weights_that_ship_are_the_default():
    with Predictor() as predictor:
        assert predictor.segment(IMAGE.imgs, IMAGE.boxes[:1]).any()


def test_importing_the_package_loads_nothing_until_the_predictor_is_asked_for():
    code = "import sys; before = {*sys.modules}; import inference; print(*({*sys.modules} - before))"
    imported = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert imported.split() == ["inference"]
    with pytest.raises(ImportError, match="cannot import name 'Segmenter'"):
        from inference import Segmenter  # noqa: F401
