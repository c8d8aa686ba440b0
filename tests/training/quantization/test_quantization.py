"""Quantization: what is quantized, scales from data, gradients to scales, batch norms merged to the integer."""

import copy
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from tests.support.small_sam import SIZE, small_sam, small_vit_sam
from training.model import build_model, checkpoint
from training.model.checkpoint import load_model, save_checkpoint
from training.model.layers import ConvBN, MatMul
from training.quantization import Recipe, calibrate, expect_scales, merge_batchnorm, quantize
from training.quantization.layers import QuantMatMul
from training.quantization.quantize import activation_scales, is_set

BOXES = torch.tensor([[5.0, 8, 30, 35], [20, 10, 60, 55]])
QUANTIZED = (qnn.QuantLinear, qnn.QuantConv2d, qnn.QuantConvTranspose2d, QuantMatMul)


def batch(seed: int = 0) -> SimpleNamespace:
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.manual_seed(seed))
    return SimpleNamespace(images=images, boxes=BOXES, image_index=torch.tensor([0, 1]), clips=())


@cache
def prepared(recipe: Recipe) -> nn.Module:
    model = quantize(small_sam(), recipe)
    calibrate(model, [batch()])
    return model


def calibrated(recipe: Recipe) -> nn.Module:
    return copy.deepcopy(prepared(recipe))


def quantized_names(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, QUANTIZED)}


def test_default_recipe_quantizes_all_that_runs_but_the_prompt_encoder():
    model = small_sam()
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, MatMul)
    expected = {
        name
        for name, module in model.named_modules()
        if isinstance(module, layers)
        and not name.startswith(("prompt_encoder", *(f"mask_decoder.output_hypernetworks_mlps.{i}" for i in (1, 2, 3))))
    }
    assert quantized_names(quantize(model, Recipe())) == expected


def test_of_what_a_volume_decoder_remembers_the_maps_for_its_mask_decoder_are_quantized_and_no_comparison():
    names = quantized_names(quantize(model_that_follows(), Recipe()))
    memory = {f"volume_decoder.slice_memory.{name}" for name in ("mix", "adds.0", "adds.1", "adds.2")}
    assert {name for name in names if "slice_memory" in name} == memory
    assert quantized_names(quantize(model_that_follows(), Recipe(mask_decoder=False))).isdisjoint(memory)


def model_that_follows() -> nn.Module:
    model = build_model("light")
    model.learn_to_follow()
    return model


@pytest.mark.parametrize("name", ["litemedsam", "light"])
def test_float_checkpoint_names_stay_in_the_quantized_model(name):
    model = build_model(name)
    before = set(model.state_dict())
    added = set(expect_scales(quantize(model, Recipe())).state_dict()) - before
    assert before < set(model.state_dict())
    assert all(entry.endswith("tensor_quant.scaling_impl.value") for entry in added)


def test_recipe_chooses_parts_products_and_exceptions():
    everything = quantized_names(quantize(small_sam(), Recipe()))
    encoder = quantized_names(quantize(small_sam(), Recipe(mask_decoder=False)))
    assert encoder == {name for name in everything if name.startswith("image_encoder.")}

    without_products = quantized_names(quantize(small_sam(), Recipe(attention_products=False)))
    assert everything - without_products == {
        name for name in everything if name.endswith(("query_key", "attention_value", "mask_product"))
    }

    ends = Recipe(keep_float=("image_encoder.patch_embed.*", "mask_decoder.iou_prediction_head.*"))
    kept = everything - quantized_names(quantize(small_sam(), ends))
    assert len(kept) == 5
    assert all("patch_embed" in name or "iou_prediction_head" in name for name in kept)


@pytest.mark.parametrize("product", ["mask_decoder.mask_product", "image_encoder.blocks.1.attn.query_key"])
@torch.no_grad()
def test_the_last_product_of_the_decoder_and_those_of_vit_are_products_to_quantize(product):
    model = small_vit_sam()
    data = batch()
    assert {f"image_encoder.blocks.{i}.attn.{name}" for i in (0, 1) for name in ("query_key", "attention_value")} < (
        quantized_names(quantize(small_vit_sam(), Recipe()))
    )
    logits, _ = model.decode(model.encode(data.images), data.boxes, data.image_index)
    quantize(model, Recipe(keep_float=tuple(name for name, _ in model.named_modules() if name not in ("", product))))
    calibrate(model, [data])
    assert quantized_names(model) == {product}
    rounded, _ = model.decode(model.encode(data.images), data.boxes, data.image_index)
    assert 0 < (rounded - logits).norm() / logits.norm() < 0.05


