"""`make lock`: write requirements.lock and, of each extra, requirements-<extra>.lock: wheels of the images with hashes.

The first is what requirements.txt pins, and no more; of an extra it is what its requirements pin, and all that these
need. A wheel that is not for every machine has a line for each of `MACHINES`. Run it after a pin has changed, with the
Python of the images, CPython 3.11, on either machine: it asks the index for the wheels of both.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("files", "serve")
MACHINES = ("x86_64", "aarch64")  # as Python and pip call them; Docker: linux/amd64 and linux/arm64
GLIBC = range(36, 16, -1)  # 2.N, the newest that a wheel may need first: Debian 12 has 2.36
HEAD = "# {} with the hashes of the wheels for CPython 3.11 on Linux, x86-64 and ARM64; written by `make lock`.\n"


def locked(*options: str) -> set[str]:
    """A line for each wheel that pip would install on one of the machines."""
    found = {machine: wheels(machine, *options) for machine in MACHINES}
    everywhere = set.intersection(*found.values())
    lines = {f"{pin} {wheel}\n" for pin, wheel in everywhere}
    for machine, pairs in found.items():
        lines |= {f"{pin} ; platform_machine == '{machine}' {wheel}\n" for pin, wheel in pairs - everywhere}
    return lines


def wheels(machine: str, *options: str) -> set[tuple[str, str]]:
    """Pin and hash of each wheel that pip would install on a machine."""
    tags = (*(f"manylinux_2_{minor}_{machine}" for minor in GLIBC), f"manylinux2014_{machine}", f"linux_{machine}")
    # Without a target pip looks at no other platform; with --dry-run nothing is put there.
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--target", "wheels",
               "--only-binary", ":all:", *(f"--platform={tag}" for tag in tags), "--quiet", "--report", "-",
               *options]  # fmt: skip
    report = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    pairs = set()
    for package in report["install"]:
        about, archive = package["metadata"], package["download_info"]["archive_info"]
        name = re.sub(r"[-_.]+", "-", about["name"]).lower()
        pairs.add((f"{name}=={about['version']}", f"--hash=sha256:{archive['hashes']['sha256']}"))
    return pairs


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
