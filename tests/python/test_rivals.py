"""The rivals that a user can choose: fastkv, snapkv, gemfilter, and prompts that are shortened before the model."""

import json
import random
import subprocess

import pytest

PROMPT = "The keeper of the harbour counts the boats every evening. " * 30 + "How many boats?"


@pytest.fixture
def record(lazyfill, smollm2):
    def call(*flags, n=6):
        done = subprocess.run([lazyfill, "run", "-m", smollm2, "-p", PROMPT, "-n", str(n), "--temp", "0", "--quiet", "--json", "-",
                               *flags], check=True, capture_output=True, timeout=300)
        return json.loads(done.stdout)

    return call


@pytest.fixture
def dense(record):
    return record("--lazy", "off")


@pytest.mark.parametrize("policy", ["fastkv", "snapkv", "gemfilter"])
def test_keeping_all_is_dense(record, dense, policy):
    kept_all = record("--lazy", "9:1", "--policy", policy)
    assert kept_all["token_ids"] == dense["token_ids"]
    assert kept_all["top_logprobs"] == dense["top_logprobs"]


def test_fastkv_chooses_once(record):
    lazy = record("--lazy", "9:0.3", "--policy", "fastkv")["lazy"]
    assert lazy["revived_rows"] == 0
    assert lazy["computed_fraction"][9] == 1 and lazy["computed_fraction"][10] == pytest.approx(0.3, abs=0.01)


def test_snapkv_answers_first_as_dense_and_then_holds_less(record, dense):
    evicted = record("--lazy", "0:0.2", "--policy", "snapkv")
    assert evicted["top_logprobs"][0] == dense["top_logprobs"][0]
    assert evicted["top_logprobs"][1] != dense["top_logprobs"][1]
    assert evicted["memory"]["kv_bytes"] < 0.3 * dense["memory"]["kv_bytes"]
    assert evicted["lazy"]["computed_fraction"] == [1] * 30 and evicted["lazy"]["revived_rows"] == 0


def test_gemfilter_starts_again_with_what_it_chose(record, dense):
    filtered = record("--lazy", "9:0.25", "--policy", "gemfilter")
    assert filtered["prompt_token_ids"] == dense["prompt_token_ids"]
    (stage,) = filtered["lazy"]["kept"]
    n = filtered["prompt_tokens"]
    assert stage["positions"][-1] == n - 1 and len(stage["positions"]) == -(-n // 4)
    assert filtered["memory"]["kv_bytes"] < 0.3 * dense["memory"]["kv_bytes"]
    fractions = filtered["lazy"]["computed_fraction"]
    assert fractions[:10] == [1] * 10 and fractions[10:] == pytest.approx([len(stage["positions"]) / n] * 20)


def test_prompt_logprobs_are_those_of_the_model(record, dense):
    logprobs = record("--lazy", "off", "--prompt-logprobs", n=1)["prompt_logprobs"]
    assert len(logprobs) == dense["prompt_tokens"] and logprobs[0] == 0
    assert all(value <= 0 for value in logprobs)
    # A sentence for the thirtieth time is no surprise.
    assert sum(logprobs[-60:-10]) / 50 > sum(logprobs[1:11]) / 10 + 1


def test_compression_keeps_the_share_and_the_surprising(record, dense):
    full = record("--lazy", "off", "--prompt-logprobs", n=1)
    half = record("--lazy", "off", "--compress", "0.5", n=1)
    kept = half["compression"]["kept"]
    assert half["compression"]["by"] == "information" and len(kept) == -(-full["prompt_tokens"] // 2)
    assert half["prompt_token_ids"] == [full["prompt_token_ids"][i] for i in kept]
    dropped = set(range(full["prompt_tokens"])) - set(kept)
    assert max(full["prompt_logprobs"][i] for i in kept[1:-1]) <= min(full["prompt_logprobs"][i] for i in dropped) + 1e-6
    assert half["timings"]["ttft_ms"] > half["compression"]["compress_ms"] > 0
    chance = [record("--lazy", "off", "--compress", "0.5", "--compress-by", "random", "--policy-seed", seed, n=1)["compression"]
              for seed in ("1", "1", "2")]
    assert chance[0]["kept"] == chance[1]["kept"] != chance[2]["kept"]


def test_what_comes_back_is_paid_for(record):
    """--revive auto begins like a limit of 8, on a loan, and then follows what the columns left unread save: little at this length."""
    words = random.Random(1).choices(["harbour", "boat", "keeper", "evening", "seven", "wind", "rope", "lamp", "green", "north"], k=700)
    text = "The log of the harbour: " + " ".join(words)
    flags = ("-p", text, "--lazy", "1:0.3,5:0.3", "--policy", "lazy")
    eight, paid, none = (record(*flags, "--revive", limit, n=128) for limit in ("8", "auto", "0"))
    assert paid["token_ids"][:2] == eight["token_ids"][:2]
    assert 0 < paid["lazy"]["revived_rows"] < 0.95 * eight["lazy"]["revived_rows"]
    assert none["lazy"]["revived_rows"] == 0
