"""Codex itself does a task with `lazyfill serve`'s HTTP layer; a script writes what the model would write."""

import json
import os
import subprocess

import pytest

from scripted import Scripted, write_model

codex_cli_bin = pytest.importorskip("codex_cli_bin", reason="the package openai-codex-cli-bin is missing (142 MB; pip install openai-codex-cli-bin)")


@pytest.fixture
def server(build_dir, root, tmp_path):
    with Scripted(build_dir, write_model(tmp_path / "model.gguf", root, "qwen-3"), tmp_path / "server", keep_alive_ms=200) as serving:
        yield serving


def call(name, **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def run_codex(server, folder, task):
    """The events that it prints. It gets a home of its own, an environment without keys or proxies, and one address."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    provider = f'{{name="local", base_url="http://127.0.0.1:{server.port}/v1", wire_api="responses", request_max_retries=0, stream_max_retries=0}}'
    command = [codex_cli_bin.bundled_codex_path(), "exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
               "-C", work, "-c", "model_provider=local", "-c", f"model_providers.local={provider}", "-c", "analytics.enabled=false",
               "-m", "scripted", task]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home)}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env=environment, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, (done.stderr, events)
    return events


def items(events, kind):
    return [event["item"] for event in events if event["type"] == "item.completed" and event["item"]["type"] == kind]


def test_codex_writes_a_file(server, tmp_path):
    server.will_write("<think>\nA file is wanted.\n</think>\n\n", call("exec_command", cmd="printf 'hello\\n' > made.txt"), first_ms=700)
    server.will_write("<think>\n\n</think>\n\n", call("exec_command", cmd="cat made.txt"))
    server.will_write("I wrote ", "made.txt.")
    events = run_codex(server, tmp_path, "Write hello into made.txt.")
    assert (tmp_path / "work" / "made.txt").read_text(encoding="utf-8") == "hello\n"
    assert [item["exit_code"] for item in items(events, "command_execution")] == [0, 0]
    assert items(events, "command_execution")[1]["aggregated_output"] == "hello\n"
    assert [item["text"] for item in items(events, "agent_message")] == ["I wrote made.txt."]
    assert events[-1]["type"] == "turn.completed" and events[-1]["usage"]["output_tokens"] > 0
    first, second, third = server.asked()
    assert "Write hello into made.txt." in first["prompt"] and "exec_command" in first["prompt"]
    assert first["n_prompt_tokens"] < second["n_prompt_tokens"] < third["n_prompt_tokens"]
    # Codex repeats what it said; the template leaves older thoughts out of an answer without calls only.
    assert third["prompt"].startswith(first["prompt"].removesuffix("<think>\n"))


def test_codex_calls_a_function_of_a_namespace(server, tmp_path):
    server.will_write(call("spawn_agent", message="Say hi.", agent_type="default"))
    for _ in range(4):  # the other agent's and its own
        server.will_write("Hi.")
    run_codex(server, tmp_path, "Let another agent say hi.")
    assert any("Say hi." in asked["prompt"] and "Let another agent" not in asked["prompt"] for asked in server.asked())


def test_codex_tells_of_a_context_that_is_full(server, tmp_path):
    server.will_write(refuse="context exceeded")
    with pytest.raises(AssertionError) as raised:
        run_codex(server, tmp_path, "Do something.")
    assert "context" in str(raised.value)
