"""vLLM's CPU build, which reads the GGUF file: prefill and decode of given token ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens"}. It computes in this process, so that no
other one of its own is awake while the others are measured.
"""

import os
import time

import worker


class Vllm:
    def __init__(self, options):
        # Read when the package is imported.
        os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": f"0-{options['threads'] - 1}"}
        (self.vllm,) = worker.packages("vllm")
        self.llm = self.vllm.LLM(
            model=options["model"],
            dtype="bfloat16",
            max_model_len=options["context_tokens"],
            max_num_batched_tokens=options["context_tokens"],
            enable_prefix_caching=False,  # every prompt is computed in full, also the second time
            skip_tokenizer_init=True,
        )

    def answer(self, token_ids, n_tokens):
        """The tokens and the time they took in all."""
        settings = self.vllm.SamplingParams(temperature=0, max_tokens=n_tokens, ignore_eos=True, detokenize=False)
        start = time.perf_counter()
        (result,) = self.llm.generate([{"prompt_token_ids": token_ids}], settings, use_tqdm=False)
        return list(result.outputs[0].token_ids), (time.perf_counter() - start) * 1e3

    def measure(self, token_ids, n_decode):
        """Answers come whole: the first token is timed alone, and the others by what they add."""
        _, first_ms = self.answer(token_ids, 1)
        generated, all_ms = self.answer(token_ids, n_decode + 1)
        decode_ms = (all_ms - first_ms) / n_decode
        if decode_ms <= 0:
            raise RuntimeError("its answers of one and of many tokens took equally long: the machine was not idle")
        return {"ttft_ms": first_ms, "decode_ms_per_token": decode_ms, "token_ids": generated}


if __name__ == "__main__":
    worker.serve(Vllm)
