"""The runtime: reads cases, runs the ONNX models on OpenVINO, writes masks. Never imports torch or `training`."""

__version__ = "0.1.0"
