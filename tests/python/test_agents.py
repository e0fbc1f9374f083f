"""The trace of an agent, and `python3 -m evals agents`, which replays it."""

import json
import subprocess
import sys

from evals import agents, experiments

KINDS = ["first", "title", "turn", "sub-agent", "turn of a sub-agent", "retry", "branch", "changed date", "edited notes", "reordered tools"]


def make(root, *args):
    done = subprocess.run([sys.executable, root / "scripts" / "make_agent_trace.py", *map(str, args)], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


def of_kind(lines, kind):
    return [line["messages"] for line in lines if line["id"]["kind"] == kind]


def agreeing(a, b):
    """How many messages two conversations begin with in common, and how much of the text of the next."""
    n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    if n in (len(a), len(b)):
        return n, 0
    texts = a[n]["content"], b[n]["content"]
    return n, next((i for i, (x, y) in enumerate(zip(*texts)) if x != y), min(map(len, texts)))


def test_every_kind_breaks_where_it_says(root):
    text = make(root)
    assert make(root) == text and make(root, "--seed", 8) != text
    lines = [json.loads(line) for line in text.splitlines()]
    assert list(dict.fromkeys(line["id"]["kind"] for line in lines)) == KINDS
    assert len({json.dumps(line["id"]) for line in lines}) == len(lines)
    assert len(of_kind(lines, "sub-agent")) == 2 and len(of_kind(lines, "turn of a sub-agent")) == 6

    before = {}  # what the conversation was when it was asked anew
    talk = None
    for line in lines:
        kind, messages = line["id"]["kind"], line["messages"]
        if kind in ("title", "sub-agent", "turn of a sub-agent"):
            continue
        if kind == "turn":
            assert messages[:len(talk)] == talk and len(messages) == len(talk) + 2  # it grows
        else:
            before[kind] = talk, messages
        talk = messages
    assert before["retry"][0] == before["retry"][1]
    old, new = before["branch"]
    assert len(new) == len(old) - 6 and agreeing(old, new)[0] == len(new) - 1
    system = before["changed date"][0][0]["content"]
    places = [system.index("# Tools"), system.index("Today's date"), system.index("# Notes on the project"), len(system)]
    for kind, begin, end in (("reordered tools", 0, 1), ("changed date", 1, 2), ("edited notes", 2, 3)):
        n, n_chars = agreeing(*before[kind])
        assert n == 0 and places[begin] < n_chars < places[end], kind
    old, new = (messages[0]["content"] for messages in before["reordered tools"])
    assert old != new and sorted(old.splitlines()) == sorted(new.splitlines())
    first, second = of_kind(lines, "sub-agent")
    assert agreeing(first, second)[0] == 1  # the same system message, another task
    assert agreeing(first, of_kind(lines, "first")[0])[0] == 0


def test_a_trace_fits_the_small_context(root, lazyfill, smollm2):
    longest = json.loads(max(make(root).splitlines(), key=len))["messages"]
    text = "\n".join(message["role"] + "\n" + message["content"] for message in longest)
    done = subprocess.run([lazyfill, "tokenize", "-m", smollm2, "--json", "-f", "-"], input=text, check=True, capture_output=True, text=True, timeout=120)
    assert 4000 < len(json.loads(done.stdout)["pieces"]) < 7500  # and a few of the template for each message


def test_arguments_that_cannot_be(root):
    for arguments in (["--tools", "1"], ["--example", "-1"], ["--turns", "0"], ["--turns", "500"]):
        done = subprocess.run([sys.executable, root / "scripts" / "make_agent_trace.py", *arguments], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "Traceback" not in done.stderr and done.stderr.strip()


def test_figures_of_the_table():
    def result(kind, number, n, prompt, cached, ms):
        return {"kind": kind, "number": number, "prompt_tokens": prompt, "cached_tokens": cached, "agreeing_tokens": cached, "ttft_ms": ms}

    results = {}
    for method, cached in (("dense", 1), ("dense, nothing kept", 0)):
        for n, ms in enumerate((100, 80)):  # two replays
            for kind, number, prompt, found in (("first", 0, 1000, 0), ("turn", 0, 1100, 990), ("turn", 1, 1300, 1290), ("retry", 0, 1300, 1299)):
                results[method, f"{kind}/{number}/{n}"] = result(kind, number, n, prompt, cached * found, ms + number)
    rows = agents.table(results).splitlines()[2:]
    assert rows == ["| first | 1 | 1,000 | 0.0% | 80 | 80 |  |  |  |", "| turn | 2 | 1,200 | 95.0% | 80 | 80 |  |  |  |",
                    "| retry | 1 | 1,300 | 99.9% | 80 | 80 |  |  |  |", "| all ordinary turns | 2 | 1,200 | 95.0% | 80 | 80 |  |  |  |",
                    "| all | 4 | 1,175 | 76.1% | 80 | 80 |  |  |  |"]
    assert agents.table({}).endswith("not been replayed yet.")


def test_the_replay_finds_what_the_trace_repeats(root, lazyfill, smollm2, data_dir, tmp_path):
    command = [sys.executable, "-m", "evals", "agents", "--small", "-m", smollm2, "--lazyfill", lazyfill, "--data", data_dir, "--out", tmp_path]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=600)
    results = [json.loads(line) for line in (tmp_path / "agents-smollm2-135m-instruct.jsonl").read_text(encoding="utf-8").splitlines()]
    n_requests = len(agents.trace(experiments.SMALL).splitlines())
    assert len(results) == len(agents.METHODS) * n_requests
    page = (tmp_path / "evals.md").read_text(encoding="utf-8")
    assert all(f"\n| {kind} | " in page for kind in KINDS)
    dense = agents.requests_of({(r["method"], r["id"]): r for r in results}, "dense")
    shares = {kind: agents.share([r for (k, _), r in dense.items() if k == kind]) for kind in KINDS}
    assert shares["first"] == 0 and shares["title"] < 0.2
    assert dense["retry", 0]["cached_tokens"] == dense["retry", 0]["prompt_tokens"] - 1  # the last one is computed again
    assert dense["reordered tools", 0]["cached_tokens"] < dense["changed date", 0]["cached_tokens"] < dense["edited notes", 0]["cached_tokens"]
    before = 0
    for (kind, _), request in dense.items():
        if kind == "turn":
            assert request["cached_tokens"] >= before  # all that was asked before
        if kind not in ("title", "sub-agent", "turn of a sub-agent"):
            before = request["prompt_tokens"]
    assert all(r["cached_tokens"] == 0 for r in results if r["method"].endswith("nothing kept"))
    again = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=600)
    assert "min left" not in again.stderr
