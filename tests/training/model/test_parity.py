"""Is the model LiteMedSAM (MedSAM), name by name and number by number?"""

import csv

import numpy as np
import pytest
import torch

from tests.support.parity import fill_by_rule, relative_error
from training.model import build_model
from training.model.tiny_vit import WindowAttention, offset_index

TOLERANCE = 1e-4


def published_entries(path) -> dict[str, tuple[tuple[int, ...], str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    shape = {row["name"]: () if row["shape"] == "scalar" else tuple(map(int, row["shape"].split("x"))) for row in rows}
    return {row["name"]: (shape[row["name"]], row["dtype"]) for row in rows}


@pytest.mark.parametrize("name", ["litemedsam", "medsam_vit_b"])
def test_state_dictionary_is_the_published_one(shared_parity, name):
    ours = {key: (tuple(v.shape), str(v.dtype).split(".")[1]) for key, v in build_model(name).state_dict().items()}
    assert ours == published_entries(shared_parity / f"{name}_state_dict.csv")


@torch.no_grad()
def test_litemedsam_matches_the_reference_outputs(shared_parity):
    reference = np.load(shared_parity / "litemedsam.npz")
    model = fill_by_rule(build_model("litemedsam"))

    embeddings = model.encode(torch.from_numpy(reference["image"]))
    logits, iou = model.decode(embeddings, torch.from_numpy(reference["boxes"]))

    assert relative_error(embeddings[0].numpy(), reference["image_embedding"]) < TOLERANCE
    assert relative_error(logits.numpy(), reference["low_res_logits"]) < TOLERANCE
    assert relative_error(iou.numpy(), reference["iou"]) < TOLERANCE


@pytest.mark.slow
@torch.no_grad()
def test_medsam_vit_b_matches_the_reference_outputs(shared_parity):
    reference = np.load(shared_parity / "medsam_vit_b.npz")
    model = fill_by_rule(build_model("medsam_vit_b"))

    image = np.random.default_rng(7).random((1, 3, 1024, 1024), dtype=np.float32)
    embeddings = model.encode(torch.from_numpy(image))
    logits, _ = model.decode(embeddings, torch.from_numpy(reference["boxes"]))

    embedding = embeddings[0][0].numpy()
    assert relative_error(embedding.mean((1, 2)), reference["image_embedding_mean"]) < TOLERANCE
    assert relative_error(embedding[:, :8, :8], reference["image_embedding_corner"]) < TOLERANCE
    assert relative_error(logits.numpy(), reference["low_res_logits"]) < TOLERANCE


@torch.no_grad()
def test_boxes_on_several_images_equal_boxes_on_each_alone():
    model = fill_by_rule(build_model("litemedsam"))
    embeddings = torch.randn(2, 256, 64, 64, generator=torch.manual_seed(0))
    boxes = torch.tensor([[10.0, 20, 100, 90], [30, 30, 200, 220], [0, 0, 256, 256]])

    together, iou = model.decode((embeddings,), boxes, torch.tensor([0, 1, 0]))

    for i, image in enumerate([0, 1, 0]):
        alone, iou_alone = model.decode((embeddings[image : image + 1],), boxes[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(iou[i], iou_alone[0], rtol=1e-4, atol=1e-4)


def test_evaluation_uses_the_attention_biases_at_the_time_of_eval():
    attention = WindowAttention(width=8, heads=2, size=3)
    x = torch.randn(1, 9, 8, generator=torch.manual_seed(0))
    without_bias = attention(x)
    attention.eval()
    with torch.no_grad():
        attention.attention_biases.copy_(torch.randn(2, 9))

    torch.testing.assert_close(attention(x), without_bias)  # looked up before the change
    attention.eval()
    evaluated = attention(x)
    assert not torch.allclose(evaluated, without_bias)
    torch.testing.assert_close(attention.train()(x), evaluated)


def test_attention_bias_of_two_tokens_depends_on_their_offsets_size():
    index = offset_index(3)  # tokens are numbered row by row
    assert index[0].tolist() == list(range(9))
    assert index[4].tolist() == [4, 3, 4, 1, 0, 1, 4, 3, 4]  # the middle token: |dy| * 3 + |dx|
    assert torch.equal(index, index.T)


def test_unknown_model_is_named_with_the_choices():
    with pytest.raises(ValueError, match=r"unknown model 'unet': choose one of .*litemedsam"):
        build_model("unet")
