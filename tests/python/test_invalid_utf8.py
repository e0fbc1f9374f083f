"""Bytes that are not valid UTF-8: replaced as Python replaces them, and then the ids of the reference tokenisers."""

import json
import os
import subprocess
import unicodedata

import pytest

from reference_tokenizers import Metadata, broken_texts, byte_level_bpe, sentencepiece_bpe
from test_cli import assert_fails, run  # noqa: F401: a fixture
from tiny_vocabularies import (in_unicode_3, plain_bpe_file, sentencepiece_file, train_sentencepiece, training_texts,
                               wordpiece_file)

N_RANDOM = 10000


def decoded(data):
    return data.decode("utf-8", "replace")


def is_known(text):
    """No characters that this Python's Unicode does not know: the libraries differ in their versions."""
    return all(unicodedata.category(c) not in ("Cn", "Co") for c in text)


def test_replaces_what_python_replaces(build_dir, smollm2):
    texts = broken_texts(N_RANDOM, seed=21)
    assert sum("\ufffd" in decoded(text) for text in texts) > N_RANDOM / 2
    lines = "".join(json.dumps(text.decode("latin-1")) + "\n" for text in texts)
    done = subprocess.run([build_dir / "bin" / "tokenize_tool", smollm2, "--bytes"], input=lines, capture_output=True, text=True,
                          check=True, timeout=300)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == len(texts)
    for record, text in zip(records, texts):
        assert record["mended"] == decoded(text), text


def trained_sentencepiece(kind, model):
    def write(root, path):
        serialized = train_sentencepiece(training_texts(root), kind, vocab_size=1500, character_coverage=0.995, byte_fallback=True)
        return sentencepiece_file(path, serialized, model)
    return write


def wordpiece(root, path):
    return wordpiece_file(path, [in_unicode_3(text).replace("\u2581", "_") for text in training_texts(root)], lowercase=True)


TRAINED = {
    "sentencepiece": trained_sentencepiece("bpe", "llama"),
    "unigram": trained_sentencepiece("unigram", "t5"),
    "wordpiece": wordpiece,
    "plain-bpe": lambda root, path: plain_bpe_file(path, training_texts(root)),
}


def check(lazyfill, model, tmp_path, reference, usable=is_known):
    """`tokenize` on a file of a thousand broken texts, and on some that end within a character."""
    texts = [text for text in broken_texts(1500, seed=23) if usable(decoded(text)) and b"\0" not in text]
    assert len(texts) > 1000
    path = tmp_path / "broken.txt"
    for data in [b"\n".join(texts), b"cut \xe6\xbc", b"\xf0\x9f\x98", b"\xff"]:
        path.write_bytes(data)
        done = subprocess.run([lazyfill, "tokenize", "-m", model, "-f", path, "--invalid-utf8", "replace", "--no-bos", "--json"],
                              capture_output=True, text=True, check=True, timeout=60)
        assert json.loads(done.stdout)["token_ids"] == reference(decoded(data))


def test_byte_level_bpe(lazyfill, smollm2, tmp_path):
    check(lazyfill, smollm2, tmp_path, byte_level_bpe(Metadata(smollm2)))


def test_gemma3(lazyfill, gemma3, tmp_path):
    check(lazyfill, gemma3, tmp_path, sentencepiece_bpe(Metadata(gemma3)))


@pytest.mark.parametrize("kind", sorted(TRAINED))
def test_trained(lazyfill, root, tmp_path, kind):
    def usable(text):
        return is_known(text) and (kind != "wordpiece" or in_unicode_3(text) == text and "\u2581" not in text)

    model = tmp_path / "vocabulary.gguf"
    check(lazyfill, model, tmp_path, TRAINED[kind](root, model), usable)


def test_is_refused_by_every_command(run, smollm2, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good \xff bad")
    assert_fails(run("run", "-m", smollm2, "-f", path), 1, "UTF-8", "byte 5")
    assert_fails(run("run", "-m", smollm2, stdin=b"\xc3"), 1, "UTF-8", "byte 0")
    for command in ["run", "tokenize"]:
        assert_fails(run(command, "-m", smollm2, "-p", os.fsdecode(b"caf\xe9")), 1, "UTF-8", "byte 3")
    assert_fails(run("tokenize", "-m", smollm2, "-f", path), 1, "UTF-8", "byte 5", "--invalid-utf8 replace")
    assert_fails(run("chat", "-m", smollm2, "--quiet", stdin=b"caf\xe9\n"), 1, "question", "UTF-8", "byte 3")


def test_costs_a_line_of_many_alone(run, smollm2):
    lines = '{"id": 7, "prompt": "é'.encode() + b'caf\xe9"}\n{"prompt": "One"}\n'
    result = run("run", "-m", smollm2, "--quiet", "-n", 1, "--jsonl", "-", stdin=lines)
    bad, good = [json.loads(record) for record in result.stdout.splitlines()]
    assert result.returncode == 1 and b"line 1, column 26 of '-'" in result.stderr
    assert bad["id"] == 7 and bad["error"]["column"] == 26 and "UTF-8" in bad["error"]["message"] and "byte 26" in bad["error"]["message"]
    assert "error" not in good


def test_is_replaced_where_asked_for(run, smollm2, tmp_path):
    """The same answer as to the text that Python makes of the bytes."""
    bad = b"good \xff bad \xe6\xbc!"
    path, mended, messages = tmp_path / "bad.txt", tmp_path / "mended.txt", tmp_path / "messages.json"
    path.write_bytes(bad)
    mended.write_text(bad.decode("utf-8", "replace"), encoding="utf-8")
    messages.write_bytes(b'[{"role": "user", "content": "' + bad + b'"}]')
    line = b'{"prompt": "' + bad + b'"}\n'

    def answer(command, *flags, stdin=""):
        result = run(command, "-m", smollm2, *flags, "--invalid-utf8", "replace", stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def prompts_of(*flags, stdin=""):
        record = json.loads(answer("run", "-n", 1, "--temp", 0, "--quiet", "--json", "-", *flags, stdin=stdin).splitlines()[0])
        return record["prompt_tokens"], record["text"]

    ids = json.loads(answer("tokenize", "--json", "-f", mended))["token_ids"]
    for given, stdin in [(["-f", path], ""), ([], bad), (["-p", os.fsdecode(bad)], "")]:
        assert json.loads(answer("tokenize", "--json", *given, stdin=stdin))["token_ids"] == ids
        assert prompts_of(*given, stdin=stdin) == prompts_of("-f", mended)
    assert prompts_of("--jsonl", "-", stdin=line) == prompts_of("-f", mended)
    assert prompts_of("--chat", "--messages", messages) == prompts_of("--chat", "-f", mended)
    talk = ["-n", 4, "--temp", 0, "--quiet"]
    assert answer("chat", *talk, "-f", path, stdin=bad) == answer("chat", *talk, "-f", mended, stdin=mended.read_bytes())
    assert_fails(run("tokenize", "-m", smollm2, "-f", path, "--invalid-utf8", "guess"), 2, "refuse, replace")
