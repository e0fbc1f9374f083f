#!/usr/bin/env python3
"""Time to first token and decode speed of lazyfill, dense and lazy, beside other engines, on the same token ids.

Every engine is a process of its own, one computes at a time, they take turns at every length, and the whole round is
repeated, because a machine's speed drifts. Writes peers.md, peers.json and two pictures a model.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess

import engines
import report

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release" / "bin"
HEADROOM = 256  # tokens of context beyond the longest prompt and its answer


def machine(benchmark):
    """What this machine is and can do at most, as its kernel benchmark measures it."""
    facts = {"processor": processor(), "cores": os.cpu_count()}
    command = [benchmark, "--benchmark_filter=rows/.*", "--benchmark_min_time=0.01", "--benchmark_format=json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        facts["peaks"] = f"not measured ({error})"
        return facts
    context = json.loads(done.stdout)["context"]
    return facts | {name: value for name, value in context.items() if "peak" in name or "bandwidth" in name}


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def compare(args, model):
    text = pathlib.Path(args.text).read_text()
    prompts = {
        length: engines.make_prompt(args.binary, model, text, length, i / len(args.lengths))
        for i, length in enumerate(args.lengths)
    }
    context = max(len(prompt.token_ids) for prompt in prompts.values()) + args.n_decode + HEADROOM
    running, failures = engines.start_all(args.binary, model, args.lazy, args.threads, context)
    runs = []
    try:
        for repeat in range(-1, args.repeats):  # the first round warms up at the shortest length and does not count
            for length in args.lengths if repeat >= 0 else args.lengths[:1]:
                for name in list(running):
                    run = measure(running, failures, name, prompts[length], args.n_decode)
                    if run is None or repeat < 0:
                        continue
                    runs.append({"length": length, "n_tokens": len(prompts[length].token_ids), "engine": name} | run)
                    print(
                        f"{pathlib.Path(model).name} {length:6d} round {repeat + 1}/{args.repeats} {name:28s}"
                        f" TTFT {run['ttft_ms']:8.0f} ms, decode {1e3 / run['decode_ms_per_token']:6.1f} tokens/s",
                        flush=True,
                    )
    finally:
        for engine in running.values():
            engine.close()
    return {"model": pathlib.Path(model).name, "cells": report.summarize(runs), "failures": failures, "runs": runs}


def measure(running, failures, name, prompt, n_decode):
    """One run of an engine; None, and the engine leaves, when it fails."""
    try:
        run = running[name].measure(prompt, n_decode)
    except engines.Failed as failed:
        failures[name] = f"{len(prompt.token_ids)} tokens: {failed}"
        running.pop(name).close()
        return None
    run.pop("prompt_token_ids", None)
    return run


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", action="append", required=True, help="a GGUF file; may be given several times")
    parser.add_argument("--text", required=True, help="a plain text longer than the longest prompt")
    parser.add_argument("--lengths", type=lambda s: [int(x) for x in s.split(",")], default=[512, 1024, 2048, 4096, 7800])
    parser.add_argument("--lazy", action="append", help="a schedule; may be given several times (9:0.5,15:0.5,22:0.5)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-n", "--n-decode", type=int, default=32, help="tokens to decode after the first (32)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--binary", default=str(BUILD / "lazyfill"))
    parser.add_argument("--machine-benchmark", default=str(BUILD / "matmul_bench"))
    parser.add_argument("-o", "--output", type=pathlib.Path, default=ROOT / "build" / "peers")
    args = parser.parse_args()
    args.lazy = args.lazy or ["9:0.5,15:0.5,22:0.5"]
    return args


def main():
    args = parse_arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    result = {
        "version": 1,
        "machine": machine(args.machine_benchmark),
        "settings": {"threads": args.threads, "n_decode": args.n_decode, "repeats": args.repeats},
        "models": [],
    }
    for model in args.model:
        measured = compare(args, model)
        result["models"].append(measured)
        report.pictures(measured["cells"], measured["model"], args.output, pathlib.Path(model).stem)
        # After every model: a run that is stopped keeps what it has.
        (args.output / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
        page = report.markdown(result)
        (args.output / "peers.md").write_text(page)
    print("\n" + page + f"\nWritten to {args.output}")


if __name__ == "__main__":
    main()
