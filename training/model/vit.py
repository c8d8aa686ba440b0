"""SAM's ViT image encoder (Kirillov et al., "Segment Anything"; Li et al., "Exploring Plain Vision Transformer
Backbones for Object Detection"), the encoder of MedSAM."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.model.layers import MatMul, neck
from training.model.windows import merge, partition


class PatchEmbed(nn.Module):
    """(B, 3, S, S) -> (B, S / patch, S / patch, width)."""

    def __init__(self, patch: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class RelativeAttention(nn.Module):
    """Multi-head attention over a (B, side, side, width) map with decomposed relative positions."""

    def __init__(self, width: int, heads: int, side: int):
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.query_key = MatMul()
        self.attention_value = MatMul()
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        b, height, width, channels = x.shape
        qkv = self.qkv(x).reshape(b, height * width, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind()  # each (B, heads, tokens, head width)
        bias = relative_bias(q, self.rel_pos_h, self.rel_pos_w, height, width)
        attention = (self.query_key(q * self.scale, k.transpose(-2, -1)) + bias).softmax(-1)
        x = self.attention_value(attention, v)
        return self.proj(x.transpose(1, 2).reshape(b, height, width, channels))


def relative_bias(q: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor, height: int, width: int) -> Tensor:
    """Bias of every query and key: query . (R_h[dy] + R_w[dx]), (B, heads, tokens, tokens).

    q: (B, heads, height * width, C), unscaled. rel_pos_h, rel_pos_w: (2 * side - 1, C), one row per offset.
    """
    b, heads, tokens, c = q.shape
    q = q.reshape(b, heads, height, width, c)
    by_row = torch.einsum("bnhwc,hkc->bnhwk", q, rel_pos_h[offsets(height, q.device)])
    by_column = torch.einsum("bnhwc,wkc->bnhwk", q, rel_pos_w[offsets(width, q.device)])
    return (by_row[..., :, None] + by_column[..., None, :]).reshape(b, heads, tokens, tokens)


def offsets(side: int, device: torch.device) -> Tensor:
    """Row of the relative position table for query i and key j: int64 (side, side), i - j + side - 1."""
    position = torch.arange(side, device=device)
    return position[:, None] - position + side - 1


class ViTMLP(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


class ViTBlock(nn.Module):
    """Transformer block on (B, side, side, width); attention in windows, or global where window is None."""

    def __init__(self, width: int, heads: int, side: int, window: int | None):
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = RelativeAttention(width, heads, window or side)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = ViTMLP(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attend(self, x: Tensor) -> Tensor:
        if self.window is None:
            return self.attn(x)
        _, height, width, _ = x.shape
        windows, grid = partition(x, self.window)
        return merge(self.attn(windows), grid, height, width)


class ViT(nn.Module):
    """Image encoder: (B, 3, size, size) -> image embedding (B, embedding, size / patch, size / patch)."""

    def __init__(
        self,
        size: int = 1024,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        window: int = 14,
        global_blocks: tuple[int, ...] = (2, 5, 8, 11),
        embedding: int = 256,
    ):
        super().__init__()
        side = size // patch
        self.patch_embed = PatchEmbed(patch, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, width))
        self.blocks = nn.ModuleList(
            ViTBlock(width, heads, side, None if i in global_blocks else window) for i in range(depth)
        )
        self.neck = neck(width, embedding)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
