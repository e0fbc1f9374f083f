#!/usr/bin/env python3
"""Writes the corpus tests/golden/tokenizer_corpus.json and the ids that reference tokenisers make of it.

    scripts/make_tokenizer_goldens.py FOLDER_WITH_THE_MODELS
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "tests" / "python"))

from reference_tokenizers import TEXTS, Metadata, byte_level_bpe, random_texts, sentencepiece_bpe  # noqa: E402


def write(name, rows):
    lines = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows)
    (GOLDEN / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main():
    models = pathlib.Path(sys.argv[1])
    novel = next((ROOT / "examples").glob("*.txt")).read_text(encoding="utf-8")[2000:8000]
    texts = TEXTS + random_texts(400, seed=1) + [novel]
    write("tokenizer_corpus.json", texts)
    smollm2 = byte_level_bpe(Metadata(models / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    write("tokenizer_ids_smollm2.json", [smollm2(text) for text in texts])
    gemma3 = sentencepiece_bpe(Metadata(models / "gemma-3-270m-q4_k_m.gguf"))
    write("tokenizer_ids_gemma3.json", [gemma3(text) for text in texts])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
