"""SAM's prompt encoder, for box prompts."""

import math

import torch
from torch import Tensor, nn

from training.model.layers import LayerNorm2d

TOP_LEFT, BOTTOM_RIGHT = 2, 3  # rows of `point_embeddings`; 0 and 1 are background and foreground points


class RandomPositionEncoding(nn.Module):
    """Random Fourier features of positions (Tancik et al.): 2 * frequencies numbers per position."""

    def __init__(self, frequencies: int):
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, frequencies))

    def forward(self, positions: Tensor) -> Tensor:
        """positions (..., 2): x, y as fractions of the image, 0..1 -> (..., 2 * frequencies)."""
        angle = 2 * math.pi * ((2 * positions - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Boxes to prompt tokens, and the constants that the mask decoder adds to an image embedding."""

    def __init__(self, input_size: int, grid: int, width: int = 256, mask_channels: int = 16):
        super().__init__()
        self.input_size = input_size
        self.grid = grid
        self.pe_layer = RandomPositionEncoding(width // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.no_mask_embed = nn.Embedding(1, width)
        # Point and mask prompts are not offered; their weights stay so that SAM's checkpoints load strictly.
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_channels // 4, 2, stride=2),
            LayerNorm2d(mask_channels // 4),
            nn.GELU(),
            nn.Conv2d(mask_channels // 4, mask_channels, 2, stride=2),
            LayerNorm2d(mask_channels),
            nn.GELU(),
            nn.Conv2d(mask_channels, width, 1),
        )

    def forward(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """boxes (N, 4) xyxy in input pixels -> sparse embeddings (N, 2, width), dense embedding (1, width, 1, 1)."""
        corners = (boxes.reshape(-1, 2, 2) + 0.5) / self.input_size  # from pixel corner to pixel centre
        kinds = torch.stack([self.point_embeddings[i].weight[0] for i in (TOP_LEFT, BOTTOM_RIGHT)])
        return self.pe_layer(corners) + kinds, self.no_mask_embed.weight[:, :, None, None]

    def grid_encoding(self) -> Tensor:
        """Positional encoding of the cells of the image embedding: (1, width, grid, grid)."""
        like = self.no_mask_embed.weight
        centre = (torch.arange(self.grid, device=like.device, dtype=like.dtype) + 0.5) / self.grid
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        return self.pe_layer(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]
