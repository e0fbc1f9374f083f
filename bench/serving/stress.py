"""Many clients for some minutes: prompts of 100 to 6,000 tokens, random cancels and disconnects.

    python3 -m bench.serving.stress -m MODEL.gguf --minutes 5

Every answer that was neither cancelled nor cut off is held against `lazyfill run` of the same prompt (temperature 0, cache_prompt: false).
Ends with exit code 1 when one differs, a request fails, or the server's memory grows after its prompt cache is full.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import threading
import time

from bench.serving.client import Server, stream, text_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAZY = ["off", "auto", "9:0.5,15:0.5"]


class Stress:
    def __init__(self, server, args):
        self.server, self.args = server, args
        self.end = time.monotonic() + 60 * args.minutes
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.failures = []
        self.answers = {}  # (seed, tokens, lazy) -> text

    def client(self, number):
        choose = random.Random(number)
        while time.monotonic() < self.end:
            # Few different prompts, so that each is answered in many companies.
            seed = choose.randrange(24)
            n_tokens = int(100 * 60 ** random.Random(seed).random())
            lazy = LAZY[seed % len(LAZY)]
            cached = choose.random() < 0.3
            body = {"prompt": text_of(n_tokens, seed), "max_tokens": 16, "temperature": 0, "lazy": lazy, "cache_prompt": cached}
            cancel = choose.expovariate(1.0) if choose.random() < 0.3 else None
            answer = stream(self.server.port, body, cancel_after=cancel)
            with self.lock:
                self.note(answer, (seed, n_tokens, lazy), cancel, cached)

    def note(self, answer, key, cancel, cached):
        if answer.status == 429:
            self.counts["busy"] += 1
        elif cancel is not None and answer.finish is None:
            self.counts["cancelled"] += 1
        elif answer.error or answer.finish is None:
            self.failures.append(f"{key}: status {answer.status}, {answer.error}")
        elif cached:
            self.counts["answered with the cache"] += 1
        else:
            self.counts["answered"] += 1
            before = self.answers.setdefault(key, answer.text)
            if before != answer.text:
                self.failures.append(f"{key}: two answers differ")

    def run(self):
        clients = [threading.Thread(target=self.client, args=(i,)) for i in range(self.args.clients)]
        for client in clients:
            client.start()
        start = time.monotonic()
        memory = []  # (seconds, resident bytes, bytes of the prompt cache)
        while time.monotonic() < self.end:
            time.sleep(2)
            memory.append((time.monotonic() - start, self.server.resident_bytes(), self.server.metric("lazyfill_prefix_cache_bytes")))
        for client in clients:
            client.join()
        return memory

    def compare(self):
        lines = [json.dumps({"id": list(key), "prompt": text_of(key[1], key[0]), "flags": ["--lazy", key[2]]}) for key in self.answers]
        command = [self.args.lazyfill, "run", "-m", self.args.model, "--jsonl", "-", "--temp", "0", "-n", "16", "--quiet"]
        records = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True).stdout.splitlines()
        for record in map(json.loads, records):
            key = tuple(record["id"])
            if record["text"] != self.answers[key]:
                self.failures.append(f"{key}: the answer is not that of `run`")


def growth(memory):
    """Of the highest resident memory from the first half of the time in which the prompt cache is full to the second; None: it is not."""
    most = max(kept for _, _, kept in memory)
    full = [resident for i, (_, resident, _) in enumerate(memory) if max(kept for _, _, kept in memory[:i + 1]) > 0.9 * most]
    if len(full) < 10:
        return None
    return max(full[len(full) // 2:]) / max(full[:len(full) // 2]) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, type=pathlib.Path)
    parser.add_argument("--lazyfill", default=ROOT / "build" / "release" / "bin" / "lazyfill", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--kv-memory", type=int, default=1024, metavar="MIB")
    args = parser.parse_args()
    command = [args.lazyfill, "serve", "-m", args.model, "--port", "0", "--quiet", "--kv-memory", args.kv_memory]
    with Server(command) as server:
        stress = Stress(server, args)
        memory = stress.run()
        alive = stream(server.port, {"prompt": "One", "max_tokens": 2})
    stress.compare()
    if alive.status != 200 or alive.error:
        stress.failures.append("the server does not answer any more")
    print(f"{dict(stress.counts)}; {len(stress.answers)} different prompts as `run` answers them")
    for seconds, resident, kept in memory[::max(1, len(memory) // 20)] + memory[-1:]:
        print(f"{seconds:6.0f} s: {resident / 2**20:6.0f} MiB resident, {kept / 2**20:5.0f} MiB of them the prompt cache")
    grown = growth(memory)
    print("the prompt cache did not become full" if grown is None else f"growth since the prompt cache is full: {grown:.1%}")
    if grown is not None and grown > 0.05:
        stress.failures.append("memory grows")
    for failure in stress.failures[:20]:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if stress.failures else 0


if __name__ == "__main__":
    sys.exit(main())
