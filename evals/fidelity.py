"""Distance of pruning policies from the dense model on LongBench prompts, without labels.

    python3 -m evals.fidelity -m MODEL.gguf --data LONGBENCH --schedule 9:0.5,15:0.5,22:0.5 --out docs/results/x.jsonl

LONGBENCH is a folder of TASK.jsonl files with a "prompt" a line. `lazyfill run --fidelity` computes KL(dense || policy) over
the first token and those that follow in the dense model's own continuation. Every finished prompt is a line of --out; a run
that was interrupted goes on where it stopped. The table at the end gives means, and the ratio to the first policy with a
95% interval from a paired bootstrap over prompts. `python3 -m evals ablation` does this for many variants.
"""

import argparse
import json
import pathlib
import statistics

from evals.methods import Method
from evals.program import Answers, common, drop_middle, measure, read_results
from evals.statistics_of_pairs import at, bootstrap, ratio_text


def load_prompts(folder, which, n_chars):
    """One prompt a task: the `which`-th line, counted from the end when negative; tasks that have no such line are left out."""
    prompts = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if -len(lines) <= which < len(lines):
            text = json.loads(lines[which])["prompt"]
            prompts.append({"id": f"{path.stem}/{which}", "prompt": drop_middle(text, n_chars)})
    return prompts


def ratio_interval(values, baseline):
    """sum(values) / sum(baseline) of paired lists, and its 95% interval over resampled pairs."""
    pairs = list(zip(values, baseline, strict=True))
    return bootstrap(pairs, lambda sample: sum(v for v, _ in sample) / sum(b for _, b in sample))


def asker(n_tokens, chat=False):
    """How program.measure compares. An item's own "chat" is added to the one for all."""
    def ask(answers, method, item):
        flags = [*method.flags, "--fidelity", str(n_tokens), "--no-answer"] + ["--chat"] * (chat or item.get("chat", False))
        record = answers.ask(prompt=item["prompt"], flags=flags)
        computed = statistics.mean(record["lazy"]["computed_fraction"]) if record["lazy"] else 1.0
        fidelity = {k: v for k, v in record["fidelity"].items() if k != "dense_text"}
        choice = record["lazy_choice"]
        sparse = {"sparse_attention": choice["sparse_attention"]["mass"]} if "sparse_attention" in choice else {}
        return {"schedule": choice["schedule"], **sparse, "computed": computed, "prompt_tokens": record["prompt_tokens"], **fidelity}
    return ask


def summary(results, method, ids):
    """Means over the ids; speed_up is the median over them: other work on a machine makes a few times long."""
    mine = [results[method, i] for i in ids]
    mean = {key: statistics.mean(r[key] for r in mine) for key in ("computed", "first_kl", "mean_kl", "agreement")}
    return mean | {"speed_up": statistics.median(r["dense_ttft_ms"] / r["ttft_ms"] for r in mine)}


def table(results, policies):
    """Markdown; the first policy is what the others are compared with."""
    rows = ["| policy | prompts | TTFT speed-up | computed | first-token KL | mean KL | agreement | mean KL, ratio (95%) |",
            "|---|---|---|---|---|---|---|---|"]
    ids = common(results, policies)
    for policy in policies:
        mean = summary(results, policy, ids)
        ratio = "1"
        if policy != policies[0]:
            ratio = "{:.2f} ({:.2f} to {:.2f})".format(*ratio_interval(
                [results[policy, i]["mean_kl"] for i in ids], [results[policies[0], i]["mean_kl"] for i in ids]))
        rows.append(f"| {policy} | {len(ids)} | {mean['speed_up']:.2f} | {mean['computed']:.0%} | {mean['first_kl']:.4f} | "
                    f"{mean['mean_kl']:.4f} | {mean['agreement']:.1%} | {ratio} |")
    return "\n".join(rows)


def frontier_table(results, methods):
    """Markdown; each variant beside the first family at the same time to the first token, which is read off its curve.
    Intervals are of the KL's ratio to that reading, over resampled prompts."""
    ids = common(results, [m.name for m in methods])
    if not ids:
        return "No prompt has been measured under every variant yet."
    first = [m for m in methods if m.family == methods[0].family]

    def relative(method, sample):
        mine = summary(results, method.name, sample)
        curve = [(s["speed_up"], s["mean_kl"]) for s in (summary(results, m.name, sample) for m in first) if s["mean_kl"] > 0]
        beside = at(curve, mine["speed_up"])
        return mine["mean_kl"] / beside if beside else float("inf")

    rows = [f"{len(ids)} prompts.", "",
            f"| variant | schedule | TTFT speed-up | computed | first-token KL | mean KL | agreement | KL, times that of {first[0].family} "
            "at equal TTFT (95%) |", "|---|---|---|---|---|---|---|---|"]
    for method in methods:
        mean = summary(results, method.name, ids)
        ratio = ""
        if method.family != first[0].family:
            found = bootstrap(ids, lambda sample, method=method: relative(method, sample), n_resamples=200)
            if found[0] < float("inf"):
                ratio = ratio_text(found, len(ids))
        rows.append(f"| {method.family} | {method.flags[1]} | {mean['speed_up']:.2f} | {mean['computed']:.0%} | {mean['first_kl']:.4f} | "
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
    if not prompts:
        raise SystemExit(f"no TASK.jsonl in {args.data} has a line {args.which}")
    policies = args.policies.split(",")
    methods = [Method(policy, ("--lazy", args.schedule, "--policy", policy)) for policy in policies]
    measure(args.out, [(method, prompt) for prompt in prompts for method in methods], asker(args.tokens, args.chat),
            Answers(args.lazyfill, args.model), "fidelity", key="policy")
    print(table(read_results(args.out, "policy"), policies))


if __name__ == "__main__":
    main()
