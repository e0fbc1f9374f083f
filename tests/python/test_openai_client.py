"""`lazyfill serve` with OpenAI's own client, which checks every field here, and with the types of Open Responses."""

import json

import pytest

from serving import Serving

openai = pytest.importorskip("openai", reason="the package openai is missing; scripts/venv.sh brings it")
pydantic = pytest.importorskip("pydantic")
open_responses = pytest.importorskip("openresponses_types", reason="openresponses-types is missing; scripts/venv.sh brings it")

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SHORT = {"model": "any", "messages": QUESTION, "max_tokens": 6, "temperature": 0}
SHORT_RESPONSE = {"model": "any", "input": "What is the capital of France?", "max_output_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def server(lazyfill, smollm2, tmp_path_factory):
    with Serving(lazyfill, smollm2, "--alias", "owner/small", "--ctx", "2048", log=tmp_path_factory.mktemp("serve") / "log") as serving:
        yield serving.wait_until_ready()


def client_of(server, **options):
    return openai.OpenAI(**{"base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": "none", "max_retries": 0,
                            "_strict_response_validation": True, **options})


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


def test_a_chat_and_its_stream_are_alike(client):
    whole = client.chat.completions.create(**SHORT)
    chunks = list(client.chat.completions.create(**SHORT, stream=True, stream_options={"include_usage": True}))
    assert whole.model == "any" and whole.choices[0].finish_reason == "length"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 6
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]].count("length") == 1


def test_the_chat_helper_puts_a_stream_together(client):
    with client.chat.completions.stream(**{**SHORT, "max_tokens": 200}) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in events and events[-1] == "content.done" or "chunk" in events
    assert "Paris" in final.choices[0].message.content


def test_choices_with_logprobs(client):
    answer = client.chat.completions.create(**{**SHORT, "temperature": 1}, n=3, seed=3, logprobs=True, top_logprobs=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        assert len(choice.logprobs.content) == 6
        assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)
        assert b"".join(bytes(token.bytes) for token in choice.logprobs.content).decode() == choice.message.content


