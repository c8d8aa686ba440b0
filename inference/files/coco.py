"""COCO: boxes of pictures, and masks as run lengths."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, BoolArray
from .prompts import Object, Prompt, one_per_label


def coco_prompts(content: Mapping[str, Any]) -> list[Prompt]:
    """The boxes of all annotations, each for the picture of its name; `bbox` is left, top, width, height in pixels."""
    files = {image["id"]: base_name(str(image["file_name"])) for image in content["images"]}
    names = {category["id"]: str(category["name"]) for category in content.get("categories") or ()}
    prompts = []
    for annotation in content["annotations"]:
        left, top, width, height = map(float, annotation["bbox"])
        category = annotation.get("category_id")
        # The far edge of the last pixel becomes the last pixel.
        numbers = (left, top, left + max(0.0, width - 1), top + max(0.0, height - 1))
        image = annotation["image_id"]
        prompts.append(Prompt(numbers, name=names.get(category, ""), file=files[image], category=category, image=image))
    return prompts


def base_name(name: str) -> str:
    """The name of a file without its folders, of whichever system."""
    return PureWindowsPath(PurePosixPath(name).name).name


class Segmented(NamedTuple):
    """A picture that was segmented.

    Attributes:
        segs: its label map (H, W), labels those of `objects`.
    """

    file: str
    segs: Array
    objects: Sequence[Object]


def coco_images(pictures: Sequence[Segmented]) -> dict[str, Any]:
    """What COCO says of pictures: an annotation per object, with its mask as run lengths."""
    categories = _numbered(_category(item) for picture in pictures for item in picture.objects)
    numbers = _numbered(map(_image, pictures))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for picture in pictures:
        number, (file, segs, objects) = numbers[_image(picture)], picture
        height, width = segs.shape
        images.append({"id": number, "file_name": file, "height": height, "width": width})
        for item in one_per_label(objects):
            mask = segs == item.label
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories[_category(item)],
                    "label": item.label,
                    "iscrowd": 0,
                    "bbox": _bounds(mask),
                    "area": int(mask.sum()),
                    "segmentation": {"size": [height, width], "counts": run_lengths(mask)},
                }
            )
    named = [{"id": id, "name": name or f"category {id}"} for (_, name), id in categories.items()]
    return {"images": images, "annotations": annotations, "categories": named}


def run_lengths(mask: BoolArray) -> list[int]:
    """COCO's run lengths: along columns, of background and object in turn, background first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff([0, *changes, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def _bounds(mask: BoolArray) -> list[int]:
    """Left, top, width and height; zeros where there is nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def _category(item: Object) -> tuple[int | None, str]:
    return item.category, item.name


def _image(picture: Segmented) -> tuple[int | None, str]:
    return next((item.image for item in picture.objects), None), picture.file


def _numbered(keys: Iterable[tuple[int | None, str]]) -> dict[tuple[int | None, str], int]:
    """A number for each number and name: its own, else the next that is free."""
    distinct = dict.fromkeys(keys)
    taken = {number for number, _ in distinct}
    free = (number for number in range(1, len(distinct) + len(taken) + 1) if number not in taken)
    return {key: key[0] if key[0] is not None else next(free) for key in distinct}
