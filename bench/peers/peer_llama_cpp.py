"""llama.cpp through its Python package: prefill and decode of given token ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens", "flash_attention",
"isa"}.
"""

import time

import llama_cpp
import worker
from isa import check_build


class LlamaCpp:
    def __init__(self, options):
        check_build(options["isa"], "llama.cpp", llama_cpp.llama_print_system_info().decode())
        self.llama = llama_cpp.Llama(
            model_path=options["model"],
            n_ctx=options["context_tokens"],
            n_batch=2048,
            n_ubatch=512,
            n_threads=options["threads"],
            n_threads_batch=options["threads"],
            flash_attn=options["flash_attention"],
            verbose=False,
        )

    def measure(self, token_ids, n_decode):
        self.llama.reset()  # eval() then drops the cached columns itself: positions start at 0 again
        start = time.perf_counter()
        self.llama.eval(token_ids)
        generated = [self.llama.sample(temp=0.0)]
        first = time.perf_counter()
        for _ in range(n_decode):
            self.llama.eval([generated[-1]])
            generated.append(self.llama.sample(temp=0.0))
        end = time.perf_counter()
        return {
            "ttft_ms": (first - start) * 1e3,
            "decode_ms_per_token": (end - first) * 1e3 / n_decode,
            "token_ids": generated,
        }


if __name__ == "__main__":
    worker.serve(LlamaCpp)
