"""The server's prompt cache: who joins whom, what is left of a request that was stopped, and what leaves first."""

import concurrent.futures
import http.client
import json
import time

import pytest

from serving import Serving

SYSTEM = "You help with a project. " + " ".join(f"Rule {i}: never forget number {i * 37 % 101}." for i in range(30))
LONG = "Tell me more of it. " * 120


@pytest.fixture(scope="module")
def server(lazyfill, smollm2):
    with Serving(lazyfill, smollm2, "--lazy", "off").wait_until_ready() as serving:
        yield serving


def ask(server, question, system=SYSTEM, **options):
    status, answer = server.post("/v1/chat/completions", {"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
                                                          "max_tokens": 4, "temperature": 0, **options})
    assert status == 200, answer
    return answer


def cached(answer):
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize("lazy", ["off", "9:0.5,15:0.5"])
def test_the_same_request_several_times_at_once_is_computed_once(server, lazy):
    """As clients send it that have run out of patience."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: ask(server, LONG + lazy, system=lazy, lazy=lazy), range(3)))
    first, *others = sorted(answers, key=cached)
    n = first["usage"]["prompt_tokens"]
    assert cached(first) < 20
    assert all(cached(other) >= n - 40 for other in others)
    assert len({answer["choices"][0]["message"]["content"] for answer in answers}) == 1


def test_what_a_client_gave_up_on_is_gone_on_with(server):
    body = {"messages": [{"role": "user", "content": LONG + "x" + LONG}], "max_tokens": 4, "temperature": 0, "stream": True, "return_progress": True}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    while True:
        line = response.readline()
        assert line, "the prompt was computed before it could be stopped"
        if line.startswith(b"data: {") and json.loads(line[6:]).get("prompt_progress", {}).get("layer", 0) >= 8:
            break
    response.close()
    connection.close()
    end = time.monotonic() + 60
    while any(slot["is_processing"] for slot in server.get("/slots")[1]):
        assert time.monotonic() < end
        time.sleep(0.05)
    status, answer = server.post("/v1/chat/completions", {**body, "stream": False})
    assert status == 200 and cached(answer) == answer["usage"]["prompt_tokens"] - 1
    fresh = server.post("/v1/chat/completions", {**body, "stream": False, "cache_prompt": False})[1]
    assert answer["choices"][0]["message"]["content"] == fresh["choices"][0]["message"]["content"]


def test_side_requests_push_the_system_message_out_last(lazyfill, smollm2):
    with Serving(lazyfill, smollm2, "--lazy", "off", "--kv-memory", "96", "--max-tokens", "8").wait_until_ready() as server:
        first = ask(server, "Begin.")
        n_system = first["usage"]["prompt_tokens"] - 12
        for i in range(8):  # titles and the like, more than the memory holds
            ask(server, f"{i} " + LONG, system=f"Find title {i}.")
        assert cached(ask(server, "Something else.")) >= n_system
        # The oldest of them has left, and the newest is there.
        assert cached(ask(server, "7 " + LONG, system="Find title 7.")) > 400
        assert cached(ask(server, "0 " + LONG, system="Find title 0.")) < 40
