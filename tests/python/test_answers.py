"""What is told of an answer that is cut, what -n 0 says of a prompt, and what terminals are shown."""

import json
import math
import os
import pty
import subprocess

import pytest
from chain_model import CONTROL, ChainModel

PROMPT = "The three primary colours are"


@pytest.fixture
def run(lazyfill):
    def call(*args, stdin=b""):
        return subprocess.run([lazyfill, *map(str, args)], input=stdin, capture_output=True, timeout=300)

    return call


@pytest.fixture
def on_terminal(lazyfill):
    """All that a terminal is shown."""

    def call(*args, **variables):
        controller, terminal = pty.openpty()
        process = subprocess.Popen([lazyfill, *map(str, args)], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
                                   env=os.environ | variables)
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(controller, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(controller)
        assert process.wait(timeout=60) == 0
        return shown

    return call


def lines_with(text, stderr):
    return [line for line in stderr.decode().splitlines() if text in line]


def test_an_answer_cut_by_length_says_so_in_one_line(run, smollm2):
    done = run("run", "-m", smollm2, "-p", PROMPT, "-n", "3", "--temp", "0")
    assert len(lines_with("the answer is cut at 3 tokens: -n", done.stderr)) == 1
    quiet = run("run", "-m", smollm2, "-p", PROMPT, "-n", "3", "--temp", "0", "--quiet")
    assert quiet.stderr == b""


def test_an_answer_cut_by_the_context_says_so_even_when_quiet(run, smollm2):
    done = run("run", "-m", smollm2, "-p", "one two three", "-c", "16", "--temp", "0", "--quiet")
    assert len(lines_with("the context of 16 tokens is full; --ctx allows more, up to 8,192", done.stderr)) == 1


def test_a_whole_answer_is_not_called_cut(run, tmp_path):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.values["tokenizer.ggml.eos_token_id"] = end
    model.say(ord("a"), [*b"bc", end])
    path = model.write(tmp_path / "model.gguf")
    done = run("run", "-m", path, "-p", "a", "--temp", "0")
    assert done.stdout == b"bc\n" and not lines_with("cut", done.stderr)


def test_lines_tell_which_answers_are_cut(run, smollm2):
    done = run("run", "-m", smollm2, "--jsonl", "-", "-n", "2", "--temp", "0", stdin=b'{"prompt": "one two"}\n{"prompt": "three"}\n')
    assert len(lines_with(", cut", done.stderr)) == 2


def test_n_0_scores_a_prompt(run, smollm2):
    record = json.loads(run("run", "-m", smollm2, "-p", PROMPT, "-n", "1", "--json", "-", "--prompt-logprobs").stdout)
    scored = json.loads(run("run", "-m", smollm2, "-p", PROMPT, "-n", "0", "--json", "-").stdout)
    assert scored["prompt_logprobs"] == record["prompt_logprobs"] and scored["token_ids"] == []
    logprobs = scored["prompt_logprobs"]
    done = run("run", "-m", smollm2, "-p", PROMPT, "-n", "0")
    words = done.stdout.decode().split()
    assert words[0] == str(len(logprobs)) and not lines_with("cut", done.stderr)
    assert math.isclose(float(words[-1]), math.exp(-sum(logprobs) / (len(logprobs) - 1)), rel_tol=1e-4)


@pytest.mark.parametrize("batch", [[], ["--batch", "2"]])
def test_n_0_scores_lines(run, smollm2, batch):
    lines = b'{"prompt": "one two three"}\n{"prompt": "one two", "flags": ["-n", "1"]}\n'
    done = run("run", "-m", smollm2, "--jsonl", "-", "-n", "0", "--temp", "0", *batch, stdin=lines)
    assert done.returncode == 0, done.stderr
    scored, answered = map(json.loads, done.stdout.splitlines())
    assert len(scored["prompt_logprobs"]) == len(scored["prompt_token_ids"]) and scored["token_ids"] == []
    assert len(answered["token_ids"]) == 1


def test_a_carriage_return_is_not_shown(on_terminal, run, tmp_path):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.values["tokenizer.ggml.eos_token_id"] = end
    model.say(ord("a"), [*b"b\r\ncd", end])
    path = model.write(tmp_path / "model.gguf")
    assert run("run", "-m", path, "-p", "a", "--temp", "0").stdout == b"b\r\ncd\n"  # a file gets what the model said
    assert on_terminal("run", "-m", path, "-p", "a", "--temp", "0", "--quiet") == b"b\r\ncd\r\n"  # the terminal's own \r\n


def test_a_dumb_terminal_gets_no_escape_codes(on_terminal, smollm2):
    for command in (["run", "-p", "word " * 600, "-n", "2", "--temp", "0"], ["explain", "-p", "The cat sat", "-n", "2", "--no-page"]):
        shown = on_terminal(*command, "-m", smollm2, TERM="dumb")
        assert b"\x1b" not in shown and b"\r\r" not in shown and b"TTFT" in shown
