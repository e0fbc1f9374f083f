"""Random weights straight as quantised blocks, of every type the engine reads: as fast as random bytes, where quantising
would take minutes and is not there for every type.

Codes are uniform; scales are chosen so that the weights have a mean of about 0 and the standard deviation asked for.
"""

import functools

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES

# A line for every type of blocks but those that _set_scales() knows by name.
# Where the fp16 scale of a block lies, where the fp16 minimum (or its scale), and the code in the middle: minus the
# minimum is so many scales.
LAYOUTS = {
    Type.Q4_0: (0, None, 0), Type.Q4_1: (0, 2, 7.5), Type.Q5_0: (0, None, 0), Type.Q5_1: (0, 2, 15.5),
    Type.Q8_0: (0, None, 0), Type.Q2_K: (80, 82, 1.5), Type.Q3_K: (108, None, 0), Type.Q4_K: (0, 2, 7.5),
    Type.Q5_K: (0, 2, 15.5), Type.Q6_K: (208, None, 0), Type.IQ4_NL: (0, None, 0), Type.IQ4_XS: (0, None, 0),
    Type.TQ1_0: (52, None, 0), Type.TQ2_0: (64, None, 0),
}
MINIMUM_IS_ADDED = (Type.Q4_1, Type.Q5_1)  # the other types subtract it
FLOATS = (Type.F32, Type.F16, Type.BF16)
CHUNK_BYTES = 1 << 25


def random_rows(rng, kind, n_rows, n_in, std):
    """Bytes of a matrix [n_rows, n_in] as the file holds it: uint8 [n_rows, row_bytes]."""
    block_elements, block_bytes = GGML_QUANT_SIZES[kind]
    if n_in % block_elements:
        raise ValueError(f"rows of {n_in} elements are no whole number of blocks of {kind.name}")
    row_bytes = n_in // block_elements * block_bytes
    rows = np.empty((n_rows, row_bytes), np.uint8)
    step = max(1, CHUNK_BYTES // row_bytes)
    for begin in range(0, n_rows, step):
        part = rows[begin:begin + step]
        part[:] = _random_part(rng, kind, len(part) * (n_in // block_elements), std).reshape(part.shape)
    return rows


def _random_part(rng, kind, n_blocks, std):
    if kind in FLOATS:
        values = rng.standard_normal(n_blocks, np.float32) * np.float32(std)
        return values.view(np.uint8) if kind == Type.F32 else gguf.quants.quantize(values, kind).view(np.uint8)
    blocks = _random_codes(rng, kind, n_blocks)
    _set_scales(rng, kind, blocks, std / _unit_std(kind))
    return blocks


def _random_codes(rng, kind, n_blocks):
    _, block_bytes = GGML_QUANT_SIZES[kind]
    blocks = np.frombuffer(rng.bytes(n_blocks * block_bytes), np.uint8).reshape(n_blocks, block_bytes).copy()
    # A minimum of as many steps as the scale keeps every group's mean at 0.
    if kind == Type.Q2_K:  # a nibble each
        low = blocks[:, :16] & 15 | 1
        blocks[:, :16] = low | low << 4
    elif kind in (Type.Q4_K, Type.Q5_K):  # six bits each; see packed_scale() in src/gguf/tensor_type.cc
        blocks[:, 4:8] |= 0x20
        blocks[:, 8:12] = blocks[:, 4:8]
        blocks[:, 12:16] = (blocks[:, 12:16] & 15) * 17
    elif kind == Type.TQ2_0:  # digits of 0 to 2 only
        digits = [rng.integers(0, 3, (n_blocks, 64), np.uint8) << shift for shift in (0, 2, 4, 6)]
        blocks[:, :64] = digits[0] | digits[1] | digits[2] | digits[3]
    return blocks


def _set_scales(rng, kind, blocks, scale):
    n_blocks = len(blocks)
    if kind == Type.MXFP4:  # a power of two
        blocks[:, 0] = int(np.clip(round(np.log2(max(scale, 1e-30))) + 128, 2, 250))
        return
    at, minimum_at, middle = LAYOUTS[kind]
    scales = (scale * rng.uniform(0.75, 1.25, n_blocks)).astype(np.float32)
    blocks[:, at:at + 2] = scales.astype(np.float16).view(np.uint8).reshape(n_blocks, 2)
    if minimum_at is not None:
        minima = scales * middle * (-1 if kind in MINIMUM_IS_ADDED else 1)
        blocks[:, minimum_at:minimum_at + 2] = minima.astype(np.float16).view(np.uint8).reshape(n_blocks, 2)


@functools.cache
def _unit_std(kind):
    """Standard deviation of weights whose blocks have scales of about 1."""
    rng = np.random.default_rng(0)
    blocks = _random_codes(rng, kind, 2048)
    _set_scales(rng, kind, blocks, 1.0)
    return float(gguf.quants.dequantize(blocks, kind).std())
