"""Calls, thoughts, failures and silences as OpenAI's and Anthropic's clients see them: a script writes what the model would write."""

import http.client
import json
import time

import pytest

from scripted import Scripted, write_model

openai = pytest.importorskip("openai", reason="the package openai is missing; scripts/venv.sh brings it")
anthropic = pytest.importorskip("anthropic", reason="the package anthropic is missing; scripts/venv.sh brings it")
open_responses = pytest.importorskip("openresponses_types", reason="openresponses-types is missing; scripts/venv.sh brings it")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": name, "description": "Tells.", "parameters": SCHEMA}} for name in ("weather", "time")]
FLAT_TOOLS = [{"type": "function", "name": tool["function"]["name"], "parameters": SCHEMA, "strict": False} for tool in CHAT_TOOLS]
MESSAGES_TOOLS = [{"name": tool["function"]["name"], "description": "Tells.", "input_schema": SCHEMA} for tool in CHAT_TOOLS]
QUESTION = [{"role": "user", "content": "And in Rome?"}]

# Two calls as each family's models write them, cut in unlucky places.
TWO_CALLS = {
    "qwen-2.5": ["<tool_call>", "\n{\"name\": \"wea", "ther\", \"arguments\": {\"ci", "ty\": \"Rome\"}}\n</tool_", "call>\n<tool_call>\n",
                 "{\"name\": \"time\", \"arguments\": {\"city\": \"R\\u00f6m\"}}\n</tool_call>"],
    "qwen-3": ["<think>\n\n</think>\n\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>\n",
               "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"city\": ", "\"Röm\"}}\n</tool_call>"],
    "hermes-3": ["<tool_call>\n{\"arguments\": {\"city\": \"Rome\"}, \"name\": \"weather\"}\n</tool_call>\n<tool_call>\n",
                 "{\"arguments\": {\"city\": \"Röm\"}, \"name\": \"time\"}\n</tool_call>"],
    "llama-3.1": ["{\"name\": \"weather\", \"para", "meters\": {\"city\": \"Rome\"}}; {\"name\": \"time\", \"parameters\": {\"city\": \"Röm\"}}"],
    "mistral-v3": ["[TOOL_CALLS]", " [{\"name\": \"weather\", \"arguments\": {\"city\": \"Ro", "me\"}}, ",
                   "{\"name\": \"time\", \"arguments\": {\"city\": \"Röm\"}}]"],
}
CALLED = [("weather", {"city": "Rome"}), ("time", {"city": "Röm"})]


@pytest.fixture(scope="module")
def servers(build_dir, root, tmp_path_factory):
    """Family -> a running server, each started when it is first asked for."""
    folder = tmp_path_factory.mktemp("scripted")
    running = {}

    def start(family):
        if family not in running:
            model = write_model(folder / f"{family}.gguf", root, family)
            running[family] = Scripted(build_dir, model, folder / family, keep_alive_ms=100)
        running[family].asked()
        return running[family]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture
def qwen(servers):
    return servers("qwen-3")


def chat(server, **options):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
    return client.chat.completions.create(**{"model": "any", "messages": QUESTION, **options})


def responses(server, **options):
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
    return client.responses.create(**{"model": "any", "input": "And in Rome?", **options})


def messages_client(server):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{server.port}", api_key="none", max_retries=0, _strict_response_validation=True)


def messages(server, **options):
    return messages_client(server).messages.create(**{"model": "any", "messages": QUESTION, "max_tokens": 500, **options})


# --- calls ---

@pytest.mark.parametrize("family", TWO_CALLS)
def test_two_calls_come_to_every_api(servers, family):
    server = servers(family)
    for _ in range(3):
        server.will_write(*TWO_CALLS[family])
    choice = chat(server, tools=CHAT_TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls] == CALLED
    items = responses(server, tools=FLAT_TOOLS).output
    assert [(item.name, json.loads(item.arguments)) for item in items if item.type == "function_call"] == CALLED
    answer = messages(server, tools=MESSAGES_TOOLS)
    assert answer.stop_reason == "tool_use"
    assert [(block.name, block.input) for block in answer.content if block.type == "tool_use"] == CALLED


