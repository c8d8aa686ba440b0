"""OpenVINO's engine without the Python package around it, which imports numpy first: it can begin before that is there.

Who needs arrays or graphs takes `inference.model.openvino_runtime`.
"""

import logging
import os
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ..options import AUTO, BF16, F32

log = logging.getLogger("qmedsam")

PACKAGE, ENGINE = "openvino", "openvino._pyopenvino"
PLUGIN = '<plugin name="CPU" location="libopenvino_{}_cpu_plugin.so"><properties>{}</properties></plugin>'
PROPERTY = '<property key="{}" value="{}"/>'
ARM64 = "aarch64"


def import_engine() -> None:
    """Import the engine as if its package were there, unless that is, or can be: where numpy is, it takes little time.

    Raises:
        ImportError: OpenVINO is not installed, or does not fit this machine.
    """
    if PACKAGE in sys.modules or ENGINE in sys.modules:
        return
    if "numpy" in sys.modules:
        from . import openvino_runtime  # noqa: F401

        return
    spec = find_spec(PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{PACKAGE}'", name=PACKAGE)
    package = ModuleType(PACKAGE)
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[PACKAGE] = package
    try:
        import openvino._pyopenvino  # noqa: F401
    finally:
        del sys.modules[PACKAGE]


import_engine()

from openvino._pyopenvino import CompiledModel, Core, get_version  # noqa: E402

__all__ = ["CompiledModel", "Core", "core_with", "engine_config", "get_version", "settings", "tell"]


def settings(precision: str, threads: int = 0) -> dict[str, Any]:
    """OpenVINO's settings, as far as they do not depend on the CPU.

    Args:
        precision: one of `inference.options.PRECISIONS`; `AUTO` leaves it out.
        threads: CPU threads of all inferences together; 0 means all.
    """
    given = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    chosen = {name: value for name, value in given.items() if value not in (AUTO, 0)}
    return {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **chosen}


def engine_config(core: Core, precision: str, threads: int = 0) -> dict[str, Any]:
    """All of OpenVINO's settings; arguments as for `settings`."""
    if precision == AUTO:
        precision = BF16 if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else F32
    return settings(precision, threads)


def tell(core: Core, config: dict[str, Any]) -> None:
    """Say what an engine computes with."""
    capabilities = ", ".join(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    log.debug("arithmetic %s; the CPU has %s", config["INFERENCE_PRECISION_HINT"], capabilities)


def core_with(config: dict[str, Any]) -> Core:
    """An engine that has these settings for whatever it loads. Those of a call it would look at by means of numpy; here
    they are handed over as the file of a plug-in's properties.

    Raises:
        AttributeError, OSError, RuntimeError: this system has no files in memory, no /proc, or another plug-in.
    """
    kind = "arm" if os.uname().machine == ARM64 else "intel"
    plugin = PLUGIN.format(kind, "".join(PROPERTY.format(*setting) for setting in config.items()))
    file = os.memfd_create("plugins")
    try:
        os.write(file, f"<ie><plugins>{plugin}</plugins></ie>".encode())
        return Core(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
