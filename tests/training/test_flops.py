"""Parameters and FLOPs of the parts of the models, against counts by hand and the papers' figures."""

import pytest

from tests.support.small_sam import GRID, SIZE, small_vit_sam
from training import flops
from training.flops import parts_of
from training.model import build_model


def test_parts_of_litemedsam_are_as_large_as_the_paper_says():
    table = parts_of(build_model("litemedsam")).set_index("part")
    assert table["parameters / M"].round(2).to_dict() == {
        "image_encoder": 5.73,
        "prompt_encoder": 0.01,
        "mask_decoder": 4.06,
        "all": 9.79,
    }
    assert table.loc["image_encoder", "GFLOPs"] == pytest.approx(75, abs=1)
    parts = table.drop(index="all")
    assert parts["GFLOPs"].sum() == pytest.approx(table.loc["all", "GFLOPs"], abs=0.02)


def test_flops_are_two_for_each_product_and_sum():
    model = small_vit_sam()
    encoder = parts_of(model).set_index("part").loc["image_encoder"]
    tokens, padded, width, hidden, out = GRID**2, 21**2, 16, 64, 64
    patches = tokens * width * 3 * (SIZE // GRID) ** 2
    mlp = 2 * 2 * tokens * width * hidden  # two layers in two blocks
    projections = 4 * (tokens + padded) * width**2
    products = 2 * width * (tokens**2 + 9 * 49**2)  # of the global block, and of 9 windows of 7 x 7 tokens
    positions = 2 * width * (tokens * 16 + padded * 7)  # decomposed: rows and columns
    neck = tokens * out * (width + 9 * out)
    macs = patches + mlp + projections + products + positions + neck
    assert encoder["GMACs"] == pytest.approx(macs / 1e9, abs=0.005)


def test_every_model_is_listed(capsys):
    assert flops.main(["--models", "light", "litemedsam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        [model, part]
        for model in ("light", "litemedsam")
        for part in ("image_encoder", "prompt_encoder", "mask_decoder", "all")
    ]
