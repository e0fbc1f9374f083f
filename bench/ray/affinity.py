"""How often a second question finds its document, and what it waits for the first token: by this project's router, by Ray's own
choice, and by Ray's ConsistentHashRouter, which needs clients that name their session.

    python bench/ray/affinity.py [--documents 8] [--lazy off auto] [--tokens 2000]

Two replicas of one thread. All first questions are asked, then all second ones in another order. Prints a row a router.
"""

import argparse
import json
import pathlib
import random
import socket
import statistics
import time
import urllib.request

import ray
from ray import serve

from lazyfill.ray import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUTERS = {"prefix": "prefix", "Ray's default": "default",
           "ConsistentHashRouter": "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(port, session, prompt, lazy):
    """The answer's record, and milliseconds to the first chunk with text or the end."""
    body = {"prompt": prompt, "temperature": 0, "max_tokens": 2, "lazy": lazy, "stream": True,
            "stream_options": {"include_usage": True}}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(),
                                     {"x-session-id": session, "Content-Type": "application/json"})
    begin, ttft_ms, report = time.perf_counter(), None, None
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise SystemExit(chunk["error"]["message"])
            if ttft_ms is None and chunk["choices"] and chunk["choices"][0]["text"]:
                ttft_ms = (time.perf_counter() - begin) * 1000
            report = chunk if "replica" in chunk else report
    return report, ttft_ms


def play(port, documents, lazy, seed):
    """Share of second questions at their document's replica, and the median times to the first token of both."""
    sessions = [f"{lazy}-{i}" for i in range(len(documents))]
    first = [ask(port, session, f"[{session}] {text}\n\nWho is named in it?", lazy) for session, text in zip(sessions, documents)]
    order = list(range(len(documents)))
    random.Random(seed).shuffle(order)
    second = {i: ask(port, sessions[i], f"[{sessions[i]}] {documents[i]}\n\nWhere does it take place?", lazy) for i in order}
    found = sum(second[i][0]["replica"] == first[i][0]["replica"] for i in order) / len(order)
    return found, statistics.median(one[1] for one in first), statistics.median(one[1] for one in second.values()
                                                                               if one[1] is not None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2000, help="of a document, about")
    parser.add_argument("--lazy", nargs="+", default=["off", "auto"])
    args = parser.parse_args()
    text = (ROOT / "examples" / "persuasion-1-2.txt").read_text(encoding="utf-8")
    n = args.tokens * 4  # characters
    step = max(1, (len(text) - n) // max(1, args.documents - 1))
    documents = [text[i * step:i * step + n] for i in range(args.documents)]
    ray.init(num_cpus=4, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    for name, router in ROUTERS.items():
        serve.run(build(n_replicas=2, threads=1, num_cpus=0.4, router=router))
        for lazy in args.lazy:
            found, first_ms, second_ms = play(port, documents, lazy, seed=1)
            print(f"{name:22} lazy {lazy:5} found {found:4.0%}  first {first_ms:7.0f} ms  second {second_ms:7.0f} ms "
                  f"({second_ms / first_ms:.1%})", flush=True)
        serve.delete("default")
    ray.shutdown()


if __name__ == "__main__":
    main()
