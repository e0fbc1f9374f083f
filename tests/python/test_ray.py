"""The application on Ray Serve and answers of Ray Data, by a real Ray on this machine: two replicas of one thread."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from package import QUESTION, document, record_of_program
from package import lazyfill as lf

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[serve]==2.60.*' httpx")
httpx = pytest.importorskip("httpx", reason="Ray's tests need httpx")
serve = pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

pytestmark = pytest.mark.ray

SALT = "of the test"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def cluster():
    # A machine whose cores all compile takes long to start Ray.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", "180")
    ray.init(num_cpus=4, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def app(cluster, smollm2):
    """A client of two replicas."""
    from lazyfill.ray import build
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(model=str(smollm2), n_replicas=2, threads=1, num_cpus=0.4, salt=SALT, lazy="off", context_tokens=4096))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        yield client
    serve.shutdown()


def ask(client, prompt, **fields):
    response = client.post("/v1/completions", json={"prompt": prompt, "temperature": 0, "max_tokens": 8, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def events(response):
    """What a stream sends; its end is None."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield None if line == "data: [DONE]" else json.loads(line[len("data: "):])


def statuses():
    """Of the replicas by name."""
    handle = serve.get_deployment_handle("Replica", "default")
    found = {}
    for _ in range(40):
        one = handle.status.remote().result(timeout_s=20)
        found[one["replica"]] = one
        if len(found) == 2:
            break
    return found


def wait_for(what, seconds=40):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


