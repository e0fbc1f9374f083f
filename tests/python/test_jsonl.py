"""Lines of `run --jsonl`: continuations, documents with questions, and flags of their own."""

import json
import subprocess

import pytest

DOCUMENT = "The harbour of Selm has two piers. The lamp on the old pier is green, the lamp on the new pier is white. " * 12
QUESTIONS = ["Question: What colour is the lamp on the old pier?\nAnswer:", "Question: And on the new pier?\nAnswer:"]
STAGED = "9:0.5,15:0.5,22:0.5"


@pytest.fixture
def ask(lazyfill, smollm2):
    def call(*lines, flags=()):
        done = subprocess.run([lazyfill, "run", "-m", smollm2, "--quiet", "--temp", "0", "-n", "6", "--jsonl", "-", *flags],
                              input="".join(json.dumps(line) + "\n" for line in lines).encode(), capture_output=True, timeout=300, check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    return call


def records(answer):
    code, found, error = answer
    assert code == 0, error
    return found


def test_a_continuation_is_scored_as_it_would_be_generated(ask):
    text = DOCUMENT.strip()
    for flags in (["--lazy", "off"], ["--lazy", STAGED]):
        answer, = records(ask({"prompt": text}, flags=flags))
        scored, = records(ask({"prompt": text, "continuation": answer["text"]}, flags=flags))
        assert scored["prompt_token_ids"] == answer["prompt_token_ids"] and scored["token_ids"] == answer["token_ids"]
        likeliest = [step[0]["logprob"] for step in answer["top_logprobs"]]
        assert scored["continuation_logprobs"] == pytest.approx(likeliest, abs=1e-4)  # two sums over the vocabulary in float


def test_the_next_question_is_what_the_whole_conversation_asks(ask):
    first, second = records(ask({"document": DOCUMENT, "questions": QUESTIONS, "id": 5}, flags=["--lazy", "off", "--stop", "\n"]))
    assert [r["turn"] for r in (first, second)] == [1, 2] and first["id"] == second["id"] == 5
    text = f"{DOCUMENT}\n\n{QUESTIONS[0]}{first['text']}\n\n{QUESTIONS[1]}"
    whole, = records(ask({"prompt": text}, flags=["--lazy", "off", "--stop", "\n"]))
    assert second["prompt_token_ids"] == whole["prompt_token_ids"] and second["text"] == whole["text"]


@pytest.mark.parametrize("chat", [[], ["--chat"]])
def test_turns_are_compared_with_the_dense_model(ask, chat):
    policies = ("lazy", "static", "fastkv", "snapkv", "gemfilter")
    lines = [{"document": DOCUMENT, "questions": QUESTIONS, "flags": ["--policy", policy, "--lazy", f"9:{keep}"]}
             for policy in policies for keep in (1, 0.2)]
    found = iter(records(ask(*lines, flags=[*chat, "--fidelity", "5", "--no-answer"])))
    for policy in policies:
        all_kept, some_kept = ([next(found)["fidelity"] for _ in QUESTIONS] for _ in (1, 0.2))
        for turn in all_kept:
            assert turn["mean_kl"] == turn["first_kl"] == 0 and turn["agreement"] == pytest.approx(1) and 1 <= turn["tokens"] <= 6
        assert (some_kept[0]["first_kl"] == 0) == (policy == "snapkv")  # its first prefill is dense
        assert some_kept[1]["first_kl"] > 0, policy
        assert [turn["dense_text"] for turn in some_kept] == [turn["dense_text"] for turn in all_kept]


def test_lines_have_their_own_flags(ask):
    prompt = DOCUMENT[:600]
    mixed = records(ask({"prompt": prompt}, {"prompt": prompt, "flags": ["--lazy", STAGED, "--policy", "focus", "-n", "3"]},
                        {"prompt": prompt}, flags=["--lazy", "9:0.7"]))
    assert [r["lazy_choice"]["schedule"] for r in mixed] == ["9:0.7", STAGED, "9:0.7"]
    assert mixed[1]["lazy_choice"]["policy"] == "focus" and len(mixed[1]["token_ids"]) == 3
    assert mixed[0]["token_ids"] == mixed[2]["token_ids"] and len(mixed[0]["token_ids"]) == 6


def test_comparing_alone_gives_the_same_as_beside_an_answer(ask):
    prompt = DOCUMENT[:600]
    both = records(ask({"prompt": prompt}, {"prompt": prompt, "flags": ["--no-answer"]}, {"prompt": prompt, "flags": ["--policy", "static"]},
                       flags=["--lazy", STAGED, "--fidelity", "4"]))
    for key in ("first_kl", "mean_kl", "agreement", "dense_text"):
        assert both[0]["fidelity"][key] == both[1]["fidelity"][key]
    assert both[0]["fidelity"]["dense_ttft_ms"] == both[1]["fidelity"]["dense_ttft_ms"]  # the dense run is not repeated
    assert both[1]["text"] == both[1]["fidelity"]["dense_text"] and both[1]["lazy"]["kept"] == both[0]["lazy"]["kept"]
    assert both[2]["fidelity"]["mean_kl"] != both[0]["fidelity"]["mean_kl"]


@pytest.mark.parametrize("line, code, part", [
    ({"prompt": "a", "flags": ["--lazzy", "off"]}, 2, "line 2 of '-': unknown flag '--lazzy'"),
    ({"prompt": "a", "flags": ["--threads", "1"]}, 2, "line 2 of '-': unknown flag '--threads'"),
    ({"prompt": "a", "flags": ["--no-answer"]}, 2, "line 2 of '-': --no-answer needs --fidelity"),
    ({"prompt": "a", "flags": ["--lazy", "99:0.5"]}, 1, "line 2 of '-': layer 99"),
    ({"document": "a"}, 1, "line 2 of '-': needs both"),
    ({"document": "a", "questions": ["b"], "flags": ["--compress", "0.5"]}, 1, "line 2 of '-': a document with questions"),
    ({"document": "word " * 9000, "questions": ["b"]}, 1, "line 2 of '-': the prompt has"),
])
def test_a_wrong_line_is_named(ask, line, code, part):
    exit_code, found, error = ask({"prompt": "One"}, line, {"prompt": "Two"})
    assert exit_code == code and len(found) == 1
    assert part in error.splitlines()[0], error


@pytest.mark.parametrize("policy", ["lazy", "static"])
def test_used_tokens_are_counted_step_by_step(ask, policy):
    record, = records(ask({"prompt": DOCUMENT}, flags=["--lazy", STAGED, "--policy", policy]))
    lazy, n = record["lazy"], record["prompt_tokens"]
    steps = lazy["computed_by_step"]
    assert len(steps) == 6 and steps[0] == [len(stage["positions"]) for stage in lazy["kept"]]
    assert (policy == "static") == (not any(map(any, steps[1:])))
    for stage, layer in enumerate((10, 16, 23)):
        assert sum(step[stage] for step in steps) / n == pytest.approx(lazy["computed_fraction"][layer])


def test_a_share_of_the_attention_keeps_more_where_it_is_spread(ask):
    kept = {}
    for mass in ("0.5", "0.9", "1"):
        record, = records(ask({"prompt": DOCUMENT, "flags": ["--lazy", f"15:p{mass}"]}))
        kept[mass] = len(record["lazy"]["kept"][0]["positions"])
        assert record["lazy"]["schedule"] == [{"layer": 15, "keep_mass": float(mass)}]
    assert 0 < kept["0.5"] < kept["0.9"] < kept["1"] == record["prompt_tokens"]
