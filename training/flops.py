"""Prints parameters and FLOPs of every part of a model (QMedSAM's Table 1): one image encoded, one box decoded.

python -m training.flops --models light litemedsam medsam_vit_b
"""

import argparse
import sys

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.model import MODELS, build_model

PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")


def parts_of(model: nn.Module) -> pd.DataFrame:
    """One row per part and one for the whole: `parameters` in millions, `GFLOPs` and `GMACs` of one image and one box.

    A multiplication and an addition are two FLOPs and one MAC; of convolutions and matrix products alone, as torch
    counts.
    """
    image = torch.empty(1, 3, model.input_size, model.input_size, device="meta")
    model = model.to("meta").eval().requires_grad_(False)  # shapes alone, no numbers
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.decode(model.encode(image), torch.empty(1, 4, device="meta"))
    counts = counter.get_flop_counts()  # by the class of the part that was called
    rows = []
    for name in PARTS:
        part = model.get_submodule(name)
        size = sum(weight.numel() for weight in part.parameters())
        rows.append((name, size, sum(counts.get(type(part).__name__, {}).values())))
    rows.append(("all", sum(size for _, size, _ in rows), counter.get_total_flops()))
    return pd.DataFrame(
        [
            {
                "model": model.name,
                "part": part,
                "parameters / M": round(parameters / 1e6, 3),
                "GFLOPs": round(flops / 1e9, 2),
                "GMACs": round(flops / 2e9, 2),
            }
            for part, parameters, flops in rows
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.flops", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    text = "which (default: all)"
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME", help=text)
    names = parser.parse_args(arguments).models
    print(pd.concat([parts_of(build_model(name)) for name in names]).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
