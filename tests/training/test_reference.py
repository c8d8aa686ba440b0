"""The reference pipeline against masks worked out by hand, with a model that is simple enough to follow."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from inference.model.metadata import INDICES, PIXEL_EDGES
from training import reference
from training.model import build_model
from training.model.checkpoint import save_checkpoint
from training.reference import MARGIN_FOUND, MARGIN_GIVEN, box_around, main, preprocess, segment_reference


class BrightInsideBox(nn.Module):
    """Logit of a pixel: its brightness - 0.5 inside the box, minus one outside. Remembers what it was asked."""

    input_size = 8
    box_convention = INDICES
    state = ()

    def __init__(self):
        super().__init__()
        self.encoded, self.boxes = 0, []

    def encode(self, images):
        self.encoded += 1
        return (images,)

    def decode(self, embeddings, boxes, image_index=None):
        self.boxes.append(boxes[0].tolist())
        (x0, y0), (x1, y1) = boxes[0, :2].floor().int().tolist(), boxes[0, 2:].ceil().int().tolist()
        logits = torch.full((1, 8, 8), -1.0)
        logits[:, y0:y1, x0:x1] = embeddings[0][:, 0, y0:y1, x0:x1] - 0.5
        return logits, torch.ones(1)


class Step(NamedTuple):
    """What `Following` got: a box, a place, and the two parts of the state."""

    box: list[float]
    place: list[float]
    count: float
    last_box: list[float]


class Followed(NamedTuple):
    low_res_logits: torch.Tensor
    presence: torch.Tensor
    state: list[torch.Tensor]


class Following(BrightInsideBox):
    """Its state is the number of slices before, and the last one's box; objects are present on so many slices."""

    state = ("count", "last_box")

    def __init__(self, lasts=100):
        super().__init__()
        self.lasts, self.steps = lasts, []

    def empty_state(self, count, like):
        return [like.new_zeros(count, 1), like.new_zeros(count, 4)]

    def follow(self, embeddings, boxes, place, neighbours, state):
        count, last_box = state
        self.steps.append(Step(boxes[0].tolist(), place[0].tolist(), count.item(), last_box[0].tolist()))
        logits, _ = self.decode(embeddings, boxes)
        return Followed(logits, self.lasts - 0.5 - count[:, 0], [count + 1, boxes])


def square_image(size: int, y: int, x: int, side: int) -> np.ndarray:
    image = np.zeros((size, size), np.uint8)
    image[y : y + side, x : x + side] = 200
    return image


def test_object_in_a_box_is_found_and_numbered():
    image = square_image(8, 2, 3, 3)
    boxes = np.array([[0, 6, 2, 8], [2, 1, 7, 6]])  # nothing bright in the first
    segs = segment_reference(BrightInsideBox(), image, boxes)
    assert segs.dtype == np.uint8
    np.testing.assert_array_equal(segs, (image > 0) * 2)


def test_image_that_is_not_square_is_scaled_by_its_longest_side_and_cropped_back():
    image = np.zeros((4, 16), np.uint8)
    image[:, 4:8] = 255
    model = BrightInsideBox()
    segs = segment_reference(model, image, np.array([[0, 0, 16, 4]]))
    assert model.boxes == [[0, 0, 8, 2]]
    assert segs.shape == (4, 16)
    np.testing.assert_array_equal(np.unique(np.nonzero(segs)[1]), [4, 5, 6, 7])


def test_boxes_reach_the_far_edges_of_their_last_pixels_where_the_model_wants_them_to():
    model = BrightInsideBox()
    model.box_convention = PIXEL_EDGES
    segment_reference(model, np.zeros((8, 8), np.uint8), np.array([[1, 2, 4, 5], [3, 3, 8, 7]]))
    assert model.boxes == [[1, 2, 5, 6], [3, 3, 8, 8]]  # not beyond the image


