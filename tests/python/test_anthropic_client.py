"""`lazyfill serve` with Anthropic's own client, which checks every field here."""

import pytest

from serving import Serving

anthropic = pytest.importorskip("anthropic", reason="the package anthropic is missing; scripts/venv.sh brings it")

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SHORT = {"model": "any", "messages": QUESTION, "max_tokens": 6, "extra_body": {"temperature": 0}}
TOOLS = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"where": {"type": "string"}}}}]


@pytest.fixture(scope="module")
def server(lazyfill, smollm2, tmp_path_factory):
    with Serving(lazyfill, smollm2, "--alias", "owner/small", "--ctx", "2048", log=tmp_path_factory.mktemp("serve") / "log") as serving:
        yield serving.wait_until_ready()


def client_of(server, **options):
    return anthropic.Anthropic(**{"base_url": f"http://127.0.0.1:{server.port}", "api_key": "none", "max_retries": 0,
                                  "_strict_response_validation": True, **options})


@pytest.fixture(scope="module")
def client(server):
    return client_of(server)


def test_a_message_and_its_stream_are_alike(client):
    whole = client.messages.create(**SHORT)
    assert whole.stop_reason == "max_tokens" and whole.usage.output_tokens == 6
    with client.messages.stream(**SHORT) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == "max_tokens" and final.usage.output_tokens == 6


def test_the_cached_part_is_told_at_the_start_and_is_no_part_of_the_rest(client):
    messages = [{"role": "user", "content": "The committee met again. " * 40}]
    first = client.messages.create(**{**SHORT, "messages": messages})
    total = first.usage.input_tokens + first.usage.cache_read_input_tokens
    events = list(client.messages.create(**{**SHORT, "messages": messages}, stream=True))
    assert events[0].type == "message_start"
    usage = events[0].message.usage
    assert usage.cache_read_input_tokens > 0 and usage.input_tokens + usage.cache_read_input_tokens == total


def test_a_stop_sequence_is_named(client):
    answer = client.messages.create(**{**SHORT, "max_tokens": 60}, stop_sequences=["Paris"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "Paris")


@pytest.mark.parametrize("more", [{}, {"system": "Be terse."}, {"tools": TOOLS}, {"system": [{"type": "text", "text": "Be terse."}], "tools": TOOLS},
                                  {"tools": TOOLS, "tool_choice": {"type": "none"}}])
def test_tokens_are_counted_as_the_request_has_them(client, more):
    usage = client.messages.create(**{**SHORT, "max_tokens": 1}, **more).usage
    assert client.messages.count_tokens(model="any", messages=QUESTION, **more).input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_models_are_listed_in_anthropics_form_too(client):
    models = list(client.models.list())
    assert [(model.id, model.type) for model in models] == [("owner/small", "model")]
    assert client.models.retrieve("owner/small") == models[0]
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.models.retrieve("another")
    assert raised.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("change, word", [({"messages": []}, "messages"), ({"max_tokens": 0}, "max_tokens"), ({"extra_body": {"temperature": 500}}, "temperature"),
                                          ({"messages": [{"role": "user", "content": "a b " * 4000}]}, "prompt is too long: ")])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_come_before_the_stream_in_anthropics_form(client, change, word, stream):
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(**{**SHORT, **change}, stream=stream)
    assert raised.value.body["type"] == "error" and raised.value.body["error"]["type"] == "invalid_request_error"
    assert word in raised.value.body["error"]["message"]


def test_a_full_context_is_told_in_the_words_that_clients_look_for(client):
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 2048 maximum"):
        client.messages.create(**{**SHORT, "messages": [{"role": "user", "content": "a b " * 4000}]})


def test_every_path_answers_this_client_in_its_form(client):
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.batches.list()
    assert raised.value.body["error"]["type"] == "not_found_error"


def test_a_wrong_key_is_an_authentication_error(lazyfill, smollm2):
    with Serving(lazyfill, smollm2, "--api-key", "secret") as serving:
        serving.wait_until_ready()
        with pytest.raises(anthropic.AuthenticationError) as raised:
            client_of(serving, api_key="wrong").models.list()
        assert raised.value.body["error"]["type"] == "authentication_error"
        assert client_of(serving, api_key="secret").messages.create(**SHORT).content


def test_fields_of_newer_clients_are_tolerated(client):
    answer = client.beta.messages.create(model="any", messages=QUESTION, max_tokens=6, thinking={"type": "adaptive"}, output_config={"effort": "low"}, betas=["anything-2026-01-01"],
                                         metadata={"user_id": "u"}, service_tier="auto", extra_body={"a_field_of_next_year": {"x": 1}},
                                         system=[{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}])
    assert answer.content[0].text
