"""What --messages and "messages" in a line of --jsonl take, refuse and warn of."""

import json
import subprocess

import pytest

from chain_model import CONTROL, ChainModel

TALK = "{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}:"
TRIMMED = "{% for m in messages %}{{ m.role + ':' + m.content | trim }}{% endfor %}:"
DUMPED = "{% for m in messages %}{{ m.role }}:{{ m.content | tojson }}{% endfor %}:"
WITH_PARTS = ("{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}"
              "{% endif %}{% endfor %}:")
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]}]


@pytest.fixture
def talk(lazyfill, tmp_path):
    """Exit code, standard output and error of a conversation with a model of this template."""

    def call(messages, template=TALK, *flags, jsonl=False):
        model = ChainModel()
        end = model.add("<fin>", CONTROL)
        model.say(ord(":"), [end])
        model.values.update({"tokenizer.ggml.eos_token_id": end, "tokenizer.chat_template": template})
        path = model.write(tmp_path / "model.gguf", n_context=4096)
        text = messages if isinstance(messages, str) else json.dumps(messages)
        (tmp_path / "talk.json").write_text('{"messages": %s}\n' % text if jsonl else text)
        given = ["--jsonl", tmp_path / "talk.json"] if jsonl else ["--chat", "--messages", tmp_path / "talk.json"]
        done = subprocess.run([lazyfill, "run", "-m", path, "--quiet", "--temp", "0", "-n", "2", "--json", "-", *given, *flags],
                              capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.mark.parametrize("text, parts", [
    ('[]', ["holds no message"]),
    ('"hi"', ["no JSON array of messages"]),
    ('7', ["no JSON array of messages"]),
    ('{"talk": []}', ["no JSON array of messages"]),
    ('["hi"]', ["line 1, column 2", "number 1 is no object"]),
    ('[["user", "hi"]]', ["line 1, column 2", "number 1 is no object"]),
    ('[{"role": "user", "content": "a"},\n {"content": "b"}]', ["line 2, column 2", "number 2 has no \"role\""]),
    ('[{"role": 1, "content": "a"}]', ["\"role\" that is no text"]),
    ('[{"role": "user"}]', ["has no \"content\""]),
    ('[{"role": "user", "content": 7}]', ["neither a text nor a list"]),
    ('{"messages": [{"role": ""}]}', ["line 1, column 15", "\"role\""]),
    ('[{"role": "user",\n "content": oops}]', ["line 2, column 13", "invalid literal"]),
    ('[{"role": "user", "content": "a"}', ["line 1, column 34"]),
    ('', ["line 1, column 1"]),
])
def test_what_is_no_message_is_refused_with_its_place(talk, text, parts):
    code, out, error = talk(text)
    assert code == 1 and not out and len(error.splitlines()) == 1
    for part in parts:
        assert part in error, error


@pytest.mark.parametrize("jsonl", [False, True])
@pytest.mark.parametrize("template, is_warned", [(TALK, True), (TRIMMED, True), (DUMPED, True), (WITH_PARTS, False)])
def test_parts_that_a_template_prints_as_a_list_are_warned_of(talk, template, is_warned, jsonl):
    code, out, error = talk(PARTS, template, jsonl=jsonl)
    assert code == 0 and json.loads(out), error
    assert ("warning:" in error and "content in parts" in error) == is_warned
    assert len(error.splitlines()) == is_warned


@pytest.mark.parametrize("template", [TALK, TRIMMED, DUMPED, WITH_PARTS])
def test_one_text_is_not_warned_of(talk, template):
    quoted = [{"role": "user", "content": "[{'type': 'text', 'text': 'Hi'}]"}]
    code, _, error = talk(quoted, template)
    assert code == 0 and error == ""


def test_depth_without_end_is_refused(talk):
    deep = '[{"role": "user", "content": "a", "x": ' + "[" * 200_000 + "]" * 200_000 + '}, {"role": "user", "content": [{"type": "text", "text": "a"}]}]'
    for jsonl in (False, True):
        code, _, error = talk(deep, jsonl=jsonl)
        assert code == 1 and "nested deeper" in error
