"""torch with Hugging Face's transformers in BF16, which reads the GGUF file and unpacks it: prefill and decode of given ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens"}.
"""

import pathlib
import time

import worker


class Torch:
    def __init__(self, options):
        self.torch, transformers = worker.packages("torch", "transformers", "gguf")
        self.torch.set_num_threads(options["threads"])
        path = pathlib.Path(options["model"])
        load = transformers.AutoModelForCausalLM.from_pretrained
        self.model = load(str(path.parent), gguf_file=path.name, dtype=self.torch.bfloat16).eval()

    def step(self, token_ids, columns):
        """The likeliest next token, and the columns of all before it."""
        ids = self.torch.tensor([token_ids])
        out = self.model(input_ids=ids, past_key_values=columns, use_cache=True, logits_to_keep=1)
        return int(out.logits[0, -1].argmax()), out.past_key_values

    def measure(self, token_ids, n_decode):
        with self.torch.inference_mode():
            start = time.perf_counter()
            token, columns = self.step(token_ids, None)
            first = time.perf_counter()
            generated = [token]
            for _ in range(n_decode):
                token, columns = self.step([token], columns)
                generated.append(token)
            end = time.perf_counter()
        return {
            "ttft_ms": (first - start) * 1e3,
            "decode_ms_per_token": (end - first) * 1e3 / n_decode,
            "token_ids": generated,
        }


if __name__ == "__main__":
    worker.serve(Torch)
