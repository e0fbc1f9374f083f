#!/usr/bin/env python3
"""Time to first token and decode speed of lazyfill, dense and lazy, beside other engines, on the same token ids.

Every engine is a process of its own, one computes at a time, they take turns at every length, and the whole round is
repeated, because a machine's speed drifts. Writes peers.md, peers.json and two pictures a model. With --loss also how far
lazy prefill and OpenVINO's sparse one are from their engines' dense ones.
"""

import argparse
import json
import os
import pathlib

import engines
import isa
import loss
import machine
import report

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release" / "bin"
HEADROOM = 256  # tokens of context beyond the longest prompt and its answer


def compare(args, model, known):
    text = pathlib.Path(args.text).read_text()
    prompts = {
        length: engines.make_prompt(args.binary, model, text, length, i / len(args.lengths))
        for i, length in enumerate(args.lengths)
    }
    longest = max([len(prompt.token_ids) for prompt in prompts.values()] + (args.loss_lengths if args.loss else []))
    context = longest + args.n_decode + HEADROOM
    running, failures = engines.start_all(
        args.binary, model, args.lazy, args.threads, context, args.isa, args.only, args.llama_suffix
    )
    lines = []
    try:
        runs = measure_all(args, model, prompts, running, failures)
        if args.loss:
            try:
                lines.extend(loss.measure(args, model, running))
            except (engines.Failed, SystemExit) as failed:  # what was measured before is kept
                failures["The loss"] = str(failed)
    finally:
        for engine in running.values():
            engine.close()
    cells = report.summarize(runs)
    add_shares(args, model, cells, runs, known)
    return {
        "model": pathlib.Path(model).name,
        "cells": cells,
        "failures": failures,
        "loss": loss.summarize(lines),
        "runs": runs,
        "loss_runs": lines,
    }


def measure_all(args, model, prompts, running, failures):
    runs = []
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
    return runs


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


def add_shares(args, model, cells, runs, known):
    work = machine.Work(args.binary, model)
    weights = [run["weights_bytes"] for run in runs if run["engine"] == "lazyfill"]
    for cell in cells:
        if cell["engine"] == "lazyfill":
            cell |= machine.shares(cell, work, weights[0], known, args.threads, args.n_decode)


def numbers(text):
    return [int(x) for x in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", action="append", required=True, help="a GGUF file; may be given several times")
    parser.add_argument("--text", required=True, help="a plain text longer than the longest prompt")
    parser.add_argument("--lengths", type=numbers, default=[512, 1024, 2048, 4096, 7800])
    parser.add_argument(
        "--lazy",
        action="append",
        help="a schedule, and where wanted a policy, a share for --sparse-attention ('9:0.5,15:0.5,22:0.5 focus 0.9') or 8bit"
        " for --activations 8 ('off 8bit'), or an instruction set ('off amx'); may be given several times (9:0.5,15:0.5,22:0.5)",
    )
    parser.add_argument("--isa", choices=list(isa.ISAS), default="best", help="hold every engine to AVX2 (best)")
    parser.add_argument(
        "--without-amx",
        dest="llama_suffix",
        action="store_const",
        const=", built without AMX",
        default="",
        help="llama.cpp was built without AMX, as run.sh does with this flag",
    )
    parser.add_argument("--only", action="append", default=[], help="beginning of the peers' names; may be given several times")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-n", "--n-decode", type=int, default=32, help="tokens to decode after the first (32)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--loss", help="a folder of *.jsonl files with a \"prompt\" a line, as LongBench's")
    parser.add_argument("--loss-prompts", type=int, default=16, help="how many of them at each length (16)")
    parser.add_argument("--loss-lengths", type=numbers, default=[4096, 7800])
    parser.add_argument("--binary", default=str(BUILD / "lazyfill"))
    parser.add_argument("--machine-benchmark", default=str(BUILD / "matmul_bench"))
    parser.add_argument("-o", "--output", type=pathlib.Path, help="folder for the results (build/peers, build/peers-avx2)")
    args = parser.parse_args()
    if args.loss and not list(pathlib.Path(args.loss).glob("*.jsonl")):
        parser.error(f"--loss {args.loss}: there is no *.jsonl file in it")
    args.lazy = args.lazy or ["9:0.5,15:0.5,22:0.5"]
    args.output = args.output or ROOT / "build" / ("peers" if args.isa == "best" else f"peers-{args.isa}")
    return args


def main():
    args = parse_arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    os.environ.update(isa.ISAS[args.isa].environment)  # every engine's process inherits it
    known = machine.within(machine.facts(args.machine_benchmark), args.isa)
    settings = {"threads": args.threads, "n_decode": args.n_decode, "repeats": args.repeats, "isa": args.isa}
    result = {"version": 2, "machine": known, "settings": settings, "models": []}
    for model in args.model:
        measured = compare(args, model, known)
        result["models"].append(measured)
        report.pictures(measured["cells"], measured["model"], args.output, pathlib.Path(model).stem)
        # After every model: a run that is stopped keeps what it has.
        (args.output / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
        page = report.markdown(result)
        (args.output / "peers.md").write_text(page)
    print("\n" + page + f"\nWritten to {args.output}")


if __name__ == "__main__":
    main()