@pytest.mark.parametrize("family", TWO_CALLS)
def test_a_stream_of_calls_begins_each_with_id_and_name(servers, family):
    server = servers(family)
    server.will_write(*TWO_CALLS[family])
    chunks = list(chat(server, tools=CHAT_TOOLS, stream=True))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    for index, (name, arguments) in enumerate(CALLED):
        first, *rest = [delta for delta in deltas if delta.index == index]
        assert first.id and first.type == "function" and (first.function.name, first.function.arguments) == (name, "")
        assert all(delta.function.name is None and delta.id is None for delta in rest)
        assert json.loads("".join(delta.function.arguments for delta in rest)) == arguments
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["tool_calls"]


@pytest.mark.parametrize("family", TWO_CALLS)
def test_a_stream_of_messages_has_one_open_block(servers, family):
    server = servers(family)
    server.will_write(*TWO_CALLS[family])
    events = server.stream("/v1/messages", {"messages": QUESTION, "max_tokens": 500, "tools": MESSAGES_TOOLS})
    assert all(name == data["type"] for name, data in events)
    open_index, blocks = None, []
    for name, data in events:
        if name == "content_block_start":
            assert open_index is None and data["index"] == len(blocks)
            open_index = data["index"]
            blocks.append([data["content_block"], ""])
        elif name == "content_block_delta":
            assert data["index"] == open_index
            blocks[-1][1] += data["delta"].get("partial_json") or ""
        elif name == "content_block_stop":
            assert data["index"] == open_index
            open_index = None
    calls = [(block["name"], json.loads(text)) for block, text in blocks if block["type"] == "tool_use"]
    assert open_index is None and calls == CALLED
    server.will_write(*TWO_CALLS[family])
    with messages_client(server).messages.stream(model="any", messages=QUESTION, max_tokens=500, tools=MESSAGES_TOOLS) as stream:
        final = stream.get_final_message()
    assert [(block.name, block.input) for block in final.content if block.type == "tool_use"] == CALLED


@pytest.mark.parametrize("family", TWO_CALLS)
def test_a_stream_of_responses_with_calls_has_typed_events(servers, family):
    server = servers(family)
    server.will_write(*TWO_CALLS[family])
    events = list(responses(server, tools=FLAT_TOOLS, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    added = [event for event in events if event.type == "response.output_item.added" and event.item.type == "function_call"]
    assert [event.item.name for event in added] == [name for name, _ in CALLED]
    for event, (_, arguments) in zip(added, CALLED):
        deltas = [one.delta for one in events if one.type == "response.function_call_arguments.delta" and one.output_index == event.output_index]
        assert json.loads("".join(deltas)) == arguments
    assert events[-1].type == "response.completed"
    open_responses.ResponseResource.model_validate(json.loads(events[-1].response.model_dump_json()))


@pytest.mark.parametrize("family", TWO_CALLS)
def test_results_reach_the_model_and_what_it_said_keeps_its_tokens(servers, family):
    """The script spells "th" with two tokens, where the tokeniser would take one: in the next prompt there are still two."""
    server = servers(family)
    server.will_write(*TWO_CALLS[family])
    first = chat(server, tools=CHAT_TOOLS)
    history = [*QUESTION, first.choices[0].message.model_dump(exclude_none=True)]
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"answer to {call.function.name}"}
               for call in first.choices[0].message.tool_calls]
    server.asked()
    server.will_write("Sunny.")
    answer = chat(server, messages=[*history, *results], tools=CHAT_TOOLS)
    assert answer.choices[0].message.content == "Sunny."
    prompt = server.asked()[0]["prompt"]
    assert prompt.index("And in Rome?") < prompt.index("answer to weather") < prompt.index("answer to time")


def test_the_tokens_that_were_written_come_back(servers):
    server = servers("qwen-2.5")
    server.will_write("t", "h", "t", "h")
    assert chat(server).choices[0].message.content == "thth"
    history = [*QUESTION, {"role": "assistant", "content": "thth"}, {"role": "user", "content": "More."}]
    other = [*QUESTION, {"role": "assistant", "content": "th th"}, {"role": "user", "content": "More."}]
    counts = []
    for one in (history, other):
        server.asked()
        server.will_write("x")
        chat(server, messages=one)
        counts.append(server.asked()[0]["n_prompt_tokens"])
    assert counts == [counts[0], counts[0] - 1]  # t h t h, and th, a blank, th


