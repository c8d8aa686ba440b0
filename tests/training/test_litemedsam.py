"""LiteMedSAM's one command, with a narrow model in its place, and what of the real one its settings quantize."""

import os
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from inference.cli import main as inference_main
from tests.support.data_root import write_phantom_root, write_validation_case
from tests.support.small_sam import SIZE, narrow_litemedsam, small_sam
from training import litemedsam
from training.configs import CONFIGS
from training.litemedsam import EXPORTED, SHIPPED, is_shipped, reason_to_keep
from training.model import MODELS, build_model
from training.model.checkpoint import load_model
from training.quantization import Recipe, quantize
from training.scoring.validation import ValidationConfig
from training.trainer.comparison import compare, read_comparison
from training.trainer.config import read_config

ENTRIES = ["float", "stage 1", "stage 2", "stage 3", EXPORTED, "PTQ"]


@pytest.mark.slow
def test_one_command_from_nothing_to_a_pair_that_segments(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(MODELS, "litemedsam", narrow_litemedsam)
    write_validation_case(tmp_path / "val", "2DBox_US_0001.npz", seed=1)
    root, runs, out = write_phantom_root(tmp_path / "root"), tmp_path / "runs", tmp_path / "weights"
    arguments = ["--root", root, "--val", tmp_path / "val", "--runs", runs, "--out", out, "--images", 2]
    small = [
        f"data.input_size={SIZE}",
        "data.on_device=false",
        "data.batch_size=1",
        "threads=1",
        "compiler=null",
    ]  # phantoms: 300 px
    tiny = [*small, "data.sampling.samples_per_modality=1"]
    command = [*map(str, arguments), "--least-dsc=0", *tiny, "data.sampling.samples_per_epoch=3", "budget.samples=1"]

    assert litemedsam.main(command) == 0
    table = pd.read_csv(runs / "table.csv")
    assert table["run"].tolist() == ENTRIES
    assert {"DSC US", "NSD US", "DSC mean", "NSD mean"} <= set(table)
    floating = load_model(runs / "stage0/best.pt")
    for name, value in load_model(out / "float").state_dict().items():
        torch.testing.assert_close(value, floating.state_dict()[name], rtol=1e-3, atol=1e-4)
    assert "teacher" not in capsys.readouterr().err
    assert "distil_logits" in pd.read_csv(runs / "small/steps.csv")
    rows = pd.read_csv(runs / "stage2/steps.csv"), pd.read_csv(runs / "stage1/steps.csv")
    assert "distil_logits" in rows[0]
    assert "distil_embeddings" in rows[1]

    segs = tmp_path / "segs"
    assert inference_main(["-i", str(tmp_path / "val/imgs"), "-o", str(segs), "--weights", str(out)]) == 0
    assert np.load(segs / "2DBox_US_0001.npz")["segs"].shape == (120, 160)

    ablation = read_comparison(CONFIGS / "compare/litemedsam_sampling.yaml")
    val = tmp_path / "val"
    roots = [f"init={runs}/stage0/best.pt", f"data.root={root}", f"validation.root={val}"]
    common = [*roots, *tiny, "budget.minutes=null", "budget.samples=1"]
    ablation = replace(ablation, validation=ValidationConfig(root=str(val)), common=common, runs=ablation.runs[:2])
    assert compare(ablation, tmp_path / "sampling")["run"].unique().tolist() == ["minimum", "tenth"]

    # Where all is done and shipped, there is nothing to train, to export or to score.
    def needless(*_: object) -> None:
        raise AssertionError("this was done before")

    stamps = {path: path.stat().st_mtime_ns for folder in (runs, out) for path in folder.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        for name in ("export_pair", "export_calibrated", "compare", "ship"):
            patched.setattr(litemedsam, name, needless)
        assert litemedsam.main(command) == 0
    assert "nothing is left to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps

    # Weights that have changed under a stage are noticed.
    before = (runs / "stage0/last.pt").stat().st_mtime_ns
    (runs / "stage0/best.pt").touch()
    assert litemedsam.main(command) == 2
    assert "stage1/last.pt: older than" in capsys.readouterr().err
    assert (runs / "stage0/last.pt").stat().st_mtime_ns == before

    # What is missing beside the pair is made up for, without a comparison of the pair with itself.
    monkeypatch.setattr(litemedsam, "train_all", lambda args: runs / "stage3/best.pt")
    entries = {"float": runs / "stage0/best.pt", EXPORTED: runs / "int8"}
    monkeypatch.setattr(litemedsam, "quantize_all", lambda args, last: dict(entries))
    (out / "float/image_encoder.pt").unlink()
    assert litemedsam.main(command) == 0
    assert (out / "float/image_encoder.pt").exists()
    assert pd.read_csv(runs / "table.csv")["run"].tolist() == list(entries)

    # A pair that is no better than another one that is there is not shipped.
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(out / name)
        graph.doc_string = "another file, the same masks"
        onnx.save(graph, out / name)
    before = (out / "encoder.onnx").stat().st_mtime_ns
    assert litemedsam.main(command) == 1
    assert "no better than" in capsys.readouterr().err
    assert (out / "encoder.onnx").stat().st_mtime_ns == before


def test_what_was_shipped_of_an_earlier_last_stage_is_not_the_end(tmp_path):
    runs, out, last = tmp_path / "runs", tmp_path / "out", tmp_path / "runs/stage3/best.pt"
    for path in (last, runs / "float/image_encoder.pt", runs / "int8/encoder.onnx", runs / "int8/decoder.onnx"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    assert not is_shipped(last, runs, out)
    litemedsam.ship(runs, out)
    assert is_shipped(last, runs, out)
    later = (runs / "int8/decoder.onnx").stat().st_mtime_ns + 1
    os.utime(last, ns=(later, later))
    assert not is_shipped(last, runs, out)


def test_an_output_that_cannot_be_written_is_found_before_training(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(litemedsam, "train_all", lambda args: pytest.fail("trained for nothing"))
    assert litemedsam.main(["--out", str(tmp_path / "file/weights")]) == 2
    assert "file is a file" in capsys.readouterr().err


def test_a_pair_is_shipped_that_is_good_and_better():
    assert reason_to_keep(pd.Series({EXPORTED: 86.0}), 0.86) is None
    assert reason_to_keep(pd.Series({EXPORTED: 87.1, SHIPPED: 87.0}), 0.86) is None
    assert "85.9 % is below 86" in reason_to_keep(pd.Series({EXPORTED: 85.9}), 0.86)
    assert "no better than the 87.0 %" in reason_to_keep(pd.Series({EXPORTED: 87.0, SHIPPED: 87.0}), 0.86)


@pytest.mark.parametrize("name", ["litemedsam.yaml", "litemedsam_sampling.yaml"])
def test_the_tables_of_the_paper_are_lists_that_can_be_run(name):
    comparison = read_comparison(CONFIGS / "compare" / name)
    for entry in comparison.entries:
        if entry.config:
            config = read_config(CONFIGS.parents[1] / entry.config, [*comparison.common, *entry.set, "output=x"])
            assert (config.budget.minutes, config.budget.samples) == (None, 20000)
    if name == "litemedsam.yaml":
        assert [entry.name for entry in comparison.entries] == ENTRIES


def test_the_stages_agree_and_leave_the_image_side_of_the_mask_decoder_floating_point():
    recipes = [read_config(CONFIGS / f"litemedsam_stage{n}.yaml", ["init=any"]).quantization for n in (1, 2, 3)]
    assert recipes[0] == recipes[1] == recipes[2]
    model = quantize(build_model("litemedsam"), recipes[0])
    quantized = {name for name, module in model.named_modules() if hasattr(module, "weight_quant")}
    block = "mask_decoder.transformer.layers.0"
    assert {f"{block}.self_attn.q_proj", f"{block}.mlp.lin1", "image_encoder.layers.1.blocks.0.attn.qkv"} <= quantized
    floating = ("cross_attn", "final_attn", "output_upscaling", "prompt_encoder")
    assert [name for name in quantized if any(part in name for part in floating)] == []
    assert not any(name.endswith(".act_quant") for name, _ in model.named_modules() if "query_key" in name)


def test_a_pattern_that_matches_no_module_is_an_error():
    with pytest.raises(ValueError, match=r"small has no module that matches 'mask_decoder\.upscaling\.\*'"):
        quantize(small_sam(), Recipe(keep_float=("mask_decoder.upscaling.*",)))


def test_a_recipe_from_yaml_equals_the_one_in_a_checkpoint():
    assert Recipe(keep_float=["image_encoder.neck.*"]) == Recipe.from_dict({"keep_float": ["image_encoder.neck.*"]})
