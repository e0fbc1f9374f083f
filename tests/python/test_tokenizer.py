"""Ids equal to those of the reference tokenisers, over texts of every kind."""

import json
import subprocess

import pytest

from reference_tokenizers import EXPRESSIONS, TEXTS, Metadata, byte_level_bpe, random_texts, sentencepiece_bpe

N_RANDOM = 10000


@pytest.fixture(scope="session")
def tool(build_dir):
    program = build_dir / "bin" / "tokenize_tool"
    if not program.is_file():
        pytest.fail(f"{program} is missing: the build is not complete")
    return program


@pytest.fixture(scope="session")
def smollm2_metadata(smollm2):
    return Metadata(smollm2)


@pytest.fixture(scope="session")
def texts(root):
    sources = [*(root / "src" / "tokenizer").glob("*.cc"), *(root / "scripts").glob("*.py"), *(root / "examples").glob("*.txt")]
    return TEXTS + random_texts(N_RANDOM, seed=7) + [path.read_text(encoding="utf-8") for path in sorted(sources)]


def tokenize(tool, model, texts, *flags):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([tool, model, *flags], input=lines, capture_output=True, text=True, check=True, timeout=300)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == len(texts)
    return records


def assert_equal_ids(records, texts, reference):
    for record, text in zip(records, texts):
        assert record["ids"] == reference(text), repr(text)[:300]


@pytest.mark.parametrize("pre", sorted(EXPRESSIONS))
def test_byte_level_bpe(tool, smollm2, smollm2_metadata, texts, pre):
    reference = byte_level_bpe(smollm2_metadata, pre)
    assert_equal_ids(tokenize(tool, smollm2, texts, "--pre", pre), texts, reference)


def test_sentencepiece(tool, gemma3, texts):
    records = tokenize(tool, gemma3, texts)
    assert_equal_ids(records, texts, sentencepiece_bpe(Metadata(gemma3)))
    for record, text in zip(records, texts):
        assert record["text"] == text.replace("\u2581", " ")  # the one character that this form cannot give back


def test_special_tokens(tool, smollm2, gemma3):
    (plain,), (special,) = (tokenize(tool, smollm2, ["<|im_start|>Hi<|im_end|>"], *flags) for flags in ((), ("--parse-special",)))
    assert special["ids"][0] == 1 and special["ids"][-1] == 2
    assert not {1, 2} & set(plain["ids"])
    assert plain["text"] == special["text"] == "<|im_start|>Hi<|im_end|>"
    (gemma,) = tokenize(tool, gemma3, ["<start_of_turn>user\n"], "--special", "--parse-special")
    assert gemma["ids"][:2] == [2, 105]


def test_unknown_pre_tokenizer_is_refused_by_name(tool, smollm2):
    done = subprocess.run([tool, smollm2, "--pre", "wonder"], input="", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert '"wonder"' in done.stderr and "smollm" in done.stderr