@pytest.mark.parametrize("broken", ["<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \n</tool_call>", "<tool_call>\nweather(Rome)\n</tool_call>",
                                    "<tool_call>\n{\"nam"])
def test_a_broken_call_is_text(qwen, broken):
    qwen.will_write(*broken)
    choice = chat(qwen, tools=CHAT_TOOLS).choices[0]
    assert (choice.message.tool_calls, choice.message.content, choice.finish_reason) == (None, broken, "stop")


def test_an_answer_that_is_cut_in_a_call_has_ended_by_length(qwen):
    qwen.will_write("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Ro", finish="length")
    assert chat(qwen, tools=CHAT_TOOLS).choices[0].finish_reason == "length"


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {"x": {"type": "nonsense", "pattern": "(?<=a)b"}}}, {"$ref": "#/nowhere"}, {}])
def test_a_schema_that_nobody_knows_does_not_fail_a_tool(qwen, schema):
    qwen.will_write("Fine.")
    tools = [{"type": "function", "function": {"name": "odd", "parameters": schema}}]
    assert chat(qwen, tools=tools).choices[0].message.content == "Fine."


# --- thoughts ---

THOUGHTS = ["<think>\nWhat a ", "question.\n</thi", "nk>\n\nSun", "ny."]


def test_thoughts_are_split_off(qwen):
    for _ in range(3):
        qwen.will_write(*THOUGHTS)
    message = chat(qwen).choices[0].message
    assert (message.content, message.reasoning_content.strip()) == ("Sunny.", "What a question.")
    reasoning, said = responses(qwen).output
    assert (reasoning.type, reasoning.content[0].text.strip(), said.content[0].text) == ("reasoning", "What a question.", "Sunny.")
    thinking, text = messages(qwen).content
    assert (thinking.type, thinking.thinking.strip(), text.text) == ("thinking", "What a question.", "Sunny.")


def test_a_thinking_block_is_signed_before_it_closes(qwen):
    qwen.will_write(*THOUGHTS)
    events = qwen.stream("/v1/messages", {"messages": QUESTION, "max_tokens": 500})
    of_first = [data.get("delta", data)["type"] for _, data in events if data.get("index") == 0]
    assert of_first[0] == "content_block_start" and of_first[-2:] == ["signature_delta", "content_block_stop"]
    qwen.will_write(*THOUGHTS)
    with messages_client(qwen).messages.stream(model="any", messages=QUESTION, max_tokens=500) as stream:
        thinking, text = stream.get_final_message().content
    assert thinking.signature and text.text == "Sunny."


def test_a_stream_of_responses_tells_thoughts_apart(qwen):
    qwen.will_write(*THOUGHTS)
    events = list(responses(qwen, stream=True))
    thoughts = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert thoughts.strip() == "What a question."
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Sunny."


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thoughts_of_the_last_calls_are_taken_in_history(qwen, name):
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}"}}
    history = [*QUESTION, {"role": "assistant", "content": None, name: "I shall look.", "tool_calls": [call]},
               {"role": "tool", "tool_call_id": "c1", "content": "sun"}]
    qwen.will_write("Sunny.")
    chat(qwen, messages=history, tools=CHAT_TOOLS)
    assert "I shall look." in qwen.asked()[0]["prompt"]


def test_thoughts_of_other_apis_are_taken_in_history(qwen):
    qwen.will_write("Sunny.")
    blocks = [{"type": "thinking", "thinking": "I shall look.", "signature": "s"}, {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sun"}]}]}
    messages(qwen, messages=[*QUESTION, {"role": "assistant", "content": blocks}, result], tools=MESSAGES_TOOLS)
    items = [{"role": "user", "content": "And in Rome?"},
             {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "I shall look."}]},
             {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\": \"Rome\"}"},
             {"type": "function_call_output", "call_id": "c1", "output": "sun"}]
    qwen.will_write("Sunny.")
    responses(qwen, input=items, tools=FLAT_TOOLS)
    first, second = (asked["prompt"] for asked in qwen.asked())
    assert "I shall look." in first and "I shall look." in second


