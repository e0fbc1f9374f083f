#!/usr/bin/env python3
"""Writes a GGUF file of a well-known model's shape with random weights, in the mix of types of Q4_K_M: speed, memory and
load time can be measured at the sizes that people use, without a download.

    scripts/make_random_model.py SHAPE OUTPUT.gguf [--layers N] [--architecture NAME] [--type TYPE] [--seed N]

It computes nonsense, but finite nonsense, and its tokeniser knows every byte and every pair of printable ones. Needs the
packages gguf and numpy (tests/python/requirements.txt); a gigabyte takes some seconds.
"""

import argparse
import dataclasses
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import random_blocks  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Shape:
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    n_vocab: int
    tied: bool
    rope_base: float
    rms_eps: float
    context: int


# From the models' published configurations.
SHAPES = {
    "llama-3.2-1b": Shape("llama", 16, 2048, 32, 8, 64, 8192, 128256, True, 500000.0, 1e-5, 131072),
    "qwen2.5-7b": Shape("qwen2", 28, 3584, 28, 4, 128, 18944, 152064, False, 1000000.0, 1e-6, 32768),
}


def more_bits(layer, n_layers):
    """Where the mix of Q4_K_M (llama.cpp's) gives values and the down projection six bits."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


def matrices(shape, one_type):
    """(name, type, n_out, n_in, gain over 1 / sqrt(n_in)) in the file's order."""
    q_dim, kv_dim = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    middle, high = (one_type, one_type) if one_type else (Type.Q4_K, Type.Q6_K)
    yield "token_embd", high if shape.tied else middle, shape.n_vocab, shape.d_model, 1.0
    for layer in range(shape.n_layers):
        block = f"blk.{layer}."
        mixed = high if more_bits(layer, shape.n_layers) else middle
        yield block + "attn_q", middle, q_dim, shape.d_model, 1.0
        yield block + "attn_k", middle, kv_dim, shape.d_model, 1.0
        yield block + "attn_v", mixed, kv_dim, shape.d_model, 1.0
        yield block + "attn_output", middle, shape.d_model, q_dim, 1.0
        yield block + "ffn_gate", middle, shape.d_ff, shape.d_model, 1.0
        yield block + "ffn_up", middle, shape.d_ff, shape.d_model, 1.0
        yield block + "ffn_down", mixed, shape.d_model, shape.d_ff, 1.0
    if not shape.tied:
        yield "output", high, shape.n_vocab, shape.d_model, 2.0


def vectors(shape, architecture):
    """(name, length, mean) of what stays in F32."""
    yield "output_norm.weight", shape.d_model, 1.0
    for layer in range(shape.n_layers):
        yield f"blk.{layer}.attn_norm.weight", shape.d_model, 1.0
        yield f"blk.{layer}.ffn_norm.weight", shape.d_model, 1.0
        if architecture == "qwen2":
            yield f"blk.{layer}.attn_q.bias", shape.n_heads * shape.head_dim, 0.0
            yield f"blk.{layer}.attn_k.bias", shape.n_kv_heads * shape.head_dim, 0.0
            yield f"blk.{layer}.attn_v.bias", shape.n_kv_heads * shape.head_dim, 0.0


def add_metadata(writer, shape, name):
    writer.add_name(f"{name} with random weights")
    writer.add_block_count(shape.n_layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.d_model)
    writer.add_feed_forward_length(shape.d_ff)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.rms_eps)


def add_tokenizer(writer, n_vocab):
    """Byte-level BPE by GPT-2's rule: printable bytes stand for themselves, the others for the characters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = [], 0
    for byte in range(256):
        names.append(chr(byte) if byte in printable else chr(256 + extra))
        extra += byte not in printable
    ascii_names = names[32:127]
    pairs = [(a, b) for a in ascii_names for b in ascii_names]
    tokens = ["<|begin|>", "<|end|>"] + names + [a + b for a, b in pairs]
    types = [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2)
    types += [gguf.TokenType.UNUSED] * (n_vocab - len(tokens))
    tokens += [f"<unused{i}>" for i in range(n_vocab - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)


def write(path, name, shape, architecture, one_type, seed):
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), architecture)
    add_metadata(writer, shape, name)
    add_tokenizer(writer, shape.n_vocab)
    all_matrices, all_vectors = list(matrices(shape, one_type)), list(vectors(shape, architecture))
    for vector, length, _ in all_vectors:
        writer.add_tensor_info(vector, (length,), np.dtype(np.float32), 4 * length)
    for matrix, kind, n_out, n_in, _ in all_matrices:
        shape_bytes = gguf.quant_shape_to_byte_shape((n_out, n_in), kind)
        writer.add_tensor_info(matrix + ".weight", shape_bytes, np.dtype(np.uint8), int(np.prod(shape_bytes)), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, length, mean in all_vectors:
        writer.write_tensor_data((mean + 0.1 * rng.standard_normal(length)).astype(np.float32))
    for _, kind, n_out, n_in, gain in all_matrices:
        writer.write_tensor_data(random_blocks.random_rows(rng, kind, n_out, n_in, gain / np.sqrt(n_in)))
    writer.close()


def main():
    parser = argparse.ArgumentParser(description="Writes a GGUF file of a known shape with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--layers", type=int, help="fewer layers than the model has, for a quick trial")
    parser.add_argument("--architecture", choices=["llama", "qwen2"], default="llama",
                        help="what the file says it is; with qwen2 it has biases (default: llama)")
    parser.add_argument("--type", help="one tensor type for all matrices instead of the mix, e.g. Q3_K")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    if args.layers is not None:
        shape = dataclasses.replace(shape, n_layers=args.layers)
    one_type = Type[args.type] if args.type else None
    write(args.output, args.shape, shape, args.architecture, one_type, args.seed)
    print(f"{args.output}: {args.output.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
