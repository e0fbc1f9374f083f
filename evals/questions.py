"""Questions of known difficulty, as lines that evals.longbench reads.

    python3 -m evals.questions nq nq-open-gold.jsonl --documents 10 --gold 5 --limit 20 > folder/nq.jsonl
    python3 -m evals.questions kv kv-75.jsonl --pairs 40 --limit 20 > folder/kv.jsonl
    python3 -m evals.questions needle ESSAYS --characters 8000 --depths 0,0.25,0.5,0.75,1 > folder/needle.jsonl

    python3 -m evals.questions turns nq-open-gold.jsonl --documents 12 --limit 20 > folder/turns.jsonl

nq: one passage among `documents` holds the answer, as number `gold` (multi-document QA; Liu et al., arXiv 2307.03172); the others
are the passages of other questions. kv: the value of one of `pairs` keys. needle: a sentence of its own at a depth of a long
text. turns: several questions about one set of documents, for evals.turns. An answer counts when it contains a right one.
"""

import argparse
import json
import pathlib
import random
import sys

WORDS = ("walnut", "copper", "lantern", "violet", "saddle", "marble", "thistle", "anchor", "velvet", "cinder")
NEEDLE = "The password of the harbour office is {}."
# As unlike each other as can be: who looks for one has no reason to keep the others.
FACTS = (("what is the password of the harbour office", "The password of the harbour office is"),
         ("which animal does Aunt Matilda keep in her kitchen", "The animal that Aunt Matilda keeps in her kitchen is a"),
         ("in which city was the first bell tower built", "The city where the first bell tower was built is"))
ANSWERS = (WORDS, ("goat", "parrot", "tortoise", "rabbit", "hedgehog", "ferret"), ("Lisbon", "Prague", "Dublin", "Oslo", "Vienna", "Naples"))


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shown(documents):
    return "\n\n".join(f"Document {i} ({d['title']}): {d['text']}" for i, d in enumerate(documents, 1))


def nq(cases, n_documents, gold, limit, seed=0):
    """gold: 0 for the first document to n_documents - 1 for the last."""
    rng = random.Random(seed)
    for case in cases[:limit]:
        others = [c for c in rng.sample(cases, n_documents + 5) if c["title"] != case["title"]][:n_documents - 1]
        documents = others[:gold] + [case] + others[gold:]
        yield {"prompt": f"One of these documents answers the question at the end. Give the answer in a few words.\n\n{shown(documents)}\n\n"
                         f"Question: {case['question']}?\nAnswer:",
               "answers": case["answers"], "at": {"documents": n_documents, "gold": gold + 1}}


def nq_turns(cases, n_documents, limit, n_questions=3, seed=0):
    """Sets of documents that answer n_questions questions each, the answering ones evenly spread. Each set is asked once in
    every rotation of its questions: over a set's lines, every question is asked at every turn."""
    rng = random.Random(seed)
    for number in range(min(limit, len(cases) // n_questions)):
        asked = cases[number * n_questions:(number + 1) * n_questions]
        titles = {case["title"] for case in asked}
        others = [c for c in rng.sample(cases, min(len(cases), n_documents + 9)) if c["title"] not in titles]
        documents = others[:n_documents - n_questions]
        for i, case in enumerate(rng.sample(asked, n_questions)):
            documents.insert(round((i + 0.5) * n_documents / n_questions), case)
        for rotation in range(n_questions):
            order = asked[rotation:] + asked[:rotation]
            yield {"id": f"nq/{number}/{rotation}", "set": number, "document": f"Documents:\n\n{shown(documents)}",
                   "questions": [{"question": case["question"], "answers": case["answers"]} for case in order]}


def kv(cases, n_pairs, limit, seed=0):
    rng = random.Random(seed)
    for case in cases[:limit]:
        others = [pair for pair in case["ordered_kv_records"] if pair[0] != case["key"]][:n_pairs - 1]
        at = rng.randrange(len(others) + 1)
        pairs = dict(others[:at] + [[case["key"], case["value"]]] + others[at:])
        yield {"prompt": f"Look up the value of a key in this JSON object.\n\n{json.dumps(pairs, indent=0)}\n\n"
                         f"Key: \"{case['key']}\"\nValue: \"",
               "answers": [case["value"]], "at": {"pairs": n_pairs}}


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
                   "answers": [word], "at": {"characters": n_characters, "depth": depth}}


def needle_turns(text, n_characters, limit, seed=0):
    """Pieces of a long text with a sentence hidden in each third, asked for in every rotation, as nq_turns asks."""
    rng = random.Random(seed)
    for number in range(limit):
        begin = rng.randrange(max(1, len(text) - n_characters))
        hay = text[begin:begin + n_characters]
        facts = [(*fact, rng.choice(answers)) for fact, answers in zip(FACTS, ANSWERS)]
        for third, (_, lead, word) in reversed(list(enumerate(rng.sample(facts, len(facts))))):
            at = hay.rfind(". ", 0, round((third + rng.uniform(0.2, 0.8)) * n_characters / len(facts))) + 2
            hay = f"{hay[:at]}{lead} {word}. {hay[at:]}"
        asked = [{"question": question, "answers": [word], "lead": f" {lead}"} for question, lead, word in facts]
        for rotation in range(len(asked)):
            yield {"id": f"needle/{number}/{rotation}", "set": number, "document": hay, "questions": asked[rotation:] + asked[:rotation]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["nq", "kv", "needle", "turns"])
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
    elif args.kind == "turns":
        if args.documents < 3:
            raise SystemExit("three questions need --documents 3 at least")
        lines = nq_turns(read_lines(args.source), args.documents, args.limit)
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
