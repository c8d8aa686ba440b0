"""TinyViT image encoder (Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers"), as in
LiteMedSAM: the patch embedding keeps the full resolution, and SAM's neck ends it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.model.layers import ConvBN, MatMul, neck
from training.model.windows import merge, partition


class PatchEmbed(nn.Module):
    """Two 1 x 1 convolutions of stride 1: (B, 3, H, W) -> (B, width, H, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.seq = nn.Sequential(ConvBN(3, width // 2), nn.GELU(), ConvBN(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class MBConv(nn.Module):
    """Inverted residual block on (B, C, H, W): expand 1 x 1, depthwise 3 x 3, project 1 x 1."""

    def __init__(self, width: int, expand: int):
        super().__init__()
        hidden = width * expand
        self.conv1 = ConvBN(width, hidden)
        self.conv2 = ConvBN(hidden, hidden, kernel=3, groups=hidden)
        self.conv3 = ConvBN(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(hidden))


class PatchMerging(nn.Module):
    """To the next stage's width: (B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1 = ConvBN(c_in, c_out)
        self.conv2 = ConvBN(c_out, c_out, kernel=3, stride=stride, groups=c_out)
        self.conv3 = ConvBN(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Pre-normalised multi-head attention inside windows, with one learned bias per head and |dy|, |dx| offset.

    (windows, size * size, width) -> the same shape.

    As in TinyViT, `eval()` looks the biases up once and keeps them: whoever changes weights in eval mode (loading a
    checkpoint, averaging weights) calls `eval()` again afterwards. The parity fixtures depend on it.
    """

    def __init__(self, width: int, heads: int, size: int):
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.query_key = MatMul()
        self.attention_value = MatMul()
        self.attention_biases = nn.Parameter(torch.zeros(heads, size * size))
        self.register_buffer("attention_bias_idxs", offset_index(size), persistent=False)
        self.register_buffer("evaluation_bias", None, persistent=False)

    def train(self, mode: bool = True) -> "WindowAttention":
        super().train(mode)
        self.evaluation_bias = None if mode else self.bias().detach()
        return self

    def bias(self) -> Tensor:
        """Bias of every pair of tokens: (heads, tokens, tokens)."""
        return self.attention_biases[:, self.attention_bias_idxs]

    def forward(self, x: Tensor) -> Tensor:
        windows, tokens, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(windows, tokens, self.heads, 3, -1)
        q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind()  # each (windows, heads, tokens, head width)
        bias = self.bias() if self.training else self.evaluation_bias
        attention = (self.query_key(q * self.scale, k.transpose(-2, -1)) + bias).softmax(-1)
        x = self.attention_value(attention, v).transpose(1, 2).reshape(windows, tokens, width)
        return self.proj(x)


def offset_index(size: int) -> Tensor:
    """Which attention bias each pair of tokens of a window takes: int64 (size^2, size^2), |dy| * size + |dx|."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y).abs() * size + (x[:, None] - x).abs()


class PreNormMLP(nn.Module):
    """LayerNorm, then two linear layers with GELU between, on (..., width)."""

    def __init__(self, width: int, ratio: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Window attention, a depthwise 3 x 3 convolution across window borders, then the MLP; on (B, C, H, W)."""

    def __init__(self, width: int, heads: int, window: int, mlp_ratio: float):
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.mlp = PreNormMLP(width, mlp_ratio)
        self.local_conv = ConvBN(width, width, kernel=3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C), as attention and MLP want it
        x = x + self.attend(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = x + self.mlp(x)
        return x.permute(0, 3, 1, 2)

    def attend(self, x: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        windows, grid = partition(x, self.window)
        attended = self.attn(windows.flatten(1, 2)).reshape(windows.shape)
        return merge(attended, grid, height, width)


class Stage(nn.Module):
    """The blocks of one width, then the merging into the next one where there is a next one."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """Image encoder: (B, 3, S, S) in 0..1 -> image embedding (B, embedding, S / 4, S / 4)."""

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 160, 320),
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (2, 4, 5, 10),  # the first stage is convolutional and has none
        windows: tuple[int, ...] = (7, 7, 14, 7),
        merge_strides: tuple[int, ...] = (2, 2, 1),
        mlp_ratio: float = 4.0,
        mbconv_expand: int = 4,
        embedding: int = 256,
    ):
        super().__init__()
        self.patch_embed = PatchEmbed(widths[0])
        merging = [PatchMerging(*step) for step in zip(widths[:-1], widths[1:], merge_strides, strict=True)]
        self.layers = nn.ModuleList([Stage([MBConv(widths[0], mbconv_expand) for _ in range(depths[0])], merging[0])])
        for i in range(1, len(widths)):
            blocks = [TinyViTBlock(widths[i], heads[i], windows[i], mlp_ratio) for _ in range(depths[i])]
            self.layers.append(Stage(blocks, merging[i] if i < len(merging) else None))
        self.neck = neck(widths[-1], embedding)
        self.apply(init_linear)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)


def init_linear(module: nn.Module) -> None:
    """TinyViT's initialisation of linear layers: truncated normal of standard deviation 0.02, bias zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
