"""What a fleet of 1 to 32 replicas does under a load, on paper.

    lazyfill bench --lengths 32,256,1024,2048,4096,7800 -t 1 -n 32 --lazy off --lazy auto --json costs.json
    python -m bench.fleet.simulate costs.json                       # replicas by routers, at the same load for each replica
    python -m bench.fleet.simulate costs.json --needed 2 20 200     # replicas that so many requests a second need
    python -m bench.fleet.simulate costs.json --real 1 2            # the same trace against real servers here, beside the simulation
"""

import argparse
import json
import pathlib
import sys

from bench.fleet import model
from bench.fleet.replay import replay
from bench.fleet.trace import Mix, make_trace

NAMES = {"prefix": "most of the prefix", "two": "two at random", "hash": "by hash"}


def row(words):
    print("| " + " | ".join(words) + " |", flush=True)


def figures(result):
    return [f"{result['ttft_p50_s'] * 1000:,.0f}", f"{result['ttft_p95_s'] * 1000:,.0f}", f"{result['latency_p95_s']:,.1f}",
            f"{result['held_share']:.0%}", f"{result['computed_share']:.0%}", f"{result['busy_share']:.0%}"]


HEAD = ["TTFT p50, ms", "p95", "whole answer p95, s", "of prefixes found", "of tokens computed", "busy"]


def compare_routers(costs, args):
    """The load grows with the fleet, and so do the documents: what is better at 32 than at 1 is the router's doing."""
    row(["replicas", "router", *HEAD])
    row(["---"] * (2 + len(HEAD)))
    for n in args.replicas:
        mix = Mix(n_documents=args.documents * n)
        trace = make_trace(args.requests * n, args.rate * n, args.seed, mix)
        for router, name in NAMES.items():
            if n == 1 and router != "prefix":
                continue
            row([str(n), name, *figures(model.summary(*model.simulate(trace, costs, n, router, args.seed)))])


def needed(costs, args):
    """The smallest fleet whose 95th percentile keeps below --ttft-ms, for each of these rates."""
    row(["requests a second", "router", "replicas", *HEAD])
    row(["---"] * (3 + len(HEAD)))
    for rate in args.needed:
        trace = make_trace(max(args.requests, int(rate * 120)), rate, args.seed, Mix(n_documents=args.documents))
        for router, name in NAMES.items():
            low, high, best = 1, 1, None

            def holds(n):
                result = model.summary(*model.simulate(trace, costs, n, router, args.seed))
                return result if result["ttft_p95_s"] * 1000 <= args.ttft_ms else None

            while high <= args.most_replicas and (best := holds(high)) is None:
                low, high = high + 1, high * 2
            if best is None:
                row([f"{rate:g}", name, f"over {args.most_replicas}", *["-"] * len(HEAD)])
                continue
            while low < high:  # high holds
                middle = (low + high) // 2
                result = holds(middle)
                low, high, best = (low, middle, result) if result else (middle + 1, high, best)
            row([f"{rate:g}", name, str(high), *figures(best)])


def against_real(costs, args):
    """The trace against `lazyfill serve`, and what the simulation says of it."""
    row(["replicas", "router", "", "TTFT p50, ms", "p95", "whole answer p50, s", "p95", "of prefixes found"])
    row(["---"] * 8)
    for n in args.real:
        trace = make_trace(args.requests, args.rate * n, args.seed, Mix(n_documents=args.documents, document_tokens=1500, answer_tokens=30))
        for router in ("prefix", "two") if n > 1 else ("prefix",):
            real = replay(trace, n, router, args.program, args.lazy, args.seed)
            paper = model.summary(*model.simulate(trace, costs, n, router, args.seed))
            for name, one in (("real", real), ("simulated", paper)):
                row([str(n), NAMES[router], name, f"{one['ttft_p50_s'] * 1000:,.0f}", f"{one['ttft_p95_s'] * 1000:,.0f}",
                     f"{one['latency_p50_s']:.2f}", f"{one['latency_p95_s']:.2f}", f"{one['held_share']:.0%}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=pathlib.Path, help="what lazyfill bench --json wrote")
    parser.add_argument("--lazy", default="auto", help="which of its cases")
    parser.add_argument("--rows-8", type=float, default=3.0, help="how many times the tokens a second eight answers have together "
                        "(build/release/bin/sequences_bench prints it)")
    parser.add_argument("--store-tokens", type=int, default=100_000, help="of prompts that a replica keeps")
    parser.add_argument("--held-cost", type=float, default=0.075, help="what a kept token takes, as a share of computing it: 0.075 with "
                        "lazy auto, 0.025 with off (docs/scaling.md)")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second, for each replica")
    parser.add_argument("--requests", type=int, default=200, help="for each replica")
    parser.add_argument("--documents", type=int, default=32, help="that are asked about, for each replica; with --needed and --real in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--needed", type=float, nargs="+", help="requests a second")
    parser.add_argument("--ttft-ms", type=float, default=1000, help="with --needed: what the 95th percentile must keep")
    parser.add_argument("--most-replicas", type=int, default=4096)
    parser.add_argument("--real", type=int, nargs="+", help="how many servers of one thread")
    parser.add_argument("--program", default="build/release/bin/lazyfill")
    args = parser.parse_args()
    try:
        record = json.loads(args.costs.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot read {args.costs}: {error}. `lazyfill bench --json {args.costs}` writes it.")
    costs = model.Costs.of_bench(record, args.lazy, rows_8=args.rows_8, store_tokens=args.store_tokens,
                                 held_cost=args.held_cost)
    if args.real:
        against_real(costs, args)
    elif args.needed:
        needed(costs, args)
    else:
        compare_routers(costs, args)


if __name__ == "__main__":
    main()
