"""What the mask decoder of the light model is told of the slices before, when an object is followed through a volume.

Beside the box, each slice gets the mask of the slice before it, what the image looked like there, what the object and
its surroundings looked like on the slice it started from, its place between the object's ends, and where the boxes of
other objects lie. Masks say where the object was; appearances, compared locally as in space-time memory networks (Oh
et al. 2019) but by means in place of attention, say which of the regions there it was.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KEY_WIDTH = 16  # channels in which appearances are compared
LOCAL = 9  # pixels of the memory's level whose means an appearance is compared with
RING = 17  # pixels of the memory's level: how wide the surroundings of an object reach, on both sides together
STRIDE = 4  # input pixels per pixel of the memory
MAP_COUNT = 8  # maps that `comparisons` makes
NEIGHBOUR_MAPS = 2  # see `inference.segment.neighbours`
PLACE_FEATURES = 9  # numbers that `place_features` makes
LEAST = 0.02  # of a mean's weight, below which the mean fades
LONGEST = 64  # slices of an object, and steps from its start slice, beyond which all are alike


class SliceState(NamedTuple):
    """What one slice hands on to the next; all zero before the first.

    mask: (N, 1, S/4, S/4), -1 outside to 1 inside.
    keys: (N, KEY_WIDTH, S/4, S/4), what the slice looks like; at run time (1, ...), since the objects share it.
    reference: (N, 2 * KEY_WIDTH), mean appearance of the object and of its surroundings on its start slice.
    """

    mask: Tensor
    keys: Tensor
    reference: Tensor


class DecoderContext(NamedTuple):
    """What is added to the mask decoder's inputs.

    maps: one (N, C, h, w) per level but the finest, coarse to fine.
    vector: (N, hidden), to what was pooled from the image.
    """

    maps: list[Tensor]
    vector: Tensor


class SliceMemory(nn.Module):
    """Turns the state that a slice left, and the place of the next, into what its decoding is told; and the other way
    round. At the start it tells nothing: the last layers begin at zero.

    Args:
        widths: channels of the decoder's levels at strides 16, 8, 4.
        hidden: width of the vector pooled from the image.
    """

    def __init__(self, widths: tuple[int, int, int] = (128, 96, 48), hidden: int = 128, mixed: int = 24) -> None:
        super().__init__()
        self.key = nn.Conv2d(widths[-1], KEY_WIDTH, 1)
        self.mix = nn.Conv2d(MAP_COUNT + NEIGHBOUR_MAPS, mixed, 3, padding=1)
        self.adds = nn.ModuleList(nn.Conv2d(mixed, width, 3, padding=1) for width in widths)
        self.place_hidden = nn.Linear(PLACE_FEATURES, 32)
        self.place = nn.Linear(32, hidden)
        self.presence_hidden = nn.Linear(2 * widths[-1] + hidden, 64)
        self.presence = nn.Linear(64, 1)
        for layer in (*self.adds, self.place):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def empty_state(self, count: int, size: int, like: Tensor) -> SliceState:
        """The state of `count` objects on their start slices, at an input of `size` pixels."""
        side = size // STRIDE
        widths = (1, side, side), (KEY_WIDTH, side, side), (2 * KEY_WIDTH,)
        return SliceState(*(like.new_zeros(count, *width) for width in widths))

    def keys(self, embedding: Tensor) -> Tensor:
        """Appearance of each pixel, of length 1: (N, C, h, w) -> (N, KEY_WIDTH, h, w)."""
        return unit_length(self.key(embedding))

    def context(self, keys: Tensor, state: SliceState, place: Tensor, neighbours: Tensor) -> DecoderContext:
        """What a slice's decoding is told.

        Args:
            keys: (N, KEY_WIDTH, S/4, S/4), of this slice.
            state: that the slice before left.
            place: (N, 3), see `place_features`.
            neighbours: (N, NEIGHBOUR_MAPS, S/4, S/4) in 0..1, see `inference.segment.neighbours`.
        """
        maps = torch.cat([comparisons(keys, state), neighbours.to(keys.dtype)], dim=1)
        mixed = F.relu(self.mix(maps))
        pyramid = (F.avg_pool2d(mixed, 4), F.avg_pool2d(mixed, 2), mixed)
        maps = [add(level) for add, level in zip(self.adds, pyramid, strict=True)]
        features = place_features(place.float(), ~is_known(state)).to(keys.dtype)
        return DecoderContext(maps, self.place(F.relu(self.place_hidden(features))))

    def is_present(self, features: Tensor, mask: Tensor, condition: Tensor) -> Tensor:
        """Logit that the object is on this slice at all: (N,).

        Args:
            features: (N, C, S/4, S/4), the decoder's own.
            mask: (N, 1, S/4, S/4) in 0..1, as decoded.
            condition: (N, hidden), what the decoder's scales and shifts come from.
        """
        inside = self.total(mask * features) / (mask.flatten(2).sum(dim=2) + 1)
        seen = torch.cat([inside, self.largest(features), condition], dim=1)
        return self.presence(F.relu(self.presence_hidden(seen)))[:, 0]

    def total(self, features: Tensor) -> Tensor:
        """Sums over the pixels of features (N, C, h, w): (N, C)."""
        return features.sum(dim=(2, 3))

    def largest(self, features: Tensor) -> Tensor:
        """The largest values of features (N, C, h, w): (N, C)."""
        return features.amax(dim=(2, 3))

    def shift_presence(self, by: float) -> None:
        """Add a number to all presence logits: moves where objects end."""
        with torch.no_grad():
            self.presence.bias += by

    def next_state(self, mask: Tensor, keys: Tensor, state: SliceState) -> SliceState:
        """What a slice leaves for the next. mask: (N, 1, S/4, S/4) in 0..1."""
        known = is_known(state)[:, None].to(keys.dtype)
        reference = (1 - known) * reference_of(mask, keys) + known * state.reference
        return SliceState(2 * mask - 1, keys, reference)


def is_known(state: SliceState) -> Tensor:
    """Whether there was a slice before: (N,) bool."""
    return state.mask.abs().flatten(1).amax(dim=1) > 0


def unit_length(vectors: Tensor) -> Tensor:
    """Scale (N, C, h, w) to length 1 along C."""
    return vectors * (vectors.square().sum(dim=1, keepdim=True) + 1e-6).rsqrt()


def comparisons(keys: Tensor, state: SliceState) -> Tensor:
    """Where the object was, and how alike each pixel is to what was there: (N, MAP_COUNT, S/4, S/4).

    Of a pixel: the mask before, its local mean, the likeness to the object nearby on the slice before, to the
    background nearby, their difference, and the same three for the object and its surroundings on the start slice.
    """
    known = is_known(state)[:, None, None, None].to(keys.dtype)
    inside = known * (state.mask + 1) / 2
    inside_mean = local_mean(inside)
    object_sum = likeness(keys, local_mean(inside * state.keys))
    # What is not object is background; what all objects share is averaged and compared once.
    outside_mean = known * local_mean(torch.ones_like(inside[:1])) - inside_mean
    background_sum = known * likeness(keys, local_mean(state.keys)) - object_sum
    near_object = object_sum / (inside_mean + LEAST)
    near_background = background_sum / (outside_mean + LEAST)
    to_reference = state.reference.unflatten(1, (2, KEY_WIDTH)) @ keys.flatten(2)  # (N, 2, h * w)
    like_object, like_surroundings = to_reference.unflatten(2, keys.shape[2:]).split(1, dim=1)
    maps = [
        state.mask,
        known * (2 * inside_mean - 1),
        near_object,
        near_background,
        near_object - near_background,
        like_object,
        like_surroundings,
        like_object - like_surroundings,
    ]
    return torch.cat(maps, dim=1)


def likeness(keys: Tensor, others: Tensor) -> Tensor:
    """Products of the appearances of each pixel in two maps (N, C, h, w): (N, 1, h, w)."""
    return (keys.flatten(2) * others.flatten(2)).sum(dim=1, keepdim=True).unflatten(2, keys.shape[2:])


def local_mean(maps: Tensor) -> Tensor:
    """Mean over LOCAL x LOCAL pixels, with zeros beyond the border."""
    return local_sum(maps, LOCAL) / LOCAL**2


def local_sum(maps: Tensor, width: int) -> Tensor:
    """Sum over width x width pixels: two matrix products, which take less time than pooling."""
    along_y, along_x = (near(torch.arange(size, device=maps.device), width).to(maps.dtype) for size in maps.shape[2:])
    return along_y @ (maps @ along_x)


def near(positions: Tensor, width: int) -> Tensor:
    """Whether two of n pixels of an axis lie in one another's window of this width: (n, n) bool."""
    return (positions[:, None] - positions).abs() <= width // 2


