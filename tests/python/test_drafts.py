"""`--draft`: the same answers in fewer steps, in every command that answers."""

import json
import os
import subprocess

import pytest

DRAFTS = ["recycle", "lookup", "auto"]
CODE = "def area(width, height):\n    return width * height\n\n\ndef volume(width, height, depth):\n    return width * height * depth\n\n\n"
# Of one tile, of several, and of more than a piece of tiles.
PROMPTS = ["The harbour", CODE, CODE * 3, "The lamp on the pier is green. " * 40]
SAME = ["prompt_token_ids", "token_ids", "text", "finish_reason", "top_logprobs", "continuation_logprobs"]


@pytest.fixture
def records(lazyfill, tmp_path):
    """The records of these lines of --jsonl, by flags."""

    def call(model, lines, *flags, isa=""):
        path = tmp_path / "lines.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        env = {**os.environ, **({"LAZYFILL_ISA": isa} if isa else {})}
        done = subprocess.run([lazyfill, "run", "-m", model, "--quiet", "--temp", "0", "--jsonl", path, *map(str, flags)], capture_output=True,
                              text=True, timeout=600, check=False, env=env)
        if "instruction set" in done.stderr:
            pytest.skip(f"this machine lacks {isa}")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


def same(found):
    return [{key: record[key] for key in SAME if key in record} for record in found]


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
@pytest.mark.parametrize("batch", [(), ("--batch", 4)])
def test_answers_are_those_without(records, smollm2, isa, batch):
    lines = [{"prompt": prompt} for prompt in PROMPTS]
    flags = ("--lazy", "off", "-n", 24, *batch)
    plain = records(smollm2, lines, *flags, isa=isa)
    assert all(record["drafts"] is None for record in plain)
    for draft in DRAFTS:
        for n_drafts in (0, 9):
            found = records(smollm2, lines, *flags, "--draft", draft, "--draft-tokens", n_drafts, isa=isa)
            assert same(found) == same(plain)
            for record in found:
                drafts = record["drafts"]
                assert drafts["accepted"] <= drafts["proposed"]
                assert drafts["steps"] + drafts["accepted"] >= len(record["token_ids"]) - 1
            # Side by side they learn from each other in the order of their turns, which the clock decides.
            assert sum(record["drafts"]["accepted"] for record in found) > (0 if batch else 3)


def test_a_seed_writes_the_same_text(records, gemma3):
    lines = [{"prompt": CODE, "flags": ["--temp", "0.9", "--seed", str(seed)]} for seed in range(1, 7)]
    plain = records(gemma3, lines, "--lazy", "off", "-n", 32)
    assert len({record["text"] for record in plain}) > 3
    assert same(records(gemma3, lines, "--lazy", "off", "-n", 32, "--draft", "auto", "--draft-tokens", 6)) == same(plain)


def test_a_forced_text_is_what_drafts_are_held_against(records, smollm2):
    lines = [{"prompt": f"A file:\n\n{CODE}\n\nThe file again:\n\n", "continuation": CODE}]
    [plain] = records(smollm2, lines, "--lazy", "off")
    [found] = records(smollm2, lines, "--lazy", "off", "--draft", "lookup")
    assert same([found]) == same([plain])
    assert found["drafts"]["steps"] * 2 < len(found["token_ids"])


def test_pruned_prompts_take_drafts(records, smollm2):
    lines = [{"prompt": prompt} for prompt in PROMPTS[1:]]
    flags = ("--lazy", "9:0.5,20:0.5", "-n", 32, "--draft", "auto")
    alone = records(smollm2, lines, *flags)
    assert sum(record["drafts"]["accepted"] for record in alone) > 0
    assert same(records(smollm2, lines, *flags, "--batch", 3)) == same(alone)


def test_a_chat_answers_as_without(lazyfill, smollm2):
    def chat(*flags):
        return subprocess.run([lazyfill, "chat", "-m", smollm2, "--quiet", "--temp", "0", "-n", "24", "--lazy", "off", *flags],
                              input="List three colours.\nAnd once more?\n", capture_output=True, text=True, timeout=300, check=True).stdout

    assert chat("--draft", "auto") == chat()


def test_an_unknown_drafter_is_refused(lazyfill, smollm2):
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "-p", "x", "--draft", "guess"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--draft is one of none, recycle, lookup, auto" in done.stderr
