"""/infill as editors ask it, and `suffix` of /v1/completions."""

import json

import pytest

from chain_model import CONTROL, ChainModel
from serving import Serving

# What llama.vim sends, all of its fields.
EDITOR = {"input_prefix": "a\n", "prompt": "b", "input_suffix": "c\n", "input_extra": [{"filename": "other.py", "text": "d\n"}], "n_predict": 8,
          "n_indent": 0, "top_k": 40, "top_p": 0.9, "stop": [], "samplers": ["top_k", "top_p", "infill"], "stream": False, "cache_prompt": True,
          "t_max_prompt_ms": 5000, "t_max_predict_ms": 60000, "temperature": 0}


def chain(tmp_path, *names):
    model = ChainModel()
    ids = [model.add(name, CONTROL) for name in names]
    end = model.add("<|endoftext|>", CONTROL)
    model.say(ids[2], [*b"xy", end])
    model.values["tokenizer.ggml.eos_token_id"] = end
    return model.write(tmp_path / "model.gguf")


@pytest.fixture(scope="module")
def native(lazyfill, tmp_path_factory):
    path = chain(tmp_path_factory.mktemp("native"), "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")
    with Serving(lazyfill, path) as serving:
        yield serving.wait_until_ready()


@pytest.fixture(scope="module")
def plain(lazyfill, tmp_path_factory):
    with Serving(lazyfill, chain(tmp_path_factory.mktemp("plain"), "<a>", "<b>", "<c>")) as serving:
        yield serving.wait_until_ready()


def test_an_editor_gets_the_middle(native):
    status, answer = native.post("/infill", EDITOR)
    assert status == 200, answer
    assert answer["content"] == "xy" and answer["stop"] is True and answer["stop_type"] == "eos"
    assert answer["timings"]["predicted_n"] == 2 and answer["timings"]["prompt_ms"] > 0
    assert answer["tokens_evaluated"] > len("abcd")


def test_it_gets_the_fields_that_it_names(native):
    _, answer = native.post("/infill", {**EDITOR, "response_fields": ["content", "timings/prompt_n", "truncated", "nothing/there"]})
    assert set(answer) == {"content", "timings/prompt_n", "truncated"}
    assert answer["content"] == "xy"


def test_a_stream_gives_the_same_middle(native):
    events = [data for _, data in native.stream("/infill", EDITOR)]
    assert "".join(event["content"] for event in events) == "xy"
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]


def test_a_completion_with_a_suffix_is_its_middle(native):
    status, answer = native.post("/v1/completions", {"prompt": "ab", "suffix": "cd", "temperature": 0, "max_tokens": 8})
    assert status == 200, answer
    assert answer["choices"][0]["text"] == "xy" and answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("path, body", [("/infill", EDITOR), ("/v1/completions", {"prompt": "a", "suffix": "b"})])
def test_a_model_without_tokens_for_it_says_what_to_ask(plain, path, body):
    status, answer = plain.post(path, body)
    assert status == 400
    assert '"fim": "constrained"' in answer["error"]["message"]


def test_on_wish_any_model_writes_whole_lines(plain):
    status, answer = plain.post("/infill", {**EDITOR, "fim": "constrained", "input_suffix": ""})
    assert status == 200, answer
    assert answer["content"] == "b" * len(answer["content"])  # a chain's other tokens follow themselves
    assert answer["stop_type"] == "limit"


@pytest.mark.parametrize("change, part", [({"input_extra": [{"filename": "a"}]}, "input_extra"), ({"fim": "maybe"}, "fim"), ({"input_prefix": 3}, "input_prefix")])
def test_what_is_wrong_is_named(native, change, part):
    status, answer = native.post("/infill", {**EDITOR, **change})
    assert status == 400 and part in json.dumps(answer)
