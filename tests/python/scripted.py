"""The server with a script in the model's place (tests/tools/scripted_server.cc), and tiny models that lend it their templates."""

import json
import subprocess

from chain_model import CONTROL, USER_DEFINED, ChainModel
from serving import Serving

# What a template spells as one token, and the end of a turn.
FAMILIES = {
    "qwen-2.5": (["<|im_start|>", "<|im_end|>", "<|endoftext|>"], ["<tool_call>", "</tool_call>"], "<|im_end|>"),
    "qwen-3": (["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
               ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"], "<|im_end|>"),
    "hermes-3": (["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"], ["<tool_call>", "</tool_call>"], "<|im_end|>"),
    "llama-3.1": (["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"], [],
                  "<|eot_id|>"),
    "mistral-v3": (["<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]",
                    "[/TOOL_RESULTS]"], [], "</s>"),
    "gemma-2": (["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"], [], "<end_of_turn>"),
}
BOS = ("<|begin_of_text|>", "<s>", "<bos>")


def write_model(path, root, family, n_context=200_000, change=lambda template: template):
    """A model file with a vocabulary of bytes and the family's control tokens and chat template, which may be changed."""
    control, defined, end = FAMILIES[family]
    model = ChainModel()
    ids = {name: model.add(name, CONTROL) for name in control}
    ids.update({name: model.add(name, USER_DEFINED) for name in defined})
    model.values["tokenizer.ggml.eos_token_id"] = ids[end]
    for name in BOS:
        if name in ids:
            model.values["tokenizer.ggml.bos_token_id"] = ids[name]
    model.values["tokenizer.chat_template"] = change((root / "tests" / "templates" / f"{family}.jinja").read_text(encoding="utf-8"))
    return model.write(path, n_context)


class Scripted(Serving):
    """A running scripted server; folder: where its files go."""

    def __init__(self, build_dir, model, folder, keep_alive_ms=60_000):
        folder.mkdir(parents=True, exist_ok=True)
        self.requests = folder / "requests.jsonl"
        self.requests.touch()
        self.n_read = 0
        self.log = open(folder / "log", "w", encoding="utf-8")
        command = [build_dir / "bin" / "scripted_server", model, self.requests, str(keep_alive_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.address = self.process.stdout.readline().strip().removeprefix("listening at ")
        assert self.address, "the server did not start"
        self.port = int(self.address.rpartition(":")[2])

    def will_write(self, *pieces, **more):
        """The answer to the next request that has none yet."""
        self.process.stdin.write(json.dumps({"pieces": pieces, **more}) + "\n")
        self.process.stdin.flush()

    def asked(self):
        """What the model was asked since the last call, the oldest first."""
        found = [json.loads(line) for line in self.requests.read_text(encoding="utf-8").splitlines()]
        new, self.n_read = found[self.n_read:], len(found)
        return new

    def stop(self, **_):
        self.process.stdin.close()
        try:
            assert self.process.wait(60) == 0
        finally:
            self.process.kill()
            self.log.close()
