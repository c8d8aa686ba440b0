"""The runtime: reads cases, runs the ONNX models on OpenVINO, writes masks. Never imports torch or `training`."""
