"""Distance of pruning policies from the dense model on LongBench prompts, without labels.

    python3 -m evals.fidelity -m MODEL.gguf --data LONGBENCH --schedule 9:0.5,15:0.5,22:0.5 --out docs/results/x.jsonl

LONGBENCH is a folder of TASK.jsonl files with a "prompt" a line. For each policy one `lazyfill run --fidelity` computes
KL(dense || policy) over the first token and those that follow in the dense model's own continuation. Every finished
prompt is a line of --out; a run that was interrupted goes on where it stopped. The table at the end gives means, and
the ratio to the first policy with a 95% interval from a paired bootstrap over prompts.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from evals.program import drop_middle, open_results, read_results
from evals.statistics_of_pairs import bootstrap


def load_prompts(folder, which, n_chars):
    """One prompt a task: the `which`-th line, counted from the end when negative."""
    prompts = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        text = json.loads(lines[which])["prompt"]
        prompts.append({"id": f"{path.stem}/{which}", "prompt": drop_middle(text, n_chars)})
    return prompts


def ratio_interval(values, baseline):
    """sum(values) / sum(baseline) of paired lists, and its 95% interval over resampled pairs."""
    pairs = list(zip(values, baseline, strict=True))
    return bootstrap(pairs, lambda sample: sum(v for v, _ in sample) / sum(b for _, b in sample))


def measure(args, policy, prompts, output):
    command = [args.lazyfill, "run", "-m", args.model, "--jsonl", "-", "--json", "-", "--quiet", "-n", "1", "--temp", "0",
               "--lazy", args.schedule, "--policy", policy, "--fidelity", str(args.tokens)] + (["--chat"] * args.chat)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for number, prompt in enumerate(prompts, 1):
            process.stdin.write(json.dumps(prompt) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                break
            record = json.loads(line)
            computed = statistics.mean(record["lazy"]["computed_fraction"]) if record["lazy"] else 1.0
            result = {"policy": policy, "schedule": args.schedule, "id": prompt["id"], "computed": computed,
                      "prompt_tokens": record["prompt_tokens"], **record["fidelity"]}
            output.write(json.dumps(result) + "\n")
            output.flush()
            print(f"{policy}: {number} of {len(prompts)}", file=sys.stderr)
        process.stdin.close()
    if process.returncode != 0:
        raise SystemExit(f"lazyfill run failed with exit code {process.returncode}; its message stands above")


def table(results, policies):
    """Markdown; the first policy is what the others are compared with."""
    rows = ["| policy | prompts | TTFT speed-up | computed | first-token KL | mean KL | agreement | mean KL, ratio (95%) |",
            "|---|---|---|---|---|---|---|---|"]
    ids = sorted(set.intersection(*({i for p, i in results if p == policy} for policy in policies)))
    for policy in policies:
        mine = [results[policy, i] for i in ids]
        mean = {key: statistics.mean(r[key] for r in mine) for key in ("computed", "first_kl", "mean_kl", "agreement")}
        speed_up = sum(r["dense_ttft_ms"] for r in mine) / sum(r["ttft_ms"] for r in mine)
        ratio = "1"
        if policy != policies[0]:
            ratio = "{:.2f} ({:.2f} to {:.2f})".format(*ratio_interval(
                [r["mean_kl"] for r in mine], [results[policies[0], i]["mean_kl"] for i in ids]))
        rows.append(f"| {policy} | {len(ids)} | {speed_up:.2f} | {mean['computed']:.0%} | {mean['first_kl']:.4f} | "
                    f"{mean['mean_kl']:.4f} | {mean['agreement']:.1%} | {ratio} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--schedule", required=True)
    parser.add_argument("--policies", default="lazy,focus,window,static,random")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--which", type=int, default=-1, help="which line of each task (default: the last)")
    parser.add_argument("--max-chars", type=int, default=8000)
    parser.add_argument("--tokens", type=int, default=33)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--lazyfill", default="build/release/bin/lazyfill")
    args = parser.parse_args()
    if not args.data.is_dir():
        raise SystemExit(f"the folder {args.data} does not exist; --data names a copy of LongBench")
    prompts = load_prompts(args.data, args.which, args.max_chars)
    policies = args.policies.split(",")
    for policy in policies:
        done = read_results(args.out, "policy")
        missing = [p for p in prompts if (policy, p["id"]) not in done]
        with open_results(args.out) as output:
            if missing:
                measure(args, policy, missing, output)
    print(table(read_results(args.out, "policy"), policies))


if __name__ == "__main__":
    main()
