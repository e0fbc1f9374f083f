"""Tools, and calls with their arguments, in the form that each chat template wants."""

import json
import pathlib
import subprocess

import pytest

from chain_model import CONTROL, ChainModel

TEMPLATES = pathlib.Path(__file__).resolve().parents[1] / "templates"
TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
# As Qwen3-Coder's template has calls.
XML = ("{% for m in messages %}{{ m.role }}:{{ m.content or '' }}{% for call in m.tool_calls or [] %}<function={{ call.function.name }}>"
       "{% for name, value in call.function.arguments | items %}<parameter={{ name }}>{{ value }}</parameter>{% endfor %}</function>{% endfor %}{% endfor %}{{ tools }}")
# As DeepSeek's.
TEXT = ("{% for m in messages %}{{ m.role }}:{{ m.content or '' }}{% for call in m.tool_calls or [] %}{{ call.function.name + '\\n```json\\n' + call.function.arguments + '\\n```' }}"
        "{% endfor %}{% endfor %}{{ tools }}")
PLAIN = "{% for m in messages %}{{ m.role }}:{{ m.content }}{% for call in m.tool_calls or [] %}({{ call.function.arguments }}){% endfor %}{% endfor %}"
BOTH = ("{% for m in messages %}{{ m.role }}:{% for call in m.tool_calls or [] %}{% set a = call.function.arguments %}{{ a if a is string else a | tojson }}{% endfor %}{% endfor %}")
BARE = "{% for m in messages %}{{ m.role }}:{% for call in m.tool_calls or [] %}{{ call.arguments | tojson }}{% endfor %}{% endfor %}"
OLD = "{% for m in messages %}{{ m.role }}:{% if m.function_call %}{{ m.function_call.arguments | tojson }}{% endif %}{% endfor %}"


@pytest.fixture
def prompt(lazyfill, tmp_path):
    """The text that a template makes of a conversation, or the error."""

    def render(template, messages, tools=None, **values):
        model = ChainModel()
        end = model.add("<fin>", CONTROL)
        model.say(ord(":"), [end])
        model.values.update({"tokenizer.ggml.eos_token_id": end, **values})
        if template is not None:
            model.values["tokenizer.chat_template"] = template
        (tmp_path / "messages.json").write_text(json.dumps(messages))
        (tmp_path / "tools.json").write_text(json.dumps(tools))
        path = model.write(tmp_path / "model.gguf", n_context=4096)
        flags = ["--tools", tmp_path / "tools.json"] if tools is not None else []
        record = tmp_path / "record.json"
        result = subprocess.run([lazyfill, "run", "-m", path, "--chat", "--messages", tmp_path / "messages.json", *flags, "-n", "1", "--quiet", "--json", record],
                                capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
        if result.returncode != 0:
            return "error: " + result.stderr
        ids = json.loads(record.read_text())["prompt_token_ids"]
        # Without merges, a token is a byte, but for "th".
        return b"".join(b"th" if token == 256 else bytes([token]) for token in ids if token <= 256).decode("utf-8")

    return render


def call(arguments):
    return [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "123456789", "content": "ok"}]


ARGUMENTS = {"city": "Paris", "all": [1, 2.5, None], "quote": "\"\u00fc"}
FORMS = [ARGUMENTS, json.dumps(ARGUMENTS), json.dumps(ARGUMENTS, ensure_ascii=False, indent=1)]
AS_JSON = json.dumps(ARGUMENTS, ensure_ascii=False)


@pytest.mark.parametrize("arguments", FORMS)
def test_objects_where_the_template_writes_json(prompt, arguments):
    for template in ((TEMPLATES / "qwen-2.5.jinja").read_text(), (TEMPLATES / "llama-3.1.jinja").read_text()):
        text = prompt(template, call(arguments), TOOLS)
        assert AS_JSON in text and "\\\"city" not in text


@pytest.mark.parametrize("arguments", FORMS)
def test_objects_where_the_template_goes_through_them(prompt, arguments):
    assert "<parameter=city>Paris</parameter><parameter=all>[1, 2.5, None]</parameter>" in prompt(XML, call(arguments), TOOLS)


def test_texts_where_the_template_joins_them(prompt):
    assert f"f\n```json\n{AS_JSON}\n```" in prompt(TEXT, call(ARGUMENTS), TOOLS)
    assert f"({AS_JSON})" in prompt(PLAIN, call(ARGUMENTS))
    assert "```json\n{\"city\":1 }\n```" in prompt(TEXT, call("{\"city\":1 }"), TOOLS), "a text stays as it is"


def test_a_template_for_both_gets_what_is_given(prompt):
    assert prompt(BOTH, call("{\"city\":1 }")).startswith("user:assistant:{\"city\":1 }")
    assert prompt(BOTH, call(ARGUMENTS)).startswith("user:assistant:" + AS_JSON)


@pytest.mark.parametrize("arguments", ["", " ", "null", " null\n", "{}", {}, None, "left out"])
def test_calls_without_arguments(prompt, arguments):
    messages = call(arguments)
    if arguments == "left out":
        del messages[1]["tool_calls"][0]["function"]["arguments"]
    assert "<function=f></function>" in prompt(XML, messages, TOOLS)
    assert "f\n```json\n{}\n```" in prompt(TEXT, messages, TOOLS)
    assert prompt(BOTH, messages) == "user:assistant:{}tool:"
    assert '{"name": "f", "arguments": {}}' in prompt((TEMPLATES / "qwen-2.5.jinja").read_text(), messages, TOOLS)


@pytest.mark.parametrize("arguments", ["{\"city\": ", "[1]", "Paris", "[" * 100000])
def test_arguments_that_are_no_object(prompt, arguments):
    assert "arguments of a call are no JSON object" in prompt(XML, call(arguments), TOOLS)
    assert arguments[:200] in prompt(TEXT, call(arguments[:200]), TOOLS), "a template for texts takes any"


def test_arguments_that_cannot_be_read_are_told_why(prompt):
    number = "{\"n\": 123456789012345678901234567890}"
    assert "a whole number beyond 64 bits" in prompt(XML, call(number), TOOLS)
    assert number in prompt(TEXT, call(number), TOOLS)


def test_calls_in_their_other_forms(prompt):
    bare = [{"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": json.dumps(ARGUMENTS)}]}]
    old = [{"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": json.dumps(ARGUMENTS)}}]
    assert prompt(BARE, bare) == prompt(OLD, old) == "assistant:" + AS_JSON


QUESTION = [{"role": "user", "content": "hi"}]


def test_a_template_of_its_own_for_tools(prompt):
    tool_use = {"tokenizer.chat_template.tool_use": "TOOLS{{ tools | length }}:"}
    assert prompt("plain:", QUESTION, TOOLS, **tool_use) == "TOOLS1:"
    assert prompt("plain:", QUESTION, **tool_use) == "plain:"
    assert prompt(None, QUESTION, TOOLS, **tool_use) == "TOOLS1:"
    assert "no chat template" in prompt(None, QUESTION, **tool_use)
    broken = {"tokenizer.chat_template.tool_use": "{% if %}"}
    assert "cannot be used" in prompt("plain:", QUESTION, TOOLS, **broken)
    assert prompt("plain:", QUESTION, **broken) == "plain:"


def test_tools_that_a_template_does_not_look_at_are_an_error(prompt):
    assert "does nothing with tools" in prompt("plain:", QUESTION, TOOLS)
    assert prompt("plain:", QUESTION, []) == "plain:"
    assert prompt("{{ 'T' if tools }}plain:", QUESTION, TOOLS) == "Tplain:"
