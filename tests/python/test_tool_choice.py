"""Calls that must be, or must fit their schemas: models that know nothing, held to it by the server."""

import json

import pytest

from scripted import FAMILIES, write_model
from serving import Serving

openai = pytest.importorskip("openai", reason="the package openai is missing; scripts/venv.sh brings it")
anthropic = pytest.importorskip("anthropic", reason="the package anthropic is missing; scripts/venv.sh brings it")

PLACE = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
         "required": ["city", "days"], "additionalProperties": False}
UNIT = {"type": "object", "properties": {"unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["unit"], "additionalProperties": False}
SCHEMAS = {"weather": PLACE, "set_unit": UNIT}
CHAT_TOOLS = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()]
FLAT_TOOLS = [{"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in SCHEMAS.items()]
MESSAGES_TOOLS = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
QUESTION = [{"role": "user", "content": "And in Rome?"}]
NO_THOUGHT = {"enable_thinking": False}  # a model that knows nothing finds no end of one
NAMED = {"type": "function", "function": {"name": "set_unit"}}


@pytest.fixture(scope="module")
def servers(lazyfill, root, tmp_path_factory):
    """Family -> a server of a tiny model with its template, each started when it is first asked for."""
    folder = tmp_path_factory.mktemp("families")
    running = {}

    def start(family):
        if family not in running:
            running[family] = Serving(lazyfill, write_model(folder / f"{family}.gguf", root, family), "--ctx", "8192").wait_until_ready()
        return running[family]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture(params=FAMILIES)
def server(servers, request):
    """gemma-2 is among them: it knows no tools, and a system message describes them."""
    return servers(request.param)


def check(calls, names=tuple(SCHEMAS)):
    """Names and arguments, as objects."""
    assert calls
    for name, arguments in calls:
        assert name in names
        if name == "weather":
            assert arguments["city"] in ("Rome", "Oslo") and 1 <= arguments["days"] <= 9 and len(arguments) == 2
        else:
            assert arguments in ({"unit": "C"}, {"unit": "F"})


def chat(server, **options):
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
    return client.chat.completions.create(**{"model": "any", "messages": QUESTION, "tools": CHAT_TOOLS, "max_tokens": 1000,
                                             "parallel_tool_calls": False, "extra_body": NO_THOUGHT, **options})


def responses(server, **options):
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
    return client.responses.create(**{"model": "any", "input": "And in Rome?", "tools": FLAT_TOOLS, "max_output_tokens": 1000,
                                      "parallel_tool_calls": False, "extra_body": NO_THOUGHT, **options})


def messages(server, **options):
    client = anthropic.Anthropic(base_url=server.address, api_key="none", max_retries=0, _strict_response_validation=True)
    return client.messages.create(**{"model": "any", "messages": QUESTION, "tools": MESSAGES_TOOLS, "max_tokens": 1000, "thinking": {"type": "disabled"}, **options})


def calls_of(choice):
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or []]


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_required_is_a_call_that_fits(server, temperature):
    for seed in range(3):
        choice = chat(server, tool_choice="required", temperature=temperature, seed=seed + 1).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        check(calls_of(choice))
        assert len(choice.message.tool_calls) == 1


def test_required_and_named_in_every_api(server):
    check(calls_of(chat(server, tool_choice=NAMED).choices[0]), ["set_unit"])
    for choice, names in (("required", SCHEMAS), ({"type": "function", "name": "weather"}, ["weather"])):
        items = responses(server, tool_choice=choice).output
        check([(item.name, json.loads(item.arguments)) for item in items if item.type == "function_call"], names)
    for choice, names in (({"type": "any", "disable_parallel_tool_use": True}, SCHEMAS), ({"type": "tool", "name": "weather"}, ["weather"])):
        answer = messages(server, tool_choice=choice)
        assert answer.stop_reason == "tool_use"
        check([(block.name, block.input) for block in answer.content if block.type == "tool_use"], names)


def test_a_stream_of_a_call_that_must_be(server):
    chunks = list(chat(server, tool_choice="required", stream=True))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    check([(deltas[0].function.name, json.loads("".join(delta.function.arguments or "" for delta in deltas)))])


def test_allowed_tools_are_all_that_can_be_called(server):
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]}}
    for seed in range(3):
        check(calls_of(chat(server, tool_choice=allowed, temperature=2, seed=seed + 1).choices[0]), ["weather"])


def test_several_calls_where_they_are_allowed(server):
    for seed in range(3):
        choice = chat(server, tool_choice="required", parallel_tool_calls=True, temperature=2, seed=seed + 1, max_tokens=2000).choices[0]
        if choice.finish_reason != "length":
            check(calls_of(choice))


def test_none_is_no_call(server):
    for seed in range(3):
        choice = chat(server, tool_choice="none", temperature=2, seed=seed + 1, max_tokens=50).choices[0]
        assert not choice.message.tool_calls and "tool_call>" not in (choice.message.content or "")


def test_strict_tools_leave_the_choice_to_the_model(server):
    tools = [{"type": "function", "function": {**tool["function"], "strict": True}} for tool in CHAT_TOOLS]
    for seed in range(3):
        choice = chat(server, tools=tools, temperature=2, seed=seed + 1, max_tokens=60).choices[0]
        if choice.finish_reason == "tool_calls":
            check(calls_of(choice))


def test_an_answer_in_a_form_may_be_a_call_instead(server):
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer", "minimum": 1, "maximum": 99}}}
    for seed in range(4):
        choice = chat(server, response_format=form, temperature=2, seed=seed + 1).choices[0]
        if choice.finish_reason == "tool_calls":
            check(calls_of(choice))
        elif choice.finish_reason == "stop":
            assert 1 <= json.loads(choice.message.content) <= 99


def test_a_form_without_calls_leaves_no_room_for_both(server):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(server, tool_choice="required", extra_body={"guided_regex": "a+", **NO_THOUGHT})
    assert raised.value.param == "tool_choice"


def test_a_real_model_calls_as_it_must(lazyfill, smollm2):
    with Serving(lazyfill, smollm2).wait_until_ready() as server:
        for choice, names in (("required", SCHEMAS), (NAMED, ["set_unit"])):
            check(calls_of(chat(server, tool_choice=choice, temperature=0).choices[0]), names)
