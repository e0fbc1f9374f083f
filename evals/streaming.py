"""StreamingLLM: how likely a long text is to a stream, with sinks and without, against reading the window anew; and what a
token costs."""

import itertools
import json
import math
import statistics
import subprocess

from evals.program import Answers, open_results

TASKS = ("narrativeqa", "gov_report", "qmsum", "multi_news", "musique", "2wikimqa", "hotpotqa", "qasper")


def long_text(data, n_characters):
    """Essays, and then the documents of LongBench's tasks in English."""
    parts, n = [], 0
    essays = (path.read_text(encoding="utf-8") for path in sorted((data / "essays").glob("*.txt")))
    prompts = (json.loads(line)["prompt"] for task in TASKS if (path := data / "longbench" / f"{task}.jsonl").exists()
               for line in path.read_text(encoding="utf-8").splitlines())
    for text in itertools.chain(essays, prompts):
        if n >= n_characters:
            break
        parts.append(text[:n_characters - n])
        n += len(parts[-1])
    return "\n\n".join(parts)


def pieces_of(lazyfill, model, text):
    done = subprocess.run([lazyfill, "tokenize", "-m", model, "--json", "--no-bos", "-f", "-"], input=text.encode(),
                          capture_output=True, check=True)
    return json.loads(done.stdout)["pieces"]


def read_lines(path):
    """id -> result, but for a last line that was cut off."""
    done = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            result = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[result["id"]] = result
    return done


def measure(path, answers, budget, text, pieces, shapes, cache, every, n_speed):
    """A line for each shape of a stream: the text's log-probabilities. One for each place where the window is read anew, and
    one for the speed. shapes: (sinks, window); cache: the tokens that are read anew."""
    done = read_lines(path)
    with open_results(path) as output, answers:
        def once(name, ask):
            if name in done or budget.is_over():
                return
            done[name] = {"id": name, **ask()}
            output.write(json.dumps(done[name]) + "\n")
            output.flush()

        def stream(sinks, window, prompt, *flags):
            return answers.ask(prompt=prompt, flags=["--lazy", "off", "--stream", f"sinks={sinks},window={window}", *flags])

        def logprobs(sinks, window):
            record = stream(sinks, window, text, "-n", "0")
            return {"logprobs": [round(x, 4) for x in record["prompt_logprobs"][-len(pieces):]]}  # without BOS

        def anew(at):
            record = answers.ask(prompt="".join(pieces[at - cache:at + 1]), flags=["--lazy", "off", "-n", "0"])
            return {"logprob": record["prompt_logprobs"][-1]}

        def speed(i):
            # What is read in pieces before the answer fills the window.
            prompt = "".join(pieces[:2 * cache])
            decoded = stream(4, cache - 4, prompt, "-n", str(n_speed))["timings"]
            prefilled = answers.ask(prompt="".join(pieces[:cache]), flags=["--lazy", "off", "-n", "1"])["timings"]
            return {"stream_ms": 1000 / decoded["decode_tokens_per_s"], "anew_ms": prefilled["ttft_ms"]}

        for i in range(3):
            once(f"speed {i}", lambda i=i: speed(i))
        for sinks, window in shapes:
            once(f"{sinks}+{window}", lambda s=sinks, w=window: logprobs(s, w))
        for at in range(2 * cache, len(pieces), every):
            once(f"anew {at}", lambda at=at: anew(at))
    return done


def perplexity(logprobs):
    return math.exp(min(-statistics.fmean(logprobs), 700.0)) if logprobs else float("nan")


def segments(n, first):
    """[0, first), and then in steps that grow to n."""
    ends = [first]
    while ends[-1] * 2.5 < n:
        ends.append(int(ends[-1] * 2.5) // 100 * 100)
    ends[-1] = n
    return list(zip([0, *ends[:-1]], ends))


def table(done, shapes, cache):
    shown = [f"{s}+{w}" for s, w in shapes if f"{s}+{w}" in done]
    if not shown:
        return "No text has been read by every stream yet."
    n = len(done[shown[0]]["logprobs"])
    anew = {r["id"].split()[1]: r["logprob"] for r in done.values() if r["id"].startswith("anew")}
    anew = {int(at): x for at, x in anew.items()}
    parts = segments(n, 2 * cache)
    heads = [f"{a:,} to {b:,}" for a, b in parts]
    rows = [f"Perplexity of a text of {n:,} tokens, by place. Caches hold sinks + window tokens; below, at {len(anew):,} places, a window of "
            f"{cache} is read anew.", "", "| cache | " + " | ".join([*heads, "all"]) + " |", "|---" * (len(parts) + 2) + "|"]
    for name in shown:
        logprobs = done[name]["logprobs"]
        values = [perplexity(logprobs[max(a, 1):b]) for a, b in parts] + [perplexity(logprobs[1:])]
        rows.append(f"| {name} | " + " | ".join(f"{x:.2f}" for x in values) + " |")
    if anew:
        best = f"{shapes[0][0]}+{shapes[0][1]}"
        for name, of in ((f"{best}, at those places", {at: done[best]["logprobs"][at] for at in anew}), ("read anew", anew)):
            values = [perplexity([x for at, x in of.items() if a <= at < b]) for a, b in parts] + [perplexity(list(of.values()))]
            rows.append(f"| {name} | " + " | ".join("" if math.isnan(x) else f"{x:.2f}" for x in values) + " |")
    speeds = [r for r in done.values() if r["id"].startswith("speed")]
    if speeds:
        stream, again = (statistics.median(r[key] for r in speeds) for key in ("stream_ms", "anew_ms"))
        rows += ["", f"A token of an answer: {stream:.1f} ms in the stream with {cache} tokens, {again:.0f} ms when the window is read anew for it: "
                     f"{again / stream:.0f} times as fast."]
    return "\n".join(rows)


def experiment(setup):
    """A stream's perplexity with sinks and without, against reading the window anew, and what a token of it costs."""
    size, path = setup.size, setup.path("streaming")
    cache = size.stream_cache
    shapes = [(sinks, cache - sinks) for sinks in (4, 0, 1, 2, 8)]
    if setup.report_only:
        return table(read_lines(path), shapes, cache)
    text = long_text(setup.data, size.stream_characters)
    pieces = pieces_of(setup.lazyfill, setup.model, text)
    answers = Answers(setup.lazyfill, setup.model, setup.flags)
    done = measure(path, answers, setup.budget, text, pieces, shapes, cache, size.stream_every, size.stream_answer)
    return table(done, shapes, cache)
