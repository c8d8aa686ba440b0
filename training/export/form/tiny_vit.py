"""TinyViT arranged for export.

Behind the convolutions everything stays rows of tokens, (B, H * W, C), which is also how convolutions keep maps in
memory, channels last. Windows are gathered from the rows and gathered back, each in one operation that moves whole
tokens and never transposes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.export.form.layers import (
    quantizer_of_input,
    quantizers_of_product,
    rows,
    some_outputs,
    to_map,
    without_affine,
)
from training.model.layers import LayerNorm2d, MatMul
from training.model.tiny_vit import PreNormMLP, Stage, TinyViT, TinyViTBlock, WindowAttention

SMALL_WINDOW = 64  # tokens; see RowWindowAttention


class RowWindowAttention(nn.Module):
    """Window attention of all windows of a map, on rows: (B, side * side, width) -> the same shape.

    In small windows, keys take the place of queries in the product: OpenVINO computes a softmax over columns of 49
    four times faster than over rows of 49. For larger windows it has query x key, softmax over rows and x value as one
    fused operation.
    """

    def __init__(self, attention: WindowAttention, side: int, window: int):
        super().__init__()
        self.heads = attention.heads
        self.norm, qkv = without_affine(attention.norm, attention.qkv)
        self.quantize = quantizer_of_input(qkv)
        features = torch.arange(qkv.out_features).reshape(self.heads, 3, -1)
        q, k, v = (features[:, i].flatten() for i in range(3))
        self.q = some_outputs(qkv, q, attention.scale)
        self.k = some_outputs(qkv, k, 1.0)
        self.v = some_outputs(qkv, v, 1.0)
        self.quantize_q, self.quantize_k = quantizers_of_product(attention.query_key)
        self.quantize_weights, self.quantize_v = quantizers_of_product(attention.attention_value)
        self.query_key, self.attention_value = MatMul(), MatMul()
        self.proj = attention.proj
        slots = window_slots(side, window)
        self.tokens = window * window
        self.register_buffer("slots", slots)
        self.register_buffer("way_back", slots.argsort()[: side * side])
        self.register_buffer("bias", attention.bias().detach())

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.pad(x, (0, 0, 0, 1)))  # the last token is the padding of all windows, normalised too
        x = self.quantize(x).index_select(1, self.slots)
        q = self.quantize_q(self.split(self.q(x)))
        k = self.quantize_k(self.split(self.k(x)))
        v = self.quantize_v(self.split(self.v(x)))
        if self.tokens <= SMALL_WINDOW:
            scores = self.query_key(k, q.transpose(-2, -1)) + self.bias.transpose(-2, -1)
            weights = scores.softmax(-2).transpose(-2, -1)
        else:
            weights = (self.query_key(q, k.transpose(-2, -1)) + self.bias).softmax(-1)
        x = self.attention_value(self.quantize_weights(weights), v)
        x = x.transpose(1, 2)  # (B * windows, tokens, heads, width / heads)
        x = x.reshape(1, -1, x.shape[-2] * x.shape[-1])
        return self.proj(x.index_select(1, self.way_back))

    def split(self, x: Tensor) -> Tensor:
        """(B, windows * tokens, width) -> (B * windows, heads, tokens, width / heads)."""
        return x.reshape(-1, self.tokens, self.heads, x.shape[-1] // self.heads).transpose(1, 2)


def window_slots(side: int, window: int) -> Tensor:
    """Number of the token in each slot of each window, int64 (windows * window^2); side^2 where there is none.

    Windows row by row, slots of a window row by row; padded at the right and the bottom to whole windows.
    """
    count = -(-side // window)
    token = torch.full((count * window, count * window), side * side)
    token[:side, :side] = torch.arange(side * side).reshape(side, side)
    return token.reshape(count, window, count, window).transpose(1, 2).flatten()


class RowMLP(nn.Module):
    def __init__(self, mlp: PreNormMLP):
        super().__init__()
        self.norm, self.fc1 = without_affine(mlp.norm, mlp.fc1)
        self.fc2 = mlp.fc2

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class RowBlock(nn.Module):
    def __init__(self, block: TinyViTBlock, side: int):
        super().__init__()
        self.side = side
        self.attn = RowWindowAttention(block.attn, side, block.window)
        self.local_conv = block.local_conv
        self.mlp = RowMLP(block.mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        x = rows(self.local_conv(to_map(x, self.side, self.side)))
        return x + self.mlp(x)


class RowStage(nn.Module):
    """(B, C, side, side) -> (B, C', side', side'), the blocks on rows."""

    def __init__(self, stage: Stage, side: int):
        super().__init__()
        self.side = side
        self.blocks = nn.ModuleList(RowBlock(block, side) for block in stage.blocks)
        self.downsample = stage.downsample

    def forward(self, x: Tensor) -> Tensor:
        x = rows(x)
        for block in self.blocks:
            x = block(x)
        x = to_map(x, self.side, self.side)
        return x if self.downsample is None else self.downsample(x)


class RowNorm(nn.Module):
    """LayerNorm2d on rows, (B, h * w, C)."""

    def __init__(self, norm: LayerNorm2d):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class ExportedTinyViT(nn.Module):
    """Image encoder: (1, 3, S, S) in 0..1 -> image embedding as rows (1, h * w, embedding)."""

    def __init__(self, encoder: TinyViT, side: int):
        super().__init__()
        self.patch_embed = encoder.patch_embed
        self.layers = nn.ModuleList()
        for i, stage in enumerate(encoder.layers):
            self.layers.append(RowStage(stage, side) if i else stage)  # the first stage is convolutional
            if stage.downsample is not None:
                side //= stage.downsample.conv2.c.stride[0]
        self.side = side
        neck = encoder.neck
        self.neck = nn.ModuleList([neck[0], RowNorm(neck[1]), neck[2], RowNorm(neck[3])])

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        pointwise, norm1, spatial, norm2 = self.neck
        x = norm1(rows(pointwise(x)))
        return norm2(rows(spatial(to_map(x, self.side, self.side))))
