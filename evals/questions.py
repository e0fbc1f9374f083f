"""Questions of known difficulty, as lines that evals.longbench reads.

    python3 -m evals.questions nq nq-open-gold.jsonl --documents 10 --gold 5 --limit 20 > folder/nq.jsonl
    python3 -m evals.questions kv kv-75.jsonl --pairs 40 --limit 20 > folder/kv.jsonl
    python3 -m evals.questions needle ESSAYS --characters 8000 --depths 0,0.25,0.5,0.75,1 > folder/needle.jsonl

nq: one passage among `documents` holds the answer, as number `gold` (multi-document QA; Liu et al., arXiv 2307.03172); the others
are the passages of other questions. kv: the value of one of `pairs` keys. needle: a sentence of its own at a depth of a long
text. An answer counts when it contains a right one.
"""

import argparse
import json
import pathlib
import random
import sys

NEEDLE = "The password of the harbour office is {}."
WORDS = ("walnut", "copper", "lantern", "violet", "saddle", "marble", "thistle", "anchor", "velvet", "cinder")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def nq(cases, n_documents, gold, limit, seed=0):
    """gold: 0 for the first document to n_documents - 1 for the last."""
    rng = random.Random(seed)
    for case in cases[:limit]:
        others = [c for c in rng.sample(cases, n_documents + 5) if c["title"] != case["title"]][:n_documents - 1]
        documents = others[:gold] + [case] + others[gold:]
        shown = "\n\n".join(f"Document {i} ({d['title']}): {d['text']}" for i, d in enumerate(documents, 1))
        yield {"prompt": f"One of these documents answers the question at the end. Give the answer in a few words.\n\n{shown}\n\n"
                         f"Question: {case['question']}?\nAnswer:",
               "answers": case["answers"]}


def kv(cases, n_pairs, limit, seed=0):
    rng = random.Random(seed)
    for case in cases[:limit]:
        others = [pair for pair in case["ordered_kv_records"] if pair[0] != case["key"]][:n_pairs - 1]
        at = rng.randrange(len(others) + 1)
        pairs = dict(others[:at] + [[case["key"], case["value"]]] + others[at:])
        yield {"prompt": f"Look up the value of a key in this JSON object.\n\n{json.dumps(pairs, indent=0)}\n\n"
                         f"Key: \"{case['key']}\"\nValue: \"",
               "answers": [case["value"]]}


def needle(text, n_characters, depths, limit, seed=0):
    """`limit` needles a depth: 0 before the text, 1 behind it, always between two sentences."""
    rng = random.Random(seed)
    for depth in depths:
        for _ in range(limit):
            begin = rng.randrange(max(1, len(text) - n_characters))
            hay = text[begin:begin + n_characters]
            at = hay.rfind(". ", 0, round(depth * len(hay)) + 1) + 2 if 0 < depth < 1 else round(depth * len(hay))
            word = rng.choice(WORDS)
            yield {"prompt": f"{hay[:at]}{NEEDLE.format(word)} {hay[at:]}\n\nQuestion: What is the password of the harbour office?\n"
                             "Answer: The password of the harbour office is",
                   "answers": [word]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["nq", "kv", "needle"])
    parser.add_argument("source", type=pathlib.Path, help="a JSON lines file; for needle a folder of texts")
    parser.add_argument("--limit", type=int, default=20, help="questions at most; for needle at each depth")
    parser.add_argument("--documents", type=int, default=10)
    parser.add_argument("--gold", type=int, default=5, help="1 for the first document")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--characters", type=int, default=8000)
    parser.add_argument("--depths", default="0,0.25,0.5,0.75,1")
    args = parser.parse_args()
    if not args.source.exists():
        raise SystemExit(f"{args.source} does not exist")
    if args.kind == "nq":
        if not 1 <= args.gold <= args.documents:
            raise SystemExit(f"--gold {args.gold} is not one of the {args.documents} documents")
        lines = nq(read_lines(args.source), args.documents, args.gold - 1, args.limit)
    elif args.kind == "kv":
        lines = kv(read_lines(args.source), args.pairs, args.limit)
    else:
        text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(args.source.glob("*.txt")))
        lines = needle(text, args.characters, [float(d) for d in args.depths.split(",")], args.limit)
    for line in lines:
        json.dump(line, sys.stdout)
        print()


if __name__ == "__main__":
    main()
