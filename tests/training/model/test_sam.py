"""SAM's models on images of another size than their own."""

import pytest
import torch

from tests.support.small_sam import GRID, SIZE, WIDTH, small_sam
from training.model.prompt_encoder import PromptEncoder
from training.model.sam import SAM, medsam_vit_b


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
