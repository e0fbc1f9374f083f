"""ONNX Runtime GenAI on a folder that its own builder made of the GGUF file: prefill and decode of given token ids.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens"}. The folder lies beside the model,
MODEL.onnx, for the builder needs torch and minutes.
"""

import json
import pathlib
import time

import worker


class Onnx:
    def __init__(self, options):
        (self.og,) = worker.packages("onnxruntime_genai")
        folder = pathlib.Path(options["model"] + ".onnx")
        if not (folder / "genai_config.json").exists():
            raise RuntimeError(
                "its builder has not been run: python -m onnxruntime_genai.models.builder"
                f" -i {folder.name.removesuffix('.onnx')} -o {folder.name} -p int4 -e cpu"
            )
        config = self.og.Config(str(folder))
        threads = {"session_options": {"intra_op_num_threads": options["threads"]}}
        config.overlay(json.dumps({"model": {"decoder": threads}}))
        self.model = self.og.Model(config)

    def measure(self, token_ids, n_decode):
        settings = self.og.GeneratorParams(self.model)
        length = len(token_ids) + n_decode + 1
        settings.set_search_options(do_sample=False, min_length=length, max_length=length)
        generator = self.og.Generator(self.model, settings)
        generated = []
        start = time.perf_counter()
        generator.append_tokens(token_ids)
        for i in range(n_decode + 1):
            generator.generate_next_token()
            generated.append(int(generator.get_next_tokens()[0]))
            if i == 0:
                first = time.perf_counter()
        end = time.perf_counter()
        return {
            "ttft_ms": (first - start) * 1e3,
            "decode_ms_per_token": (end - first) * 1e3 / n_decode,
            "token_ids": generated,
        }


if __name__ == "__main__":
    worker.serve(Onnx)
