"""How long short requests and running streams wait while a long prompt is prefilled.

    python3 -m bench.serving.fairness -m MODEL.gguf [--llama]      # --llama: the server of llama-cpp-python beside it

Prints a table: the time to the first token of requests of 100 tokens on the idle server and while a prompt of about 8,000 tokens is
computed, the longest pause of a stream that runs meanwhile, and the long prompt's own time.
"""

import argparse
import pathlib
import statistics
import sys
import threading
import time

from bench.serving.client import Server, stream, text_of

ROOT = pathlib.Path(__file__).resolve().parents[2]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def short_requests(port, n, seed, until=None):
    """Times to the first token, one request after another, until n are done or `until` is set."""
    times = []
    for i in range(n):
        if until is not None and until.is_set():
            break
        answer = stream(port, {"prompt": text_of(100, seed * 1000 + i), "max_tokens": 2, "temperature": 0, "lazy": "off"})
        if answer.ttft is None:
            raise SystemExit(f"a short request failed: {answer.error}")
        times.append(answer.ttft)
    return times


def measure(server, long_tokens, rounds):
    stream(server.port, {"prompt": text_of(100, 1), "max_tokens": 2})
    idle = short_requests(server.port, 20, seed=2)
    busy, pauses, long_times = [], [], []
    for number in range(rounds):
        stop = threading.Event()
        running = {}
        begun = threading.Event()

        def write():
            begun.set()
            running["answer"] = stream(server.port, {"prompt": text_of(60, 77 + number), "max_tokens": 400, "temperature": 0,
                                                     "ignore_eos": True, "lazy": "off"})

        def prefill():
            start = time.monotonic()
            answer = stream(server.port, {"prompt": text_of(long_tokens, 1000 + number), "max_tokens": 1, "temperature": 0, "lazy": "off"})
            if answer.status != 200 or answer.error:
                print(f"the long request failed: {answer.status} {answer.error}", file=sys.stderr)
            running["long"] = (start, time.monotonic())
            stop.set()

        writer, long_one = threading.Thread(target=write), threading.Thread(target=prefill)
        writer.start()
        begun.wait()
        time.sleep(0.5)
        began = time.monotonic() - 0.5
        long_one.start()
        time.sleep(0.1)
        busy += short_requests(server.port, 1000, seed=3 + number, until=stop)
        long_one.join()
        writer.join()
        start, end = running["long"]
        long_times.append(end - start)
        times = running["answer"].times
        pauses += [later - earlier for earlier, later in zip(times, times[1:]) if began + later > start and began + earlier < end]
    return idle, busy, pauses, long_times


def row(name, measured):
    idle, busy, pauses, long_times = measured
    idle_p95, busy_p95 = percentile(idle, 0.95), percentile(busy, 0.95) if busy else float("nan")
    return (f"| {name} | {1000 * statistics.median(idle):.0f} / {1000 * idle_p95:.0f} | "
            f"{1000 * statistics.median(busy) if busy else float('nan'):.0f} / {1000 * busy_p95:.0f} | {busy_p95 / idle_p95:.2f} | "
            f"{1000 * max(pauses, default=float('nan')):.0f} | {statistics.median(long_times):.1f} | {len(busy)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, type=pathlib.Path)
    parser.add_argument("--lazyfill", default=ROOT / "build" / "release" / "bin" / "lazyfill", type=pathlib.Path)
    parser.add_argument("--long-tokens", type=int, default=7600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama", action="store_true", help="also the server of llama-cpp-python, which must be installed")
    args = parser.parse_args()
    print("| server | TTFT of 100 tokens, idle: median / p95, ms | beside a long prompt | p95 ratio | longest pause of a stream, ms | "
          "long prompt, s | n |\n|---|---|---|---|---|---|---|")
    with Server([args.lazyfill, "serve", "-m", args.model, "--port", "0", "--quiet"]) as server:
        print(row("lazyfill", measure(server, args.long_tokens, args.rounds)), flush=True)
    if args.llama:
        port = 18080
        command = [sys.executable, "-m", "llama_cpp.server", "--model", args.model, "--port", port, "--n_ctx", "8192", "--verbose", "False"]
        with Server(command, health="/v1/models", port=port) as server:
            print(row("llama-cpp-python", measure(server, args.long_tokens, args.rounds)), flush=True)


if __name__ == "__main__":
    main()
