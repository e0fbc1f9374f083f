#!/usr/bin/env python3
"""Writes the seed corpus of gguf_fuzz, and files for engine_fuzz: small files that are right, one of every kind that the reader tells apart.

    fuzz/make_gguf_corpus.py FOLDER

Needs the packages gguf and numpy (tests/python/requirements.txt).
"""

import pathlib
import struct
import sys

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
         "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0", "IQ2_XXS", "NVFP4"]


def write(path, fill):
    writer = gguf.GGUFWriter(str(path), "llama")
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_blocks(writer, name, kind, n_rows=2):
    """A tensor of one block a row."""
    type_ = gguf.GGMLQuantizationType[kind]
    _, n_bytes = GGML_QUANT_SIZES[type_]
    blocks = (np.arange(n_rows * n_bytes) % 61).astype(np.uint8).reshape(n_rows, n_bytes)
    if kind in ("F32", "F16"):
        writer.add_tensor(name, blocks.view({"F32": np.float32, "F16": np.float16}[kind]))
    else:
        writer.add_tensor(name, blocks, raw_dtype=type_)


def every_value(writer):
    for bits in (8, 16, 32, 64):
        getattr(writer, f"add_uint{bits}")(f"u{bits}", 2 ** (bits - 1))
        getattr(writer, f"add_int{bits}")(f"i{bits}", -(2 ** (bits - 1)))
    writer.add_float32("f32", 1.5)
    writer.add_float64("f64", -1e300)
    writer.add_bool("flag", True)
    writer.add_string("text", "\u00e4\u4e16")
    writer.add_array("ints", [1, -2, 3])
    writer.add_array("floats", [0.5, 2.5])
    writer.add_array("flags", [True, False])
    writer.add_array("texts", ["", "a", "bc"])


def model(writer):
    writer.add_name("seed")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_head_count(2)
    writer.add_token_list(["<s>", "a", "b"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_token_types([3, 1, 1])
    add_blocks(writer, "token_embd.weight", "Q8_0", 3)


def whole(writer, kind):
    """A model that answers: one layer, heads of 8, and more rows than tokens."""
    tokens = ["a", "b", "c", "\u0120", "ab", "<s>", "</s>"]
    width = 32
    writer.add_name("whole")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(4)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1, 1, 1, 1, 1, 3, 3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(5)
    writer.add_eos_token_id(6)
    writer.add_chat_template("{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}")
    for norm in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(norm + ".weight", np.ones(width, np.float32))
    for name, n_rows in (("token_embd", len(tokens) + 2), ("blk.0.attn_q", width), ("blk.0.attn_k", 8), ("blk.0.attn_v", 8),
                         ("blk.0.attn_output", width), ("blk.0.ffn_gate", width), ("blk.0.ffn_up", width), ("blk.0.ffn_down", width)):
        values = np.sin(np.arange(n_rows * width, dtype=np.float32)).reshape(n_rows, width)
        type_ = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name + ".weight", gguf.quants.quantize(values, type_), raw_dtype=type_)


def part(writer):
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 2)
    writer.add_int32("split.tensors.count", 1)
    add_blocks(writer, "a", "F32")


def aligned(writer):
    writer.add_custom_alignment(64)
    add_blocks(writer, "a", "Q4_0")
    add_blocks(writer, "b", "F32")


def shaped(writer):
    writer.add_tensor("matrix", np.ones((3, 4), np.float32))
    writer.add_tensor("cube", np.ones((2, 3, 4), np.float32))
    writer.add_tensor("four", np.ones((2, 2, 2, 2), np.float16))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for fill in (every_value, model, part, aligned, shaped):
        write(folder / fill.__name__, fill)
    for kind in TYPES:
        write(folder / f"type_{kind.lower()}", lambda writer, kind=kind: add_blocks(writer, "a", kind))
    for kind in ("Q4_0", "Q4_1"):
        write(folder / f"whole_{kind.lower()}", lambda writer, kind=kind: whole(writer, kind))
    (folder / "empty_v2").write_bytes(b"GGUF" + struct.pack("<IQQ", 2, 0, 0))
    (folder / "big_endian").write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    print(f"{len(list(folder.iterdir()))} files in {folder}")


if __name__ == "__main__":
    main()
