"""Which files are of one subject, and which subjects are held out: no subject is learned from and scored on."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

SHARE = 0.2  # of the subjects that are held out
FEWEST = 5  # subjects that are held out, unless the user asks for less


def by_pattern(names: Sequence[str], pattern: str) -> dict[str, str]:
    """The subject of each name: what the pattern's first group finds in it, or the whole pattern if it has no group.

    Raises:
        ValueError: not a pattern, or a name without it.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--subject '{pattern}': not a regular expression ({error})") from error
    found = {name: compiled.search(name) for name in names}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise ValueError(f"--subject '{pattern}': not found in {len(missing)} file names, the first is {missing[0]}")
    return {name: match.group(1 if compiled.groups else 0) for name, match in found.items()}


def by_table(names: Sequence[str], path: Path) -> dict[str, str]:
    """The subject of each name by a CSV with the columns `file` (with or without folders and ending) and `subject`.

    Raises:
        ValueError: it cannot be read, or lacks a column or a file; the message names it.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = {row["file"]: row["subject"] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except KeyError as error:
        raise ValueError(f"{path}: has no column {error}; 'file' and 'subject' are needed") from error
    table = {Path(file).name.partition(".")[0]: subject for file, subject in table.items()} | table
    found = {name: table.get(name, table.get(Path(name).name)) for name in names}
    missing = [name for name, subject in found.items() if subject is None]
    if missing:
        raise ValueError(f"{path}: {len(missing)} of the files are not in it, the first is {missing[0]}")
    return {name: str(subject) for name, subject in found.items()}


def held_out(subjects: Mapping[str, str], count: int | None = None, seed: int = 0) -> set[str]:
    """The subjects that are held out, drawn at random, the same for the same subjects and seed.

    Args:
        subjects: subject of each file.
        count: how many; None takes `SHARE` of them, `FEWEST` at least.

    Raises:
        ValueError: too few subjects; the message says what makes do with them.
    """
    known = sorted(set(subjects.values()))
    wanted = max(FEWEST, round(SHARE * len(known))) if count is None else count
    if count is None and len(known) < 2 * FEWEST:
        most = len(known) // 2
        remedy = f"--held-out {most} makes do with {most}" if most else "images of another subject are needed"
        raise ValueError(f"{len(known)} subjects: {2 * FEWEST} are needed to hold {FEWEST} out; {remedy}")
    if not 0 < wanted < len(known):
        raise ValueError(f"--held-out {wanted}: of {len(known)} subjects, 1 to {len(known) - 1} can be held out")
    drawn = np.random.default_rng(seed).permutation(len(known))[:wanted]
    return {known[number] for number in drawn}
