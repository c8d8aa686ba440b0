"""`make lock`: write requirements.lock and requirements-files.lock, the wheels of the images with their hashes.

The first is what requirements.txt pins, and no more; the second what requirements-files.txt pins, and all that these
need. Run it after a pin has changed, with the Python and on the platform of the images: CPython 3.11 on x86-64 Linux.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# {} with the hashes of the wheels for CPython 3.11 on x86-64 Linux; written by `make lock`.\n"


def locked(*options: str) -> set[str]:
    """A line for each wheel that pip would install."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary", ":all:",
               "--quiet", "--report", "-", *options]  # fmt: skip
    report = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    lines = set()
    for package in report["install"]:
        about, archive = package["metadata"], package["download_info"]["archive_info"]
        name = re.sub(r"[-_.]+", "-", about["name"]).lower()
        lines.add(f"{name}=={about['version']} --hash=sha256:{archive['hashes']['sha256']}\n")
    return lines


def write(name: str, requirements: str, lines: Iterable[str]) -> None:
    (ROOT / name).write_text(HEAD.format(requirements) + "".join(sorted(lines)))


def main() -> None:
    runtime = locked("--no-deps", "-r", "requirements.txt")
    write("requirements.lock", "requirements.txt", runtime)
    with_files = locked("-r", "requirements-files.txt", "-c", "requirements.txt")
    write("requirements-files.lock", "requirements-files.txt and what it needs,", with_files - runtime)


if __name__ == "__main__":
    main()
