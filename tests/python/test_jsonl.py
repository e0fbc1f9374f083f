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


@pytest.mark.parametrize("line, place, part", [
    ({"prompt": "a", "flags": ["--lazzy", "off"]}, "line 2, column 26 of '-'", "unknown flag '--lazzy'"),
    ({"prompt": "a", "flags": ["--threads", "1"]}, "line 2, column 26 of '-'", "unknown flag '--threads'"),
    ({"prompt": "a", "flags": ["--help"]}, "line 2, column 26 of '-'", "--help is no flag here"),
    ({"prompt": "a", "flags": ["-h"]}, "line 2, column 26 of '-'", "--help is no flag here"),
    ({"prompt": "a", "flags": ["--no-answer"]}, "line 2, column 26 of '-'", "--no-answer needs --fidelity"),
    ({"prompt": "a", "flags": ["--lazy", "99:0.5"]}, "line 2 of '-'", "layer 99"),
    ({"document": "a"}, "line 2, column 1 of '-'", "needs both"),
    ({"prompt": 3}, "line 2, column 12 of '-'", "has no text \"prompt\""),
    ({"messages": [{"role": "user", "content": "a"}, {"content": "b"}]}, "line 2, column 49 of '-'", "number 2 has no \"role\""),
    ({"document": "a", "questions": ["b"], "flags": ["--compress", "0.5"]}, "line 2 of '-'", "a document with questions"),
    ({"document": "word " * 9000, "questions": ["b"]}, "line 2 of '-'", "the prompt has"),
    ({"prompt": "word " * 9000}, "line 2 of '-'", "the prompt has"),
])
def test_a_wrong_line_gets_a_record_and_the_others_are_answered(ask, line, place, part):
    exit_code, found, error = ask({"prompt": "One", "id": 1}, line | {"id": [2]}, {"prompt": "Two", "id": 3})
    assert exit_code == 1 and [record["id"] for record in found] == [1, [2], 3], error
    assert found[0]["text"] and found[2]["text"] and "text" not in found[1]
    assert part in found[1]["error"]["message"] and found[1]["line"] == found[1]["error"]["line"] == 2
    assert f"{place}: " in error and part in error and len(error.splitlines()) == 1
    column = found[1]["error"].get("column")
    assert (f"column {column} of" in place) == (column is not None)


@pytest.fixture
def ask_bytes(lazyfill, smollm2):
    def call(data, *flags):
        done = subprocess.run([lazyfill, "run", "-m", smollm2, "--quiet", "--temp", "0", "-n", "2", "--jsonl", "-", *flags], input=data,
                              capture_output=True, timeout=300, check=False)
        return done.returncode, done.stdout.splitlines(), done.stderr.decode()

    return call


def test_text_that_is_no_json_costs_its_line_alone(ask_bytes):
    bad = [b'{"prompt": "a"', b'{"id": 5, "prompt": oops}', b"word", b"[1]", b'{"prompt": "\xff"}', b'{"prompt": "a"} x']
    code, lines, error = ask_bytes(b"\n".join([b'{"prompt": "One"}', *bad, b'{"prompt": "Two"}']))
    records = [json.loads(line) for line in lines]
    assert code == 1 and len(records) == 8 and len(error.splitlines()) == 6
    assert "text" in records[0] and "text" in records[7]
    assert [record["error"]["line"] for record in records[1:7]] == [2, 3, 4, 5, 6, 7]
    assert all(record["error"]["column"] >= 1 and record["error"]["message"] for record in records[1:7])
    assert records[2]["id"] == 5 and 20 <= records[2]["error"]["column"] <= 22


@pytest.mark.parametrize("spelled", [b"123456789012345678901234567890", b"1.10", b"-0.0", b"1E5", b"1e999", b"null", b"true", b'"a \\u00e9"',
                                     b'{"a": [1, 2.50]}', b"[]", b'""'])
def test_ids_come_back_as_they_were(ask_bytes, spelled):
    code, lines, error = ask_bytes(b'{"id": ' + spelled + b', "prompt": "One"}\n{"id": ' + spelled + b', "prompt": 1}\n')
    assert code == 1 and len(lines) == 2, error
    for line in lines:
        assert b'"id":' + spelled + b"," in line and json.loads(line)


def test_messages_in_a_line_are_those_of_the_flag(ask, ask_bytes, tmp_path):
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    lines, = records(ask({"messages": talk}))
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(talk))
    same, = records(ask({"prompt": "Hello", "flags": ["--chat", "--system", "Be brief."]}))
    assert lines["prompt_token_ids"] == same["prompt_token_ids"] and lines["text"] == same["text"]
    scored, = records(ask({"messages": talk, "continuation": lines["text"]}))
    assert scored["prompt_token_ids"] == lines["prompt_token_ids"] and scored["continuation_logprobs"]


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
