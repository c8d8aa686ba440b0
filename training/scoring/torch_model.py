"""A torch model in the place of an ONNX pair, so that the runtime's own code does everything but the two networks."""

import torch
from torch import nn

from inference.arrays import Array, Float32Array
from inference.model.metadata import AFTER_PADDING, Metadata


class TorchModel:
    """A torch model under the interface of `inference.model.pair.ModelPair`."""

    def __init__(self, model: nn.Module, normalise: str = AFTER_PADDING, device: torch.device | str = "cpu") -> None:
        self.metadata = Metadata(
            model=model.name,
            encoder=model.name,
            input_size=model.input_size,
            logit_size=model.logit_size,
            normalise=normalise,
            box_convention=model.box_convention,
            embeddings=(),
            precision="float32",
            pair="",
        )
        self._model, self._device = model, torch.device(device)
        self.threads = 1  # that call it side by side

    def prepare(self, streams: int) -> None:
        """Nothing to prepare."""

    @torch.inference_mode()
    def encode(self, image: Float32Array) -> list[Array]:
        embeddings = self._model.encode(torch.from_numpy(image).to(self._device))
        return [embedding.float().cpu().numpy() for embedding in embeddings]

    @torch.inference_mode()
    def decode(self, embeddings: list[Array], boxes: Float32Array) -> Float32Array:
        on_device = tuple(torch.from_numpy(embedding).to(self._device) for embedding in embeddings)
        logits, _ = self._model.decode(on_device, torch.from_numpy(boxes).to(self._device), None)
        return logits.float().cpu().numpy()