# --- failures and silences ---

def test_a_full_queue_is_429_before_the_stream(qwen):
    for ask, error in ((chat, openai.RateLimitError), (responses, openai.RateLimitError), (messages, anthropic.RateLimitError)):
        for stream in (False, True):
            qwen.will_write(refuse="busy")
            with pytest.raises(error):
                ask(qwen, stream=stream)


def test_a_failure_within_a_stream_is_told_in_it(qwen):
    qwen.will_write("So ", "far", fail="out of memory")
    with pytest.raises(openai.APIError) as raised:
        list(chat(qwen, stream=True))
    assert raised.value.code == "out_of_memory"
    qwen.will_write("So ", "far", fail="out of memory")
    *_, last = responses(qwen, stream=True)
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")
    qwen.will_write("So ", "far", fail="out of memory")
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(messages(qwen, stream=True))
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_a_context_that_overflows_within_a_response_has_the_code_that_codex_knows(qwen):
    qwen.will_write("So ", "far", fail="context exceeded")
    name, data = qwen.stream("/v1/responses", {"input": "x"})[-1]
    assert (name, data["response"]["error"]["code"]) == ("response.failed", "context_length_exceeded")


def test_a_silent_prefill_is_kept_alive_by_events(qwen):
    waits = {"start_ms": 400, "first_ms": 400}
    qwen.will_write("Sunny.", **waits)
    names = [name for name, _ in qwen.stream("/v1/messages", {"messages": QUESTION, "max_tokens": 9})]
    assert names[0] == "ping" and names.count("ping") >= 4 and names.index("message_start") > names.index("ping")
    qwen.will_write("Sunny.", **waits)
    events = [data for _, data in qwen.stream("/v1/responses", {"input": "x"}) if data != "[DONE]"]
    assert [event["type"] for event in events].count("response.in_progress") >= 4
    assert all("response" in event and "sequence_number" in event for event in events if event["type"] == "response.in_progress")
    qwen.will_write("Sunny.", **waits)
    chunks = [data for _, data in qwen.stream("/v1/chat/completions", {"messages": QUESTION})]
    assert sum(chunk != "[DONE]" and chunk["choices"][0]["delta"] == {} and not chunk["choices"][0]["finish_reason"] for chunk in chunks) >= 4
    assert chunks[-1] == "[DONE]"
    for ask in (chat, responses, messages):
        qwen.will_write("Sunny.", **waits)
        assert list(ask(qwen, stream=True))


