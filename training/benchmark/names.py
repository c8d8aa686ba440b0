"""Names of what is compared; nothing is imported to know them, so that the benchmark's own process stays small."""

PYTORCH, ONNXRUNTIME, OPENVINO = "pytorch", "onnxruntime", "openvino"
ENGINES = (PYTORCH, ONNXRUNTIME, OPENVINO)
FLOAT32, BF16, INT8 = "float32", "bf16", "int8"
PRECISIONS = (FLOAT32, BF16, INT8)

PLAIN, ZOOMED = "plain", "zoomed"  # without and with the zoom
WAYS = (PLAIN, ZOOMED)