def test_logprobs_of_a_stream_are_those_of_the_whole(client):
    options = {**SHORT, "logprobs": True, "top_logprobs": 1}
    whole = client.chat.completions.create(**options)
    chunks = client.chat.completions.create(**options, stream=True)
    streamed = [token.token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert streamed == [token.token for token in whole.choices[0].logprobs.content]


def test_a_stop_text_is_left_out(client):
    answer = client.chat.completions.create(**{**SHORT, "max_tokens": 60}, stop=["Paris"])
    assert answer.choices[0].finish_reason == "stop" and "Paris" not in answer.choices[0].message.content


def test_completions(client):
    answer = client.completions.create(model="any", prompt="Once upon a", max_tokens=4, temperature=0, logprobs=2)
    assert answer.usage.completion_tokens == 4
    assert "".join(answer.choices[0].logprobs.tokens) == answer.choices[0].text


def test_a_stream_of_completions(server):
    """Their type wants a reason in every chunk, where OpenAI's own answers have null: so without the check."""
    client = client_of(server, _strict_response_validation=False)
    options = {"model": "any", "prompt": "Once upon a", "max_tokens": 4, "temperature": 0}
    chunks = list(client.completions.create(**options, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == client.completions.create(**options).choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]


def test_models_are_listed_and_found_by_their_names(client):
    models = client.models.list().data
    assert [model.id for model in models] == ["owner/small"]
    assert client.models.retrieve("owner/small") == models[0]
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("another")
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize("change, error, param, code", [
    ({"temperature": -1}, "BadRequestError", "temperature", None),
    ({"messages": []}, "BadRequestError", "messages", None),
    ({"messages": [{"role": "user", "content": "a b " * 4000}]}, "BadRequestError", None, "context_length_exceeded"),
    ({"response_format": {"type": "nonsense"}}, "BadRequestError", "response_format", None),
])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_come_before_the_stream_with_field_and_code(client, change, error, param, code, stream):
    with pytest.raises(getattr(openai, error)) as raised:
        client.chat.completions.create(**{**SHORT, **change}, stream=stream)
    assert (raised.value.param, raised.value.code) == (param, code)
    assert raised.value.body["message"]


def test_a_full_context_is_told_in_the_words_that_clients_look_for(client):
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2048 tokens"):
        client.chat.completions.create(**{**SHORT, "messages": [{"role": "user", "content": "a b " * 4000}]})


def test_a_wrong_key_is_an_authentication_error(lazyfill, smollm2):
    with Serving(lazyfill, smollm2, "--api-key", "secret") as serving:
        serving.wait_until_ready()
        with pytest.raises(openai.AuthenticationError):
            client_of(serving, api_key="wrong").models.list()
        assert client_of(serving, api_key="secret").models.list().data


# --- Responses ---

def check_response(body):
    """That it is one of Open Responses, which has types for what every server must say."""
    open_responses.ResponseResource.model_validate(body)


def test_a_response(server, client):
    answer = client.responses.create(**SHORT_RESPONSE, instructions="Be terse.", metadata={"a": "b"})
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].content[0].text == answer.output_text
    assert answer.usage.output_tokens == 6
    assert answer.metadata == {"a": "b"} and answer.instructions == "Be terse."
    check_response(server.post("/v1/responses", SHORT_RESPONSE)[1])


def test_a_response_of_a_whole_answer_is_completed(client):
    answer = client.responses.create(**{**SHORT_RESPONSE, "max_output_tokens": 200})
    assert answer.status == "completed" and answer.completed_at >= answer.created_at
    assert "Paris" in answer.output_text


def streaming_types():
    """Name of an event -> its type of Open Responses."""
    types = [value for name, value in vars(open_responses).items() if name.endswith("StreamingEvent") and hasattr(value, "model_fields")]
    return {str(_first(kind.model_fields["type"].annotation)): kind for kind in types}


def _first(enum):
    return next(iter(enum)).value


def test_a_stream_of_responses_has_the_events_of_both_types(server, client):
    events = list(client.responses.create(**SHORT_RESPONSE, stream=True))
    assert [event.type for event in events[:4]] == ["response.created", "response.in_progress", "response.output_item.added",
                                                    "response.content_part.added"]
    assert [event.type for event in events[-4:]] == ["response.output_text.done", "response.content_part.done",
                                                     "response.output_item.done", "response.incomplete"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    types = streaming_types()
    for name, data in server.stream("/v1/responses", SHORT_RESPONSE):
        if data != "[DONE]":
            assert name == data["type"]
            types[name].model_validate(data)


def test_the_responses_helper_puts_a_stream_together(client):
    with client.responses.stream(**{**SHORT_RESPONSE, "max_output_tokens": 200}) as stream:
        for _ in stream:
            pass
        assert "Paris" in stream.get_final_response().output_text


def test_logprobs_of_a_response(client):
    answer = client.responses.create(**SHORT_RESPONSE, top_logprobs=2, include=["message.output_text.logprobs"])
    tokens = answer.output[0].content[0].logprobs
    assert "".join(token.token for token in tokens) == answer.output_text
    assert all(len(token.top_logprobs) == 2 for token in tokens)


def test_input_tokens_are_counted_as_the_request_has_them(client):
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    for more in ({}, {"instructions": "Be terse."}, {"tools": tools}):
        counted = client.responses.input_tokens.count(model="any", input="Hi", **more)
        assert counted.object == "response.input_tokens"
        assert counted.input_tokens == client.responses.create(model="any", input="Hi", max_output_tokens=1, **more).usage.input_tokens


def test_a_conversation_goes_on_with_what_was_answered(client):
    first = client.responses.create(**SHORT_RESPONSE)
    items = [{"role": "user", "content": SHORT_RESPONSE["input"]}, *[item.model_dump() for item in first.output],
             {"role": "user", "content": [{"type": "input_text", "text": "Go on."}]}]
    second = client.responses.create(**{**SHORT_RESPONSE, "input": items})
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.total_tokens - 1


def test_what_would_need_a_memory_is_refused(client):
    for options in ({"previous_response_id": "resp_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(**SHORT_RESPONSE, **options)
        assert raised.value.param == next(iter(options))
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")


@pytest.mark.parametrize("probe", [{"input": []}, {"input": ""}, {}])
def test_probes_with_an_empty_input_are_answered(server, probe):
    status, answer = server.post("/v1/responses", {"model": "any", "max_output_tokens": 1, **probe})
    assert status == 200, json.dumps(answer)
    check_response(answer)
