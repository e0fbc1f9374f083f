"""Drives `lazyfill run --jsonl`, where one process answers many prompts, and keeps the results as lines of a file."""

import json
import subprocess
import sys
import time


def drop_middle(parts, n):
    """LongBench's rule for prompts that are too long: both ends stay, for the task is stated there."""
    return parts if len(parts) <= n else parts[:n // 2] + parts[len(parts) - (n - n // 2):]


def shortened(lazyfill, model, text, n_tokens):
    """The text without its middle, in n_tokens tokens."""
    done = subprocess.run([lazyfill, "tokenize", "-m", model, "--json", "--no-bos", "-f", "-"], input=text.encode(),
                          capture_output=True, check=True)
    pieces = json.loads(done.stdout)["pieces"]
    if len(pieces) <= n_tokens:
        return text
    if "".join(pieces) == text:
        return "".join(drop_middle(pieces, n_tokens))
    return drop_middle(text, len(text) * n_tokens // len(pieces))  # tokens that are parts of characters have no text


def inspect(lazyfill, model):
    """What the program says of a model file."""
    done = subprocess.run([lazyfill, "inspect", "-m", model, "--json"], capture_output=True, check=True)
    return json.loads(done.stdout)


def open_results(path):
    """A file of results to append lines to; one that was cut off ends here, so that the next does not join it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    output = path.open("a", encoding="utf-8")
    if path.stat().st_size and path.read_bytes()[-1:] != b"\n":
        output.write("\n")
    return output


def read_results(path, what="method"):
    """(result[what], id) -> result, of earlier runs; a last line that was cut off is dropped."""
    done = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                result = json.loads(line)
            except json.JSONDecodeError:
                continue
            done[result[what], result["id"]] = result
    return done


def common(results, methods):
    """The ids that every method has a result for, in order of measuring. results: as read_results gives them."""
    return [i for m, i in results if m == methods[0] and all((other, i) in results for other in methods)]


class Answers:
    """`with Answers(...) as answers: record = answers.ask(prompt=...)`"""

    def __init__(self, lazyfill, model, flags=()):
        self.command = [lazyfill, "run", "-m", model, "--jsonl", "-", "--json", "-", "--quiet", "--temp", "0", *flags]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def ask(self, **line):
        return self.ask_all(1, **line)[0]

    def ask_all(self, n_records, **line):
        """A line, and the records that it gives: one, or one a question."""
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        records = []
        while len(records) < n_records:
            text = self.process.stdout.readline()
            if not text:
                raise SystemExit(f"lazyfill run ended with exit code {self.process.wait()}; its message stands above")
            records.append(json.loads(text))
            if "error" in records[-1]:  # the only record of its line
                raise SystemExit("lazyfill run could not answer; its message stands above")
        return records

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Budget:
    """Minutes that measuring may take; None: all that it takes."""

    def __init__(self, minutes=None):
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def left_s(self):
        return float("inf") if self.end is None else self.end - time.monotonic()

    def is_over(self):
        return self.left_s() <= 0

    def part(self, share):
        """A budget with this share of the time that is left."""
        return Budget(None if self.end is None else max(0.0, self.left_s()) * share / 60)


class Progress:
    """A line on standard error with the time left, at most once in two seconds."""

    def __init__(self, what, n, budget):
        self.what, self.n, self.budget = what, n, budget
        self.done, self.start, self.shown = 0, time.monotonic(), 0.0

    def step(self):
        self.done += 1
        now = time.monotonic()
        if self.done < self.n and now - self.shown < 2:
            return
        self.shown = now
        left = min((now - self.start) / self.done * (self.n - self.done), self.budget.left_s())
        print(f"{self.what}: {self.done} of {self.n}, {left / 60:.0f} min left", file=sys.stderr, flush=True)


def measure(path, cells, ask, answers, what, key="method", budget=None):
    """The results of cells that `path` does not hold yet, a line each at once; so a run that was interrupted goes on.

    cells: (method, item) pairs in the order of measuring, all methods of an item one after another: what a budget cuts
    off is whole items, and times that are compared were taken side by side. A method has .name and .flags, an item
    "id". ask(program, method, item): the fields of the result. answers: makes the program, an Answers.
    """
    budget = budget or Budget()
    done = read_results(path, key)
    missing = [(method, item) for method, item in cells if (method.name, item["id"]) not in done]
    if not missing or budget.is_over():
        return
    progress = Progress(what, len(missing), budget)
    with open_results(path) as output, answers as program:
        program.ask(prompt="Warm up. " * 100, flags=["--lazy", "off", "-n", "1"])  # the first one pays for fresh memory
        for method, item in missing:
            if budget.is_over():
                print(f"{what}: the time is over, {progress.n - progress.done} of {progress.n} are left", file=sys.stderr)
                return
            result = {key: method.name, "id": item["id"], **ask(program, method, item)}
            output.write(json.dumps(result) + "\n")
            output.flush()
            progress.step()
