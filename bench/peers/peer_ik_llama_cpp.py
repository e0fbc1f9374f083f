"""ik_llama.cpp through its Python package: prefill and decode of given token ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens"}. Whether flash attention is used is the
package's own choice: it knows on which processors it fails.
"""

import time

import ik_llama_cpp
import worker
from ik_llama_cpp import _ctypes_api, _internals


class IkLlamaCpp:
    CHUNK = 512  # tokens of a prompt that the package takes at a time

    def __init__(self, options):
        self.llama = ik_llama_cpp.IkLlama(
            options["model"], n_ctx=options["context_tokens"], n_threads=options["threads"], verbose=False
        )
        self.context = self.llama._context  # generate() does not tell when its first token was there

    def evaluate(self, batch):
        failed = self.context.decode(batch)
        _ctypes_api.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode answered {failed}")

    def measure(self, token_ids, n_decode):
        self.context.kv_cache_clear()
        start = time.perf_counter()
        for begin in range(0, len(token_ids), self.CHUNK):
            chunk = token_ids[begin : begin + self.CHUNK]
            is_last = begin + self.CHUNK >= len(token_ids)
            self.evaluate(_internals.make_batch_range(chunk, pos_start=begin, logits_last=is_last))
        generated = [self.context.sample(-1, temperature=0.0)]
        first = time.perf_counter()
        for i in range(n_decode):
            self.evaluate(_internals.make_batch_single(generated[-1], len(token_ids) + i))
            generated.append(self.context.sample(-1, temperature=0.0))
        end = time.perf_counter()
        return {
            "ttft_ms": (first - start) * 1e3,
            "decode_ms_per_token": (end - first) * 1e3 / n_decode,
            "token_ids": generated,
        }


if __name__ == "__main__":
    worker.serve(IkLlamaCpp)
