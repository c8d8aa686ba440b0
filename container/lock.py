"""`make lock`: write requirements.lock and, of each extra, requirements-<extra>.lock: wheels of the images with hashes.

The first is what requirements.txt pins, and no more; of an extra it is what its requirements pin, and all that these
need. Run it after a pin has changed, with the Python and on the platform of the images: CPython 3.11 on x86-64 Linux.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("files", "serve")
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
    for extra in EXTRAS:
        with_extra = locked("-r", f"requirements-{extra}.txt", "-c", "requirements.txt")
        write(f"requirements-{extra}.lock", f"requirements-{extra}.txt and what it needs,", with_extra - runtime)


if __name__ == "__main__":
    main()
