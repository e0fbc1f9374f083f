#!/usr/bin/env python3
"""The same cases as guide_bench through llguidance, on the vocabulary of a GGUF file: masks for each token of answers.

    pip install llguidance==1.9.1 gguf numpy
    bench/decoding/make_cases.py > cases.jsonl
    bench/decoding/compare.py MODEL.gguf cases.jsonl
"""

import json
import sys
import time

import gguf
import llguidance
import numpy as np


def byte_alphabet():
    """Characters of GPT-2's alphabet to bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in visible]
    return {chr(b): b for b in visible} | {chr(256 + i): b for i, b in enumerate(others)}


class Vocabulary:
    """What llguidance asks of a tokeniser: token bytes, and texts to ids (here the longest token first, which is enough for masks)."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda key: reader.fields[key].contents()
        texts, types, model = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type"), field("tokenizer.ggml.model")
        alphabet = byte_alphabet()
        self.tokens, self.special_token_ids = [], []
        for i, (text, kind) in enumerate(zip(texts, types)):
            if kind == 6:
                token = bytes([int(text[3:5], 16)])
            elif kind == 1 and model == "gpt2":
                token = bytes(alphabet[c] for c in text)
            else:
                token = text.replace("\u2581", " ").encode()
            if kind == 3:
                self.special_token_ids.append(i)
            self.tokens.append(token)
        self.eos_token_id = field("tokenizer.ggml.eos_token_id")
        self.bos_token_id = None
        self.ids = {}
        for i, token in enumerate(self.tokens):
            if i not in self.special_token_ids:
                self.ids.setdefault(token, i)
        self.longest = max(len(token) for token in self.ids)

    def __call__(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        ids = []
        while data:
            n = next(n for n in range(min(len(data), self.longest), 0, -1) if data[:n] in self.ids)
            ids.append(self.ids[data[:n]])
            data = data[n:]
        return ids


def grammar_of(case):
    if "schema" in case:
        return llguidance.LLMatcher.grammar_from_json_schema(json.dumps(case["schema"]))
    if "regex" in case:
        return llguidance.LLMatcher.grammar_from_regex(case["regex"])
    return llguidance.LLMatcher.grammar_from_lark(llguidance.gbnf_to_lark.any_to_lark(case["grammar"]))


def line(name, values):
    us = 1e6 * np.array(values)
    print(f"  {name:10} {len(us):7}   median {np.median(us):9.1f} us   p99 {np.percentile(us, 99):9.1f} us   most {us.max():9.1f} us")


def main():
    vocabulary = Vocabulary(sys.argv[1])
    start = time.perf_counter()
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary))
    print(f"llguidance {llguidance.get_version()}: {len(vocabulary.tokens)} tokens, {1000 * (time.perf_counter() - start):.1f} ms")
    compiles, firsts, masks, refused = [], [], [], 0
    for case in map(json.loads, open(sys.argv[2])):
        start = time.perf_counter()
        matcher = llguidance.LLMatcher(tokenizer, grammar_of(case))
        compiles.append(time.perf_counter() - start)
        if matcher.is_error():
            refused += 1
            continue
        for i, token in enumerate(vocabulary(case["answer"])):
            start = time.perf_counter()
            matcher.compute_bitmask()
            (masks if i else firsts).append(time.perf_counter() - start)
            if not matcher.consume_token(token):
                refused += 1
                break
    print(f"  {refused} refused")
    line("compile", compiles)
    line("first mask", firsts)
    line("mask", masks)


if __name__ == "__main__":
    main()
