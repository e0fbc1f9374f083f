"""The engines of the comparison: each peer a worker process (worker.py), lazyfill a program that is run."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import machine
from isa import ISAS

HERE = pathlib.Path(__file__).resolve().parent


class Failed(Exception):
    """A sentence for the table: this engine could not be measured."""


def last_words(code, has_amx):
    """Why a worker's process is gone, as a sentence; a negative code is the signal that ended it."""
    if code != -signal.SIGILL:
        return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with code {code}"
    sentence = "its process met an instruction that this machine refuses (SIGILL)"
    if has_amx:
        sentence += "; the processor has AMX, whose tiles a program must ask the system for: without them it may live"
        sentence += " (run.sh --without-amx)"
    return sentence


class Worker:
    """A peer in a process of its own, which lives from the first measurement to close()."""

    def __init__(self, script, options):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.ask(options)

    def ask(self, message):
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise Failed(last_words(self.process.wait(), machine.has_amx()))
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def measure(self, prompt, n_decode):
        return self.ask({"token_ids": prompt.token_ids, "n_decode": n_decode})

    def first_logprobs(self, token_ids, n_likeliest):
        """Token -> log-probability of the likeliest first tokens of an answer."""
        answer = self.ask({"ask": "first_logprobs", "token_ids": token_ids, "n_likeliest": n_likeliest})
        return dict(zip(answer["token_ids"], answer["logprobs"], strict=True))

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


OWN_ISAS = ("avx2", "avx512", "amx")


def isa_of(schedule):
    """The instruction set that lazyfill is held to with this schedule; None: its own choice."""
    return next((word for word in schedule.split() if word in OWN_ISAS), None)


def flags_of(schedule):
    """"SPEC", with a policy, a share of the attention or "8bit" behind it, as flags of lazyfill run."""
    spec, *words = [word for word in schedule.split() if word not in OWN_ISAS]
    flags = ["--lazy", spec]
    for word in words:
        if word == "8bit":
            flags += ["--activations", "8"]
            continue
        flags += ["--sparse-attention", word] if word[0] in "0.1" else ["--policy", word]
    return flags


class Lazyfill:
    """lazyfill under one schedule. Its times do not contain loading, as the peers' do not."""

    def __init__(self, binary, model, schedule, threads):
        isa = isa_of(schedule)
        self.environment = os.environ | ({"LAZYFILL_ISA": isa} if isa else {})
        self.command = [binary, "run", "-m", model, *flags_of(schedule), "--threads", str(threads), "--temp", "0"]

    def measure(self, prompt, n_decode):
        with tempfile.TemporaryDirectory() as folder:
            text, record = pathlib.Path(folder, "prompt.txt"), pathlib.Path(folder, "record.json")
            text.write_text(prompt.text)
            files = ["-f", str(text), "--json", str(record), "-n", str(n_decode + 1), "--quiet"]
            done = subprocess.run(self.command + files, capture_output=True, text=True, env=self.environment)
            if done.returncode != 0:
                raise Failed(done.stderr.strip())
            result = json.loads(record.read_text())
        if prompt.token_ids is not None and result["prompt_token_ids"] != prompt.token_ids:
            raise Failed("it was not given the same token ids as the others")
        timings = result["timings"]
        return {
            "ttft_ms": timings["ttft_ms"],
            "decode_ms_per_token": 1e3 / timings["decode_tokens_per_s"],
            "token_ids": result["token_ids"],
            "prompt_token_ids": result["prompt_token_ids"],
            "weights_bytes": result["memory"]["weights_bytes"],
        }

    def close(self):
        pass


class Prompt:
    """The same tokens for everybody: peers take the ids, lazyfill the text they were made of."""

    def __init__(self, text, token_ids=None):
        self.text = text
        self.token_ids = token_ids


def count_tokens(binary, model, text):
    done = subprocess.run(
        [binary, "tokenize", "-m", model, "--json", "-f", "-"], input=text, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return len(json.loads(done.stdout)["token_ids"])


def make_prompt(binary, model, text, n_tokens, start):
    """About n_tokens from `start` (0 to 1) of the text on, so that no two lengths begin alike."""
    cut = int(len(text) * start)
    text = text[cut:] + "\n\n" + text[:cut]
    n_characters, total = len(text), count_tokens(binary, model, text)
    if total < n_tokens:
        sys.exit(f"the text has {total} tokens and {n_tokens} are wanted: give a longer one with --text")
    for _ in range(4):  # tokens are not equally long everywhere
        n_characters = int(n_characters * n_tokens / total)
        total = count_tokens(binary, model, text[:n_characters])
    prompt = Prompt(text[:n_characters])
    answer = Lazyfill(binary, model, "off", 0).measure(prompt, 1)
    prompt.token_ids = answer["prompt_token_ids"]
    return prompt


def start_all(binary, model, schedules, threads, context_tokens, isa, only=(), llama_suffix=""):
    """Name -> engine, and name -> sentence for those that could not be started. `only`: beginnings of peers' names;
    llama_suffix: what its name says of how llama.cpp was built."""
    common = {"model": model, "threads": threads, "context_tokens": context_tokens}
    engines = {"lazyfill": Lazyfill(binary, model, "off", threads)}
    for schedule in schedules:
        engines[f"lazyfill {schedule}"] = Lazyfill(binary, model, schedule, threads)
    peers = {
        f"llama.cpp{llama_suffix}": ("peer_llama_cpp.py", {"flash_attention": False, "isa": isa}),
        f"llama.cpp{llama_suffix}, flash attention": ("peer_llama_cpp.py", {"flash_attention": True, "isa": isa}),
        "ik_llama.cpp": ("peer_ik_llama_cpp.py", {"flash_attention": False, "isa": isa}),
        "ik_llama.cpp, flash attention": ("peer_ik_llama_cpp.py", {"flash_attention": True, "isa": isa}),
        "OpenVINO": ("peer_openvino.py", {"sparse": False, "properties": ISAS[isa].openvino}),
        "OpenVINO, XATTENTION": ("peer_openvino.py", {"sparse": True, "properties": ISAS[isa].openvino}),
        "transformers, BF16": ("peer_torch.py", {}),
        "vLLM": ("peer_vllm.py", {}),
        "ONNX Runtime GenAI": ("peer_onnx.py", {}),
    }
    failures = {}
    for name, (script, options) in peers.items():
        if only and not name.startswith(tuple(only)):
            continue
        try:
            engines[name] = Worker(script, common | options)
        except Failed as failed:
            failures[name] = str(failed)
    return engines, failures
