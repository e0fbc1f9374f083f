"""llama.cpp through its Python package: prefill and decode of given token ids.

A process of its own, so that its threads and its memory are gone when lazyfill's turn comes. Reads one JSON object
from standard input: {"model", "token_ids", "n_decode", "threads", "flash_attention"}; writes one to standard output:
{"ttft_ms", "decode_ms_per_token", "token_ids"}.
"""

import json
import sys
import time

from llama_cpp import Llama


def main() -> None:
    request = json.load(sys.stdin)
    ids = request["token_ids"]
    llama = Llama(
        model_path=request["model"],
        n_ctx=len(ids) + request["n_decode"] + 8,
        n_batch=2048,
        n_ubatch=512,
        n_threads=request["threads"],
        n_threads_batch=request["threads"],
        flash_attn=request["flash_attention"],
        verbose=False,
    )
    llama.eval(ids[:64])  # the first call touches every weight page
    llama.reset()  # eval() then drops the cached columns itself: positions start at 0 again

    start = time.perf_counter()
    llama.eval(ids)
    token = llama.sample(temp=0.0)
    ttft = time.perf_counter() - start
    generated = [token]
    start = time.perf_counter()
    for _ in range(request["n_decode"]):
        llama.eval([generated[-1]])
        generated.append(llama.sample(temp=0.0))
    decode = time.perf_counter() - start
    json.dump(
        {
            "ttft_ms": ttft * 1e3,
            "decode_ms_per_token": decode * 1e3 / max(1, request["n_decode"]),
            "token_ids": generated,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
