"""A LiteMedSAM of the same kinds of layers in few and narrow ones, quick enough to export in a test."""

from training.model.mask_decoder import MaskDecoder
from training.model.prompt_encoder import PromptEncoder
from training.model.sam import SAM
from training.model.tiny_vit import TinyViT
from training.model.untrained import fill_randomly
from training.model.vit import ViT

SIZE, GRID, WIDTH = 64, 16, 64


def small_sam() -> SAM:
    """Input 64 x 64, logits 64 x 64, embedding (64, 16, 16); random weights; in eval mode."""
    encoder = TinyViT(widths=(16, 32, 32, 64), depths=(1, 1, 1, 1), heads=(1, 1, 1, 2), embedding=WIDTH)
    decoder = MaskDecoder(width=WIDTH, depth=1, heads=4, mlp_width=128)
    model = SAM("small", encoder, PromptEncoder(SIZE, GRID, WIDTH), decoder)
    fill_randomly(model, seed=3)
    return model.eval()


def small_vit_sam() -> SAM:
    """The same with a ViT, of one block in windows and a global one."""
    encoder = ViT(SIZE, SIZE // GRID, width=16, depth=2, heads=2, window=7, global_blocks=(1,), embedding=WIDTH)
    decoder = MaskDecoder(width=WIDTH, depth=1, heads=4, mlp_width=128)
    model = SAM("small_vit", encoder, PromptEncoder(SIZE, GRID, WIDTH), decoder)
    fill_randomly(model, seed=3)
    return model.eval()


def narrow_litemedsam() -> SAM:
    """The same under LiteMedSAM's name, in training mode, to stand in its place where whole runs are tested."""
    model = small_sam()
    model.name = "litemedsam"
    return model.train()
