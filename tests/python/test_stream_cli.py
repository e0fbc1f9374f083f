"""--stream of the program: texts longer than the context, memory that does not grow, and what it goes together with."""

import json
import os
import subprocess

import pytest

from reference import tiny


def run(lazyfill, model, *args, **kwargs):
    return subprocess.run([lazyfill, "run", "-m", model, "--quiet", "--temp", "0", *args], capture_output=True, text=True, check=False, **kwargs)


TEXT = "The harbour of Selm has two piers. " * 40
NO_END = ["--logit-bias", "0-inf", "--logit-bias", "2-inf"]  # the end tokens of tiny Llama


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    path = tmp_path_factory.mktemp("stream") / "llama.gguf"
    tiny.write_llama(path, "Q8_0")
    return path


def test_prompt_and_answer_may_be_longer_than_the_context(lazyfill, llama, tmp_path):
    long = TEXT * 5  # 7,000 bytes, a token each or a little less; the context is 4,096
    refused = run(lazyfill, llama, "-p", long, "-n", "3")
    assert refused.returncode == 1 and "context" in refused.stderr
    record = tmp_path / "record.json"
    done = run(lazyfill, llama, "-p", long, "-n", "5000", "--lazy", "off", "--stream", "sinks=4,window=100", "--json", record, *NO_END)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(record.read_text())
    assert answer["prompt_tokens"] > 4096 and len(answer["token_ids"]) == 5000


def peak_bytes(command):
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_memory_does_not_grow_over_twenty_thousand_tokens(lazyfill, llama, tmp_path):
    flags = ["--lazy", "off", "-t", "1", "-p", TEXT, "--stream", "sinks=4,window=200", *NO_END]
    record = tmp_path / "record.json"
    run(lazyfill, llama, *flags, "-n", "20000", "--json", record)
    assert len(json.loads(record.read_text())["token_ids"]) == 20000  # it does not end before
    short, long = (peak_bytes([lazyfill, "run", "-m", llama, "--quiet", "--temp", "0", *flags, "-n", str(n)]) for n in (1000, 20000))
    assert long - short < 2**20  # the answer's own text and tokens are half of it


def test_how_likely_a_text_is_to_a_stream(lazyfill, llama, tmp_path):
    record = tmp_path / "record.json"
    done = run(lazyfill, llama, "-p", TEXT * 5, "-n", "0", "--stream", "sinks=4,window=100", "--prompt-logprobs", "--json", record)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(record.read_text())
    assert len(answer["prompt_logprobs"]) == answer["prompt_tokens"] > 4096


def test_streams_side_by_side(lazyfill, llama):
    """--batch gives the answers that the lines have one after another, streams and others together."""
    stream = ["--stream", "sinks=2,window=64"]
    lines = [{"prompt": TEXT, "flags": stream}, {"prompt": TEXT[:90]}, {"prompt": TEXT[:300], "flags": stream}, {"prompt": TEXT * 5, "flags": stream}]
    text = "\n".join(map(json.dumps, lines))
    alone, together = (run(lazyfill, llama, "--jsonl", "-", "--lazy", "off", "-n", "100", *NO_END, *batch, input=text)
                       for batch in ([], ["--batch", "3", "--prefix-cache"]))
    assert alone.returncode == together.returncode == 0
    texts = [[json.loads(line)["text"] for line in done.stdout.splitlines()] for done in (alone, together)]
    assert texts[0] == texts[1] and len(texts[0]) == 4


def test_a_conversation_goes_on_when_its_beginning_is_forgotten(lazyfill, smollm2, tmp_path):
    """Of the same words without a stream, the context is full before the end."""
    document = tmp_path / "document.txt"
    document.write_text(TEXT * 2, encoding="utf-8")  # some 700 tokens
    questions = "".join(f"Tell me more about pier {i}.\n" for i in range(8)) + "/retry\n/stats\n"
    command = [lazyfill, "chat", "-m", smollm2, "-f", document, "--temp", "0", "-n", "24"]
    plain, stream = (subprocess.run([*command, *flags], input=questions, capture_output=True, text=True, check=False)
                     for flags in (["--ctx", "800"], ["--ctx", "800", "--stream", "sinks=4,window=300"]))
    assert plain.returncode == 1 and "the context holds 800" in plain.stderr
    assert stream.returncode == 0
    assert len(stream.stdout.splitlines()) >= 9 and "16 messages" in stream.stderr


@pytest.mark.parametrize("flags, sentence", [
    (["--stream", "sinks=4,window=5000"], "smaller window"),
    (["--stream", "sinks=4,window=100", "--policy", "snapkv", "--lazy", "1:0.5"], "snapkv"),
    (["--stream", "sinks=4,window=100", "--lazy", "1:0.5"], "read in pieces"),
    (["--stream", "sinks=4,window=100", "--fidelity", "3", "--json", "-"], "leave --stream out"),
    (["--stream", "sinks=4,window=100", "--prompt-logprobs", "--json", "-"], "give -n 0"),
    (["--stream", "sinks=4,window=100", "--lazy", "off", "--draft", "lookup"], "leave one of the two out"),
    (["--stream", "4"], "sinks=N,window=N"),
])
def test_what_does_not_go_together_is_refused(lazyfill, llama, flags, sentence):
    refused = run(lazyfill, llama, "-p", TEXT, "-n", "3", *flags)
    assert refused.returncode in (1, 2) and sentence in refused.stderr
