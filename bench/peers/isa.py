"""The instruction sets that a comparison can be held to. What is set here reaches every engine's process."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Isa:
    environment: dict  # of every engine's process
    openvino: dict  # properties of its pipeline
    sentences: tuple = ()  # for the report: how the engines were held to it


ISAS = {
    "best": Isa({}, {}),
    "avx2": Isa(
        {"LAZYFILL_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
        # Its own look at the processor, which the variable does not reach, would choose bf16, and 8-bit activations whose
        # products then find no instruction.
        {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
        (
            "every engine held to AVX2, whatever more the machine has: lazyfill by LAZYFILL_ISA=avx2, OpenVINO by"
            " ONEDNN_MAX_CPU_ISA=AVX2, fp32 and no dynamic quantisation, llama.cpp and ik_llama.cpp by how they were built",
            "OpenVINO's products are AVX2 then; some of its other loops look at the processor themselves and use AVX-512",
        ),
    ),
}


def check_build(isa, name, system_info):
    """Raises where a library of ggml's kind says that it has more than was asked for; system_info: its own words."""
    if isa == "avx2" and "AVX512 = 1" in system_info:
        raise RuntimeError(f"{name} was built with AVX-512: remove build/peers-venv-avx2 and let run.sh make it again")
