"""How many of the prompt's tokens have been used above each pruning layer, step by step (Figure 7 of LazyLLM)."""

import itertools
import statistics

from evals.program import common


def asker(n_tokens):
    """Along the dense model's answer, so that every method takes the same steps."""
    def ask(answers, method, item):
        flags = [*method.flags, "--fidelity", str(n_tokens), "--no-answer"] + ["--chat"] * item.get("chat", False)
        record = answers.ask(prompt=item["prompt"], flags=flags)
        lazy = record["lazy"]
        return {"prompt_tokens": record["prompt_tokens"], "layers": [stage["layer"] for stage in lazy["schedule"]],
                "computed_by_step": lazy["computed_by_step"],
                "mean_kl": record["fidelity"]["mean_kl"], "decode_ms": record["timings"]["total_ms"] - record["timings"]["ttft_ms"]}
    return ask


def used_shares(result):
    """[n_stages][n_steps] share of the prompt tokens computed above each stage's layer so far; the prefill is step 0."""
    curves = [itertools.accumulate(stage) for stage in zip(*result["computed_by_step"])]
    return [[used / result["prompt_tokens"] for used in curve] for curve in curves]


def mean_shares(results, method, ids):
    """[n_stages][n_steps], over the ids; as many steps as all have."""
    all_shares = [used_shares(results[method, i]) for i in ids]
    n_steps = min(len(shares[0]) for shares in all_shares)
    return [[statistics.mean(shares[stage][step] for shares in all_shares) for step in range(n_steps)]
            for stage in range(len(all_shares[0]))]


def table(results, methods):
    ids = common(results, methods)
    if not ids:
        return "No prompt has been measured under every method yet."
    curves = {method: mean_shares(results, method, ids) for method in methods}
    n_steps = min(len(stages[0]) for stages in curves.values())
    marks = [0] + [2 ** i for i in range(12) if 2 ** i < n_steps - 1] + [n_steps - 1]
    rows = [f"{len(ids)} prompts.", "", "| method | above layer | " + " | ".join(f"step {step}" for step in marks) + " |",
            "|---" * (2 + len(marks)) + "|"]
    for method in methods:
        layers = results[method, ids[0]]["layers"]
        for layer, curve in zip(layers, curves[method], strict=True):
            rows.append(f"| {method} | {layer} | " + " | ".join(f"{curve[step]:.0%}" for step in marks) + " |")
    return "\n".join(rows)
