"""`make lock`: write requirements.lock, what requirements.txt pins with the hash of each wheel.

Run it after a pin has changed, with the Python and on the platform of the image: CPython 3.11 on x86-64 Linux.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# requirements.txt with the hashes of the wheels for CPython 3.11 on x86-64 Linux; written by `make lock`.\n"


def main() -> None:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary",
               ":all:", "--quiet", "--report", "-", "-r", str(ROOT / "requirements.txt")]  # fmt: skip
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    lines = []
    for package in report["install"]:
        pin = f"{package['metadata']['name']}=={package['metadata']['version']}"
        lines.append(f"{pin} --hash=sha256:{package['download_info']['archive_info']['hashes']['sha256']}\n")
    (ROOT / "requirements.lock").write_text(HEAD + "".join(sorted(lines)))


if __name__ == "__main__":
    main()