def test_answers_are_the_programs(app, lazyfill, smollm2, root, tmp_path):
    text = document(root, 1500) + QUESTION
    for lazy in ("off", "9:0.5,15:0.5"):
        wanted = record_of_program(lazyfill, smollm2, tmp_path, "-n", "16", "--lazy", lazy, "-p", text)["text"]
        whole = ask(app, text, max_tokens=16, lazy=lazy, cache_prompt=False)
        assert whole["choices"][0]["text"] == wanted
        assert whole["usage"]["prompt_tokens"] > 300
        body = {"prompt": text, "temperature": 0, "max_tokens": 16, "lazy": lazy, "cache_prompt": False, "stream": True}
        with app.stream("POST", "/v1/completions", json=body) as response:
            chunks = list(events(response))
        assert chunks[-1] is None
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == wanted
        assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_a_conversation_as_openais_clients_have_it(app, smollm2):
    messages = [{"role": "developer", "content": "You are brief."},
                {"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]}]
    wanted = lf.Engine.load(smollm2, threads=1).generate(
        messages=[{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Say hello."}],
        temperature=0, max_tokens=12, lazy="off")
    body = {"messages": messages, "temperature": 0, "max_tokens": 12}
    whole = app.post("/v1/chat/completions", json=body).json()
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": wanted.text}
    with app.stream("POST", "/v1/chat/completions",
                    json={**body, "stream": True, "stream_options": {"include_usage": True}}) as response:
        chunks = list(events(response))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-2]) == wanted.text
    assert chunks[-2]["usage"]["completion_tokens"] == len(wanted.token_ids) or wanted.finish_reason == "stop"
    assert app.get("/v1/models").json()["data"][0]["id"] == smollm2.stem
    assert app.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(("path", "body", "status", "named"), [
    ("/v1/completions", b"{", 400, "JSON"),
    ("/v1/completions", {"prompt": 5}, 400, "'prompt'"),
    ("/v1/completions", {"prompt": "x", "temperature": "hot"}, 400, "'temperature'"),
    ("/v1/completions", {"prompt": "x", "lazy": "99:0.5"}, 400, "99"),
    ("/v1/completions", {"prompt": "x", "stream": True, "lazy": "99:0.5"}, 400, "99"),
    ("/v1/completions", {"prompt": "word " * 9000}, 400, "context"),
    ("/v1/chat/completions", {"messages": []}, 400, "'messages'"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "tools": [{}]}, 400, "'tools'"),
    ("/v1/elsewhere", {}, 404, "/v1/elsewhere"),
])
def test_what_cannot_be_answered_is_told(app, path, body, status, named):
    response = app.post(path, **({"content": body} if isinstance(body, bytes) else {"json": body}))
    assert response.status_code == status, response.text
    assert named in response.json()["error"]["message"]


def test_a_second_question_finds_its_document(app, root):
    text = document(root, 40000)
    first = {}
    for i in range(4):
        first[i] = ask(app, text[i * 5000:(i + 1) * 5000] + "\n\nWho is named here?", max_tokens=2)
    assert len({one["replica"] for one in first.values()}) == 2  # documents are spread
    for i in (2, 0, 3, 1):
        second = ask(app, text[i * 5000:(i + 1) * 5000] + "\n\nWhere does it take place?", max_tokens=2)
        assert second["replica"] == first[i]["replica"]
        assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0.9 * first[i]["usage"]["prompt_tokens"]


def test_a_client_that_leaves_stops_its_answer(app):
    body = {"prompt": "Once upon a time", "max_tokens": 3000, "temperature": 0.7, "logit_bias": {"0": -100, "2": -100}}
    with app.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        for i, _ in enumerate(events(response)):
            if i > 3:
                break
    wait_for(lambda: all(one["n_decoding"] == 0 for one in statuses().values()))
    with pytest.raises(httpx.ReadTimeout):
        app.post("/v1/completions", json=body, timeout=1)
    wait_for(lambda: all(one["n_decoding"] + one["n_prefilling"] == 0 for one in statuses().values()))


def test_a_killed_replica_takes_no_request_with_it(app, root):
    """Streams with text end with an error; requests without a token are answered by another; the killed one comes back."""
    before = statuses()
    text = document(root, 9000)
    url, body = "/v1/completions", {"temperature": 0, "logit_bias": {"0": -100, "2": -100}, "stream": True}

    def read(prompt, max_tokens, started=None):
        got = []
        with app.stream("POST", url, json={**body, "prompt": prompt, "max_tokens": max_tokens}) as response:
            for event in events(response):
                got.append(event)
                if started is not None and event and "choices" in event and event["choices"][0]["text"]:
                    started.add(prompt)
        return got

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        started = set()
        prompts = [f"Story number {i}: once upon a time" for i in range(4)]
        long = [pool.submit(read, prompt, 1500, started) for prompt in prompts]
        wait_for(lambda: len(started) == 4)
        waiting = [pool.submit(read, f"{i}. {text}", 4) for i in range(2)]  # a prefill of seconds beside them
        time.sleep(0.5)
        busy = max(statuses().values(), key=lambda one: one["n_decoding"])
        os.kill(busy["pid"], signal.SIGKILL)
        ends = [one.result(timeout=150) for one in long]
        answers = [one.result(timeout=150) for one in waiting]
    broken = [end for end in ends if end[-1] is not None]
    assert 1 <= len(broken) < 4, "the stories went to one replica"
    assert all(end[-1]["error"]["code"] == "replica_lost" for end in broken)
    for answer in answers:
        assert answer[-1] is None
        assert answer[-2]["choices"][0]["finish_reason"] == "length"
    wait_for(lambda: len(statuses()) == 2 and set(statuses()) != set(before), seconds=60)


DRIVER = """
import sys, ray
from lazyfill.ray import generate
ray.init(address=sys.argv[1], log_to_driver=False)
rows = ray.data.read_json(sys.argv[2])
options = {"threads": 1, "num_cpus": 0.5, "batch_size": 8, "max_tokens": 4, "temperature": 0}
generate(rows, folder=sys.argv[3], model=sys.argv[4], **options).materialize()
"""


def test_a_killed_run_over_a_data_set_answers_every_prompt_once(cluster, lazyfill, smollm2, tmp_path):
    from lazyfill.ray import generate, results
    rows = [{"id": i, "prompt": f"Number {i} comes before number"} for i in range(96)]
    rows[5]["prompt"] = "word " * 9000
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "answers"
    folder.mkdir()
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, ray.get_runtime_context().gcs_address, tmp_path / "prompts.jsonl",
                               folder, smollm2])
    try:
        wait_for(lambda: any(folder.glob("*.jsonl")) or driver.poll() is not None, seconds=120)
    finally:
        driver.kill()
        driver.wait()
    n_files = -1
    while n_files != (n_files := len(list(folder.glob("*.jsonl")))):  # until Ray has ended the run's process
        time.sleep(5)
    first = {row["id"] for row in results(folder)}
    assert 0 < len(first) < len(rows), "the run was not stopped in its middle"
    options = {"threads": 1, "num_cpus": 0.5, "batch_size": 8, "max_tokens": 4, "temperature": 0, "model": str(smollm2)}
    again = generate(ray.data.read_json(str(tmp_path / "prompts.jsonl")), folder=folder, **options).take_all()
    assert {row["id"] for row in again} == {row["id"] for row in rows} - first
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == list(range(96))
    answers = {row["id"]: row for row in results(folder)}
    assert "context" in answers[5]["error"] and answers[5]["answer"] == ""
    assert not any(row["error"] for row in answers.values() if row["id"] != 5)
    for i in (min(first - {5}), min(set(answers) - first - {5})):
        wanted = record_of_program(lazyfill, smollm2, tmp_path, "-n", "4", "-p", rows[i]["prompt"])["text"]
        assert answers[i]["answer"] == wanted
    with pytest.raises(lf.InvalidArgument, match="other options"):
        generate(ray.data.from_items(rows), folder=folder, **{**options, "max_tokens": 5})


def test_data_without_a_folder_keeps_its_columns(cluster, smollm2):
    from lazyfill.ray import generate
    rows = [{"prompt": "Rome, Paris,", "place": "here"}, {"prompt": "", "place": "there"}]
    answers = generate(ray.data.from_items(rows), model=smollm2, threads=1, num_cpus=0.5, max_tokens=3, temperature=0).take_all()
    assert [row["place"] for row in answers] == ["here", "there"]
    assert answers[0]["answer"] == lf.Engine.load(smollm2).generate(rows[0]["prompt"], max_tokens=3, temperature=0).text
    assert answers[1]["error"] and not answers[0]["error"]
