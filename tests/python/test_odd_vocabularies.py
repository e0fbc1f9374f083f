"""Vocabularies as published files have them: ends of turn of any type and name, merges to tokens of any type, ids of special
tokens that the vocabulary does not have."""

import json
import subprocess

import pytest

from chain_model import CONTROL, NORMAL, UNUSED, USER_DEFINED, ChainModel


@pytest.fixture
def answer(lazyfill, tmp_path):
    """What a model says after "a", the record of it, and what stands on standard error."""

    def run(model, end, prompt="a", **values):
        model.values.update({"tokenizer.ggml.eos_token_id": end, **values})
        path = model.write(tmp_path / "model.gguf")
        record = tmp_path / "record.json"
        result = subprocess.run([lazyfill, "run", "-m", path, "-p", prompt, "-n", "12", "--temp", "0", "--quiet", "--json", record], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.rstrip("\n"), json.loads(record.read_text()), result.stderr

    return run


ENDS = ["<end_of_turn>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|call|>", "<|calls|>", "<|flush|>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "<turn|>", "<|tool_response>", "[e~[", "<EOT>", "<|endoftext|>", "<\uff5cend\u2581of\u2581sentence\uff5c>"]


@pytest.mark.parametrize("kind", [NORMAL, CONTROL, USER_DEFINED, UNUSED])
@pytest.mark.parametrize("name", ENDS)
def test_ends_of_turn_end_the_answer(answer, name, kind):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.say(ord("a"), [*b"xy", model.add(name, kind), *b"zw", end])
    text, record, _ = answer(model, end)
    assert text == "xy" and record["finish_reason"] == "stop"


@pytest.mark.parametrize("name, kind, text", [("</s>", USER_DEFINED, "xy</s>zw"), ("</s>", NORMAL, "xy</s>zw"), ("</s>", CONTROL, "xy"), ("<b>", USER_DEFINED, "xy<b>zw")])
def test_tags_are_text(answer, name, kind, text):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.say(ord("a"), [*b"xy", model.add(name, kind), *b"zw", end])
    assert answer(model, end)[0] == text


def test_the_end_of_a_part_is_no_end_where_turns_end_with_calls(answer):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.add("<|call|>", CONTROL)
    model.say(ord("a"), [*b"xy", model.add("<|end|>", CONTROL), *b"zw", end])
    assert answer(model, end)[0] == "xyzw"


def test_text_that_spells_an_end_of_turn_stays_text(answer):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    turn = model.add("<end_of_turn>", USER_DEFINED)
    model.say(ord("!"), [end])
    assert turn not in answer(model, end, prompt="<end_of_turn>!")[1]["prompt_token_ids"]


@pytest.mark.parametrize("kind", [NORMAL, USER_DEFINED, UNUSED])
def test_merges_lead_to_tokens_of_any_type(answer, kind):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    the = model.add("the", kind)
    there = model.add("there")
    model.merges = ["t h", "th e", "r e", "the re"]
    model.add("re")
    model.say(ord("a"), [the, end])
    text, record, _ = answer(model, end, prompt="the a")
    assert text == "the" and record["prompt_token_ids"][0] == the
    if kind != USER_DEFINED:  # those are found in the text before anything is merged
        assert answer(model, end, prompt="there a")[1]["prompt_token_ids"][0] == there


def test_text_becomes_no_control_token_by_merging(answer):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    the = model.add("the", CONTROL)
    model.merges = ["t h", "th e"]
    model.say(ord("a"), [ord("x"), end])
    assert answer(model, end, prompt="thea")[1]["prompt_token_ids"] == [256, ord("e"), ord("a")]
    assert the == 258


@pytest.mark.parametrize("key", ["bos", "unknown", "eot", "eom", "seperator", "cls", "padding", "mask", "fim_pre"])
def test_special_ids_that_the_vocabulary_has_not_are_a_warning(answer, lazyfill, tmp_path, key):
    model = ChainModel()
    end = model.add("<fin>", CONTROL)
    model.say(ord("a"), [*b"xy", end])
    text, _, error = answer(model, end, **{f"tokenizer.ggml.{key}_token_id": 4294967295})
    assert text == "xy"
    assert error.count("warning:") == 1 and f"tokenizer.ggml.{key}_token_id is 4294967295, but the vocabulary has 258 tokens" in error
    shown = subprocess.run([lazyfill, "inspect", tmp_path / "model.gguf"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"tokenizer.ggml.{key}_token_id is 4294967295" in shown


def test_an_end_that_the_vocabulary_has_not_is_found_by_its_name(answer):
    model = ChainModel()
    end = model.add("<|im_end|>", CONTROL)
    model.say(ord("a"), [*b"xy", end])
    text, _, error = answer(model, 258)
    assert text == "xy" and "tokenizer.ggml.eos_token_id is 258" in error
