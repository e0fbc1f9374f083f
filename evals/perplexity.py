"""Perplexity of what follows a long text: the text is the prompt, its continuation is scored token by token."""

import math
import statistics

from evals.longbench import computed_share
from evals.program import common
from evals.statistics_of_pairs import bootstrap


def windows(texts, n_characters, n_continuation, limit):
    """Pieces of name -> text, cut at ends of sentences: first one of every text, then the next of every text."""
    found = []
    step = n_characters + n_continuation
    for number in range(limit):
        for name, text in texts.items():
            begin = text.find(". ", number * step) + 2 if number else 0
            middle = text.find(". ", begin + n_characters) + 1
            end = middle + n_continuation
            is_whole = (begin >= 2 or number == 0) and middle > 0 and end <= len(text)
            if is_whole and len(found) < limit:
                found.append({"id": f"{name}/{number}", "prompt": text[begin:middle], "continuation": text[middle:end]})
    return found


def ask(answers, method, item):
    record = answers.ask(prompt=item["prompt"], continuation=item["continuation"], flags=list(method.flags))
    logprobs = record["continuation_logprobs"]
    return {"nll": -sum(logprobs), "tokens": len(logprobs), "prompt_tokens": record["prompt_tokens"],
            "computed": computed_share(record),
            "ttft_ms": record["timings"]["ttft_ms"], "total_ms": record["timings"]["total_ms"]}


def perplexity(results, method, ids):
    mine = [results[method, i] for i in ids]
    return math.exp(sum(r["nll"] for r in mine) / sum(r["tokens"] for r in mine))


def table(results, methods):
    """The first method is what the others are compared with."""
    ids = common(results, methods)
    if not ids:
        return "No text has been scored by every method yet."
    n_tokens = sum(results[methods[0], i]["tokens"] for i in ids)
    base = methods[0]
    rows = [f"{len(ids)} texts, {n_tokens} tokens scored.", "",
            f"| method | perplexity | times that of {base} (95%) | TTFT speed-up | computed |", "|---|---|---|---|---|"]
    for method in methods:
        def ratio(sample, method=method):
            return perplexity(results, method, sample) / perplexity(results, base, sample)
        speed_up = sum(results[base, i]["ttft_ms"] for i in ids) / sum(results[method, i]["ttft_ms"] for i in ids)
        interval = "" if method == base else "{:.3f} ({:.3f} to {:.3f})".format(*bootstrap(ids, ratio, n_resamples=500))
        rows.append(f"| {method} | {perplexity(results, method, ids):.2f} | {interval} | {speed_up:.2f} | "
                    f"{statistics.mean(results[method, i]['computed'] for i in ids):.0%} |")
    return "\n".join(rows)
