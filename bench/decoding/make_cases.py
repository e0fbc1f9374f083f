#!/usr/bin/env python3
"""Makes schemas of usual kinds with answers that fit them, for guide_bench and compare.py.

    bench/decoding/make_cases.py > cases.jsonl
"""

import json
import random

WORDS = "river stone market engine letter winter garden signal copper orange window planet bridge copper".split()


def schema_and_value(rng, depth=0):
    """A random schema of a kind that programs ask for, and a value that fits."""
    kind = rng.choice(["string", "string", "integer", "number", "boolean", "enum", "array", "object", "date"] if depth < 3 else
                      ["string", "integer", "boolean", "enum"])
    if kind == "string":
        return {"type": "string"}, " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))
    if kind == "integer":
        return {"type": "integer", "minimum": 0, "maximum": 1000}, rng.randint(0, 1000)
    if kind == "number":
        return {"type": "number"}, round(rng.uniform(-100, 100), 3)
    if kind == "boolean":
        return {"type": "boolean"}, rng.random() < 0.5
    if kind == "enum":
        values = rng.sample(WORDS[:-1], 4)
        return {"type": "string", "enum": values}, rng.choice(values)
    if kind == "date":
        return {"type": "string", "format": "date"}, f"20{rng.randint(10, 29)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    if kind == "array":
        schema, first = schema_and_value(rng, depth + 1)
        return {"type": "array", "items": schema}, [first] * rng.randint(1, 3)
    names = rng.sample(WORDS[:-1], rng.randint(2, 6))
    parts = {name: schema_and_value(rng, depth + 1) for name in names}
    return ({"type": "object", "properties": {name: part[0] for name, part in parts.items()}, "required": names, "additionalProperties": False},
            {name: part[1] for name, part in parts.items()})


def main():
    rng = random.Random(1)
    n = 0
    while n < 60:
        schema, value = schema_and_value(rng)
        if schema["type"] != "object":
            continue
        print(json.dumps({"name": f"object {n}", "schema": schema, "answer": json.dumps(value)}))
        n += 1
    for name, regex, answer in [("date", r"\d{4}-\d{2}-\d{2}", "2024-05-17"), ("words", r"([A-Z][a-z]+ ){3}[a-z]+\.", "The River Stone falls."),
                                ("unicode", r"\p{Lu}\p{L}*(, \p{Lu}\p{L}*)*", "Paris, London, Roma")]:
        print(json.dumps({"name": name, "regex": regex, "answer": answer}))
    grammar = 'root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [0-9]+ | "(" expr ")"\n'
    print(json.dumps({"name": "arithmetic", "grammar": grammar, "answer": "(12+3)*((4-5)*678)"}))


if __name__ == "__main__":
    main()
