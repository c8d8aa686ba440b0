"""Which files of a folder belong together: images and volumes, and their label maps."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference.errors import CaseError, SetupError
from inference.files.itk import ending
from inference.jobs import PICTURES
from inference.options import Window
from training.data.labelled_case import LabelledCase
from training.data.preparation import make_image_case, make_npz_case, make_volume_case

IMAGE_FOLDER = re.compile(r"(images?|imgs)(Tr|Ts)?")  # nnU-Net has imagesTr and labelsTr
LABEL_FOLDER = re.compile(r"(labels?|gts|masks?)(Tr|Ts)?")
NPZ = ".npz"
WAYS = "<id>.jpg beside <id>.png, the same names in images/ and labels/, or npz with imgs and gts"


@dataclass(frozen=True)
class LabelledFile:
    """An image or a volume, and its label map.

    image: a file, or the folder of a DICOM series; None where a label map has none. label: likewise; None for an npz
    that holds both.
    folders: those that it lies in, below the one that was searched, without `images` and `labels`.
    id: its name without suffixes.
    """

    image: Path | None
    label: Path | None
    folders: tuple[str, ...]
    id: str

    @property
    def source(self) -> Path:
        """What it goes by."""
        return self.image or self.label

    def read(self, ct_window: Window | None) -> LabelledCase:
        """Read both; a volume is windowed, or without a window rescaled by percentiles.

        Raises:
            CaseError: it cannot be used; the message is the reason, and names the label map where that is at fault.
        """
        if self.image is None:
            raise CaseError(f"a label map without an image; a pair is {WAYS}")
        if self.label is None:
            return make_npz_case(self.image, None)
        if self.image.suffix.lower() in PICTURES:
            return make_image_case(self.image, self.label, None, None)
        return make_volume_case(self.image, self.label, ct_window, None)


def find_labelled(root: Path, image_suffix: str = "", label_suffix: str = "") -> list[LabelledFile]:
    """All label maps below a folder with their images, sorted. Images without a label map are left out.

    Label maps are PNG beside images of the same name and other kinds, or what has the suffix of label maps, or all that
    lies in a folder `labels` (`labelsTr`, `gts`, `masks`) beside one of `images`; npz hold both, elsewhere.

    Args:
        image_suffix, label_suffix: what names have between id and ending: `_0000`, `_mask`.

    Raises:
        SetupError: no such folder, nothing labelled in it, or two files of one name.
    """
    if not root.is_dir():
        raise SetupError(f"{root}: no such folder")
    whole, images, labels = {}, {}, {}
    for path in _candidates(root):
        *folders, name = path.relative_to(root).parts
        stem = name[: len(name) - len(_ending(path))]
        is_image, is_label = (any(map(kind.fullmatch, folders)) for kind in (IMAGE_FOLDER, LABEL_FOLDER))
        if label_suffix:
            is_label = is_label or stem.endswith(label_suffix)
        elif not is_image:
            is_label = is_label or path.suffix == ".png"
        place = (folder for folder in folders if not (IMAGE_FOLDER.fullmatch(folder) or LABEL_FOLDER.fullmatch(folder)))
        key = (*place, stem.removesuffix(label_suffix if is_label else image_suffix))
        kind = labels if is_label else whole if path.suffix == NPZ else images
        if key in kind:
            raise SetupError(f"{kind[key]} and {path}: two of one name; rename one of them")
        kind[key] = path
    pairs = {key: (images.get(key), label) for key, label in labels.items()}
    pairs |= {key: (path, None) for key, path in whole.items()}
    if not pairs:
        raise SetupError(f"{root}: no label maps found; looked for {WAYS}")
    return [LabelledFile(*pair, key[:-1], key[-1]) for key, pair in sorted(pairs.items())]


def _candidates(root: Path) -> Iterator[Path]:
    """Files of a known kind, and folders that hold nothing but others: the slices of DICOM series."""
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        if _ending(path) if path.is_file() else _is_series(path):
            yield path


def _is_series(folder: Path) -> bool:
    entries = list(folder.iterdir())
    return bool(entries) and all(entry.is_file() and not _ending(entry) for entry in entries)


def _ending(path: Path) -> str:
    """That of a file which may be an image or a label map; empty for others."""
    is_known = path.suffix.lower() in (*PICTURES, ".npy", NPZ)
    return ending(path) or (path.suffix if is_known and path.is_file() else "")
