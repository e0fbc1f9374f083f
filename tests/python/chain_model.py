"""Tiny GGUF models that say exactly what they are told: a chain from token to token, with a byte-level vocabulary."""

import gguf
import numpy as np

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def byte_spellings():
    """[256] how byte-level BPE spells each byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


class ChainModel:
    """next_of: the token that follows each; every other token follows itself."""

    def __init__(self):
        self.tokens = byte_spellings()
        self.types = [NORMAL] * 256
        self.merges = ["t h"]
        self.next_of = {}
        self.values = {}  # further metadata: texts and numbers
        self.add("th")

    def add(self, spelling, kind=NORMAL):
        self.tokens.append(spelling)
        self.types.append(kind)
        return len(self.tokens) - 1

    def say(self, after, ids):
        """The answer to a prompt that ends in token `after`."""
        for token in ids:
            self.next_of[after] = token
            after = token

    def write(self, path, n_context=512):
        n_tokens = len(self.tokens)
        d = (n_tokens + 63) // 64 * 64
        writer = gguf.GGUFWriter(path, "llama")
        for add, value in ((writer.add_block_count, 1), (writer.add_context_length, n_context), (writer.add_embedding_length, d),
                           (writer.add_feed_forward_length, 32), (writer.add_head_count, d // 32), (writer.add_head_count_kv, d // 32),
                           (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_rope_dimension_count, 32), (writer.add_tokenizer_model, "gpt2"),
                           (writer.add_tokenizer_pre, "gpt-2"), (writer.add_token_list, self.tokens), (writer.add_token_types, self.types),
                           (writer.add_token_merges, self.merges)):
            add(value)
        for key, value in self.values.items():
            if isinstance(value, str):
                writer.add_string(key, value)
            else:
                writer.add_uint32(key, value)
        head = np.zeros((n_tokens, d), np.float32)
        for token in range(n_tokens):
            head[self.next_of.get(token, token), token] = 1
        tensors = {"token_embd": np.eye(n_tokens, d, dtype=np.float32), "output": head, "output_norm": np.ones(d, np.float32)}
        tensors.update({f"blk.0.{name}": np.ones(d, np.float32) for name in ("attn_norm", "ffn_norm")})
        tensors.update({f"blk.0.{name}": np.zeros((d, d), np.float32) for name in ("attn_q", "attn_k", "attn_v", "attn_output")})
        tensors.update({f"blk.0.{name}": np.zeros((32, d), np.float32) for name in ("ffn_gate", "ffn_up")})
        tensors["blk.0.ffn_down"] = np.zeros((d, 32), np.float32)
        for name, tensor in tensors.items():
            writer.add_tensor(name + ".weight", tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path
