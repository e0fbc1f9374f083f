"""Bytes that are not valid UTF-8: replaced as Python replaces them, and then the ids of the reference tokenisers."""

import json
import subprocess
import unicodedata

import pytest

from reference_tokenizers import Metadata, broken_texts, byte_level_bpe, sentencepiece_bpe
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
