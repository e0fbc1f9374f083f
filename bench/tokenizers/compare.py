#!/usr/bin/env python3
"""Speed of the tokenisers beside Hugging Face's `tokenizers` (Rust) and `sentencepiece` (C++), on one core and one text.

    bench/tokenizers/compare.py --text FILE [--model MODEL.gguf ...] [--repeats 5] [--program build/release/bin/tokenize_tool]

Compares on the models named, by their own vocabularies (BPE, SentencePiece), and on vocabularies trained here for unigram
and WordPiece. Each program encodes the whole text in one call, in turn; the fastest of its repeats counts. Then the same
time for a megabyte of one character, and for half of it: the ratio is near 2 where the time is linear.
Needs tests/python/requirements.txt.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

import tiny_vocabularies as tiny  # noqa: E402
from reference_tokenizers import Metadata, byte_level_tokenizer, sentencepiece_bpe  # noqa: E402

RUNS = [("a", "a"), ("spaces", " "), ("digits", "7"), ("CJK", "\u4e2d"), ("emoji", "\U0001f600")]


def ours(program, model, text, repeats):
    """The seconds of the fastest repeat, and the number of tokens."""
    done = subprocess.run([program, model, "--repeat", str(repeats)], input=json.dumps(text) + "\n", capture_output=True, text=True,
                          check=True)
    record = json.loads(done.stdout)
    return min(record["seconds"]), record["n_tokens"]


def theirs(encode, text):
    begin = time.perf_counter()
    n_tokens = encode(text)
    return time.perf_counter() - begin, n_tokens


def fast(tokenizer):
    """Without offsets, which is the package's fastest way."""
    return lambda text: len(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)


def contestants(models, folder, text):
    for path in models:
        metadata = Metadata(path)
        if metadata.get("model") == "gpt2":
            yield f"BPE ({path.stem})", path, "tokenizers", fast(byte_level_tokenizer(metadata))
        else:
            reference = sentencepiece_bpe(metadata)
            yield f"SentencePiece ({path.stem})", path, "sentencepiece", lambda text, reference=reference: len(reference(text))
    lines = [line for line in text[:2_000_000].splitlines() if line]
    path = folder / "unigram.gguf"
    serialized = tiny.train_sentencepiece([line[:4000] for line in lines], "unigram", vocab_size=8000)
    reference = tiny.sentencepiece_file(path, serialized, "t5")
    yield "unigram, nmt_nfkc (8,000 pieces)", path, "sentencepiece", lambda text: len(reference(text))
    yield "unigram, the same", path, "tokenizers", fast(tiny.unigram_tokenizer(serialized))
    path = folder / "wordpiece.gguf"
    tokenizer = tiny.wordpiece_tokenizer(path, lines, lowercase=True)
    yield "WordPiece (4,000 pieces)", path, "tokenizers", fast(tokenizer)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "tokenize_tool")
    arguments = parser.parse_args()
    text = arguments.text.read_text(encoding="utf-8")
    n_bytes = len(text.encode())
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        rows = list(contestants(arguments.model, pathlib.Path(folder), text))
        print(f"{n_bytes / 1e6:.1f} MB of text, one core, the fastest of {arguments.repeats}\n")
        print("| tokeniser | lazyfill | reference | ratio |\n|---|---:|---:|---:|")
        for name, path, package, encode in rows:
            best = [float("inf"), float("inf")]
            for _ in range(arguments.repeats):
                mine, n_mine = ours(arguments.program, path, text, 1)
                other, n_other = theirs(encode, text)
                best = [min(best[0], mine), min(best[1], other)]
            if abs(n_mine - n_other) > 0.001 * n_other:
                sys.exit(f"{name}: {n_mine} tokens, but the reference has {n_other}")
            print(f"| {name} | {n_bytes / best[0] / 1e6:.1f} MB/s | {n_bytes / best[1] / 1e6:.1f} MB/s ({package}) | {best[1] / best[0]:.1f} |")
        print("\nSeconds for 1 MB of one character (and how many times those for half of it):\n")
        print("| tokeniser | " + " | ".join(name for name, _ in RUNS) + " |\n|---|" + "---:|" * len(RUNS))
        first_names = {path: name for name, path, _, _ in reversed(rows)}  # a file may stand in several rows
        for path, name in reversed(first_names.items()):
            cells = []
            for _, character in RUNS:
                count = 1_000_000 // len(character.encode())
                half, whole = (ours(arguments.program, path, character * n, arguments.repeats)[0] for n in (count // 2, count))
                cells.append(f"{whole:.3f} ({whole / half:.1f})")
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
