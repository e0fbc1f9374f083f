"""`lazyfill serve` with litellm, in OpenAI's and Anthropic's forms, and with curl."""

import json
import os
import shutil
import subprocess

import pytest

from scripted import Scripted, write_model

QUESTION = [{"role": "user", "content": "And in Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells.", "parameters": SCHEMA}}]
CALL = ["<think>\nWhere?\n</think>\n\n", "<tool_call>\n{\"name\": \"weather\", \"argu", "ments\": {\"city\": \"Rome\"}}\n</tool_call>"]


@pytest.fixture(scope="module")
def server(build_dir, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    with Scripted(build_dir, write_model(folder / "model.gguf", root, "qwen-3"), folder / "server", keep_alive_ms=100) as serving:
        yield serving


@pytest.fixture(scope="module")
def litellm():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a list of prices
    return pytest.importorskip("litellm", reason="the package litellm is missing (380 MB; pip install litellm)")


def options_of(form, server):
    base = f"http://127.0.0.1:{server.port}" + ("/v1" if form == "openai" else "")
    return {"model": f"{form}/any", "api_base": base, "api_key": "none", "messages": QUESTION, "max_tokens": 500, "num_retries": 0}


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_litellm_reads_an_answer_and_its_stream(litellm, server, form):
    server.will_write("Sun", "ny.", n_cached=7)
    answer = litellm.completion(**options_of(form, server))
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Sunny.", "stop")
    assert answer.usage.prompt_tokens_details.cached_tokens == 7
    assert answer.usage.prompt_tokens == server.asked()[0]["n_prompt_tokens"]
    server.will_write("Sun", "ny.", start_ms=300, first_ms=300)
    chunks = list(litellm.completion(**options_of(form, server), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Sunny."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_litellm_reads_a_call_and_sends_its_result(litellm, server, form):
    server.will_write(*CALL)
    message = litellm.completion(**options_of(form, server), tools=TOOLS).choices[0].message
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [("weather", {"city": "Rome"})]
    server.will_write(*CALL)
    chunks = list(litellm.completion(**options_of(form, server), tools=TOOLS, stream=True))
    whole = litellm.stream_chunk_builder(chunks, messages=QUESTION)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert json.loads(whole.choices[0].message.tool_calls[0].function.arguments) == {"city": "Rome"}
    server.asked()
    server.will_write("Sunny.")
    history = [*QUESTION, message.model_dump(), {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "blue sky"}]
    answer = litellm.completion(**{**options_of(form, server), "messages": history}, tools=TOOLS)
    assert answer.choices[0].message.content == "Sunny." and "blue sky" in server.asked()[0]["prompt"]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_litellm_tells_errors_apart(litellm, server, form):
    server.will_write(refuse="busy")
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(**options_of(form, server))
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**{**options_of(form, server), "messages": [{"role": "user", "content": "word " * 50_000}]})


def curl(server, path, *arguments):
    if shutil.which("curl") is None:
        pytest.skip("curl is missing; apt-get install curl")
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments, f"http://127.0.0.1:{server.port}{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_curl_needs_no_headers(server):
    server.will_write("Sunny.")
    answer = json.loads(curl(server, "/v1/chat/completions", "-d", json.dumps({"messages": QUESTION})))
    assert answer["choices"][0]["message"]["content"] == "Sunny."


def test_curl_sees_a_stream_as_it_comes(server):
    server.will_write("Sun", "ny.")
    lines = curl(server, "/v1/chat/completions", "--no-buffer", "-d", json.dumps({"messages": QUESTION, "stream": True})).splitlines()
    assert [line for line in lines if line][-1] == "data: [DONE]"
    assert all(line == "" or line.startswith("data: ") for line in lines)


def test_curl_may_ask_for_the_head_alone_or_wait_with_a_long_body(server):
    assert curl(server, "/health", "--head").startswith("HTTP/1.1 200")
    server.will_write("Sunny.")
    body = json.dumps({"messages": [{"role": "user", "content": "word " * 20_000}]})
    answer = curl(server, "/v1/chat/completions", "-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked", "-d", body)
    assert json.loads(answer)["choices"][0]["message"]["content"] == "Sunny."
