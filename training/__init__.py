"""The training side: model, data, quantization stages, export, evaluation, benchmarks."""
