"""SAM's models on images of another size than their own."""

import pytest
import torch

from tests.support.small_sam import GRID, SIZE, WIDTH, small_sam
from training.flops import parts_of
from training.model.prompt_encoder import PromptEncoder
from training.model.sam import SAM, lite_medsam, medsam_vit_b, narrow_lite_medsam


def test_small_images_take_the_same_weights():
    model, like = small_sam(), small_sam()
    model.take_inputs_of(SIZE // 2)
    assert (model.input_size, model.logit_size) == (SIZE // 2, SIZE // 2)
    assert model.state_dict().keys() == like.state_dict().keys()
    # As a model that was made for that size:
    made = SAM("made", model.image_encoder, PromptEncoder(SIZE // 2, GRID // 2, WIDTH), model.mask_decoder)
    made.prompt_encoder.load_state_dict(model.prompt_encoder.state_dict())
    image, boxes = torch.rand(1, 3, SIZE // 2, SIZE // 2), torch.tensor([[3.0, 4.0, 20.0, 30.0]])
    with torch.no_grad():
        logits, iou = model.decode(model.encode(image), boxes)
        expected, expected_iou = made.decode(made.encode(image), boxes)
    assert logits.shape == (1, SIZE // 2, SIZE // 2)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(iou, expected_iou)


def test_a_model_that_knows_positions_stays_at_its_size():
    with torch.device("meta"):
        model = medsam_vit_b()
    with pytest.raises(ValueError, match=r"data\.input_size=512: the model medsam_vit_b takes 1024 only"):
        model.take_inputs_of(512)


def test_a_size_that_the_stride_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"data\.input_size=30: a multiple of 4 is needed"):
        small_sam().take_inputs_of(30)


def test_the_narrow_litemedsam_is_litemedsam_of_a_quarter_of_the_width():
    with torch.device("meta"):
        narrow, whole = narrow_lite_medsam(), lite_medsam()
    assert narrow.state_dict().keys() == whole.state_dict().keys()  # so many blocks, of these kinds, in this order
    for mine, theirs in zip(narrow.image_encoder.layers[1:], whole.image_encoder.layers[1:], strict=True):
        assert [block.window for block in mine.blocks] == [block.window for block in theirs.blocks]
        assert 4 * mine.blocks[0].attn.qkv.in_features == theirs.blocks[0].attn.qkv.in_features
    assert 3 <= parts_of(narrow).set_index("part").loc["all", "GFLOPs"] <= 6.1
