"""Contenders held to older instruction sets than the CPU has, by oneDNN's `ONEDNN_MAX_CPU_ISA`."""

VARIABLE = "ONEDNN_MAX_CPU_ISA"
NATIVE = "native"
# With the options that a run needs under each. OpenVINO goes on reporting bf16, which `--precision auto` then takes and
# which oneDNN then lacks.
ISAS = {
    NATIVE: (),
    "AVX512_CORE_BF16": (),
    "AVX512_CORE_VNNI": ("--precision", "f32"),
    "AVX2_VNNI_2": ("--precision", "f32"),
    "AVX2_VNNI": ("--precision", "f32"),
    "AVX2": ("--precision", "f32"),
}


def variables(isa: str) -> dict[str, str]:
    """Of the environment of a process that is held to one of `ISAS`."""
    return {} if isa == NATIVE else {VARIABLE: isa}
