"""OpenVINO GenAI, which reads GGUF files itself: prefill and decode of given token ids, dense or with XATTENTION.

A process of its own that stays for the whole comparison and sleeps while the others are measured. See worker.py for
what it reads and writes; its options are {"model", "threads", "context_tokens", "sparse", "precision"}, the precision
being "default" (bf16 on processors that have it) or "f32".
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
        properties = {"INFERENCE_NUM_THREADS": options["threads"]}
        if options["precision"] != "default":
            properties["INFERENCE_PRECISION_HINT"] = options["precision"]
        self.pipeline = openvino_genai.LLMPipeline(
            options["model"], "CPU", scheduler_config=scheduler, **properties
        )

    def measure(self, token_ids, n_decode):
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = n_decode + 1
        config.ignore_eos = True
        config.do_sample = False
        config.apply_chat_template = False
        ids = openvino.Tensor(numpy.array([token_ids], dtype=numpy.int64))
        result = self.pipeline.generate(ids, config)
        metrics = result.perf_metrics
        return {
            "ttft_ms": metrics.get_ttft().mean,
            "decode_ms_per_token": metrics.get_tpot().mean,
            "token_ids": list(result.tokens[0]),
        }


if __name__ == "__main__":
    worker.serve(OpenVino)
