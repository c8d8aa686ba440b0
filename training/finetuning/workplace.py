"""Where a fine-tuning keeps what it makes on the way, so that it goes on where it was stopped."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.atomic import write_atomically
from training.finetuning.data import Prepared
from training.trainer.checks import check_writable
from training.trainer.run import LAST

LEAST_FREE = 500 * 2**20  # bytes of checkpoints, twice while they are written, and of models
RESULT = "finetune.json"  # what marks a folder as a result of ours


@dataclass(frozen=True)
class Workplace:
    """A folder `root` for what is made on the way."""

    root: Path

    @property
    def cases(self) -> Path:
        return self.root / "cases"

    @property
    def replay(self) -> Path:
        return self.root / "replay"

    @property
    def train(self) -> Path:
        return self.root / "train"

    @property
    def index(self) -> Path:
        return self.root / "index.npz"

    @property
    def held_out(self) -> Path:
        return self.root / "held_out"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def result(self) -> Path:
        """What is copied to where the user wants it."""
        return self.root / "result"

    def segs(self, contender: str) -> Path:
        return self.root / "segs" / contender.replace(" ", "_")


def check_place(work: Path, out: Path, data: Path) -> None:
    """Raise ValueError where results could not be written, would be written over something else, or among the data."""
    for folder in (work, out):
        check_writable(folder)
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < LEAST_FREE:
            raise ValueError(f"{folder}: {free >> 20} MB are free on its disk, {LEAST_FREE >> 20} MB are needed")
        if folder.resolve().is_relative_to(data.resolve()):
            raise ValueError(f"{folder}: lies in {data}, which is searched; choose another place")
    if out.is_dir() and any(out.iterdir()) and not (out / RESULT).exists():
        raise ValueError(f"{out}: holds files that fine-tuning has not made; choose another folder")


def keep_settings(place: Workplace, settings: Mapping[str, Any]) -> None:
    """Note what a run trains with.

    Raises:
        ValueError: its training was begun with other settings, or other data.
    """
    path, now = place.root / "settings.json", json.loads(json.dumps(settings))
    if path.exists() and (place.run / LAST).exists():
        before = json.loads(path.read_text())
        changed = [name for name in now if before.get(name) != now[name]]
        if changed:
            raise ValueError(
                f"{place.root}: was begun with other {', '.join(changed)}; remove it to begin anew, or give --work"
            )
    write_text(path, json.dumps(now, indent=1))


def fingerprint(cases: Sequence[Prepared]) -> str:
    """Of what the cases hold: it changes with them, and not when they are made once more."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(case.name.encode() + hashlib.sha256(case.path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def ship(result: Path, out: Path) -> None:
    """Copy all files of a result; first what marks a folder as one of ours, so that a stopped copy is repeated."""
    out.mkdir(parents=True, exist_ok=True)
    files = [path for path in result.iterdir() if path.is_file()]  # and no folder of compiled models
    for path in sorted(files, key=lambda path: (path.name != RESULT, path.name)):
        content = path.read_bytes()
        write_atomically(out / path.name, lambda file, content=content: file.write(content))
    for path in out.glob("*.onnx"):
        if not (result / path.name).exists():
            path.unlink()
