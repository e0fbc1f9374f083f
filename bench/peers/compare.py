#!/usr/bin/env python3
"""Time to first token of lazyfill, dense and lazy, beside llama.cpp, on the same token ids.

Every engine is a process of its own; the engines take turns, and the whole round is repeated, because the machine's
speed drifts. Medians and the ratios of medians are printed, and everything is written as JSON.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
N_DECODE = 16


def lazyfill(binary, model, prompt_file, spec, threads):
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "record.json"
        command = [binary, "run", "-m", model, "-f", prompt_file, "-n", str(N_DECODE + 1), "--temp", "0",
                   "--lazy", spec, "--threads", str(threads), "--quiet", "--json", str(record)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = json.loads(record.read_text())
    timings = result["timings"]
    return {"ttft_ms": timings["ttft_ms"], "decode_ms_per_token": 1e3 / timings["decode_tokens_per_s"],
            "ids": result["prompt_token_ids"]}


def llama_cpp(model, ids, flash_attention, threads):
    request = {"model": model, "token_ids": ids, "n_decode": N_DECODE, "threads": threads,
               "flash_attention": flash_attention}
    done = subprocess.run([sys.executable, str(HERE / "peer_llama_cpp.py")], input=json.dumps(request), check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def cut_text(binary, model, text, n_tokens):
    """The beginning of `text` that is about n_tokens long (the ids that were really used are in the records)."""
    done = subprocess.run([binary, "tokenize", "-m", model, "--json", "-f", "/dev/stdin"], input=text, check=True,
                          capture_output=True, text=True)
    total = len(json.loads(done.stdout)["token_ids"])
    if total < n_tokens:
        sys.exit(f"the text has only {total} tokens; give a longer one with --text")
    return text[: int(len(text) * n_tokens / total)]


def measure(args):
    text = pathlib.Path(args.text).read_text()
    table = {}
    for n_tokens in args.lengths:
        runs = {}
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as prompt:
            prompt.write(cut_text(args.binary, args.model, text, n_tokens))
            prompt.flush()
            for _ in range(args.repeat):
                dense = lazyfill(args.binary, args.model, prompt.name, "off", args.threads)
                ids = dense.pop("ids")
                runs.setdefault("lazyfill dense", []).append(dense)
                for spec in args.lazy:
                    lazy = lazyfill(args.binary, args.model, prompt.name, spec, args.threads)
                    lazy.pop("ids")
                    runs.setdefault(f"lazyfill {spec}", []).append(lazy)
                for flash in (False, True):
                    name = "llama.cpp, flash attention " + ("on" if flash else "off")
                    runs.setdefault(name, []).append(llama_cpp(args.model, ids, flash, args.threads))
        table[n_tokens] = {"prompt_tokens": len(ids), "engines": runs}
        show(table[n_tokens])
    return table


def show(entry):
    print(f"\n{entry['prompt_tokens']} prompt tokens")
    medians = {name: statistics.median(run["ttft_ms"] for run in runs) for name, runs in entry["engines"].items()}
    best_peer = min(ms for name, ms in medians.items() if not name.startswith("lazyfill"))
    for name, ttft in medians.items():
        decode = statistics.median(run["decode_ms_per_token"] for run in entry["engines"][name])
        print(f"  {name:34s} TTFT {ttft:9.0f} ms  {entry['prompt_tokens'] / ttft * 1e3:7.0f} tokens/s"
              f"  {best_peer / ttft:6.2f} x llama.cpp's best   decode {1e3 / decode:6.1f} tokens/s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--text", required=True, help="a long plain text")
    parser.add_argument("--lengths", type=lambda s: [int(x) for x in s.split(",")], default=[1024, 4096])
    parser.add_argument("--lazy", action="append", default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--binary", default=str(ROOT / "build/release/bin/lazyfill"))
    parser.add_argument("-o", "--output", help="write every run as JSON")
    args = parser.parse_args()
    table = measure(args)
    if args.output:
        pathlib.Path(args.output).write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
