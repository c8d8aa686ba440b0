"""The benchmark: the cases it builds, how it measures processes, its tables, and a short run of the whole command."""

import csv
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from inference.cases.case import make_case
from training.benchmark.__main__ import main
from training.benchmark.case_specs import SPECS, CaseSpec
from training.benchmark.case_table import REFERENCE, Extrapolated, case_rows, runtime_contender
from training.benchmark.cases import box_slices, build, enough_boxes, write_case, write_part
from training.benchmark.cpu import cpu, cpu_line
from training.benchmark.operations import with_fused
from training.benchmark.processes import (
    ROOT,
    BenchmarkError,
    Contender,
    Run,
    environment,
    interleave,
    python,
    run_process,
)
from training.benchmark.profile import purpose_rows, stage_rows
from training.benchmark.tables import text_table
from training.benchmark.zoom_table import zoom_rows


def contender(name, seconds, peak_mb=100.0, repeats=1):
    return Contender(name, [], repeats, runs=[Run(0.0, value, value, peak_mb, "") for value in seconds])


def test_resampling_moves_boxes_with_the_image():
    image = np.zeros((40, 60), np.uint8)
    image[10:20, 30:45] = 200
    imgs, boxes = build(CaseSpec((80, 180), 1, ""), image, np.array([[30, 10, 45, 20]]))
    np.testing.assert_array_equal(boxes, [[90, 20, 135, 40]])
    rows, columns = np.nonzero(imgs > 100)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (90, 20, 135, 40)


def test_resampling_a_volume_along_all_axes():
    volume = np.zeros((4, 10, 12), np.uint8)
    volume[2:] = 100  # the two upper slices
    imgs, boxes = build(CaseSpec((8, 20, 36), 1, ""), volume, np.array([[2, 1, 2, 6, 5, 3]]))
    assert imgs.shape == (8, 20, 36)
    # Slice z of 8 lies at (z + 0.5) / 2 - 0.5 of the 4: slices 3 and 4 lie a quarter before and after the border.
    np.testing.assert_array_equal(imgs[:, 3, 5], [0, 0, 0, 25, 75, 100, 100, 100])
    np.testing.assert_array_equal(boxes, [[6, 2, 4, 18, 10, 6]])


def test_missing_boxes_are_inner_parts_and_surplus_ones_are_left_out():
    boxes = np.array([[0.0, 0, 10, 20], [5, 5, 15, 15]])
    np.testing.assert_array_equal(enough_boxes(boxes, 1), boxes[:1])
    np.testing.assert_allclose(enough_boxes(boxes, 3), [*boxes, [1, 2, 9, 18]])
    assert enough_boxes(boxes, 7).shape == (7, 4)


def test_tiles_repeat_image_and_boxes():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    imgs, boxes = build(CaseSpec((4, 6), 3, "", tiles=2), image, np.array([[0, 0, 2, 1]]))
    np.testing.assert_array_equal(imgs, np.block([[image, image], [image, image]]))
    np.testing.assert_array_equal(boxes, [[0, 0, 2, 1], [3, 0, 5, 1], [0, 2, 2, 3]])


def test_cases_have_the_sizes_of_the_paper(shared_data, tmp_path):
    assert len(SPECS) == len({spec.name for spec in SPECS}) == 14
    for spec in [spec for spec in SPECS if np.prod(spec.shape) < 300_000]:
        path = write_case(spec, shared_data / "val", tmp_path)
        with np.load(path) as arrays:
            case = make_case(arrays["imgs"], arrays["boxes"])
        assert case.shape[-2:] == spec.shape
        assert len(case.boxes) == spec.count
        assert not case.warnings


@pytest.mark.parametrize("units", [1, 5])
def test_a_part_of_a_case_has_so_many_box_slices(tmp_path, units):
    for name, imgs, boxes in (
        ("2D", np.zeros((8, 8)), np.tile([0, 0, 4, 4], (9, 1))),
        ("3D", np.zeros((20, 8, 8)), np.array([[0, 0, 3, 4, 4, 12], [0, 0, 0, 4, 4, 3]])),
    ):
        whole = tmp_path / name / f"{name}.npz"
        whole.parent.mkdir(exist_ok=True)
        np.savez(whole, imgs=imgs, boxes=boxes)
        part = write_part(whole, units)
        assert part.name == whole.name
        assert box_slices(part) == units
        assert box_slices(whole) == {"2D": 9, "3D": 14}[name]


