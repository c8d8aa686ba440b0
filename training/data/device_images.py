"""All images of a data set in the memory of the device that trains: nothing is cut on the host, nothing is sent."""

import numpy as np
import torch
from torch import Tensor

from training.data.slices import Slice
from training.data.warp import FRAME

LARGEST_SHRINK = 2  # bilinear interpolation skips pixels beyond it; the host's INTER_AREA would not


class DeviceImages:
    """The pixels of all slices, one after the other without padding, so that images of any size lie side by side.

    Attributes:
        pixels: (P, 3) uint8; a grey image has three equal channels.
        objects: (P,) int16, the bits of the uint16 object numbers.
        largest_objects: (n,) largest object number of each slice.
    """

    def __init__(self, slices: list[Slice], input_size: int, device: torch.device) -> None:
        """Send the slices to the device.

        Raises:
            ValueError: an image that would have to be shrunk too much.
        """
        self.sizes = np.array([item.targets.objects.shape for item in slices])  # (n, 2): height, width
        largest = self.sizes.max()
        if largest > LARGEST_SHRINK * input_size:
            raise ValueError(
                f"data.on_device: an image has {largest} px a side, {LARGEST_SHRINK * input_size} is the most; "
                "prepare them with --longest-side, or switch it off"
            )
        areas = self.sizes.prod(axis=1)
        self.offsets = np.cumsum(areas) - areas  # (n,)
        self.largest_objects = np.array([int(item.targets.objects.max()) for item in slices])
        self.pixels = torch.empty(areas.sum(), 3, dtype=torch.uint8, device=device)
        self.objects = torch.empty(areas.sum(), dtype=torch.int16, device=device)
        for item, start, area in zip(slices, self.offsets, areas, strict=True):
            image = torch.from_numpy(item.image.reshape(area, -1))  # (area, 1 or 3)
            self.pixels[start : start + area] = image.to(device)
            objects = item.targets.objects.reshape(-1).astype(np.uint16)
            self.objects[start : start + area] = torch.from_numpy(objects.view(np.int16)).to(device)

    def planes(self, samples: np.ndarray, members: list[list[tuple[int, ...]]]) -> Tensor:
        """The planes of a batch, as `cut_source` makes them where the input shows a whole image at its own size.

        Args:
            samples: (B,) numbers of the slices.
            members: for each of them the object numbers of each mask wanted.

        Returns:
            (B, 3 + K, h, w) uint8: red, green, blue and masks (0 or 255), in the top left corners, framed.
        """
        device = self.pixels.device
        heights, widths, offsets = (
            torch.from_numpy(values).to(device)[:, None, None]
            for values in (*self.sizes[samples].T.copy(), self.offsets[samples])
        )
        height, width = self.sizes[samples].max(axis=0) + 2 * FRAME
        y = torch.arange(-FRAME, height - FRAME, device=device)[:, None]
        x = torch.arange(-FRAME, width - FRAME, device=device)
        nearest_y, nearest_x = y.clamp(max=heights - 1).clamp(min=0), x.clamp(max=widths - 1).clamp(min=0)
        at = offsets + nearest_y * widths + nearest_x  # (B, h, w)

        framed = (y < heights + FRAME) & (x < widths + FRAME)
        pixels = self.pixels[at].permute(0, 3, 1, 2) * framed[:, None]
        on_image = (y == nearest_y) & (x == nearest_x)
        objects = (self.objects[at].long() & 0xFFFF) * on_image

        # The table covers every object of these images, also those that no mask asks for.
        belongs = torch.from_numpy(membership(members, self.largest_objects[samples].max())).to(device)
        masks = belongs.take_along_dim(objects.flatten(1)[:, None].expand(-1, belongs.shape[1], -1), dim=2)
        return torch.cat([pixels, masks.unflatten(-1, objects.shape[1:])], dim=1)


def membership(members: list[list[tuple[int, ...]]], largest: int) -> np.ndarray:
    """(B, K, largest + 1) uint8: 255 where the mask holds the object of that number, else 0.

    Args:
        members: for each image the object numbers of each of its masks, at most K.
        largest: the largest object number in the images.
    """
    table = np.zeros((len(members), max(map(len, members)), largest + 1), np.uint8)
    for row, masks in enumerate(members):
        for slot, numbers in enumerate(masks):
            table[row, slot, list(numbers)] = 255
    return table
