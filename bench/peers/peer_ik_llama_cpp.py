"""ik_llama.cpp through its Python package: prefill and decode of given token ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens", "flash_attention", "isa"}. The package's own class never uses flash
attention where it does not find AVX-VNNI (and it looks for it only with py-cpuinfo), because of failed assertions; it
works and is faster here, so that class is passed over.
"""

import ctypes
import time

import worker
from ik_llama_cpp import _ctypes_api, _internals
from isa import check_build


class IkLlamaCpp:
    CHUNK = 512  # tokens of a prompt that the package takes at a time

    def __init__(self, options):
        describe = _ctypes_api._lib.llama_print_system_info
        describe.restype = ctypes.c_char_p
        check_build(options["isa"], "ik_llama.cpp", describe().decode())
        # Nor does its generate() tell when the first token was there.
        self.context = _internals.IkContext(
            _internals.IkModel(options["model"]),
            n_ctx=options["context_tokens"],
            n_threads=options["threads"],
            flash_attn=options["flash_attention"],
        )

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
