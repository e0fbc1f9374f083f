"""Control tokens by their names: --stop NAME and --show-special, through the whole program."""

import json
import subprocess

import pytest

from chain_model import CONTROL, USER_DEFINED, ChainModel


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Answers a prompt that ends in "p" with ab, the control token <mark>, cd, a token <user> that is text, e, and the end token."""
    chain = ChainModel()
    mark, user, end = chain.add("<mark>", CONTROL), chain.add("<user>", USER_DEFINED), chain.add("<fin>", CONTROL)
    chain.say(ord("p"), [*b"ab", mark, *b"cd", user, ord("e"), end])
    chain.values["tokenizer.ggml.eos_token_id"] = end
    return chain.write(tmp_path_factory.mktemp("names") / "model.gguf")


@pytest.fixture
def run(lazyfill, model):
    def call(*args, data=None):
        result = subprocess.run([lazyfill, "run", "-m", model, "--quiet", "--temp", "0", "-n", "20", *map(str, args)],
                                input=data, capture_output=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    return call


CASES = [
    ([], "abcd<user>e", "stop"),
    (["--show-special"], "ab<mark>cd<user>e", "stop"),
    (["--stop", "<mark>"], "ab", "stop"),
    (["--stop", "<mark>", "--show-special"], "ab", "stop"),
    (["--stop", "b<mark>c"], "a", "stop"),
    (["--stop", "<user>"], "abcd", "stop"),
    (["--stop", "zzz", "--stop", "<mark>"], "ab", "stop"),
    (["--stop", "bc"], "a", "stop"),
    (["--stop", "bc", "--show-special"], "a", "stop"),
    (["--stop", "mark"], "abcd<user>e", "stop"),
    (["--stop", "mark>", "--show-special"], "ab<mark>cd<user>e", "stop"),
    (["--stop", "<fin>"], "abcd<user>e", "stop"),
    (["--show-special", "-n", "3"], "ab<mark>", "length"),
    (["--stop", "<mark>x", "-n", "3"], "ab", "length"),
    (["--stop", "<mark>x", "--show-special", "-n", "3"], "ab<mark>", "length"),
]


@pytest.mark.parametrize("flags, text, reason", CASES)
def test_names_of_control_tokens_end_and_show_answers(run, flags, text, reason):
    assert run("-p", "p", *flags) == text + "\n"
    record = json.loads(run("-p", "p", *flags, "--json", "-"))
    assert (record["text"], record["finish_reason"]) == (text, reason)
    line = json.dumps({"prompt": "p", "flags": [*flags]}).encode()
    assert json.loads(run("--jsonl", "-", data=line))["text"] == text


def test_the_next_question_follows_an_answer_without_names(run):
    line = json.dumps({"document": "d", "questions": ["p", "p"]}).encode()
    shown = [json.loads(record) for record in run("--jsonl", "-", "--show-special", data=line).splitlines()]
    plain = [json.loads(record) for record in run("--jsonl", "-", data=line).splitlines()]
    assert [record["text"] for record in shown] == ["ab<mark>cd<user>e"] * 2
    assert [record["prompt_token_ids"] for record in shown] == [record["prompt_token_ids"] for record in plain]


def test_a_control_token_in_the_prompt_is_one_only_with_special(run, model, lazyfill):
    def ids(*flags):
        return json.loads(run("-p", "x<mark>p", "-n", "1", *flags, "--json", "-"))["prompt_token_ids"]

    mark = 257
    assert json.loads(subprocess.run([lazyfill, "tokenize", "-m", model, "--json", "--special", "-p", "<mark>"],
                                     capture_output=True, check=True).stdout)["token_ids"] == [mark]
    assert ids() == [*b"x<mark>p"]
    assert ids("--special") == [ord("x"), mark, ord("p")]
