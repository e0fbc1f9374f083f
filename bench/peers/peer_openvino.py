"""OpenVINO GenAI, which reads GGUF files itself: prefill and decode of given token ids, dense or with XATTENTION.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens", "sparse", "properties"}, the last
being the plug-in's own, where its choice is not wanted (bf16 on processors that have it).
"""

import numpy
import openvino
import openvino_genai

import worker


class OpenVino:
    def __init__(self, options):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False  # every prompt is computed in full, also the second time
        scheduler.cache_size = 1  # GB
        scheduler.max_num_batched_tokens = options["context_tokens"]
        if options["sparse"]:
            scheduler.use_sparse_attention = True
            scheduler.sparse_attention_config.mode = openvino_genai.SparseAttentionMode.XATTENTION
        properties = {"INFERENCE_NUM_THREADS": options["threads"]} | options["properties"]
        self.pipeline = openvino_genai.LLMPipeline(
            options["model"], "CPU", scheduler_config=scheduler, **properties
        )

    def generate(self, token_ids, n_tokens, **settings):
        config = openvino_genai.GenerationConfig(
            max_new_tokens=n_tokens, ignore_eos=True, do_sample=False, apply_chat_template=False, **settings
        )
        ids = openvino.Tensor(numpy.array([token_ids], dtype=numpy.int64))
        return self.pipeline.generate(ids, config)

    def measure(self, token_ids, n_decode):
        result = self.generate(token_ids, n_decode + 1)
        metrics = result.perf_metrics
        return {
            "ttft_ms": metrics.get_ttft().mean,
            "decode_ms_per_token": metrics.get_tpot().mean,
            "token_ids": list(result.tokens[0]),
        }

    def first_logprobs(self, token_ids, n_likeliest):
        """The beams of a search over one token are the likeliest ones, and their scores the log-probabilities."""
        beams = {"num_beams": n_likeliest, "num_return_sequences": n_likeliest, "length_penalty": 0.0}
        result = self.generate(token_ids, 1, **beams)
        return {"token_ids": [tokens[0] for tokens in result.tokens], "logprobs": list(result.scores)}


if __name__ == "__main__":
    worker.serve(OpenVino)
