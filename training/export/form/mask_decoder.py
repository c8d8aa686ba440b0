"""SAM's mask decoder arranged for export: the same numbers from a fraction of the work per box.

Tokens are few and positions of the image many, so the projections of the image are moved to the side of the tokens.
For a query q, keys W x + b and values W x + b of the positions x, and attention weights p, which sum to 1:

    q (W x + b) = (q W) x + q b                  sum p (W x + b) = W (sum p x) + b

With that the image enters its attentions as it is, and no position is projected for any box. Positions stay rows,
(N, h * w, width), from the first layer to the logits: transposed convolutions whose kernels do not overlap are linear
layers on rows, and only the logits are put into the order of an image.
"""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from training.export.form.layers import rows
from training.model.mask_decoder import SINGLE_MASK, MaskDecoder
from training.model.two_way_transformer import Attention, TwoWayBlock, TwoWayTransformer
from training.quantization.layers import QuantMatMul

ON_THE_IMAGE = ("cross_attn_", "final_attn_", "output_upscaling", "mask_product")  # work on every position


def has_exported_form(decoder: MaskDecoder, to_quantize: Collection[str] = ()) -> bool:
    """Whether all work on the image is floating point, and stays so: quantized projections cannot be moved.

    to_quantize: names of layers of the model that are quantized once the graph is traced.
    """
    quantized = [
        name
        for name, module in decoder.named_modules()
        if isinstance(module, (QuantWeightBiasInputOutputLayer, QuantMatMul))
    ]
    return not any(part in name for name in (*quantized, *to_quantize) for part in ON_THE_IMAGE)


def per_head(weight: Tensor, heads: int) -> Tensor:
    """Weight of a projection, (inner, width), as (heads, inner / heads, width)."""
    return weight.detach().unflatten(0, (heads, -1))


