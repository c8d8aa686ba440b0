"""The training side. What can be started lies on top; the folders are libraries, of which none imports a command.

From the top down, each stands on those after it only (`make lint` checks it): `trainer`, the loop and runs; `scoring`,
metrics, means and validation; `export`, ONNX pairs; `data`; `model` and `quantization`; `configs`.
"""
