"""SAM's mask decoder, single-mask output."""

import torch
from torch import Tensor, nn

from training.model.layers import MLP, LayerNorm2d, MatMul
from training.model.two_way_transformer import TwoWayTransformer

SINGLE_MASK = 0  # of the four mask tokens: the one for unambiguous prompts, as a box is


class MaskDecoder(nn.Module):
    def __init__(self, width: int = 256, depth: int = 2, heads: int = 8, mlp_width: int = 2048, mask_tokens: int = 4):
        super().__init__()
        self.transformer = TwoWayTransformer(depth, width, heads, mlp_width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(mask_tokens, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(MLP(width, width, width // 8, 3) for _ in range(mask_tokens))
        self.mask_product = MatMul()
        self.iou_prediction_head = MLP(width, width, mask_tokens, 3)

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """N prompts to N masks.

        image: image embedding (N, width, h, w), or (1, width, h, w) shared by all prompts. image_pe: its positional
        encoding (1, width, h, w). sparse (N, P, width) and dense (1, width, 1, 1): from the prompt encoder.
        Returns low-resolution logits (N, 4h, 4w) and predicted IoU (N,).
        """
        n, (h, w) = sparse.shape[0], image.shape[-2:]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (1 + mask tokens, width)
        tokens = torch.cat([output_tokens.expand(n, -1, -1), sparse], dim=1)
        tokens, image = self.transformer(image + dense, image_pe, tokens)
        iou_token, mask_token = tokens[:, 0], tokens[:, 1 + SINGLE_MASK]

        upscaled = self.output_upscaling(image.transpose(1, 2).unflatten(-1, (h, w)))  # (N, width / 8, 4h, 4w)
        kernel = self.output_hypernetworks_mlps[SINGLE_MASK](mask_token)  # (N, width / 8)
        logits = self.mask_product(kernel[:, None], upscaled.flatten(2)).reshape(-1, 4 * h, 4 * w)
        return logits, self.iou_prediction_head(iou_token)[:, SINGLE_MASK]
