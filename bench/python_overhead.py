#!/usr/bin/env python3
"""What the Python package costs beside the program: times to the first token and decode speed, by turns.

    .venv/bin/python bench/python_overhead.py -m MODEL.gguf -f TEXT [--rounds 7] [--lazy auto] [-n 64] [--program PATH]

Each round asks the program (its record has the times of a C++ session) and the package (a clock in Python, from the call to the
first piece and to the last one), in turns. Printed are medians of the rounds' ratios, package to program, and what lies between
the clock in Python and the engine's own clock in the same call, which no other load can blur.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import lazyfill


def of_program(args, text_file, record):
    subprocess.run([args.program, "run", "-m", args.model, "-f", text_file, "--temp", "0", "-n", str(args.n), "--lazy", args.lazy,
                    "--quiet", "--json", record], check=True, stdout=subprocess.DEVNULL)
    answer = json.loads(record.read_text(encoding="utf-8"))
    return answer["timings"]["ttft_ms"], 1000 / answer["timings"]["decode_tokens_per_s"], answer["token_ids"]


def of_package(args, engine, tokens):
    start = time.perf_counter()
    stream = engine.stream(tokens, max_tokens=args.n, temperature=0, lazy=args.lazy)
    times = [time.perf_counter() for _ in stream]
    timings = stream.answer.timings
    ttft_ms, decode_ms = 1000 * (times[0] - start), 1000 * (times[-1] - times[0])
    return ttft_ms, decode_ms / (len(times) - 1), stream.answer.token_ids, ttft_ms / timings.ttft_ms, decode_ms / timings.decode_ms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", dest="model", required=True)
    parser.add_argument("-f", dest="file", type=pathlib.Path, required=True)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--lazy", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", default="build/release/bin/lazyfill")
    args = parser.parse_args()
    engine = lazyfill.Engine.load(args.model)
    tokens = engine.tokenize(args.file.read_text(encoding="utf-8"))
    of_package(args, engine, tokens)  # the first one also starts the scheduler
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.rounds):
            asked = [lambda: of_program(args, args.file, pathlib.Path(folder) / "record.json"), lambda: of_package(args, engine, tokens)]
            if i % 2:  # who goes first alternates, so that a drift of the machine cancels
                package, program = asked[1](), asked[0]()
            else:
                program, package = asked[0](), asked[1]()
            if program[2] != package[2]:
                raise SystemExit("the answers differ: nothing to compare")
            rows.append((package[0] / program[0], package[1] / program[1], package[3], package[4]))
            print(f"round {i + 1}: first token {program[0]:.1f} and {package[0]:.1f} ms, a token {program[1]:.3f} and {package[1]:.3f} ms")
    names = ["first token, package to program", "a token, package to program", "first token, Python's clock to the engine's",
             "decode, Python's clock to the engine's"]
    print(f"{len(tokens)} prompt tokens, {args.n} generated, --lazy {args.lazy}, {args.rounds} rounds")
    for name, ratios in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name}: {statistics.median(ratios):.4f} (median; {min(ratios):.4f} to {max(ratios):.4f})")


if __name__ == "__main__":
    main()
