"""The engine's dequantisation against the gguf package's, bit for bit, on random blocks of every type."""

import re
import subprocess

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

from reference.tensor_types import READABLE
from scripts.random_blocks import LAYOUTS

N_BLOCKS = 500
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
    # Random bytes as fp16 scales would give infinities and NaN, which files must not hold.
    for offset in [0] if kind == Type.F16 else [at for at in LAYOUTS.get(kind, ())[:2] if at is not None]:
        halves = (rng.normal(size=N_BLOCKS) * 10.0 ** rng.integers(-7, 3, size=N_BLOCKS)).astype(np.float16)
        assert np.isfinite(halves).all()
        blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(N_BLOCKS, 2)
    return blocks


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.name)
def test_equals_the_gguf_package_bit_for_bit(kind, build_dir, tmp_path):
    blocks = random_blocks(np.random.default_rng(kind.value), kind)
    expected = np.ascontiguousarray(dequantize(blocks.reshape(-1), kind), dtype=np.float32).reshape(-1)
    (tmp_path / "blocks.bin").write_bytes(blocks.tobytes())
    subprocess.run([build_dir / "bin" / "dequantize_tool", str(kind.value), tmp_path / "blocks.bin",
                    tmp_path / "values.bin"], check=True)
    values = np.fromfile(tmp_path / "values.bin", dtype=np.float32)
    assert values.size == N_BLOCKS * GGML_QUANT_SIZES[kind][0]
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))


def test_the_table_is_what_the_program_reads(root, build_dir, tmp_path):
    """The list comes from the source; the documents have it too."""
    (tmp_path / "empty").write_bytes(b"")
    done = subprocess.run([build_dir / "bin" / "dequantize_tool", str(Type.I8.value), tmp_path / "empty", tmp_path / "out"],
                          capture_output=True, text=True, check=False)
    names = done.stderr.split("this build reads ")[1].strip(" .\n").split(", ")
    assert names == [kind.name for kind in READABLE]
    models = (root / "docs" / "models.md").read_text(encoding="utf-8").split("Tensor types are ")[1].split(", all\nof them")[0]
    assert sorted(re.findall(r"\w+", models.replace(" and ", " "))) == sorted(names)