class TokenToImage(nn.Module):
    """Attention of T tokens to P positions."""

    def __init__(self, attention: Attention):
        super().__init__()
        self.heads = attention.heads
        self.q_proj, self.out_proj = attention.q_proj, attention.out_proj
        self.register_buffer("key_weight", per_head(attention.k_proj.weight, self.heads) * attention.scale)
        self.register_buffer("value_weight", per_head(attention.v_proj.weight, self.heads).transpose(1, 2))
        self.register_buffer("value_bias", attention.v_proj.bias.detach())

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries (N, T, width), keys and values (N or 1, P, width) -> (N, T, width)."""
        q = self.q_proj(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, inner / heads)
        # The bias of the keys is the same for all positions and cancels in the softmax.
        scores = keys @ (q @ self.key_weight).flatten(1, 2).transpose(1, 2)  # (N, P, heads * T)
        pooled = scores.softmax(1).transpose(1, 2) @ values  # (N, heads * T, width)
        attended = pooled.unflatten(1, (self.heads, -1)) @ self.value_weight  # (N, heads, T, inner / heads)
        return self.out_proj(attended.transpose(1, 2).flatten(2) + self.value_bias)


class ImageToToken(nn.Module):
    """Attention of P positions to T tokens."""

    def __init__(self, attention: Attention):
        super().__init__()
        self.heads = attention.heads
        self.k_proj, self.v_proj = attention.k_proj, attention.v_proj
        self.register_buffer("query_weight", per_head(attention.q_proj.weight, self.heads) * attention.scale)
        self.register_buffer("query_bias", per_head(attention.q_proj.bias[:, None], self.heads) * attention.scale)
        self.register_buffer("out_weight", per_head(attention.out_proj.weight.T, self.heads))
        self.register_buffer("out_bias_share", attention.out_proj.bias.detach() / self.heads)  # weights sum to 1 a head

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """queries (N or 1, P, width), keys and values (N, T, width) -> (N, P, width)."""
        k = self.k_proj(keys).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, T, inner / heads)
        v = self.v_proj(values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = (k @ self.query_weight).flatten(1, 2) @ queries.transpose(1, 2)  # (N, heads * T, P)
        scores = (scores + (k @ self.query_bias).flatten(1, 2)).unflatten(1, (self.heads, -1))
        weights = scores.softmax(2).flatten(1, 2)  # (N, heads * T, P)
        return weights.transpose(1, 2) @ (v @ self.out_weight + self.out_bias_share).flatten(1, 2)


class RowTwoWayBlock(nn.Module):
    """TwoWayBlock with its attentions between tokens and image exchanged."""

    def __init__(self, block: TwoWayBlock):
        super().__init__()
        self.first = block.first
        self.self_attn, self.mlp = block.self_attn, block.mlp
        self.norm1, self.norm2, self.norm3, self.norm4 = block.norm1, block.norm2, block.norm3, block.norm4
        self.cross_attn_token_to_image = TokenToImage(block.cross_attn_token_to_image)
        self.cross_attn_image_to_token = ImageToToken(block.cross_attn_image_to_token)

    forward = TwoWayBlock.forward


class RowTransformer(nn.Module):
    """TwoWayTransformer on an image that is rows already."""

    def __init__(self, transformer: TwoWayTransformer):
        super().__init__()
        self.layers = nn.ModuleList(RowTwoWayBlock(block) for block in transformer.layers)
        self.final_attn_token_to_image = TokenToImage(transformer.final_attn_token_to_image)
        self.norm_final_attn = transformer.norm_final_attn

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """image, image_pe (1, P, width), tokens (N, T, width) -> tokens (N, T, width), image (N, P, width)."""
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image


class ExportedMaskDecoder(nn.Module):
    def __init__(self, decoder: MaskDecoder):
        super().__init__()
        self.transformer = RowTransformer(decoder.transformer)
        self.iou_token, self.mask_tokens = decoder.iou_token, decoder.mask_tokens
        first, norm, _, second, _ = decoder.output_upscaling
        self.output_upscaling = nn.ModuleList([on_rows(first), norm, on_rows(second)])
        self.output_hypernetworks_mlps = nn.ModuleList([decoder.output_hypernetworks_mlps[SINGLE_MASK]])
        self.mask_product = decoder.mask_product
        self.iou_prediction_head = decoder.iou_prediction_head

    def forward(self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """As MaskDecoder.forward for boxes on one image, whose embedding comes as rows (1, h * w, width)."""
        n, (h, w) = sparse.shape[0], image_pe.shape[-2:]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(n, -1, -1), sparse], dim=1)
        tokens, image = self.transformer(image + rows(dense), rows(image_pe), tokens)

        enlarge, norm, enlarge_again = self.output_upscaling
        (hypernetwork,) = self.output_hypernetworks_mlps
        up = enlarge(image).unflatten(-1, (4, -1)).flatten(1, 2)  # (N, h * w * 4, width / 4)
        up = F.gelu(F.layer_norm(up, up.shape[-1:], norm.weight, norm.bias, norm.eps))
        up = F.gelu(enlarge_again(up)).unflatten(-1, (4, -1)).flatten(1, 2)  # (N, h * w * 4 * 4, width / 8)
        logits = self.mask_product(up, hypernetwork(tokens[:, 1 + SINGLE_MASK])[:, :, None])
        logits = logits.reshape(n, h, w, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6).reshape(n, 4 * h, 4 * w)
        return logits, self.iou_prediction_head(tokens[:, 0])[:, SINGLE_MASK]


def on_rows(conv: nn.ConvTranspose2d) -> nn.Linear:
    """A 2 x 2 transposed convolution of stride 2 as a linear layer on rows: (..., c_in) -> (..., 2 * 2 * c_out)."""
    linear = nn.Linear(conv.in_channels, 4 * conv.out_channels)
    linear.weight = nn.Parameter(conv.weight.detach().permute(2, 3, 1, 0).flatten(0, 2))
    linear.bias = nn.Parameter(conv.bias.detach().repeat(4))
    return linear
