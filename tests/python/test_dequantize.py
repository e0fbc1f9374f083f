"""The engine's dequantisation against the gguf package's, bit for bit, on random blocks of every type."""

import subprocess

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

N_BLOCKS = 500
# Where a block's fp16 scales lie: random bytes there would give infinities and NaN, which files must not hold.
HALF_OFFSETS = {Type.F16: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
                Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.Q2_K: [80, 82], Type.Q3_K: [108],
                Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.MXFP4: [], Type.TQ1_0: [52], Type.TQ2_0: [64]}


def random_blocks(rng, kind):
    """[N_BLOCKS, block_bytes] of bytes with finite scales, subnormal ones among them."""
    _, block_bytes = GGML_QUANT_SIZES[kind]
    if kind == Type.F32:
        return rng.normal(size=(N_BLOCKS, 1)).astype(np.float32).view(np.uint8)
    if kind == Type.BF16:
        bits = rng.normal(size=(N_BLOCKS, 1)).astype(np.float32).view(np.uint32) >> 16
        return bits.astype(np.uint16).view(np.uint8)
    blocks = rng.integers(0, 256, size=(N_BLOCKS, block_bytes), dtype=np.uint8)
    if kind == Type.MXFP4:  # a power of two; the largest ones overflow fp32
        blocks[:, 0] = rng.integers(0, 252, size=N_BLOCKS)
    for offset in HALF_OFFSETS[kind]:
        halves = (rng.normal(size=N_BLOCKS) * 10.0 ** rng.integers(-7, 3, size=N_BLOCKS)).astype(np.float16)
        assert np.isfinite(halves).all()
        blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(N_BLOCKS, 2)
    return blocks


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0,
                                  Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.Q2_K, Type.Q3_K, Type.IQ4_NL, Type.IQ4_XS,
                                  Type.MXFP4, Type.TQ1_0, Type.TQ2_0], ids=lambda kind: kind.name)
def test_equals_the_gguf_package_bit_for_bit(kind, build_dir, tmp_path):
    blocks = random_blocks(np.random.default_rng(kind.value), kind)
    expected = np.ascontiguousarray(dequantize(blocks.reshape(-1), kind), dtype=np.float32).reshape(-1)
    (tmp_path / "blocks.bin").write_bytes(blocks.tobytes())
    subprocess.run([build_dir / "bin" / "dequantize_tool", str(kind.value), tmp_path / "blocks.bin",
                    tmp_path / "values.bin"], check=True)
    values = np.fromfile(tmp_path / "values.bin", dtype=np.float32)
    assert values.size == N_BLOCKS * GGML_QUANT_SIZES[kind][0]
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))
