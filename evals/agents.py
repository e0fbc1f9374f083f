"""A day of an agent's requests, replayed with and without the store of prefixes: what each kind of turn finds there, and how soon it has
its first token. The trace is that of scripts/make_agent_trace.py, which says what the kinds are.
"""

import itertools
import json
import pathlib
import statistics
import subprocess
import sys

from evals.methods import Method
from evals.program import Progress, open_results, read_results

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "make_agent_trace.py"
STORE = ("--prefix-cache", "--cache-salt", "agent")
METHODS = (Method("dense", ("--lazy", "off", *STORE)), Method("dense, nothing kept", ("--lazy", "off")),
           Method("auto", ("--lazy", "auto", *STORE)), Method("auto, nothing kept", ("--lazy", "auto")))
ORDINARY = ("turn", "turn of a sub-agent")


def trace(size):
    arguments = ["--turns", str(size.trace_turns), "--tools", str(size.trace_tools), "--example", str(size.trace_example)]
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, check=True).stdout


def replay(setup, method, requests):
    """The records' figures, one a request. Requests wait for each other, as an agent does; the time is from the last answer."""
    command = [setup.lazyfill, "run", "-m", setup.model, "--jsonl", "-", "--temp", "0", "-n", "8", "--batch", "1", *method.flags, *setup.flags]
    done = subprocess.run(command, input=requests, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"lazyfill run ended with exit code {done.returncode}: {done.stderr.decode().strip().splitlines()[-1]}")
    for line in done.stdout.splitlines():
        record = json.loads(line)
        timings = record["timings"]
        yield {"kind": record["id"]["kind"], "number": record["id"]["number"], "prompt_tokens": record["prompt_tokens"],
               "cached_tokens": record["cached_tokens"], "agreeing_tokens": record["agreeing_tokens"],
               "ttft_ms": round(timings["ttft_ms"] - timings["queue_ms"], 3)}


def measure(setup):
    path = setup.path("agents")
    done = read_results(path)
    cells = itertools.product(range(setup.size.trace_repeats), METHODS)
    missing = [(n, method) for n, method in cells if (method.name, f"first/0/{n}") not in done]
    if not missing or setup.report_only or setup.budget.is_over():
        return
    progress = Progress(f"agents, {setup.name}", len(missing), setup.budget)
    requests = trace(setup.size)
    with open_results(path) as output:
        for n, method in missing:
            if setup.budget.is_over():
                return
            found = list(replay(setup, method, requests))  # a whole trace or nothing of it
            for result in found:
                output.write(json.dumps({"method": method.name, "id": f"{result['kind']}/{result['number']}/{n}", **result}) + "\n")
            output.flush()
            progress.step()


def requests_of(results, method):
    """Request -> its figures, with the shortest time of all replays."""
    found = {}
    for (name, _), result in results.items():
        if name == method:
            key = result["kind"], result["number"]
            if key not in found or result["ttft_ms"] < found[key]["ttft_ms"]:
                found[key] = result
    return found


def share(requests):
    return sum(r["cached_tokens"] for r in requests) / sum(r["prompt_tokens"] for r in requests)


def row(name, by_method):
    """by_method: method -> requests, or nothing where it was not measured."""
    tokens = [r["prompt_tokens"] for r in next(iter(by_method.values()))]
    cells = [name, str(len(tokens)), f"{statistics.mean(tokens):,.0f}"]
    for method in METHODS:
        requests = by_method.get(method.name)
        if not requests:
            cells += [""] * (2 if STORE[0] in method.flags else 1)
            continue
        if STORE[0] in method.flags:
            cells.append(f"{share(requests):.1%}")
        cells.append(f"{statistics.median(r['ttft_ms'] for r in requests):,.0f}")
    return "| " + " | ".join(cells) + " |"


def table(results):
    measured = {method.name: found for method in METHODS if (found := requests_of(results, method.name))}
    if not measured:
        return "The trace has not been replayed yet."
    head = ["kind", "requests", "prompt tokens"]
    for method in METHODS:
        head += [f"{method.name}: from the store"] * (STORE[0] in method.flags) + [f"{method.name}: ms"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    kinds = list(dict.fromkeys(kind for kind, _ in next(iter(measured.values()))))
    groups = [(kind, (kind,)) for kind in kinds] + [("all ordinary turns", ORDINARY), ("all", tuple(kinds))]
    for name, members in groups:
        rows.append(row(name, {method: [r for (kind, _), r in found.items() if kind in members] for method, found in measured.items()}))
    return "\n".join(rows)


def experiment(setup):
    """An agent's requests, with and without the store of prefixes, by kind of turn."""
    measure(setup)
    return ("Mean length of the prompts, the share of their tokens that came from the store, and the median time to the first token, the shorter "
            "one where the trace was replayed several times. Answers are those of the trace and not the model's, so they count as new. Requests "
            "that are aborted in the middle are not in a trace.\n\n" + table(read_results(setup.path("agents"))))
