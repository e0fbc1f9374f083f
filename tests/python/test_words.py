"""Words that people bring along from other programs: other names of flags, arguments without a flag, variables."""

import json
import os
import subprocess

import pytest

PROMPT = "The three primary colours are"


@pytest.fixture
def run(lazyfill):
    def call(*args, **variables):
        return subprocess.run([lazyfill, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
                              env=os.environ | {key: str(value) for key, value in variables.items()})

    return call


def record(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_and_a_prompt_need_no_flags(run, smollm2):
    expected = record(run("run", "-m", smollm2, "-p", PROMPT, "-n", "3", "--temp", "0", "--json", "-"))
    for words in ([smollm2, PROMPT], [PROMPT, smollm2], ["-m", smollm2, "--", PROMPT]):
        given = record(run("run", "--json", "-n", "3", "--temp", "0", *words))
        assert given["prompt_token_ids"] == expected["prompt_token_ids"] and given["token_ids"] == expected["token_ids"]
    tokens = record(run("tokenize", smollm2, PROMPT, "--json"))
    assert tokens["token_ids"] == record(run("tokenize", "-m", smollm2, "-p", PROMPT, "--json", "-"))["token_ids"]


def test_a_prompt_that_looks_like_a_flag(run, smollm2):
    expected = record(run("run", "-m", smollm2, "-p", "--temp", "-n", "1", "--json"))["prompt_token_ids"]
    assert record(run("run", smollm2, "-n", "1", "--json", "--", "--temp"))["prompt_token_ids"] == expected


def test_flags_of_other_programs(run, smollm2):
    ours = record(run("run", "-m", smollm2, "-p", PROMPT, "--threads", "1", "--ctx", "64", "--temp", "0.7", "--seed", "3",
                      "--max-tokens", "5", "--json"))
    done = run("run", smollm2, PROMPT, "-t", "1", "-c", "64", "--temperature", "0.7", "-s", "3", "--n-predict", "5",
               "-ngl", "99", "--json")
    assert record(done)["token_ids"] == ours["token_ids"]
    assert b"warning: -ngl is ignored" in done.stderr


def test_minus_one_is_no_limit(run, smollm2):
    given = record(run("run", smollm2, PROMPT, "-n", "-1", "-c", "40", "--temp", "0", "--json"))
    assert len(given["prompt_token_ids"]) + len(given["token_ids"]) >= 40 or given["finish_reason"] == "stop"


@pytest.mark.parametrize("words", [["version"], ["-v"], ["-V"]])
def test_version(run, words):
    assert run(*words).stdout == run("--version").stdout != b""


def test_help_of_a_command(run):
    assert run("help", "run").stdout == run("run", "--help").stdout != b""
    assert run("help").stdout == run("--help").stdout != b""


@pytest.mark.parametrize("name, value, command, exit_code", [
    ("LAZYFILL_MAX_TOKENS", "abc", ["run", "-p", "x"], 2),
    ("LAZYFILL_QUIET", "perhaps", ["run", "-p", "x"], 2),
    ("LAZYFILL_POLICY", "best", ["explain", "-p", "x"], 2),
    ("LAZYFILL_LAZY", "bogus", ["run", "-p", "x"], 2),
    ("LAZYFILL_CTX", "999999", ["run", "-p", "x"], 2),
    ("LAZYFILL_ISA", "sse9", ["run", "-p", "x"], 1),
    ("LAZYFILL_MODEL", "none.gguf", ["inspect"], 1),
    ("LAZYFILL_FILE", "none.txt", ["tokenize"], 1),
])
def test_a_wrong_variable_is_named(run, smollm2, name, value, command, exit_code):
    model = [] if name == "LAZYFILL_MODEL" else ["-m", smollm2]
    done = run(*command, *model, **{name: value})
    assert done.returncode == exit_code
    assert f"(from the variable {name})".encode() in done.stderr


def test_a_word_counts_before_a_variable(run, smollm2):
    done = run("run", smollm2, PROMPT, "-n", "1", "--json", LAZYFILL_MODEL="none.gguf", LAZYFILL_PROMPT="other words")
    assert record(done)["prompt_token_ids"] == record(run("run", "-m", smollm2, "-p", PROMPT, "-n", "1", "--json"))["prompt_token_ids"]


COMMANDS = {
    "run": ["-p", "The cat sat", "-n", "2", "--temp", "0"],
    "bench": ["--lengths", "16", "--repeat", "1", "-n", "2", "--lazy", "off"],
    "explain": ["-p", "The cat sat", "-n", "2", "--no-page"],
    "tokenize": ["-p", "The cat sat"],
    "inspect": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_the_same_in_every_command(run, smollm2, tmp_path, command):
    path = tmp_path / "out.json"
    args = [command, "-m", smollm2, "--quiet", *COMMANDS[command]] if command in ("run", "bench", "explain") else \
        [command, "-m", smollm2, *COMMANDS[command]]
    alone, dash = run(*args, "--json"), run(*args, "--json", "-")
    assert list(record(alone)) == list(record(dash))
    filed = run(*args, "--json", path)
    assert filed.returncode == 0 and filed.stdout != b"" and not filed.stdout.startswith(b"{")
    assert list(json.loads(path.read_text())) == list(record(alone))


def test_json_never_takes_the_model_for_its_file(run, smollm2):
    assert record(run("inspect", "--json", smollm2))["architecture"] == "llama"
    assert os.path.getsize(smollm2) > 1000000