def test_a_process_is_measured_and_its_output_kept(tmp_path):
    command = python("-c", "import time; block = bytearray(300 << 20); time.sleep(0.2); print('done')")
    before = time.perf_counter()
    run = run_process(command, environment(tmp_path))
    assert run.output == "done\n"
    assert 0.2 < run.seconds <= time.perf_counter() - before
    assert before <= run.started
    assert run.peak_mb > 300


def test_a_failed_process_is_named_with_its_last_words(tmp_path):
    with pytest.raises(BenchmarkError, match=r"(?s)-c.*ValueError: no such thing$"):
        run_process(python("-c", "raise ValueError('no such thing')"), environment(tmp_path))
    with pytest.raises(BenchmarkError, match="absent"):
        run_process([str(tmp_path / "absent")], environment(tmp_path))


def test_contenders_run_in_turn_after_warming_up(tmp_path):
    names = []
    contenders = [
        Contender("a", [sys.executable, "-c", ""], repeats=2),
        Contender("b", [sys.executable, "-c", ""], repeats=1, warm_up=False),
    ]
    interleave(contenders, environment(tmp_path), names.append)
    assert names == ["a, warming up", "a", "b", "a"]
    assert [len(contender.runs) for contender in contenders] == [2, 1]


def test_ratios_are_of_medians():
    rows = case_rows("case", [contender("imports", [0.3, 0.2, 9]), contender("light", [0.5, 0.6, 8])], None)
    assert rows[1]["seconds"] == 0.6
    assert rows[1]["times_imports"] == pytest.approx(2)
    assert rows[1]["faster_than_reference"] is None
    assert rows[1]["note"] == ""


def test_extrapolation_is_linear_and_says_so():
    parts = contender(REFERENCE, [4.0]), contender(REFERENCE, [12.0], peak_mb=900.0)  # 2 s for each of 1 and 5
    reference, light = case_rows("case", [contender("light", [5.0])], Extrapolated(parts, box_slices=101))
    assert reference["seconds"] == 204
    assert reference["peak_mb"] == 900
    assert "extrapolated from 1 and 5 of 101" in reference["note"]
    assert light["faster_than_reference"] == pytest.approx(204 / 5)


def test_stages_within_others_are_indented():
    events = [("read", "MainThread", 10.0, 11.0), ("inflate", "MainThread", 10.2, 10.4), ("load", "load_0", 10.1, 10.9)]
    events.append(("inflate", "MainThread", 10.5, 10.6))
    rows = stage_rows(events)
    assert [(row["stage"], row["thread"], row["calls"]) for row in rows] == [
        ("read", "main", 1),
        ("load", "load_0", 1),
        ("  inflate", "main", 2),
    ]
    assert rows[2]["begins_ms"] == pytest.approx(200)
    assert rows[2]["takes_ms"] == pytest.approx(300)
    assert rows[2]["ends_ms"] == pytest.approx(600)


def test_operations_are_added_up_by_what_they_are_for():
    milliseconds = {
        "FullyConnectedQuantizedLegacy + gelu": 5.0,
        "GroupConvolution + gelu": 4.0,
        "Convolution": 8.0,
        "Subgraph + softmax": 7.0,
        "MatMul": 3.0,
        "Softmax": 3.0,
        "Subgraph + gelu": 2.0,
        "Subgraph": 1.0,
        "Transpose": 2.0,
        "MVN": 1.5,
    }
    assert purpose_rows([{"operation": name, "ms": ms} for name, ms in milliseconds.items()]) == [
        {"what": "convolutions and linear layers with GELU", "ms": 9.0},
        {"what": "other convolutions and linear layers", "ms": 8.0},
        {"what": "attention in one operation", "ms": 7.0},
        {"what": "attention in products and softmax", "ms": 6.0},
        {"what": "sums, activations and rounding between layers", "ms": 3.0},
        {"what": "transposes, pads, gathers and reorders", "ms": 2.0},
        {"what": "layer normalisation", "ms": 1.5},
        {"what": "all", "ms": 36.5},
    ]


