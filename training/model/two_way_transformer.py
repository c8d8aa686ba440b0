"""SAM's two-way transformer: prompt tokens attend to the image embedding, and the image embedding to the tokens.

N prompts may share one image embedding of batch size 1: everything that depends on the image alone is then computed
once and broadcast.
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from training.model.layers import MatMul


class Attention(nn.Module):
    """Multi-head attention whose projections may be narrower than its input (`downsample`)."""

    def __init__(self, width: int, heads: int, downsample: int = 1):
        super().__init__()
        inner = width // downsample
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)
        self.query_key = MatMul()
        self.attention_value = MatMul()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (N or 1, Q, width), k and v (N or 1, K, width) -> (N, Q, width)."""
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        attention = self.query_key(q * self.scale, k.transpose(-2, -1)).softmax(-1)  # (N, heads, Q, K)
        return self.out_proj(self.attention_value(attention, v).transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(N, tokens, inner) -> (N, heads, tokens, inner / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TransformerMLP(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP on the tokens, image to tokens."""

    def __init__(self, width: int, heads: int, mlp_width: int, first: bool):
        super().__init__()
        self.first = first  # the first block has no tokens yet to add the encoding or a residual to
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, downsample=2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TransformerMLP(width, mlp_width)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, downsample=2)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """tokens, token_pe (N, T, width); image (1 or N, hw, width); image_pe (1, hw, width)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)

        keys = image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    def __init__(self, depth: int, width: int, heads: int, mlp_width: int):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, mlp_width, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, downsample=2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """image (1 or N, width, h, w), image_pe (1, width, h, w), tokens (N, T, width).

        Returns the tokens (N, T, width) and the image embedding (N, hw, width), both after attending to each other.
        """
        image = image.flatten(2).transpose(1, 2)  # (1 or N, hw, width)
        image_pe = image_pe.flatten(2).transpose(1, 2)
        token_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(tokens + token_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + attended), image
