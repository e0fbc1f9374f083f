"""Writes random models of a few layers: the whole path in seconds, over shapes that no real model has.

Queries and keys are scaled so that attention is far from even: a policy then has something to choose by.
"""

import gguf
import numpy as np

from scripts import random_blocks

N_VOCAB = 288


def write_llama(path, weight_type="F32", seed=1, n_layers=6, split_max_tensors=0):
    """6 layers, all of which see everything; 3 query heads a key head; sizes that are no multiple of a tile. With
    split_max_tensors in files of so many each."""
    shape = dict(n_layers=n_layers, d_model=96, n_heads=6, n_kv_heads=2, head_dim=16, d_ff=160)
    writer = gguf.GGUFWriter(str(path), "llama", split_max_tensors=split_max_tensors)
    _common(writer, shape, rms_eps=1e-5, context=4096)
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(10000.0)
    _byte_bpe(writer)
    _weights(writer, shape, weight_type, np.random.default_rng(seed), gemma=False)
    _finish(writer)


def write_blocks(path, weight_type, seed=3):
    """3 layers of random blocks of any type, the embedding too; rows of one block of 256."""
    shape = dict(n_layers=3, d_model=256, n_heads=8, n_kv_heads=2, head_dim=32, d_ff=512)
    writer = gguf.GGUFWriter(str(path), "llama")
    _common(writer, shape, rms_eps=1e-5, context=4096)
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(10000.0)
    _byte_bpe(writer)
    _weights(writer, shape, weight_type, np.random.default_rng(seed), gemma=False, random=True)
    _finish(writer)


def write_gemma3(path, weight_type="F32", seed=2, n_layers=13, window=8):
    """13 layers, so that 5 and 11 see everything and can prune; a window of 8; heads wider than d_model / n_heads;
    one key head."""
    shape = dict(n_layers=n_layers, d_model=64, n_heads=4, n_kv_heads=1, head_dim=32, d_ff=96)
    writer = gguf.GGUFWriter(str(path), "gemma3")
    _common(writer, shape, rms_eps=1e-6, context=4096)
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_rope_freq_base(1000000.0)
    writer.add_sliding_window(window)
    _sentencepiece(writer)
    _weights(writer, shape, weight_type, np.random.default_rng(seed), gemma=True)
    _finish(writer)


def _common(writer, shape, rms_eps, context):
    writer.add_name("tiny")
    writer.add_block_count(shape["n_layers"])
    writer.add_context_length(context)
    writer.add_embedding_length(shape["d_model"])
    writer.add_feed_forward_length(shape["d_ff"])
    writer.add_head_count(shape["n_heads"])
    writer.add_head_count_kv(shape["n_kv_heads"])
    writer.add_layer_norm_rms_eps(rms_eps)


def _byte_bpe(writer):
    """A token a byte, no merge that matters, and specials up to N_VOCAB."""
    # GPT-2's rule: printable bytes stand for themselves, the others for the characters from 256 on.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = [], 0
    for byte in range(256):
        names.append(chr(byte) if byte in printable else chr(256 + extra))
        extra += byte not in printable
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + names + ["th"]
    tokens += [f"<unused{i}>" for i in range(N_VOCAB - len(tokens))]
    types = [gguf.TokenType.NORMAL if 3 <= i < 260 else gguf.TokenType.CONTROL for i in range(N_VOCAB)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)


def _sentencepiece(writer):
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)] + ["\u2581", "e", "t", "th"]
    types = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.UNKNOWN] + [gguf.TokenType.BYTE] * 256
    types += [gguf.TokenType.NORMAL] * 4
    tokens += [f"<unused{i}>" for i in range(N_VOCAB - len(tokens))]
    types += [gguf.TokenType.CONTROL] * (N_VOCAB - len(types))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(N_VOCAB)])
    writer.add_token_types(types)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def _weights(writer, shape, weight_type, rng, gemma, random=False):
    quantisation = gguf.GGMLQuantizationType[weight_type]

    def matrix(name, n_out, n_in, gain=1.0):
        if random:
            rows = random_blocks.random_rows(rng, quantisation, n_out, n_in, gain / np.sqrt(n_in))
            writer.add_tensor(name + ".weight", rows, raw_dtype=quantisation)
            return
        values = (rng.standard_normal((n_out, n_in)) * gain / np.sqrt(n_in)).astype(np.float32)
        writer.add_tensor(name + ".weight", gguf.quants.quantize(values, quantisation), raw_dtype=quantisation)

    def norm(name, n, around=1.0):
        writer.add_tensor(name + ".weight", (around + 0.1 * rng.standard_normal(n)).astype(np.float32))

    d_model, head_dim = shape["d_model"], shape["head_dim"]
    q_dim, kv_dim = shape["n_heads"] * head_dim, shape["n_kv_heads"] * head_dim
    # Tied to the head: without the gain the logits would be almost equal.
    matrix("token_embd", N_VOCAB, d_model, gain=2.0)
    norm("output_norm", d_model)
    for layer in range(shape["n_layers"]):
        block = f"blk.{layer}."
        norm(block + "attn_norm", d_model)
        # Gemma normalises queries and keys, so there the gain is in the norms.
        matrix(block + "attn_q", q_dim, d_model, gain=1.0 if gemma else 1.6)
        matrix(block + "attn_k", kv_dim, d_model, gain=1.0 if gemma else 1.6)
        matrix(block + "attn_v", kv_dim, d_model)
        matrix(block + "attn_output", d_model, q_dim)
        norm(block + "ffn_norm", d_model)
        matrix(block + "ffn_gate", shape["d_ff"], d_model)
        matrix(block + "ffn_up", shape["d_ff"], d_model)
        matrix(block + "ffn_down", d_model, shape["d_ff"])
        if gemma:
            norm(block + "attn_q_norm", head_dim, around=1.6)
            norm(block + "attn_k_norm", head_dim, around=1.6)
            norm(block + "post_attention_norm", d_model)
            norm(block + "post_ffw_norm", d_model)


def _finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
