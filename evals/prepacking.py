"""Prompts of many lengths, and what it costs to prefill them packed, padded, sorted, or one after another.

    python3 -m evals.prepacking -m MODEL.gguf > prompts.jsonl    # 64 prompts for lazyfill run --jsonl, the same ones every time
    python3 -m evals prepacking                                  # the experiment: time and memory over batch size and spread

Lengths are log-normal around a median and cut to a range; `--spread` is the standard deviation of their logarithm. The text is
that of the calibration (src/cli/calibration), every prompt from another place of it.
"""

import argparse
import json
import math
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from evals.program import Progress, open_results, read_results

TEXTS = pathlib.Path(__file__).resolve().parents[1] / "src" / "cli" / "calibration"
MEDIAN, SHORTEST, LONGEST = 120, 20, 600
SPREAD = 0.8
N_PROMPTS = 64
SORTED = 8  # sorted batches, where the whole set is one batch of the other forms
FORMS = ("one by one", "packed", "sorted", "padded")
SEED = 20


@dataclass(frozen=True)
class Point:
    """What is measured in every form."""
    n_prompts: int
    batch: int
    spread: float

    @property
    def id(self):
        return f"{self.n_prompts} prompts, spread {self.spread:g}, batch {self.batch}"

    def flags(self, form):
        n = max(2, self.n_prompts // SORTED) if form == "sorted" and self.batch == self.n_prompts else self.batch
        return {"one by one": ["--batch", "1"], "packed": ["--batch", str(n)],
                "sorted": ["--batch", str(n), "--batch-form", "sorted"],
                "padded": ["--batch", str(n), "--batch-form", "padded"]}[form]


def lengths(n, spread=SPREAD, seed=SEED):
    """The quantiles of the distribution in a random order: so small a sample would have its own median and its own longest."""
    quantiles = [statistics.NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    random.Random(seed).shuffle(quantiles)
    return [min(LONGEST, max(SHORTEST, round(MEDIAN * math.exp(spread * z)))) for z in quantiles]


def pieces_of(lazyfill, model):
    """The calibration's texts as the model's tokens."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(TEXTS.glob("*.txt")))
    done = subprocess.run([lazyfill, "tokenize", "-m", model, "--json", "--no-bos", "-f", "-"], input=text.encode(), capture_output=True, check=True)
    return json.loads(done.stdout)["pieces"]


def prompts(pieces, wanted):
    """Texts of so many tokens; a cut can join or part two tokens, so one may have one more or less."""
    step = len(pieces) // len(wanted)
    twice = pieces + pieces
    return ["".join(twice[i * step:i * step + n]) for i, n in enumerate(wanted)]


def lines_of(texts):
    return "".join(json.dumps({"id": number, "prompt": text}) + "\n" for number, text in enumerate(texts))


def seconds_of(notes):
    """The times that `run --jsonl` says at its end, from the loaded model to the last record: by the clock, and of all cores together."""
    return tuple(map(float, re.search(r"answers?, .* in ([0-9.]+) s, ([0-9.]+) s of processor time$", notes, re.MULTILINE).groups()))


def answer_all(lazyfill, model, path, flags):
    """One run over the lines at `path`: their time, and the most memory that the process had."""
    done = subprocess.run([lazyfill, "run", "-m", model, "--jsonl", path, "--lazy", "off", "--temp", "0", "-n", "1", *flags],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"lazyfill run ended with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    seconds, cpu_seconds = seconds_of(done.stderr)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "prompt_tokens": sum(r["prompt_tokens"] for r in records),
            "longest": max(r["prompt_tokens"] for r in records), "first_ms": min(r["timings"]["ttft_ms"] for r in records),
            "peak_bytes": max(r["memory"]["peak_rss_bytes"] for r in records), "weights_bytes": records[0]["memory"]["weights_bytes"]}


def points_of(size):
    """Over the batch's size, then over the spread; the set in the middle belongs to both."""
    n = size.batches[-1]
    by_size = [Point(n, batch, SPREAD) for batch in size.batches]
    by_spread = [Point(n, n, spread) for spread in size.spreads]
    return by_size, by_spread


def measure(setup):
    """Every form of every point, all forms side by side, again and again: what a budget cuts off are whole rounds."""
    path = setup.path("prepacking")
    by_size, by_spread = points_of(setup.size)
    rounds = [(point, n) for n in range(setup.size.repeats) for point in dict.fromkeys(by_spread + by_size)]
    done = read_results(path, "form")
    missing = [(point, n, form) for point, n in rounds for form in FORMS if (form, f"{point.id}, {n}") not in done]
    if not missing or setup.report_only or setup.budget.is_over():
        return
    progress = Progress(f"prepacking, {setup.name}", len(missing), setup.budget)
    pieces = pieces_of(setup.lazyfill, setup.model)
    with open_results(path) as output, tempfile.TemporaryDirectory() as folder:
        lines = pathlib.Path(folder) / "prompts.jsonl"
        for point, n, form in missing:
            if setup.budget.is_over():
                print(f"prepacking: the time is over, {progress.n - progress.done} are left", file=sys.stderr)
                return
            lines.write_text(lines_of(prompts(pieces, lengths(point.n_prompts, point.spread))), encoding="utf-8")
            found = answer_all(setup.lazyfill, setup.model, lines, [*point.flags(form), *setup.flags])
            output.write(json.dumps({"form": form, "id": f"{point.id}, {n}", "point": point.id, **found}) + "\n")
            output.flush()
            progress.step()


def by_point(results):
    """point -> form -> its results, of the points that every form has been measured at."""
    found = {}
    for (form, _), result in results.items():
        found.setdefault(result["point"], {}).setdefault(form, []).append(result)
    return {point: forms for point, forms in found.items() if all(form in forms for form in FORMS)}


def fastest(results, what="seconds"):
    return min(r[what] for r in results)


def peak_mb(results):
    return statistics.median(r["peak_bytes"] for r in results) / 1e6


def ratios(forms, form):
    """How much longer than packed, by the clock and by the processor."""
    return " / ".join(f"{fastest(forms[form], what) / fastest(forms['packed'], what):.2f}" for what in ("seconds", "cpu_seconds"))


def table(points, found):
    """Points that are not measured in every form have no row."""
    head = ["set", "tokens", *FORMS, "padded : packed", "sorted : packed", *(f"{form}, MB" for form in FORMS)]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for point in (p for p in points if p.id in found):
        forms = found[point.id]
        times = [f"{fastest(forms[form]):.2f} ({statistics.median(r['seconds'] for r in forms[form]):.2f}) / "
                 f"{fastest(forms[form], 'cpu_seconds'):.2f}" for form in FORMS]
        rows.append("| " + " | ".join([f"batch {point.batch}, spread {point.spread:g}", f"{forms['packed'][0]['prompt_tokens']:,}", *times,
                                       ratios(forms, "padded"), ratios(forms, "sorted"), *(f"{peak_mb(forms[form]):,.0f}" for form in FORMS)]) + " |")
    return "\n".join(rows)


def experiment(setup):
    """Prompts of many lengths prefilled packed, padded, sorted, and one by one (the two figures of prepacking)."""
    measure(setup)
    found = by_point(read_results(setup.path("prepacking"), "form"))
    by_size, by_spread = points_of(setup.size)
    both = list(dict.fromkeys(by_size + by_spread))
    measured = [found[point.id] for point in both if point.id in found]
    if not measured:
        return "Nothing has been measured in every form yet."
    n_repeats = min(len(results) for forms in measured for results in forms.values())
    text = (f"{both[0].n_prompts} prompts of {SHORTEST} to {LONGEST} tokens, log-normal around {MEDIAN}; the spread is the standard deviation of the "
            f"lengths' logarithm. Seconds until all have their first token: the fastest of {n_repeats} runs, in brackets the median, and behind the "
            "stroke the processor time, which other work on the machine changes less. MB: the most that the process had, its model among them. "
            f"Where a batch is the whole set, `sorted` makes {SORTED} of it.\n\n" + table(both, found))
    of_batch = ("batch", by_size, lambda point: point.batch, "prompts at a time", True)
    of_spread = ("spread", by_spread, lambda point: point.spread, "spread of the lengths", False)
    for name, points, value, label, doubles in (of_batch, of_spread):
        points = [point for point in points if point.id in found]
        if points:
            panels = {what: {form: [(value(point), figure(found[point.id][form])) for point in points] for form in FORMS}
                      for what, figure in (("seconds of processor time", lambda r: fastest(r, "cpu_seconds")), ("MB at most", peak_mb))}
            text += setup.picture(f"prepacking-{name}", "side_by_side", panels, label, f"{setup.name}, {both[0].n_prompts} prompts", doubles)
    return text


def main():
    parser = argparse.ArgumentParser(prog="python3 -m evals.prepacking", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("-n", type=int, default=N_PROMPTS, help=f"prompts, default {N_PROMPTS}")
    parser.add_argument("--spread", type=float, default=SPREAD, help=f"standard deviation of the lengths' logarithm, default {SPREAD}")
    parser.add_argument("--seed", type=int, default=SEED, help="of their order")
    parser.add_argument("--lazyfill", default="build/release/bin/lazyfill")
    args = parser.parse_args()
    print(lines_of(prompts(pieces_of(args.lazyfill, args.model), lengths(args.n, args.spread, args.seed))), end="")


if __name__ == "__main__":
    main()
