"""Table (a): one image and one box in PyTorch, ONNX Runtime and OpenVINO, after QMedSAM's Tables 5 and 6."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from training.benchmark.names import BF16, FLOAT32, INT8, ONNXRUNTIME, OPENVINO, PYTORCH
from training.benchmark.processes import Contender, python
from training.benchmark.tables import Row
from training.benchmark.workplace import Weights, Workplace

# ONNX Runtime's CPU provider has no bf16.
ROWS = (
    (PYTORCH, FLOAT32),
    (PYTORCH, BF16),
    (PYTORCH, INT8),
    (ONNXRUNTIME, FLOAT32),
    (ONNXRUNTIME, INT8),
    (OPENVINO, FLOAT32),
    (OPENVINO, BF16),
    (OPENVINO, INT8),
)


def engine_table(place: Workplace, models: Mapping[str, Weights], repeats: int, warm: int) -> None:
    """Run every model in every engine and precision; print a table per model, and write all rows into engines.csv.

    Each of `repeats` processes is timed cold and then runs `warm` times warm.

    Raises:
        BenchmarkError: a process failed.
    """
    rows: list[Row] = []
    for model, weights in models.items():
        contenders = [engine_contender(*row, weights, place.compiled, repeats, warm) for row in ROWS]
        place.run(model, contenders)
        new = engine_rows(model, contenders)
        place.report("engines", new, before=rows)
        rows += new


def engine_contender(engine: str, precision: str, weights: Weights, cache: Path, repeats: int, warm: int) -> Contender:
    pair = weights.int8 if precision == INT8 else weights.float32
    files = ["--checkpoint", weights.checkpoint] if engine == PYTORCH else ["--pair", pair, "--cache", cache]
    command = python("-m", "training.benchmark.engine_run", engine, precision, *files, "--repeats", str(warm))
    return Contender(f"{engine} {precision}", command, repeats)


def engine_rows(model: str, contenders: Sequence[Contender]) -> list[Row]:
    """One row per engine and precision: cold, warm encoder and decoder, peak memory; ratios to PyTorch float32."""
    rows: list[Row] = []
    for contender in contenders:
        results = [json.loads(run.output.splitlines()[-1]) for run in contender.runs]
        cold = [result["first_mask"] - run.started for result, run in zip(results, contender.runs, strict=True)]
        engine, precision = contender.name.split()
        row: Row = {
            "model": model,
            "engine": engine,
            "precision": precision,
            "cold_s": median(cold),
            "encoder_ms": median(result["encoder_ms"] for result in results),
            "decoder_ms": median(result["decoder_ms"] for result in results),
            "peak_mb": contender.peak_mb,
            "runs": len(contender.runs),
        }
        first = rows[0] if rows else row
        warm, first_warm = (line["encoder_ms"] + line["decoder_ms"] for line in (row, first))
        rows.append({**row, "cold_ratio": first["cold_s"] / row["cold_s"], "warm_ratio": first_warm / warm})
    return rows
