"""The form for export: the numbers of the model, from a graph that moves little data."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from tests.support.engines import compile_openvino
from tests.support.small_sam import small_sam
from tests.training.quantization.test_quantization import batch, calibrated
from training.export.form import for_export
from training.export.form.layers import rows, to_map
from training.export.form.mask_decoder import ExportedMaskDecoder, on_rows
from training.export.form.runs import on_runs
from training.export.form.tiny_vit import window_slots
from training.model import build_model
from training.model.untrained import fill_randomly
from training.model.windows import partition
from training.quantization import Recipe, calibrate, expect_scales, merge_batchnorm, quantize
from training.quantization.layers import counterpart

WORK_ON_IMAGE = tuple(
    f"mask_decoder.{part}" for part in ("*cross_attn_*", "*final_attn_*", "output_upscaling.*", "mask_product")
)
RECIPES = {  # and whether the mask decoder can be rearranged
    "float": (None, True),
    "per channel": (Recipe(), False),
    "per tensor": (Recipe(weights="per_tensor"), False),
    "encoder alone": (Recipe(mask_decoder=False, attention_products=False), True),
    "all but the decoder's work on the image": (Recipe(keep_float=WORK_ON_IMAGE), True),
}


@pytest.mark.parametrize("name", RECIPES)
@torch.no_grad()
def test_same_numbers_as_the_model(name):
    recipe, rearranged = RECIPES[name]
    model = calibrated(recipe) if recipe else small_sam()
    # In double precision rounding errors are too small to tip a quantized value over to the next integer.
    model = merge_batchnorm(model.double().eval())
    image, boxes = batch().images[:1].double(), batch().boxes.double()
    (embedding,) = model.encode(image)
    logits, iou = model.decode((embedding,), boxes)

    exported = for_export(model).double()

    assert isinstance(exported.mask_decoder, ExportedMaskDecoder) == rearranged
    embeddings = exported.encode(image)
    exact = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(embeddings, (rows(embedding),), **exact)
    torch.testing.assert_close(exported.decode(embeddings, boxes), (logits, iou), **exact)


@torch.no_grad()
def test_handing_over_leaves_the_model_as_it_is():
    model, untouched = merge_batchnorm(small_sam()), merge_batchnorm(small_sam())
    for_export(model)
    image = batch().images[:1]
    torch.testing.assert_close(model.encode(image), untouched.encode(image), rtol=0, atol=0)
    assert list(model.state_dict()) == list(untouched.state_dict())


@pytest.mark.parametrize("quantized", [False, True])
@torch.no_grad()
def test_light_model_hands_over_channels_last_with_the_same_numbers(quantized):
    model = build_model("light").eval()
    fill_randomly(model, seed=2)
    images = torch.rand(1, 3, 256, 256, generator=torch.manual_seed(0))
    boxes = torch.tensor([[10.0, 20, 120.5, 90], [30, 5, 60, 250]])
    if quantized:
        calibrate(quantize(model, Recipe()), [SimpleNamespace(images=images, boxes=boxes, image_index=None, clips=())])
    model = merge_batchnorm(model.double())
    images, boxes = images.double(), boxes.double()
    embeddings = model.encode(images)
    logits, iou = model.decode(embeddings, boxes)

    exported = for_export(model).double()

    handed_over = exported.encode(images)
    assert [tuple(e.shape) for e in handed_over] == [
        (1, 16, 16, 128),
        (1, 32, 32, 96),
        (1, 64, 64, 48),
        (1, 128, 128, 16),
    ]
    exact = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(handed_over, tuple(e.permute(0, 2, 3, 1) for e in embeddings), **exact)
    torch.testing.assert_close(exported.decode(handed_over, boxes), (logits, iou), **exact)


@pytest.mark.parametrize("quantized", [False, True])
@torch.no_grad()
def test_the_form_for_one_object_follows_it_as_the_model_does(quantized):
    model = build_model("light").eval()
    model.learn_to_follow()
    fill_randomly(model, seed=2)
    images = torch.rand(2, 3, 256, 256, generator=torch.manual_seed(0))
    box, places = torch.tensor([[10.0, 20, 120.5, 90]]), torch.tensor([[[3.0, 4, 0], [4, 3, 1]]])
    neighbours = torch.rand(1, 2, 64, 64, generator=torch.manual_seed(1))
    if quantized:
        clip = SimpleNamespace(boxes=box, frames=torch.tensor([[0, 1]]), places=places, neighbours=neighbours)
        index = torch.tensor([0])
        calibrate(
            quantize(model, Recipe(weight_bits=7)),
            [SimpleNamespace(images=images, boxes=box, image_index=index, clips=[clip])],
        )
    model = merge_batchnorm(model.double())
    exported = for_export(model).double()
    prompts = [box.double(), neighbours.double()]

    state = exported_state = model.empty_state(1, prompts[0])
    for image, place in zip(images.double(), places.double()[0], strict=True):
        embeddings = model.encode(image[None])
        followed = model.follow(embeddings, prompts[0], place[None], prompts[1], state)
        handed_over = tuple(embedding.permute(0, 2, 3, 1) for embedding in embeddings)
        found = exported.follow(handed_over, prompts[0], place[None], prompts[1], exported_state)
        torch.testing.assert_close(found, followed, rtol=1e-9, atol=1e-9)
        state, exported_state = followed.state, found.state


@pytest.mark.parametrize("quantized", [False, True])
@torch.no_grad()
def test_a_convolution_of_runs_is_the_convolution(quantized):
    conv, channels, length = torch.nn.Conv2d(3, 5, 3, padding=1), 5, 4
    if quantized:
        conv = counterpart(conv, Recipe(weight_bits=7)).eval()
        expect_scales(conv)
    x = torch.rand(2, 3, 6, 8, generator=torch.manual_seed(0))
    expected = conv(x).permute(0, 2, 3, 1).reshape(2, 6, 2, length * channels)

    order = torch.randperm(length * channels, generator=torch.manual_seed(1))
    runs = x.permute(0, 2, 3, 1).reshape(2, 6, 2, length * 3).permute(0, 3, 1, 2)
    found = on_runs(conv, length, order).eval()(runs).permute(0, 2, 3, 1)

    torch.testing.assert_close(found, expected[..., order])


def test_models_without_a_form_of_their_own_are_handed_back():
    model = torch.nn.Identity()
    assert for_export(model) is model


def test_slots_of_windows_are_numbered_by_the_tokens_in_them():
    # A 3 x 3 map in windows of 2 x 2, padded at the right and the bottom by token 9.
    assert window_slots(3, 2).tolist() == [0, 1, 3, 4, 2, 9, 5, 9, 6, 7, 9, 9, 8, 9, 9, 9]


def test_gathered_windows_are_the_partition_of_the_map():
    x = torch.randn(1, 10, 10, 4, generator=torch.manual_seed(0))
    windows, _ = partition(x, 7)
    padded = torch.cat([x.flatten(1, 2), torch.zeros(1, 1, 4)], dim=1)
    assert torch.equal(padded[0, window_slots(10, 7)], windows.flatten(0, 2))


@torch.no_grad()
def test_transposed_convolution_on_rows_is_the_convolution_pixel_by_pixel():
    conv = torch.nn.ConvTranspose2d(6, 5, 2, stride=2)
    x = torch.randn(2, 6, 3, 4, generator=torch.manual_seed(0))
    on_row = on_rows(conv)(rows(x)).reshape(2, 3, 4, 2, 2, 5)  # (N, h, w, 2, 2, C)
    torch.testing.assert_close(on_row.permute(0, 5, 1, 3, 2, 4).reshape(2, 5, 6, 8), conv(x))


def test_rows_are_pixels_in_reading_order():
    x = torch.arange(24).reshape(1, 2, 3, 4)
    assert rows(x)[0, 5].tolist() == [5, 17]  # second row, second column
    assert torch.equal(to_map(rows(x), 3, 4), x)


def test_runtime_graph_of_litemedsam_moves_little_data(untrained):
    folder = untrained("litemedsam")[1]
    encoder, decoder = (layers(folder / name) for name in ("encoder.onnx", "decoder.onnx"))
    blocks = 10
    assert encoder["Gather"] == 2 * blocks  # into windows and out of them
    assert encoder["FullyConnected"] == 6 * blocks  # query, key, value, projection, and two of the MLP
    assert not encoder.keys() & {"Split", "VariadicSplit", "Slice", "StridedSlice", "Concatenation", "Deconvolution"}
    assert not decoder.keys() & {"Split", "VariadicSplit", "Convolution", "Deconvolution"}


def layers(path) -> Counter:
    """How many operations of each kind the compiled graph has."""
    operations = compile_openvino(path).get_runtime_model().get_ops()
    return Counter(operation.get_rt_info()["layerType"].astype(str) for operation in operations)
