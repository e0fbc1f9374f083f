"""Tokenisers of every family on vocabularies trained here: ids equal to those of the library that trained them."""

import json
import random
import subprocess

import pytest

from reference_tokenizers import TEXTS, random_texts
from tiny_vocabularies import (added_tokens_tokenizer, in_unicode_3, plain_bpe_file, sentencepiece_file, train_sentencepiece, training_texts,
                               wordpiece_file)

N_RANDOM = 10000
# Runs of one kind, as long as a person might paste.
RUNS = [character * 3000 for character in ("a", "7", " ", "\n", "\u4e2d", "\U0001f600", "\u0301", "\u0634", "\ufb01")]


@pytest.fixture(scope="session")
def tool(build_dir):
    program = build_dir / "bin" / "tokenize_tool"
    if not program.is_file():
        pytest.fail(f"{program} is missing: the build is not complete")
    return program


@pytest.fixture(scope="session")
def training(root):
    return training_texts(root)


@pytest.fixture(scope="session")
def texts(root):
    sources = [*(root / "src" / "tokenizer").glob("*.cc"), *(root / "examples").glob("*.txt")]
    return TEXTS + RUNS + random_texts(N_RANDOM, seed=11) + [path.read_text(encoding="utf-8") for path in sorted(sources)]


def tokenize(tool, model, texts, *flags):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([tool, model, *flags], input=lines, capture_output=True, text=True, check=True, timeout=300)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == len(texts)
    return records


def check(tool, path, texts, reference, restores):
    """Ids, and where nothing is lost on the way, the text as it was."""
    for record, text in zip(tokenize(tool, path, texts), texts):
        assert record["ids"] == reference(text), repr(text)[:300]
        assert not restores or record["text"] == text.replace("\u2581", " "), repr(text)[:300]


IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
SENTENCEPIECE = {
    "llama2": {**IDENTITY, "byte_fallback": True},
    "no-prefix": {**IDENTITY, "byte_fallback": True, "add_dummy_prefix": False, "split_digits": True},
    "no-bytes": IDENTITY,
    "user-defined": {**IDENTITY, "byte_fallback": True, "user_defined_symbols": ["<|im_start|>", "<|im_", "start|>", "\u2581\u2581", "==", "\u65e5\u672c"]},
    "nmt_nfkc": {"byte_fallback": True},
    "nmt_nfkc_cf": {"normalization_rule_name": "nmt_nfkc_cf", "user_defined_symbols": ["Hello", "</ul>"]},
}


@pytest.mark.parametrize("name", sorted(SENTENCEPIECE))
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece(tool, training, texts, tmp_path, kind, name):
    options = SENTENCEPIECE[name]
    serialized = train_sentencepiece(training, kind, vocab_size=1500, character_coverage=0.995, **options)
    path = tmp_path / "vocabulary.gguf"
    reference = sentencepiece_file(path, serialized, "llama" if kind == "bpe" else "t5")
    restores = options.get("byte_fallback") and options.get("normalization_rule_name") == "identity"
    check(tool, path, texts, reference, restores)


CHAT = ["<|im_start|>user", "<|im_start|>user\nthe code<|im_sep|>\n<|im_start|>assistant\n", "a<|im_start|>", "<|im_start|>", "<|im_start|><|im_sep|>the",
        "<|im_start|> the", "<|im_start|>  the", " <|im_start|>", "the <|im_sep|> code", "<|im_start|>\n", "the<|im_sep|>the", "  the", "<|im_"]


def test_user_defined_tokens_are_the_added_tokens_of_transformers(tool, training, tmp_path):
    """ChatML fine-tunes of Llama 2 and Mistral: no space before such a token at the beginning, one at the beginning of
    every part between two of them."""
    options = {**IDENTITY, "byte_fallback": True, "user_defined_symbols": ["<|im_start|>", "<|im_sep|>"]}
    serialized = train_sentencepiece(training, "bpe", vocab_size=1500, character_coverage=0.995, **options)
    path = tmp_path / "vocabulary.gguf"
    by_parts = sentencepiece_file(path, serialized, "llama")
    transformers = added_tokens_tokenizer(serialized)
    start = transformers.token_to_id("<|im_start|>")
    for record, text in zip(tokenize(tool, path, CHAT), CHAT):
        assert record["ids"] == transformers.encode(text, add_special_tokens=False).ids == by_parts(text), repr(text)
        assert (record["ids"][0] == start) == text.startswith("<|im_start|>")
        assert record["text"] == text


def test_unigram_adds_up_a_long_text_as_its_reference_does(tool, training, tmp_path):
    """Where ways are nearly as good, rounding decides, and it depends on where the sum of the scores starts anew."""
    rng = random.Random(5)
    words = sorted({word for line in training for word in line.split() if word.isalpha()})
    text = " ".join("".join(rng.choices(words, k=rng.randint(1, 3))) for _ in range(60000))
    serialized = train_sentencepiece(training, "unigram", vocab_size=1500, character_coverage=0.995, byte_fallback=True)
    path = tmp_path / "vocabulary.gguf"
    reference = sentencepiece_file(path, serialized, "t5")
    (record,) = tokenize(tool, path, [text])
    assert record["ids"] == reference(text)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_unused_pieces(tool, training, texts, tmp_path, kind):
    """BPE joins on through pieces that are not to be used and takes apart what ends as one; unigram skips them."""
    serialized = train_sentencepiece(training, kind, vocab_size=1500, byte_fallback=True, **IDENTITY)
    path = tmp_path / "vocabulary.gguf"
    reference = sentencepiece_file(path, serialized, "llama" if kind == "bpe" else "t5", unused=range(300, 600, 2))
    check(tool, path, texts[:3000], reference, restores=False)


@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece(tool, training, texts, tmp_path, lowercase):
    def usable(text):  # U+2581 cannot be told from the mark of a word's beginning that these files use
        return in_unicode_3(text).replace("\u2581", "_")

    path = tmp_path / "vocabulary.gguf"
    reference = wordpiece_file(path, [usable(text) for text in training], lowercase)
    check(tool, path, [usable(text) for text in texts], reference, restores=False)
    (record,) = tokenize(tool, path, ["the"], "--special")
    assert record["ids"][0] == 2 and record["ids"][-1] == 3


def test_plain_bpe(tool, training, texts, tmp_path):
    path = tmp_path / "vocabulary.gguf"
    check(tool, path, texts, plain_bpe_file(path, training), restores=True)