def test_operations_are_named_with_what_is_dear_in_them():
    assert with_fused("Subgraph", "node_transpose_14,node_matmul_4,node_softmax_2") == "Subgraph + softmax"
    assert with_fused("Softmax", "node_softmax_2") == "Softmax"
    assert with_fused("Convolution", "node_conv2d_3,node_gelu_2") == "Convolution + gelu"
    assert with_fused("Convolution", "node_conv2d_3,node_relu_2") == "Convolution"


def test_text_table_aligns_and_marks_what_is_missing():
    rows = [{"name": "a", "seconds": 123.4}, {"name": "long", "seconds": 0.01234}, {"name": "b", "seconds": None}]
    table = text_table(rows)
    assert table.splitlines() == ["name  seconds", "a         123", "long   0.0123", "b           -"]


def test_short_run_of_the_command(shared_data, tmp_path, capsys):
    where = ["--val", str(shared_data / "val"), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    chosen = ["--cases", "2DBox_256", "--contenders", "imports", "light", "--repeats", "1"]
    assert main([*where, *chosen, "--isa", "native", "AVX2", "--tables", "cases"]) == 0
    with (tmp_path / "out" / "cases.csv").open() as file:
        imports, light, older = csv.DictReader(file)
    assert (imports["contender"], light["contender"], older["contender"]) == ("imports", "light", "light")
    assert [row["isa"] for row in (imports, light, older)] == ["native", "native", "AVX2"]
    assert light["cpu"] == cpu()["cpu"]
    ratio = float(light["seconds"]) / float(imports["seconds"])
    assert float(light["times_imports"]) == pytest.approx(ratio, rel=0.01)
    said = capsys.readouterr().out
    assert cpu_line() in said
    assert "2DBox_256x256_1" in said
    assert (tmp_path / "work" / "segs" / "light" / "2DBox_256x256_1.npz").exists()

    assert main([*where, *chosen, "--profile"]) == 0
    with (tmp_path / "out" / "profile_stages_light.csv").open() as file:
        stages = {row["stage"].strip() for row in csv.DictReader(file)}
    named = {"interpreter start", "import openvino", "read case", "plan", "mask: resample", "write result"}
    networks = {"model: load encoder", "encode (waits for the model)", "decode (waits for what is left of it)"}
    assert stages >= named | networks
    with (tmp_path / "out" / "profile_encoder_light.csv").open() as file:
        operations = list(csv.DictReader(file))
    assert sum(float(row["percent"]) for row in operations) == pytest.approx(100)
    with (tmp_path / "out" / "profile_encoder_light_by_purpose.csv").open() as file:
        *_, (whole, milliseconds, *_) = csv.reader(file)
    assert whole == "all"
    assert float(milliseconds) == pytest.approx(sum(float(row["ms"]) for row in operations))
    assert any(row["operation"] == "Convolution" for row in operations)


def test_each_instruction_set_has_compiled_models_of_its_own(tmp_path):
    case = tmp_path / "in" / "case.npz"
    place = SimpleNamespace(segs=tmp_path / "segs", compiled=tmp_path / "compiled", runtime="/runtime/bin/python")
    contenders = [runtime_contender("light", case, tmp_path, place, 1, isa) for isa in ("native", "AVX2")]
    caches = [contender.command[contender.command.index("--cache") + 1] for contender in contenders]
    assert caches == [str(tmp_path / "compiled" / isa) for isa in ("native", "AVX2")]
    assert {contender.command[0] for contender in contenders} == {"/runtime/bin/python"}
    assert [contender.variables for contender in contenders] == [{}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}]


