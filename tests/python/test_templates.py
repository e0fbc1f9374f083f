"""Chat templates: our interpreter against Python's jinja2, in the same run and byte for byte.

The templates in tests/templates are written for these tests; each has the layout, the control tokens and the
constructs of one family's published template.
"""

import pathlib
import warnings

import pytest

from reference import jinja
from reference.template_generator import Generator

TEMPLATES = sorted((pathlib.Path(__file__).resolve().parents[1] / "templates").glob("*.jinja"))

USER = {"role": "user", "content": "What's 6 x 7?\n"}
SYSTEM = {"role": "system", "content": "  You are terse. /no_think\n"}
ANSWER = {"role": "assistant", "content": " 42 "}
SECOND = {"role": "user", "content": "h\u00e9llo \u6f22\u5b57 \U0001f600 <&> {{ 'x' }} {% y %} <|im_end|>"}
THOUGHT = {"role": "assistant", "content": "<think>\nSix times seven.\n</think>\n\n42"}
REASONED = {"role": "assistant", "content": "42", "reasoning_content": "\nSix times seven.\n", "thinking": "Six."}
PARTS = {"role": "user", "content": [{"type": "text", "text": " What is it? "}, {"type": "image"}, {"type": "text", "text": "Say."}]}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "abc123def", "type": "function", "function": {"name": "multiply", "arguments": {"a": 6, "b": 7.0, "note": "\u00fc<\"'", "all": [True, None, {}]}}}]}
BARE_CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "abc123def", "type": "function", "function": {"name": "multiply", "arguments": "{\"a\": 6}"}}]}
TWO_CALLS = {"role": "assistant", "content": "Both.", "tool_calls": [CALL["tool_calls"][0], {"id": "123456789", "type": "function", "function": {"name": "now", "arguments": {}}}]}
RESULT = {"role": "tool", "tool_call_id": "abc123def", "name": "multiply", "content": "42"}
SECOND_RESULT = {"role": "tool", "tool_call_id": "123456789", "name": "now", "content": "{\"time\": \"10:34\"}"}
OBJECT_RESULT = {"role": "tool", "tool_call_id": "abc123def", "content": {"content": {"value": 42}}}

TOOLS = [
    {"type": "function", "function": {
        "name": "multiply", "description": "Multiplies two numbers & says \"so\".",
        "parameters": {"type": "object", "properties": {
            "a": {"type": "integer", "description": " The first. "}, "b": {"type": ["number", "null"], "description": "The second.", "default": 1.5},
            "unit": {"type": "string", "enum": ["cm", "m"], "description": "Unit", "default": "m"}, "all": {"type": "array", "items": {"type": "string"}, "description": "Many"},
            "deep": {"type": "object", "description": "Deep", "properties": {"x": {"type": "boolean"}, "y": {"type": "array", "items": {"type": "integer"}}}, "required": ["x"]}},
            "required": ["a", "b"]}, "return": {"type": "number"}}},
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}]
DOCUMENTS = [{"title": "One", "text": "First text."}, {"title": "Two", "text": "Second \u00fc text."}]

CONVERSATIONS = {
    "one question": [USER],
    "system": [SYSTEM, USER],
    "several turns": [USER, ANSWER, SECOND],
    "system and several turns": [SYSTEM, USER, ANSWER, SECOND, THOUGHT],
    "thoughts": [USER, THOUGHT, SECOND, REASONED],
    "thoughts before": [USER, REASONED, SECOND],
    "ends with an answer": [SYSTEM, USER, ANSWER],
    "parts": [PARTS],
    "system and parts": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, PARTS, ANSWER, USER],
    "a call": [USER, CALL],
    "a call and its result": [SYSTEM, USER, CALL, RESULT],
    "a call, its result, an answer": [USER, CALL, RESULT, ANSWER, SECOND],
    "a call without content": [USER, BARE_CALL, RESULT],
    "two calls": [SYSTEM, USER, TWO_CALLS, RESULT, SECOND_RESULT, ANSWER],
    "a result that is an object": [USER, CALL, OBJECT_RESULT],
    "roles do not alternate": [USER, SECOND],
    "starts with an answer": [ANSWER, USER],
    "system twice": [SYSTEM, USER, ANSWER, SYSTEM, SECOND],
    "unknown role": [{"role": "critic", "content": "No."}],
    "no content": [{"role": "user"}],
    "nothing": [],
}
VARIABLES = [{}, {"enable_thinking": False, "date_string": "1 Jan 2025", "tools_in_user_message": False},
             {"documents": DOCUMENTS, "enable_citations": True, "controls": {"length": "short"}, "builtin_tools": ["python", "code_interpreter"]},
             {"thinking": True, "reasoning_effort": "high", "custom_tools": TOOLS, "python_tools": ["def f(): pass"], "model_identity": "You are it."}]


@pytest.fixture(scope="module")
def template_tool(build_dir):
    program = build_dir / "bin" / "template_tool"
    if not program.is_file():
        pytest.fail(f"{program} is missing: the build is not complete")
    return program


def compare(tool, cases):
    """How many were rendered; what differs is said with the template and both outcomes."""
    environment = jinja.environment()
    n_rendered = 0
    for case, ours in zip(cases, jinja.render_ours(tool, cases), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's compiler warns of odd constants
            text, error = jinja.render_reference(case, environment)
        if text is not None and " object " in text.lower() and " at 0x" in text.lower():
            continue  # an address, which is different every time
        if "out of range" in ours.get("error", ""):
            continue  # whole numbers end at 64 bits here
        assert ours.get("text") == text, f"{case['template']}\n{case['messages']}\njinja2: {error or text!r}\nours: {ours}"
        n_rendered += text is not None
    return n_rendered


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_families(template_tool, path):
    template = path.read_text(encoding="utf-8")
    cases = [jinja.request(template, messages, tools, variables, prompt)
             for messages in CONVERSATIONS.values() for tools in (None, TOOLS, []) for variables in VARIABLES for prompt in (True, False)]
    assert compare(template_tool, cases) >= len(cases) // 8


def test_families_are_many():
    assert len(TEMPLATES) >= 28


@pytest.mark.parametrize("seed", range(2))
def test_random_templates(template_tool, seed):
    generator = Generator(seed)
    messages = [SYSTEM, USER, CALL, SECOND]
    cases = [jinja.request(generator.template(), messages, TOOLS, {"flag": True}) for _ in range(800)]
    assert compare(template_tool, cases) > 480


def test_refusals_name_the_line(template_tool):
    ours = jinja.render_ours(template_tool, [jinja.request("a\nb\n{{ x | wonder }}"), jinja.request("\n{{ raise_exception('No.') }}")])
    assert "line 3" in ours[0]["error"] and "wonder" in ours[0]["error"]
    assert "line 2" in ours[1]["error"] and "No." in ours[1]["error"]
