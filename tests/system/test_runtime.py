"""The runtime's masks against the plain reference pipeline: same weights, same cases, float32.

The two differ in the order of floating-point operations only, so that a pixel may differ where its logit is all but 0.
How many may do so is stated here, as a share of the pixels that any mask covers.
"""

from copy import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from inference.cases.case import make_case, read_case
from inference.model.pair import ModelPair
from inference.options import F32, FIND, FLATTEN, GIVEN, LATER, LOGIT, PROPAGATE, SIZE, Options
from inference.segment import prompts
from inference.segment.plan import make_plan
from inference.segment.segment_case import segment_case
from inference.segment.sweep import sweep
from training import reference
from training.data.phantoms import phantom_volume
from training.reference import segment_reference
from training.scoring.torch_model import TorchModel

BUDGET = 2**30
# Borderline pixels. Propagation feeds each mask into the next prompt, so that one pixel may move a box by one.
HANDFUL = 2e-4
HANDFUL_PROPAGATED = 2e-3
# A state, too, hands on what rounding made of it; and embeddings that are kept for a second visit lose half their bits.
HANDFUL_FOLLOWED = 1e-3


def runtime_masks(case, weights, zoom=False, overlap=LATER, **choices):
    return masks_by(ModelPair(weights, F32), case, zoom=zoom, overlap=overlap, **choices)


def masks_by(runner, case, **choices):
    return segment_case(case, runner, Options(**choices), 8 * BUDGET).segs


def reference_masks(case, model, **options):
    boxes = case.boxes if case.is_volume else case.boxes[:, [0, 1, 3, 4]]
    return segment_reference(model, case.volume if case.is_volume else case.volume[0], boxes, **options)


def different_share(ours, reference):
    assert ours.shape == reference.shape
    assert ours.dtype == reference.dtype
    covered = np.count_nonzero((ours > 0) | (reference > 0))
    assert covered > 0
    return np.count_nonzero(ours != reference) / covered


def real_case(shared_data, name):
    return read_case(shared_data / "val" / "imgs" / f"{name}.npz", BUDGET)


def remember(encode):
    embeddings = {}

    def remembered(image):
        key = image.numpy().tobytes()
        if key not in embeddings:
            embeddings[key] = encode(image)
        return embeddings[key]

    return remembered


def encoding_once(model):
    """The model, but that it encodes no image twice, as the reference does for each object."""
    quick = copy(model)
    quick.encode = remember(model.encode)
    return quick


@pytest.fixture(scope="module")
def quick_untrained(untrained):
    """As `untrained`, with a torch model that encodes no image twice."""

    @cache
    def quick_untrained(name):
        model, folder = untrained(name)
        return encoding_once(model), folder

    return quick_untrained


def many_boxes(case, count):
    """The case with `count` boxes of many sizes, drawn from a seed."""
    _, height, width = case.shape
    rng = np.random.default_rng(count)
    first = rng.uniform([0, 0], [width * 0.8, height * 0.8], (count, 2))
    boxes = np.concatenate([first, first + rng.uniform(6, 0.2 * min(height, width), (count, 2))], axis=1)
    return make_case(case.volume[0], boxes)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("2DBox_PET_0002", "litemedsam"),  # 31 x 29: the input is an enlargement
        ("2DBox_Mammography_0002", "litemedsam"),  # 600 x 300, three boxes
        ("2DBox_Dermoscopy_0001", "light"),  # colour
        ("2DBox_X-Ray_0004", "light"),  # 32 boxes
    ],
)
@pytest.mark.parametrize("overlap", [LATER, LOGIT, SIZE])
def test_image(shared_data, quick_untrained, name, model, overlap):
    torch_model, weights = quick_untrained(model)
    case = real_case(shared_data, name)
    ours = runtime_masks(case, weights, overlap=overlap)
    assert different_share(ours, reference_masks(case, torch_model, overlap=overlap)) <= HANDFUL