def reference_of(mask: Tensor, keys: Tensor) -> Tensor:
    """Mean appearance inside a mask (N, 1, h, w), and in its surroundings: (N, 2 * KEY_WIDTH)."""
    ring = (1 - mask) * (local_sum((mask > 0.5).to(mask.dtype), RING) > 0)
    means = [mean_inside(part, keys) for part in (mask, ring)]
    return torch.cat(means, dim=1)


def mean_inside(mask: Tensor, maps: Tensor) -> Tensor:
    """Mean of maps (N, C, h, w) over masks (N, 1, h, w): (N, C); it fades where there is less than a pixel."""
    weights = mask.flatten(2)
    total = weights @ maps.flatten(2).transpose(1, 2)  # (N, 1, C)
    return total[:, 0] / (weights.sum(dim=2) + 1)


def place_features(place: Tensor, is_first: Tensor) -> Tensor:
    """Where a slice lies in its object, as the network takes it: (N, PLACE_FEATURES).

    Args:
        place: (N, 3): slices to the object's first one, to its last one (both -1 where its extent is not known), and
            slices from its start slice.
        is_first: (N,) bool: no slice was before.
    """
    below, above, steps = place.unbind(dim=1)
    known = (below >= 0).float()
    count = (below + above + 1).clamp(min=1)
    off_centre = (below - above).abs() / count  # 0 in the middle, nearly 1 at the ends
    section = (1 - off_centre.square()).clamp(min=0).sqrt()  # radius of an ellipsoid's section there
    to_end = 1 / (1 + torch.minimum(below, above).clamp(min=0))
    length = count.clamp(max=LONGEST) / LONGEST
    of_extent = torch.stack([off_centre, off_centre.square(), section, to_end, length, torch.ones_like(known)], dim=1)
    others = [1 - is_first.float(), 1 - known, (1 - known) * steps.clamp(max=LONGEST / 4) / (LONGEST / 4)]
    return torch.cat([known[:, None] * of_extent, torch.stack(others, dim=1)], dim=1)
