"""`python container/sbom.py`: a software bill of materials of the image it runs in, CycloneDX JSON on standard output.

Run while the image is built. It lists what is really there: Python, its packages with the libraries that their wheels
bundle, the packages of the base system, and the model files.
"""

import hashlib
import json
import platform
import re
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

WORKSPACE = Path(__file__).resolve().parent.parent
SYSTEM_PACKAGES = Path("/var/lib/dpkg/status")
# A wheel in a lock file: for all machines, or for the one whose name fills the braces.
LOCKED = r"^(\S+==\S+)(?: ; platform_machine == '{}')? --hash=sha256:(\w+)"
BUNDLED = re.compile(r"\.so(\.|$)")
Component = dict[str, Any]


def python() -> Component:
    """The interpreter."""
    version = platform.python_version()
    return {"type": "application", "name": "python", "version": version, "purl": f"pkg:generic/python@{version}"}


def python_packages() -> Iterator[Component]:
    """Installed packages; inside those of the lock files, the shared libraries that are still there."""
    locks = "".join(path.read_text() for path in WORKSPACE.glob("requirements*.lock"))
    locked = dict(re.findall(LOCKED.format(platform.machine()), locks, re.M))
    for package in sorted(distributions(), key=lambda package: package.name.lower()):
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        component: Component = {
            "type": "library",
            "name": name,
            "version": package.version,
            "purl": f"pkg:pypi/{name}@{package.version}",
        }
        if licence := package.metadata.get("License-Expression") or package.metadata.get("License", "").split("\n")[0]:
            component["licenses"] = [{"license": {"name": licence}}]
        if wheel := locked.get(f"{name}=={package.version}"):
            component["hashes"] = [{"alg": "SHA-256", "content": wheel}]
            component["components"] = list(bundled(package))
        yield component


def bundled(package: Distribution) -> Iterator[Component]:
    """Shared libraries that a package installed."""
    for file in sorted(package.files or []):
        path = Path(str(file.locate()))
        if BUNDLED.search(path.name) and path.is_file():
            yield {"type": "file", "name": str(file), "hashes": [sha256(path)]}


def system_packages() -> Iterator[Component]:
    """Packages of the base image, as dpkg knows them."""
    paragraphs = SYSTEM_PACKAGES.read_text().split("\n\n") if SYSTEM_PACKAGES.exists() else []
    for package in map(HeaderParser().parsestr, filter(str.strip, paragraphs)):
        if package["Status"] == "install ok installed":
            name, version = package["Package"], package["Version"]
            purl = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={package['Architecture']}"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


def models() -> Iterator[Component]:
    """The models that ship."""
    for path in sorted((WORKSPACE / "weights").rglob("*.onnx")):
        name = str(path.relative_to(WORKSPACE))
        yield {"type": "machine-learning-model", "name": name, "hashes": [sha256(path)]}


def sha256(path: Path) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}


def main() -> None:
    components = [python(), *python_packages(), *system_packages(), *models()]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "qmedsam"}},
        "components": components,
    }
    json.dump(bill, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