@pytest.mark.parametrize(("strategy", "handful"), [(FLATTEN, HANDFUL), (PROPAGATE, HANDFUL_PROPAGATED)])
@pytest.mark.parametrize("overlap", [LATER, SIZE])
def test_volume(shared_data, quick_untrained, strategy, handful, overlap):
    torch_model, weights = quick_untrained("light")
    case = real_case(shared_data, "3DBox_MR_0007")  # 42 x 47 x 37, two boxes whose slices overlap in part
    ours = runtime_masks(case, weights, strategy=strategy, overlap=overlap)
    reference = reference_masks(case, torch_model, strategy=strategy, overlap=overlap)
    assert different_share(ours, reference) <= handful


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "handful"), [(FLATTEN, HANDFUL), (PROPAGATE, HANDFUL_PROPAGATED)])
def test_volume_with_litemedsam(shared_data, quick_untrained, strategy, handful):
    torch_model, weights = quick_untrained("litemedsam")
    whole = real_case(shared_data, "3DBox_MR_0007")
    case = make_case(whole.volume, np.array([[5, 9, 10, 23, 23, 13], [5, 23, 12, 24, 42, 15]]))
    ours = runtime_masks(case, weights, strategy=strategy)
    assert different_share(ours, reference_masks(case, torch_model, strategy=strategy)) <= handful


@pytest.mark.parametrize("count", [1, 7, 300])
def test_number_of_boxes_and_box_batch(shared_data, quick_untrained, count):
    torch_model, weights = quick_untrained("light")
    case = many_boxes(real_case(shared_data, "2DBox_Microscopy_0008"), count)
    reference = reference_masks(case, torch_model)
    for box_batch in (2, 3):
        ours = runtime_masks(case, weights, box_batch=box_batch)
        assert different_share(ours, reference) <= HANDFUL, f"box_batch {box_batch}"


def test_every_slice_is_encoded_once(shared_data, untrained, monkeypatch):
    encoded = []
    encode = ModelPair.encode
    monkeypatch.setattr(ModelPair, "encode", lambda model, image: (encoded.append(image), encode(model, image))[1])
    case = real_case(shared_data, "3DBox_MR_0007")
    covered = {z for box in case.boxes for z in range(int(box[2]), int(box[5]) + 1)}
    for strategy in (FLATTEN, PROPAGATE):
        encoded.clear()
        runtime_masks(case, untrained("light")[1], strategy=strategy)
        assert len(encoded) == len(covered)


def test_zoom_is_the_mask_of_the_window_painted_back(shared_data, untrained):
    weights = untrained("light")[1]
    image = real_case(shared_data, "2DBox_Dermoscopy_0001").volume[0]
    box = np.array([[300, 200, 340, 230]])
    case = make_case(image, box)
    (left, top, right, bottom) = segment_case(case, ModelPair(weights, F32), Options(), BUDGET).windows[0]
    crop = make_case(image[top:bottom, left:right], box - [left, top, left, top])

    expected = np.zeros(image.shape[:2], np.uint8)
    expected[top:bottom, left:right] = runtime_masks(crop, weights, zoom=False)
    zoomed = runtime_masks(case, weights, zoom=True)
    assert zoomed.any()
    np.testing.assert_array_equal(zoomed, expected)


@pytest.mark.parametrize("strategy", [FLATTEN, PROPAGATE])
def test_windows_of_a_volume_are_the_same_on_all_slices(shared_data, untrained, monkeypatch, strategy):
    weights = untrained("light")[1]
    case = make_case(real_case(shared_data, "3DBox_MR_0005").volume, np.array([[100, 90, 5, 130, 120, 9]]))
    crops = []
    encode = ModelPair.encode
    monkeypatch.setattr(ModelPair, "encode", lambda model, image: (crops.append(image.copy()), encode(model, image))[1])
    masks = runtime_masks(case, weights, zoom=True, strategy=strategy)
    assert len(crops) == 5  # one window on five slices, the whole image on none
    assert masks[5:10].any()
    assert not masks[:5].any()
    assert not masks[10:].any()


@pytest.mark.parametrize("overlap", [LATER, LOGIT, SIZE])
def test_objects_with_different_middle_slices_meet_on_shared_slices(shared_data, quick_untrained, overlap):
    """Sweeps of both directions, and a middle slice between them, on the same slices: as object by object."""
    torch_model, weights = quick_untrained("light")
    volume = real_case(shared_data, "3DBox_MR_0007").volume
    boxes = [[5, 9, 2, 23, 23, 8], [5, 23, 4, 24, 42, 20], [8, 12, 9, 30, 40, 15], [3, 3, 15, 20, 20, 15]]
    case = make_case(volume, np.array(boxes))
    ours = runtime_masks(case, weights, strategy=PROPAGATE, overlap=overlap)
    reference = reference_masks(case, torch_model, strategy=PROPAGATE, overlap=overlap)
    assert different_share(ours, reference) <= HANDFUL_PROPAGATED
    assert set(np.unique(ours)) == {0, 1, 2, 3, 4}