@pytest.mark.parametrize(("normalise", "low"), [("after_padding", 0.5), ("before_padding", 0.0)])
def test_padding_counts_in_the_normalisation_or_does_not(normalise, low):
    image = np.full((4, 8), 200, np.uint8)
    image[:, :4] = 100
    square, height, width = preprocess(image, 8, normalise)
    assert (height, width) == (4, 8)
    assert square.shape == (1, 3, 8, 8)
    assert square[0, :, 0, 0].tolist() == pytest.approx([low] * 3)
    assert square[0, 0, 0, 7] == 1
    assert square[0, :, 4:].abs().max() == 0


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (30, 20, 3)])
def test_bytes_and_floats_give_the_same_input(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    as_bytes, as_floats = (preprocess(pixels, 8, "after_padding")[0] for pixels in (image, image.astype(np.float32)))
    assert torch.equal(as_bytes, as_floats)


def test_flatten_gives_every_slice_the_same_box_and_encodes_it_for_each_box():
    volume = np.stack([square_image(8, 2, 2, 3)] * 5)
    model = BrightInsideBox()
    segs = segment_reference(model, volume, np.array([[1, 1, 1, 6, 6, 3], [1, 1, 3, 6, 6, 4]]))
    assert [segs[z].max() for z in range(5)] == [0, 1, 1, 2, 2]
    assert model.encoded == 5
    assert model.boxes == [[1, 1, 6, 6]] * 5


def test_propagate_follows_an_object_through_the_given_box_and_not_out_of_it():
    volume = np.stack([square_image(8, 3, x, 2) for x in (1, 2, 3, 4, 5)])
    model = BrightInsideBox()
    propagated = segment_reference(model, volume, np.array([[0, 3, 0, 6, 5, 4]]), strategy="propagate")
    assert propagated.sum(axis=(1, 2)).tolist() == [4, 4, 4, 4, 2]
    margin = np.array([-1, 0, 1, 0]) * 3 * 8 / 256  # above and below it is cut off by the given box
    around_previous = [[3, 3, 5, 5], [4, 3, 6 - 3 * 8 / 256, 5], [3, 3, 5, 5], [2, 3, 4, 5]]  # for slices 3, 4, 1, 0
    np.testing.assert_allclose(model.boxes, [[0, 3, 6, 5], *(around_previous + margin)], atol=1e-5)


def test_propagate_takes_the_given_box_again_after_an_empty_mask():
    volume = np.stack([square_image(8, 2, 2, 3)] * 5)
    volume[3] = 0
    model = BrightInsideBox()
    segs = segment_reference(model, volume, np.array([[0, 0, 0, 8, 8, 4]]), strategy="propagate")
    given = [0, 0, 8, 8]
    assert model.boxes[0] == given  # slice 2
    assert model.boxes[1] != given  # slice 3: around the mask of slice 2
    assert model.boxes[2] == given  # slice 4: slice 3 was empty
    assert [segs[z].max() for z in range(5)] == [1, 1, 1, 0, 1]


def followed(volume, box, **options):
    """The slices on which one object is found, and the steps of the model, by slice in the order of their places."""
    model = Following(options.pop("lasts", 100))
    segs = segment_reference(model, volume, np.array([box]), strategy="propagate", **options)
    np.testing.assert_array_equal(segs > 0, (volume > 0) & segs.any(axis=(1, 2), keepdims=True))
    return np.flatnonzero(segs.any(axis=(1, 2))).tolist(), model.steps


def test_the_state_goes_from_slice_to_slice_both_ways_from_that_of_the_middle():
    volume = np.stack([square_image(8, 2, 2, 3)] * 7)
    slices, steps = followed(volume, [1, 1, 1, 6, 6, 4])
    assert slices == [1, 2, 3, 4]
    assert [step.place for step in steps] == [[1, 2, 0], [2, 1, 1], [3, 0, 2], [0, 3, 1]]  # slices 2, 3, 4, 1
    assert [step.count for step in steps] == [0, 1, 2, 1]
    middle, up, upmost, down = (step.box for step in steps)
    assert [step.last_box for step in steps] == [[0] * 4, middle, up, middle]
    assert middle != up == upmost == down


def test_where_the_extent_is_given_presence_ends_nothing():
    volume = np.stack([square_image(8, 2, 2, 3)] * 7)
    assert followed(volume, [1, 1, 1, 6, 6, 5], lasts=0)[0] == [1, 2, 3, 4, 5]


def test_the_last_mask_prompts_a_followed_object_within_the_given_box_which_prompts_after_an_empty_mask():
    volume = np.stack([square_image(8, 2, 3, 2)] * 7)
    volume[4] = 0
    slices, steps = followed(volume, [0, 2, 0, 7, 8, 6])
    assert slices == [0, 1, 2, 3, 5, 6]
    margin = 8 * MARGIN_GIVEN
    given, around = [0, 2, 7, 8], [3 - margin, 2, 5 + margin, 4 + margin]
    assert [step.box for step in steps] == [given, around, given, around, around, around, around]  # slice 5 after 4


def test_the_given_box_may_prompt_a_followed_object_on_every_slice(monkeypatch):
    monkeypatch.setattr(reference, "FOLLOWED_BOX", reference.GIVEN_BOX)
    _, steps = followed(np.stack([square_image(8, 2, 3, 2)] * 7), [0, 2, 0, 7, 8, 6])
    assert [step.box for step in steps] == [[0, 2, 7, 8]] * 7


def test_a_box_of_one_slice_is_followed_until_it_has_no_mask_or_the_volume_ends():
    volume = np.stack([square_image(8, 2, 3, 2)] * 7)
    volume[2] = 0
    box = [2, 2, 4, 6, 6, 4]
    assert followed(volume, box)[0] == [4]  # with the extent given
    slices, steps = followed(volume, box, extent="find")
    assert slices == [3, 4, 5, 6]
    assert [step.place for step in steps] == [[-1, -1, steps] for steps in (0, 1, 2, 1, 2)]
    assert [step.count for step in steps] == [0, 1, 2, 1, 2]
    assert followed(volume, [2, 2, 2, 6, 6, 2], extent="find")[0] == []


@pytest.mark.parametrize(("lasts", "found"), [(0, [3]), (1, [3]), (2, [2, 3, 4]), (3, [1, 2, 3, 4, 5])])
def test_a_box_of_one_slice_is_there_and_is_followed_while_it_is_present(lasts, found):
    volume = np.stack([square_image(8, 2, 3, 2)] * 7)
    assert followed(volume, [2, 2, 3, 6, 6, 3], lasts=lasts, extent="find")[0] == found


def test_an_object_may_grow_out_of_its_box_of_one_slice_but_not_out_of_the_image():
    volume = np.stack([square_image(8, 2, x, 2) for x in (6, 5, 4, 3)]).repeat(2, axis=0)
    model, box = Following(), np.array([[3, 2, 7, 5, 4, 7]])
    segment_reference(model, volume, box, strategy="propagate", extent="find")
    margin = 8 * MARGIN_FOUND
    assert model.steps[1].box == [3 - margin, 2 - margin, 5 + margin, 4 + margin]
    slices = np.stack([square_image(8, 2, 6, 2)] * 2)
    segment_reference(model, slices, np.array([[5, 2, 0, 8, 4, 0]]), strategy="propagate", extent="find")
    assert model.steps[-1].box == [6 - margin, 2 - margin, 8, 4 + margin]


def test_boxes_of_several_slices_keep_their_extent_where_others_are_found():
    volume = np.stack([square_image(8, 2, 3, 2)] * 7)
    slices, steps = followed(volume, [2, 2, 2, 6, 6, 3], lasts=0, extent="find")
    assert slices == [2, 3]
    assert [step.place for step in steps] == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(("model", "strategy"), [(Following(), "flatten"), (BrightInsideBox(), "propagate")])
def test_extents_that_cannot_be_found_are_refused_and_images_have_none(model, strategy):
    volume, how = np.stack([square_image(8, 2, 3, 2)] * 7), {"strategy": strategy, "extent": "find"}
    with pytest.raises(ValueError, match="extents are found by propagation"):
        segment_reference(model, volume, np.array([[2, 2, 3, 6, 6, 3]]), **how)
    assert segment_reference(model, volume[0], np.array([[2, 2, 6, 6]]), **how).any()


def test_box_around_a_mask_goes_by_pixel_edges_and_stays_inside():
    mask = np.zeros((128, 256), bool)
    mask[0, 10] = mask[5, 20] = True
    assert box_around(mask, 3 / 256, given=np.array([2, 0, 60, 60])).tolist() == [7, 0, 24, 9]
    assert box_around(mask, 3 / 256, given=np.array([8, 0, 60, 5])).tolist() == [8, 0, 24, 5]
    beside = np.array([40, 40, 60, 60])
    assert box_around(mask, 3 / 256, given=beside) is beside


def test_contested_pixels_go_to_the_later_box_or_the_higher_logit():
    class LogitByBox(BrightInsideBox):
        def decode(self, embeddings, boxes, image_index=None):
            return torch.full((1, 8, 8), float(boxes[0, 0])), torch.ones(1)  # the box's x_min everywhere

    image, boxes = np.zeros((8, 8), np.uint8), np.array([[2, 0, 8, 8], [3, 0, 8, 8], [1, 0, 8, 8], [3, 1, 8, 8]])
    assert np.unique(segment_reference(LogitByBox(), image, boxes, overlap="later")).tolist() == [4]
    assert np.unique(segment_reference(LogitByBox(), image, boxes, overlap="logit")).tolist() == [2]


def test_contested_pixels_go_to_the_smaller_box_at_equal_logits():
    class SameLogit(BrightInsideBox):
        def decode(self, embeddings, boxes, image_index=None):
            return torch.full((1, 8, 8), 2.0), torch.ones(1)

    image, boxes = np.zeros((8, 8), np.uint8), np.array([[0, 0, 8, 8], [2, 2, 4, 4], [0, 0, 8, 4]])
    assert np.unique(segment_reference(SameLogit(), image, boxes, overlap="size")).tolist() == [2]


def test_more_than_255_boxes_need_16_bits():
    boxes = np.tile([[0, 0, 8, 8]], (256, 1))
    segs = segment_reference(BrightInsideBox(), square_image(8, 2, 2, 4), boxes)
    assert segs.dtype == np.uint16
    assert segs.max() == 256


def test_command_line_segments_a_folder_and_names_the_case_that_fails(tmp_path, capsys, monkeypatch):
    checkpoint = tmp_path / "model.pth"
    save_checkpoint(checkpoint, build_model("litemedsam"))
    (tmp_path / "in").mkdir()
    image, boxes = square_image(32, 8, 8, 12), np.array([[4, 4, 24, 24]])
    np.savez(tmp_path / "in" / "2DBox_X_1.npz", imgs=image, boxes=boxes)
    np.savez(tmp_path / "in" / "2DBox_X_0.npz", imgs=image)
    status = main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--checkpoint", str(checkpoint)])
    assert status == 1
    assert "2DBox_X_0.npz" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2DBox_X_1.npz"]
    with np.load(tmp_path / "out" / "2DBox_X_1.npz") as result:
        assert result["segs"].shape == (32, 32)


def test_command_line_finds_extents(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "load_model", lambda path, name: Following(lasts=2))
    np.savez(tmp_path / "3DBox_X_0.npz", imgs=np.stack([square_image(8, 2, 3, 2)] * 7), boxes=[[2, 2, 3, 6, 6, 3]])
    arguments = ["-i", tmp_path / "3DBox_X_0.npz", "-o", tmp_path / "out", "--checkpoint", "any"]
    for extent, slices in (("given", [3]), ("find", [2, 3, 4])):
        assert main([*map(str, arguments), "--strategy", "propagate", "--extent", extent]) == 0
        with np.load(tmp_path / "out" / "3DBox_X_0.npz") as result:
            assert np.flatnonzero(result["segs"].any(axis=(1, 2))).tolist() == slices
