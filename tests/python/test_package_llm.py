"""The plug-in for the command line `llm`."""

import json
import subprocess
import sys

import pytest

from package import lazyfill as lf

pytest.importorskip("llm")


@pytest.fixture
def llm(smollm2, tmp_path, monkeypatch):
    """The command line, with a home of its own."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("LAZYFILL_MODEL", str(smollm2))

    def run(*args, text=""):
        return subprocess.run([sys.executable, "-m", "llm", *args], input=text, capture_output=True, text=True, timeout=300,
                              check=False)

    return run


def test_llm_knows_the_installed_models(llm, smollm2):
    listed = llm("models")
    assert listed.returncode == 0, listed.stderr
    assert f"lazyfill/{smollm2.stem}" in listed.stdout and "aliases: lazyfill" in listed.stdout


@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_an_answer_is_that_of_the_engine(llm, smollm2, stream):
    done = llm("-m", "lazyfill", "-o", "temperature", "0", "-o", "max_tokens", "12", *stream, "-s", "Be brief.", "Say hello.")
    assert done.returncode == 0, done.stderr
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
    assert done.stdout.strip() == lf.Engine.load(smollm2).generate(messages=messages, max_tokens=12, temperature=0).text.strip()


def test_a_conversation_goes_on(llm, smollm2):
    engine = lf.Engine.load(smollm2)
    messages = []
    for turn, more in (("My name is Ada.", []), ("What is my name?", ["-c"])):
        messages.append({"role": "user", "content": turn})
        done = llm("-m", "lazyfill", "-o", "temperature", "0", "-o", "max_tokens", "16", *more, turn)
        assert done.returncode == 0, done.stderr
        answer = engine.generate(messages=messages, max_tokens=16, temperature=0)
        assert done.stdout.strip() == answer.text.strip()
        messages.append({"role": "assistant", "content": answer.text})
    logged = json.loads(llm("logs", "-n", "1", "--json").stdout)[0]
    assert logged["input_tokens"] == len(answer.prompt_token_ids) and logged["output_tokens"] == len(answer.token_ids)


def test_an_error_is_the_engines_sentence(llm):
    done = llm("-m", "lazyfill", "-o", "lazy", "99:0.5", "Say hello.")
    assert done.returncode == 1
    assert "99" in done.stderr and "Traceback" not in done.stderr