@pytest.mark.parametrize(("weights", "shape"), [("per_tensor", ()), ("per_channel", (16, 1, 1, 1))])
def test_weight_scales_are_per_tensor_or_per_channel(weights, shape):
    layer = quantize(small_sam(), Recipe(weights=weights)).image_encoder.patch_embed.seq[2].c
    assert layer.weight_quant.scale().shape == shape
    integers = layer.quant_weight().int()
    assert integers.abs().max() == 127


@pytest.mark.parametrize(("bits", "largest"), [(7, 63), (6, 31), (5, 15), (4, 7), (3, 3)])
def test_weights_of_fewer_bits_use_a_part_of_the_range_of_int8(bits, largest):
    layer = quantize(small_sam(), Recipe(weight_bits=bits)).image_encoder.patch_embed.seq[2].c
    assert layer.quant_weight().int().abs().max() == largest


@pytest.mark.parametrize("bits", [2, 9, "8"])
def test_other_numbers_of_bits_are_refused(bits):
    with pytest.raises(ValueError, match=f"weight_bits is {bits!r}: choose 3, 4, 5, 6, 7 or 8"):
        Recipe(weight_bits=bits)


def test_recipe_survives_yaml_and_refuses_what_it_does_not_know():
    recipe = Recipe(weights="per_tensor", keep_float=("image_encoder.neck.*",))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(ValueError, match="no option wieghts"):
        Recipe.from_dict({"wieghts": "per_tensor"})
    with pytest.raises(ValueError, match="per_row"):
        Recipe(weights="per_row")


class Line(nn.Module):
    """One linear layer behind the interface that calibration calls."""

    def __init__(self):
        super().__init__()
        self.image_encoder = nn.Linear(4, 4)
        self.mask_decoder = nn.Linear(4, 4)

    def encode(self, images):
        return (self.image_encoder(images),)

    def decode(self, embeddings, boxes, image_index=None, clips=()):
        return embeddings[0], boxes  # the decoder is never called


def test_scale_is_the_largest_magnitude_averaged_over_batches():
    model = quantize(Line(), Recipe(mask_decoder=False))
    batches = [
        SimpleNamespace(images=x, boxes=None, image_index=None, clips=())
        for x in (torch.tensor([[4.0, -1, 0, 2]]), -torch.ones(1, 4) * 8)
    ]
    calibrate(model, batches)
    assert model.image_encoder.input_quant.scale().item() == pytest.approx((4 + 8) / 2 / 128)


def test_input_that_is_never_negative_has_no_sign_bit():
    model = quantize(Line(), Recipe(mask_decoder=False))
    inputs = torch.tensor([[4.0, 1, 0, 2]]), torch.tensor([[8.0, 0, 0, 0]])
    calibrate(model, [SimpleNamespace(images=x, boxes=None, image_index=None, clips=()) for x in inputs])
    assert model.recipe.unsigned == ("image_encoder",)
    assert model.image_encoder.input_quant.scale().item() == pytest.approx((4 + 8) / 2 / 255)
    assert not model.image_encoder.input_quant.is_signed


def test_signed_recipe_keeps_the_sign_bit_of_what_is_never_negative():
    model = quantize(Line(), Recipe(mask_decoder=False, signed=True))
    calibrate(model, [SimpleNamespace(images=torch.ones(1, 4), boxes=None, image_index=None, clips=())])
    assert model.recipe.unsigned == ()
    assert model.image_encoder.input_quant.is_signed
    assert model.image_encoder.input_quant.scale().item() == pytest.approx(1 / 128)
    with pytest.raises(ValueError, match="leaves no layer unsigned, but image_encoder is to be"):
        Recipe(signed=True, unsigned=("image_encoder",))


def test_one_negative_input_keeps_the_sign_bit():
    model = quantize(Line(), Recipe(mask_decoder=False))
    inputs = torch.tensor([[4.0, 1, 0, 2]]), torch.tensor([[-0.01, 0, 0, 0]])
    calibrate(model, [SimpleNamespace(images=x, boxes=None, image_index=None, clips=()) for x in inputs])
    assert model.recipe.unsigned == ()
    assert model.image_encoder.input_quant.is_signed


def test_quantizer_without_data_is_named():
    model = quantize(Line(), Recipe())
    batches = [SimpleNamespace(images=torch.ones(1, 4), boxes=None, image_index=None, clips=())]
    with pytest.raises(ValueError, match=r"1 quantizers in calibration, the first is mask_decoder\.input_quant"):
        calibrate(model, batches)


