"""Drives `lazyfill run --jsonl`, where one process answers many prompts, and keeps the results as lines of a file."""

import json
import subprocess


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


def open_results(path):
    """A file of results to append lines to; one that was cut off ends here, so that the next does not join it."""
    output = path.open("a", encoding="utf-8")
    if path.stat().st_size and path.read_bytes()[-1:] != b"\n":
        output.write("\n")
    return output


def read_results(path, what):
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


class Answers:
    """`with Answers(...) as answers: record = answers.ask(prompt)`"""

    def __init__(self, lazyfill, model, flags):
        self.command = [lazyfill, "run", "-m", model, "--jsonl", "-", "--json", "-", "--quiet", "--temp", "0", *flags]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def ask(self, **prompt):
        self.process.stdin.write(json.dumps(prompt) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"lazyfill run ended with exit code {self.process.wait()}; its message stands above")
        return json.loads(line)

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