def test_headers_come_before_the_prompt_is_computed(qwen):
    """Which here it never is."""
    qwen.will_write("Sunny.", start_ms=3_600_000)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{qwen.port}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(model="any", messages=QUESTION, stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    stream.close()


def test_the_body_ends_with_done_and_the_connection_serves_the_next(qwen):
    connection = http.client.HTTPConnection("127.0.0.1", qwen.port, timeout=60)
    for _ in range(2):
        qwen.will_write("Sunny.")
        connection.request("POST", "/v1/chat/completions", json.dumps({"messages": QUESTION, "stream": True}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


# --- what reaches the model ---

def test_the_billing_block_of_claude_code_is_left_out(qwen):
    for version in ("1", "2"):
        qwen.will_write("x")
        messages(qwen, system=[{"type": "text", "text": f"x-anthropic-billing-header: cc_version={version}; cch={version};"},
                               {"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}])
    first, second = qwen.asked()
    assert first["prompt"] == second["prompt"] and "billing" not in first["prompt"] and "You are terse." in first["prompt"]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("family", [*TWO_CALLS, "gemma-2"])
def test_a_system_message_stays_where_it_is(servers, family, role):
    server = servers(family)
    server.will_write("x")
    talk = [{"role": "system", "content": "Rule one."}, {"role": "user", "content": "First."}, {"role": "assistant", "content": "Yes."},
            {"role": role, "content": "Rule two."}, {"role": "user", "content": "Second."}]
    chat(server, messages=talk)
    prompt = server.asked()[0]["prompt"]
    places = [prompt.index(message["content"]) for message in talk]
    assert places[1:] == sorted(places[1:]), prompt  # the first is where the template has it; Mistral's moves it


def test_tools_of_other_kinds_are_left_out_and_namespaces_opened(qwen):
    inner = {"type": "function", "name": "deep", "parameters": SCHEMA, "strict": False}
    tools = [*FLAT_TOOLS, {"type": "web_search"}, {"type": "custom", "name": "patch", "format": {"type": "text"}}, {"type": "a_tool_of_next_year"},
             {"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [inner]}]
    qwen.will_write("<tool_call>\n{\"name\": \"deep\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>")
    status, answer = qwen.post("/v1/responses", {"input": "x", "tools": tools})
    assert status == 200
    prompt = qwen.asked()[0]["prompt"]
    assert "\"deep\"" in prompt and "web_search" not in prompt and "next_year" not in prompt
    call = answer["output"][0]
    assert (call["name"], call["namespace"]) == ("deep", "mcp__files")


def test_functions_of_one_name_are_told_apart_by_their_namespaces(qwen):
    tools = [{"type": "namespace", "name": space, "description": "x", "tools": [{"type": "function", "name": "read", "parameters": SCHEMA}]}
             for space in ("files", "mail")]
    past = [{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "c1", "name": "read", "namespace": "mail", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "none"}]
    qwen.will_write("<tool_call>\n{\"name\": \"mail__read\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>")
    events = list(responses(qwen, input=past, tools=tools, stream=True))
    call = events[-1].response.output[0]
    assert (call.name, call.namespace) == ("read", "mail")
    assert qwen.asked()[0]["prompt"].count("mail__read") == 2  # in the list and in the history


@pytest.mark.parametrize("header, priority", [({"x-app": "cli-bg"}, -1), ({"x-app": "cli"}, 0), ({}, 0)])
def test_requests_in_the_background_come_after_others(qwen, header, priority):
    qwen.will_write("x")
    qwen.post("/v1/messages", {"messages": QUESTION, "max_tokens": 5}, headers=header)
    assert qwen.asked()[0]["priority"] == priority


def test_system_and_tools_are_computed_dense(qwen):
    qwen.will_write("x")
    chat(qwen, messages=[{"role": "system", "content": "Rule one."}, *QUESTION], tools=CHAT_TOOLS)
    asked = qwen.asked()[0]
    n_question = len("And in Rome?")  # a token is a byte here
    assert n_question < asked["n_prompt_tokens"] - asked["n_dense_tokens"] < n_question + 40


def test_a_client_that_goes_stops_what_it_asked(qwen):
    qwen.will_write(*["word "] * 1000, piece_ms=10)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{qwen.port}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(model="any", messages=QUESTION, stream=True)
    next(stream)
    stream.close()
    end = time.monotonic() + 60
    while any(slot["is_processing"] for slot in qwen.get("/slots")[1]):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("choice, callable_names", [("auto", None), ("none", []), ("required", ["weather", "time"]), ({"type": "function", "function": {"name": "time"}}, ["time"]), ({
    "type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "time"}}]}}, ["time"])])
def test_a_choice_guides_the_answer_and_leaves_the_prompt_as_it_is(qwen, choice, callable_names):
    """So what the prompt cache holds of the tools serves every choice."""
    qwen.will_write("x")
    chat(qwen, tools=CHAT_TOOLS, tool_choice=choice)
    asked = qwen.asked()[0]
    assert all(f'"name": "{name}"' in asked["prompt"] for name in ("weather", "time"))
    if callable_names is None:
        assert asked["guide"] == ""
    else:
        assert [name for name in ("weather", "time") if f'\\"{name}\\"' in asked["guide"]] == callable_names


@pytest.mark.parametrize("family", TWO_CALLS)
def test_one_call_where_no_more_are_wanted(servers, family):
    server = servers(family)
    for _ in range(3):
        server.will_write(*TWO_CALLS[family], *([] if family == "llama-3.1" else [" and more"]))  # there a call is all of an answer
    choice = chat(server, tools=CHAT_TOOLS, parallel_tool_calls=False).choices[0]
    assert choice.finish_reason == "tool_calls" and [call.function.name for call in choice.message.tool_calls] == ["weather"]
    items = responses(server, tools=FLAT_TOOLS, parallel_tool_calls=False).output
    assert [item.name for item in items if item.type == "function_call"] == ["weather"]
    answer = messages(server, tools=MESSAGES_TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert answer.stop_reason == "tool_use" and [block.name for block in answer.content if block.type == "tool_use"] == ["weather"]


def test_a_call_that_must_be_where_there_is_no_tool_is_refused(qwen):
    for choice in ("required", {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}):
        with pytest.raises(openai.BadRequestError) as raised:
            chat(qwen, tools=CHAT_TOOLS if choice != "required" else [], tool_choice=choice)
        assert raised.value.param == "tool_choice"
    with pytest.raises(anthropic.BadRequestError):
        messages(qwen, tool_choice={"type": "any"})


def test_a_schema_that_cannot_be_kept_to_matters_to_strict_tools_alone(qwen):
    odd = {"type": "object", "properties": {"x": {"$dynamicRef": "#a"}}}
    for strict in (True, False):
        tool = {"type": "function", "function": {"name": "weather", "parameters": odd, "strict": strict}}
        if strict:
            with pytest.raises(openai.BadRequestError, match="strict") as raised:
                chat(qwen, tools=[tool])
            assert raised.value.param == "tools"
        else:
            qwen.will_write("x")
            chat(qwen, tools=[tool], tool_choice="required")


def test_a_choice_of_a_tool_that_is_not_there_is_refused(qwen):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(qwen, tools=CHAT_TOOLS, tool_choice={"type": "function", "function": {"name": "other"}})
    assert raised.value.param == "tool_choice"


# --- what the prompt holds ---

THOUGHTFUL = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two.", "reasoning_content": "Let me count."}, {"role": "user", "content": "And then?"}]


@pytest.mark.parametrize("name", ["preserve_thinking", "chat_template_kwargs"])
def test_thoughts_of_earlier_turns_stay_where_the_client_and_the_template_say_so(build_dir, root, tmp_path, name):
    """Qwen's later templates know the word; others leave it aside."""
    model = write_model(tmp_path / "model.gguf", root, "qwen-3",
                        change=lambda template: template.replace("if loop.index0 > ns.last_query_index", "if preserve_thinking or loop.index0 > ns.last_query_index"))
    server = Scripted(build_dir, model, tmp_path / "scripted")
    try:
        for keeps in (True, False):
            given = {name: keeps} if name == "preserve_thinking" else {name: {"preserve_thinking": keeps}}
            for path in ("/v1/chat/completions", "/v1/messages"):
                messages = THOUGHTFUL
                if path == "/v1/messages":
                    blocks = [{"type": "thinking", "thinking": "Let me count.", "signature": "s"}, {"type": "text", "text": "Two."}]
                    messages = [THOUGHTFUL[0], {"role": "assistant", "content": blocks}, THOUGHTFUL[2]]
                server.will_write("x")
                assert server.post(path, {"messages": messages, "max_tokens": 5, **given})[0] == 200
                assert ("Let me count." in server.asked()[0]["prompt"]) == keeps
    finally:
        server.stop()


def test_a_character_of_several_tokens_is_shown_whole(qwen):
    qwen.will_write("x")
    content = "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600!"
    answer = qwen.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "return_kept": True})[1]
    pieces = answer["lazy"]["pieces"]
    assert len(pieces) == answer["usage"]["prompt_tokens"]
    assert content in "".join(pieces) and "\ufffd" not in "".join(pieces)


def test_an_answer_ends_when_its_time_is_over(qwen):
    qwen.will_write(*["word "] * 100, piece_ms=50)
    answer = qwen.post("/v1/chat/completions", {"messages": QUESTION, "t_max_predict_ms": 300})[1]
    assert answer["choices"][0]["finish_reason"] == "length" and answer["stop_type"] == "limit"
    assert "word" in answer["choices"][0]["message"]["content"] and answer["usage"]["completion_tokens"] < 400
