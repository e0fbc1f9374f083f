#!/usr/bin/env python3
"""How exactly the engine keeps the tokens that a float32 computation keeps, over texts of 1,600 tokens.

    .venv/bin/python scripts/compare_kept_sets.py --model SmolLM2.gguf --data FOLDER [--isa avx2] [--column-type f16]

FOLDER holds essays/*.txt and longbench/*.jsonl: all essays, and the first prompt of each LongBench task with its middle left
out. Prints for each stage of the default schedule the mean and the smallest Jaccard of the kept sets and how many lie below
.97, and the KL of the first token. The truth is the tests' numpy model, about a second a text. Build first.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))

from reference.lazy import LazyLLM, Options  # noqa: E402
from reference.model import Model, kl_divergence  # noqa: E402
from reference.probe import Probe  # noqa: E402
from reference_tokenizers import Metadata, byte_level_bpe  # noqa: E402

N_TOKENS = 1600


def read_texts(data, encode):
    for path in sorted((data / "essays").glob("*.txt")):
        yield path.stem, encode(path.read_text(encoding="utf-8"))[:N_TOKENS]
    for path in sorted((data / "longbench").glob("*.jsonl")):
        with open(path, encoding="utf-8") as file:
            ids = encode(json.loads(file.readline())["prompt"])
        yield path.stem, ids if len(ids) <= N_TOKENS else ids[:N_TOKENS // 2] + ids[-(N_TOKENS // 2):]


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--isa", action="append", help="avx2, avx512 or amx; may be given several times (the first two)")
    parser.add_argument("--column-type", default="f16", choices=["f32", "f16", "q8"])
    parser.add_argument("--build-dir", type=pathlib.Path, default=ROOT / "build" / "release")
    args = parser.parse_args()

    options = Options("9:0.5,15:0.5,22:0.5")
    reference = Model(args.model)
    texts = list(read_texts(args.data, byte_level_bpe(Metadata(args.model))))
    if not texts:
        sys.exit(f"{args.data} holds neither essays/*.txt nor longbench/*.jsonl")
    truths = {name: LazyLLM(reference, options).step(ids) for name, ids in texts}
    with tempfile.TemporaryDirectory() as folder:
        probe = Probe(args.build_dir / "bin" / "lazyfill_probe", pathlib.Path(folder))
        for isa in args.isa or ["avx2", "avx512"]:
            overlap, kls = {}, []
            for name, ids in texts:
                step = probe.run(args.model, [{"tokens": ids}], lazy=options, isa=isa, context_tokens=8192,
                                 column_type=args.column_type).steps[0]
                for mine, its in zip(truths[name].stages, step["stages"]):
                    overlap.setdefault(mine.layer, []).append((jaccard(mine.kept, its["kept"]), name))
                kls.append(float(kl_divergence(truths[name].logits, step["logits"][0])))
            for layer, found in overlap.items():
                values = [value for value, _ in found]
                smallest, name = min(found)
                print(f"{isa}, layer {layer}: mean {np.mean(values):.4f}, smallest {smallest:.4f} ({name}), "
                      f"{sum(value < 0.97 for value in values)} of {len(values)} below .97")
            print(f"{isa}, first token: mean KL {np.mean(kls):.5f}, largest {max(kls):.5f}", flush=True)


if __name__ == "__main__":
    main()