def test_variables_are_of_one_contender_alone(tmp_path):
    code = "import os; print(os.environ.get('MARK', 'none'))"
    plain, marked = Contender("plain", python("-c", code), 1), Contender("marked", python("-c", code), 1)
    marked.variables["MARK"] = "set"
    interleave([plain, marked], environment(tmp_path))
    assert [contender.runs[0].output.strip() for contender in (plain, marked)] == ["none", "set"]


def test_zoom_rows_are_means_over_cases_then_over_modalities():
    def case(name, ms):
        return {"case": name, "boxes": 2, "passes": 1, "plain_ms": ms, "zoomed_ms": 2 * ms}

    def score(dimensions, modality, dsc):
        return {"dimensions": dimensions, "modality": modality, "dsc": str(dsc), "nsd": "0.5"}

    cases = [case("a", 10.0), case("b", 30.0), case("c", 100.0), case("v", 1000.0)]
    plain = {
        "a": score("2D", "CT", 0.2),
        "b": score("2D", "CT", 0.4),
        "c": score("2D", "US", 0.9),
        "v": score("3D", "MR", 0),
    }
    zoomed = {name: {**row, "dsc": "0.8"} for name, row in plain.items()}
    rows = {row["modality"]: row for row in zoom_rows(cases, {"plain": plain, "zoomed": zoomed})}
    assert list(rows) == ["2D CT", "2D US", "2D, mean over modalities", "3D MR", "3D, mean over modalities"]
    assert (rows["2D CT"]["cases"], rows["2D CT"]["plain_ms"], rows["2D CT"]["zoomed_ms"]) == (2, 20, 40)
    assert rows["2D CT"]["plain_dsc"] == pytest.approx(0.3)
    mean = rows["2D, mean over modalities"]
    assert (mean["cases"], mean["plain_ms"]) == (3, 60)
    assert (mean["plain_dsc"], mean["zoomed_dsc"]) == (pytest.approx(0.6), pytest.approx(0.8))
    assert rows["3D, mean over modalities"]["plain_ms"] == 1000


def test_zoom_table_of_two_cases(shared_data, tmp_path):
    for name in ("2DBox_CT_", "2DBox_Fundus_"):
        for kind in ("imgs", "gts"):
            source = sorted((shared_data / "val" / kind).glob(f"{name}*.npz"))[0]
            (tmp_path / "val" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "val" / kind / source.name).symlink_to(source)
    where = ["--val", str(tmp_path / "val"), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main([*where, "--tables", "zoom", "--repeats", "1"]) == 0
    with (tmp_path / "out" / "zoom.csv").open() as file:
        ct, fundus, mean = csv.DictReader(file)
    assert (ct["modality"], fundus["modality"], mean["cases"]) == ("2D CT", "2D Fundus", "2")
    assert all(float(row["zoomed_dsc"]) > 0.5 and float(row["zoomed_ms"]) > 0 for row in (ct, fundus))


def test_a_case_that_could_not_be_scored_is_in_no_mean():
    cases = [{"case": name, "boxes": 1, "passes": 1, "plain_ms": 10.0, "zoomed_ms": 10.0} for name in "ab"]
    scores = {"a": {"dsc": "0.5", "nsd": "0.25"}, "b": {"dsc": "", "nsd": ""}}
    scored = {name: {"dimensions": "2D", "modality": "CT", **row} for name, row in scores.items()}
    ct, mean = zoom_rows(cases, {"plain": scored, "zoomed": scored})
    assert (ct["cases"], ct["plain_dsc"], ct["zoomed_nsd"], mean["plain_dsc"]) == (2, 0.5, 0.25, 0.5)


def test_the_process_that_measures_others_stays_small():
    code = "import sys, training.benchmark.__main__; print([m for m in ('numpy', 'pandas') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_wrong_use_is_one_clear_line(tmp_path, capsys):
    assert main(["--val", str(tmp_path), "--work", str(tmp_path / "work")]) == 1
    assert "has no folder 'imgs'" in capsys.readouterr().err
    for wrong in (["--cases", "5D"], ["--work", "runs/here"]):
        with pytest.raises(SystemExit) as exit:
            main(["--val", str(tmp_path), "--work", str(tmp_path / "work"), *wrong])
        assert exit.value.code == 2