def test_without_room_for_embeddings_slices_are_encoded_again_for_the_same_masks(shared_data, untrained, monkeypatch):
    weights = untrained("light")[1]
    case = make_case(
        real_case(shared_data, "3DBox_MR_0007").volume, np.array([[5, 9, 2, 23, 23, 8], [5, 23, 4, 24, 42, 20]])
    )
    encoded = []
    encode = ModelPair.encode
    monkeypatch.setattr(ModelPair, "encode", lambda model, image: (encoded.append(image), encode(model, image))[1])
    kept = runtime_masks(case, weights, strategy=PROPAGATE)
    assert len(encoded) == 19  # slices 2 to 20
    encoded.clear()
    model, options = ModelPair(weights, F32), Options(zoom=False, overlap=LATER)
    plan = make_plan(case, model.metadata, options, 8 * BUDGET, model.threads)
    model.prepare(plan.lanes)
    again = np.zeros_like(kept)
    sweep(case, replace(plan, kept_bytes=0), model, again, lambda fraction: None)
    assert len(encoded) == 19 + 4  # on 5, its middle, and on 6 to 8 the first goes up where the second comes down
    assert different_share(kept, again) <= HANDFUL_PROPAGATED


@pytest.fixture(scope="module")
def quick_following(following):
    return encoding_once(following)


def phantom_case(shape, given, marked, seed):
    """A volume of `given` objects with an extent, in wide boxes, and then `marked` ones, whose boxes have one slice."""
    phantom = phantom_volume(shape, given + marked, seed)
    boxes = phantom.boxes.copy()
    boxes[:given, :2] = np.maximum(boxes[:given, :2] - 4, 0)
    boxes[0, [2, 5]] = 1, shape[0] - 1
    boxes[given:, [2, 5]] = np.arange(marked)[:, np.newaxis] + shape[0] // 2 - 1
    return make_case(phantom.imgs, boxes)


FOLLOWED_CASES = {
    "enlarged": phantom_case((12, 48, 72), 3, 3, seed=2),
    "shrunk": phantom_case((7, 280, 180), 2, 2, seed=3),
}
followed_cases = pytest.mark.parametrize("name", FOLLOWED_CASES)
extents = pytest.mark.parametrize("extent", [GIVEN, FIND])


def followed_reference(case, model, extent):
    return reference_masks(case, model, strategy=PROPAGATE, overlap=SIZE, extent=extent)


@followed_cases
@extents
@pytest.mark.parametrize("prompt", ["GIVEN_BOX", "LAST_MASK"])
def test_followed_objects(quick_following, monkeypatch, name, extent, prompt):
    for module in (prompts, reference):
        monkeypatch.setattr(module, "FOLLOWED_BOX", getattr(module, prompt))
    case = FOLLOWED_CASES[name]
    ours = masks_by(TorchModel(quick_following), case, zoom=False, extent=extent)
    assert different_share(ours, followed_reference(case, quick_following, extent)) <= HANDFUL_FOLLOWED
    marked = [label for label, box in enumerate(case.boxes, start=1) if box[2] == box[5]]
    slices = [np.count_nonzero((ours == label).any(axis=(1, 2))) for label in marked]
    assert all(1 < count < len(ours) if extent == FIND else count == 1 for count in slices)


@pytest.mark.slow
@followed_cases
@extents
def test_followed_objects_with_a_pair(quick_following, following_pair, name, extent):
    case = FOLLOWED_CASES[name]
    ours = runtime_masks(case, following_pair, overlap=SIZE, extent=extent)
    assert different_share(ours, followed_reference(case, quick_following, extent)) <= HANDFUL_FOLLOWED


def forgetful(model, *lost):
    """The model without some parts of its state."""

    def follow(embeddings, boxes, place, neighbours, state):
        empty = {name: torch.zeros_like(getattr(state, name)) for name in lost}
        return model.follow(embeddings, boxes, place, neighbours, state._replace(**empty))

    without = copy(model)
    without.follow = follow
    return without


@extents
def test_nothing_of_the_state_may_get_lost(quick_following, extent):
    """The comparison above notices it."""
    case = FOLLOWED_CASES["enlarged"]
    ours = masks_by(TorchModel(quick_following), case, zoom=False, extent=extent)
    for lost in (quick_following.state, *((name,) for name in quick_following.state)):
        without = followed_reference(case, forgetful(quick_following, *lost), extent)
        assert different_share(ours, without) > 10 * HANDFUL_FOLLOWED, lost
