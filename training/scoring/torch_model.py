"""A torch model in the place of an ONNX pair, so that the runtime's own code does everything but the two networks."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from inference.arrays import Array, Float32Array
from inference.model.metadata import AFTER_PADDING, Metadata
from inference.model.pair import Block, Followed, Scored, State


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
            state=model.state,
        )
        self._model, self._device = model, torch.device(device)
        self.threads = 1  # that call it side by side

    def prepare(self, streams: int, follow: bool = False, block: int = 1) -> None:
        """Nothing to prepare."""

    @torch.inference_mode()
    def encode(self, image: Float32Array) -> list[Array]:
        embeddings = self._model.encode(torch.from_numpy(image).to(self._device))
        return [embedding.float().cpu().numpy() for embedding in embeddings]

    def decode(self, blocks: Iterable[Block]) -> Iterator[Scored]:
        return map(self._decode, blocks)

    @torch.inference_mode()
    def _decode(self, block: Block) -> Scored:
        said = self._model.decode(tuple(map(self._tensor, block.embeddings)), self._tensor(block.boxes), None)
        return Scored(*(part.float().cpu().numpy() for part in said))

    @torch.inference_mode()
    def follow(
        self,
        embeddings: list[Array],
        box: Float32Array,
        place: Float32Array,
        neighbours: Float32Array,
        state: State | None,
    ) -> Followed:
        on_device = tuple(self._tensor(embedding) for embedding in embeddings)
        before = self._model.empty_state(1, on_device[0])
        if state is not None:
            before = type(before)(*map(self._tensor, state))
        prompts = map(self._tensor, (box, place, neighbours))
        followed = self._model.follow(on_device, *prompts, before)
        logits, *after = (part.float().cpu().numpy() for part in (followed.low_res_logits, *followed.state))
        return Followed(logits, followed.presence.item(), after)

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)