def test_second_stage_quantizes_the_decoder_and_keeps_the_encoders_scales():
    model = calibrated(Recipe(mask_decoder=False))
    first = {name: scale.value.clone() for name, scale in activation_scales(model).items()}

    quantize(model, Recipe(image_encoder=False))
    calibrate(model, [batch(seed=1)])

    assert replace(model.recipe, unsigned=()) == Recipe()
    assert any(name.startswith("mask_decoder") for name in model.recipe.unsigned)  # after the ReLUs
    scales = activation_scales(model)
    assert len(scales) > len(first)
    assert all(is_set(scale) for scale in scales.values())
    assert all(torch.equal(scales[name].value, value) for name, value in first.items())


def test_calibration_changes_nothing_but_scales():
    before = small_sam().state_dict()
    model = quantize(small_sam(), Recipe()).train()
    calibrate(model, [batch()])
    assert model.training
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@torch.no_grad()
def test_quantized_model_stays_close_to_floating_point():
    data = batch()
    reference = small_sam()
    expected, _ = reference.decode(reference.encode(data.images), data.boxes, data.image_index)
    model = calibrated(Recipe()).eval()
    logits, _ = model.decode(model.encode(data.images), data.boxes, data.image_index)
    error = (logits - expected).norm() / expected.norm()
    assert 1e-4 < error < 0.15  # quantized, and not broken


@pytest.mark.parametrize("weights", ["per_tensor", "per_channel"])
def test_gradient_reaches_every_scale_and_every_quantized_weight(weights):
    model = calibrated(Recipe(weights=weights)).train()
    data = batch()
    logits, iou = model.decode(model.encode(data.images), data.boxes, data.image_index)
    (logits.square().mean() + iou.square().mean()).backward()
    layers = quantized_names(model)
    learned = {name: scale.value for name, scale in activation_scales(model).items()}
    learned |= {name: p for name, p in model.named_parameters() if name.removesuffix(".weight") in layers}
    assert [name for name, value in learned.items() if value.grad is None or not value.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("recipe", [None, Recipe(), Recipe(weights="per_tensor")], ids=["float", "channel", "tensor"])
@torch.no_grad()
def test_merging_batch_norms_changes_no_number(recipe):
    model = calibrated(recipe) if recipe else small_sam()
    # In double precision rounding errors are too small to tip a value over to the next integer.
    model.double().eval()
    images = batch().images.double()
    (expected,) = model.encode(images)

    (embedding,) = merge_batchnorm(model).encode(images)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(embedding, expected, rtol=1e-9, atol=1e-9)


def test_negative_and_vanishing_batch_norm_factors_merge():
    layer = nn.Sequential(ConvBN(3, 4, kernel=3)).double()
    layer[0].bn.weight.data = torch.tensor([-2.0, 0.5, 0.0, 1.0]).double()
    layer[0].bn.running_mean.normal_()
    model = nn.Module()
    model.image_encoder = layer
    quantize(model, Recipe(weights="per_tensor"))
    expect_scales(model).double().eval()
    image = torch.rand(1, 3, 8, 8, generator=torch.manual_seed(0)).double() / 2
    expected = model.image_encoder(image)
    merge_batchnorm(model)
    torch.testing.assert_close(model.image_encoder(image), expected)


def test_batch_norm_after_anything_but_a_convolution_is_refused():
    with pytest.raises(ValueError, match="1: no convolution before this batch norm"):
        merge_batchnorm(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_parts_cannot_be_quantized_by_different_recipes():
    model = quantize(Line(), Recipe(mask_decoder=False))
    with pytest.raises(ValueError, match="by another recipe"):
        quantize(model, Recipe(weights="per_tensor"))


def test_quantizing_after_merging_is_refused():
    with pytest.raises(ValueError, match="quantize before merging"):
        quantize(merge_batchnorm(small_sam()), Recipe())


@pytest.mark.parametrize("weights", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("merge", [False, True])
@torch.no_grad()
def test_quantized_checkpoint_comes_back_as_it_was(tmp_path, monkeypatch, weights, merge):
    monkeypatch.setattr(checkpoint, "build_model", lambda name: small_sam())
    model = calibrated(Recipe(weights=weights))
    if merge:
        merge_batchnorm(model)
    save_checkpoint(tmp_path / "a.pth", model)

    loaded = load_model(tmp_path / "a.pth")

    assert loaded.recipe == model.recipe
    assert loaded.recipe.unsigned
    data = batch()
    for ours, theirs in zip(loaded.encode(data.images), model.eval().encode(data.images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
