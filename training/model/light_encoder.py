"""Image encoder of the light model: convolutions only, from strides 4 to 32 and back down to a feature pyramid."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

STEM_WIDTH = 32


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, gain: float = 1.0
) -> nn.Sequential:
    """Convolution and the BatchNorm that folds into it before export; 'same' padding for odd kernels.

    A gain of 0 at the end of a residual branch makes the block start as the identity, which trains faster.
    """
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    bn = nn.BatchNorm2d(out_channels)
    nn.init.constant_(bn.weight, gain)
    return nn.Sequential(OrderedDict(conv=conv, bn=bn))


class ResidualConvBlock(nn.Module):
    """Two dense 3x3 convolutions around a shortcut. Dense suits the fine, narrow levels: there a depthwise convolution
    is bound by memory traffic and takes as long as a dense one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv_bn(width, width, 3)
        self.conv2 = conv_bn(width, width, 3, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class DepthwiseBlock(nn.Module):
    """Depthwise 3x3 for space, two pointwise convolutions for channels, around a shortcut: for coarse, wide levels."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = conv_bn(width, width, 3, groups=width)
        self.expand = conv_bn(width, width * expansion, 1)
        self.project = conv_bn(width * expansion, width, 1, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.relu(self.expand(self.depthwise(x))))


class LightImageEncoder(nn.Module):
    """Image -> one embedding per decoder level.

    Top-down sums carry context to the fine levels, where dense blocks merge it with what is seen there. The embeddings
    are what the decoder's levels add to their input: every projection that depends on the image alone is done here,
    once, however many boxes follow.

    Args:
        widths: channels at strides 4, 8, 16, 32.
        depths: blocks at the same strides.
        embedding_widths: channels of the embeddings at strides 2, 4, 8, 16; the finest carries the sharp borders.
        expansion: hidden width of the pointwise pair in the coarse blocks.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (48, 96, 192, 384),
        depths: tuple[int, int, int, int] = (1, 2, 8, 2),
        embedding_widths: tuple[int, int, int, int] = (16, 48, 96, 128),
        expansion: int = 3,
    ) -> None:
        super().__init__()
        self.stem = conv_bn(3, STEM_WIDTH, 3, stride=2)
        inputs = (STEM_WIDTH, *widths[:-1])
        outputs = embedding_widths
        self.downs = nn.ModuleList(conv_bn(a, b, 3, stride=2) for a, b in zip(inputs, widths, strict=True))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(ResidualConvBlock(width) if level < 2 else DepthwiseBlock(width, expansion) for _ in range(depth))
            )
            for level, (width, depth) in enumerate(zip(widths, depths, strict=True))
        )
        self.laterals = nn.ModuleList(conv_bn(a, b, 1) for a, b in zip(inputs, outputs, strict=True))
        self.ups = nn.ModuleList(conv_bn(b, a, 1) for a, b in zip(outputs, (*outputs[1:], widths[-1]), strict=True))
        self.fusions = nn.ModuleList(
            ResidualConvBlock(width) if level in (1, 2) else nn.Identity() for level, width in enumerate(outputs)
        )
        self.embeddings = nn.ModuleList(conv_bn(width, width, 3) for width in outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode a batch.

        Args:
            images: float32 (B, 3, S, S) in 0..1, S a multiple of 32.

        Returns:
            Embeddings (B, C, S/k, S/k), k = 16, 8, 4, 2: coarse to fine, in the order the decoder uses them.
        """
        x = F.relu(self.stem(2 * images - 1))
        features = [x]
        for down, stage in zip(self.downs, self.stages, strict=True):
            x = stage(F.relu(down(x)))
            features.append(x)

        embeddings = []
        x = features.pop()
        for level in (3, 2, 1, 0):
            coarse = F.interpolate(self.ups[level](x), scale_factor=2, mode="nearest")
            x = self.fusions[level](F.relu(self.laterals[level](features[level]) + coarse))
            embeddings.append(self.embeddings[level](x))
        return tuple(embeddings)
