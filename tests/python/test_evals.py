"""The arithmetic of evals/, and a run of it on a model."""

import json
import subprocess
import sys

import pytest

from evals import fidelity, longbench, metrics, program, questions, statistics_of_pairs


def test_both_ends_of_a_long_prompt_stay():
    assert program.drop_middle("abcdefgh", 8) == "abcdefgh"
    assert program.drop_middle("abcdefgh", 5) == "abfgh"
    assert program.drop_middle("abcdefgh", 1) == "h"


def test_the_interval_is_paired():
    baseline = [1.0, 2.0, 30.0, 4.0]
    # Every value is half of its partner: whatever pairs are drawn, the ratio is one half.
    assert fidelity.ratio_interval([b / 2 for b in baseline], baseline) == pytest.approx((0.5, 0.5, 0.5))
    ratio, low, high = fidelity.ratio_interval([2.0, 1.0, 30.0, 4.0], baseline)
    assert ratio == 1 and low < 1 < high
    with pytest.raises(ValueError):
        fidelity.ratio_interval([1.0], baseline)


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    path = tmp_path / "results.jsonl"
    assert not program.read_results(path, "policy")
    path.write_text('{"policy": "lazy", "id": "a"}\n{"policy": "lazy", "id"', encoding="utf-8")
    assert list(program.read_results(path, "policy")) == [("lazy", "a")]


def test_an_interrupted_run_goes_on(root, lazyfill, smollm2, tmp_path):
    data, out = tmp_path / "data", tmp_path / "results.jsonl"
    data.mkdir()
    for task in ("one", "two"):
        (data / f"{task}.jsonl").write_text(json.dumps({"prompt": f"A text about {task}. " * 40}) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "evals.fidelity", "-m", smollm2, "--lazyfill", lazyfill, "--data", data, "--out", out,
               "--schedule", "9:0.5", "--policies", "lazy,focus", "--tokens", "2"]
    subprocess.run(command, cwd=root, check=True, timeout=300)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["policy"] for line in lines] == ["lazy", "focus", "lazy", "focus"]
    out.write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    again = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=300)
    assert again.stderr == "fidelity: 1 of 1, 0 min left\n"
    for line in out.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        assert result["mean_kl"] >= 0 and 0 <= result["agreement"] <= 1 and 0.6 < result["computed"] < 0.8


def test_keep_one_has_no_distance(lazyfill, smollm2, tmp_path):
    record = tmp_path / "record.json"
    subprocess.run([lazyfill, "run", "-m", smollm2, "-p", "The sea " * 60, "-n", "1", "--temp", "0", "--lazy", "9:1",
                    "--fidelity", "5", "--json", record], check=True, timeout=300, capture_output=True)
    measured = json.loads(record.read_text(encoding="utf-8"))["fidelity"]
    assert measured["tokens"] == 5 and measured["agreement"] == pytest.approx(1)
    assert measured["first_kl"] == measured["mean_kl"] == 0


@pytest.mark.parametrize("metric, answer, right, classes, expected", [
    ("f1", "The Tower, of London!", ["tower of london"], None, 1),
    ("f1", "in Paris", ["Paris", "London"], None, 2 / 3),
    ("f1", "", ["Paris"], None, 0),
    ("rouge_l", "the cat sat on the mat", ["the cat sat on the mat"], None, 1),
    ("rouge_l", "the cat sat", ["the cat ran"], None, 2 / 3),
    ("rouge_l", "...", ["the cat ran"], None, 0),
    ("class", "Type: Date", ["Date"], ["Date", "Reason"], 1),
    ("class", "Date or Reason", ["Date"], ["Date", "Reason"], 0.5),
    ("class", "Other entity", ["Other entity"], ["Other entity", "entity"], 1),
    ("class", "Reason", ["Date"], ["Date", "Reason"], 0),
    ("count", "There are 3, perhaps 4", ["3"], None, 0.5),
    ("count", "many", ["3"], None, 0),
    ("retrieval", "Paragraph 12", ["Paragraph 12"], None, 1),
    ("retrieval", "12 or 13 or 14", ["Paragraph 12"], None, 1 / 3),
    ("contains", "It is in Las Vegas, Nevada.", ["las vegas nevada"], None, 1),
    ("contains", "It is in Reno.", ["Las Vegas"], None, 0),
    ("code", "# a comment\nreturn x", ["return x"], None, 1),
    ("code", "```", ["return x"], None, 0),
])
def test_metrics(metric, answer, right, classes, expected):
    assert metrics.score(metric, answer, right, classes) == pytest.approx(expected, abs=1e-6)


def test_only_the_first_line_of_some_tasks_counts():
    question = {"task": "trec", "answers": ["Date"], "all_classes": ["Date", "Reason"]}
    assert longbench.answer_score(question, "\nDate\nReason") == 1
    assert longbench.answer_score(question | {"task": "hotpotqa"}, "Date\nReason") == pytest.approx(2 / 3)


def test_the_loss_is_of_the_average_over_tasks():
    def result(method, task, i, score):
        return {"method": method, "task": task, "id": f"{task}/{i}", "score": score, "ttft_ms": 100 if method == "dense" else 50,
                "total_ms": 200, "computed": 0.5}

    results = [result(*r) for r in (("dense", "trec", 0, 1), ("dense", "lcc", 0, 1), ("dense", "lcc", 1, 0.5),
                                    ("lazy", "trec", 0, 1), ("lazy", "lcc", 0, 0.5), ("lazy", "lcc", 1, 0), ("lazy", "lcc", 2, 1))]
    lines = longbench.table({(r["method"], r["id"]): r for r in results}, ["dense", "lazy"]).splitlines()
    assert "| 87.5 |" in lines[2] and "100.0 (1.00) | 75.0 (1.00)" in lines[2]
    # (1 + 1/4) / 2 against (1 + 3/4) / 2; the third prompt of lcc has no dense answer and does not count.
    assert "100.0 (2.00) | 25.0 (2.00) | 62.5 | 28.6%" in lines[3] and "| 1 of 2 |" in lines[3]


def test_a_bootstrap_without_a_value_is_infinite():
    assert statistics_of_pairs.bootstrap([(1, 0)], lambda p: sum(a for a, _ in p) / sum(b for _, b in p)) == (float("inf"),) * 3


def test_shortened_prompts_keep_both_ends(lazyfill, smollm2):
    text = "first " + "middle " * 50 + "last"
    short = program.shortened(lazyfill, smollm2, text, 10)
    assert short.startswith("first middle") and short.endswith("middle last") and len(short) < 80
    assert program.shortened(lazyfill, smollm2, text, 1000) == text
    emoji = "\U0001f9d1\u200d\U0001f680" * 40
    assert len(program.shortened(lazyfill, smollm2, emoji, 20)) < len(emoji) / 2


def test_longbench_goes_on_where_it_stopped(root, lazyfill, smollm2, tmp_path):
    data, out = tmp_path / "data", tmp_path / "results.jsonl"
    data.mkdir()
    for task, answer in (("hotpotqa", "the sea"), ("trec", "Date")):
        lines = [json.dumps({"prompt": f"Question {i} about {task}. " * 30, "answers": [answer], "all_classes": ["Date"]}) for i in (1, 2)]
        (data / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "evals.longbench", "-m", smollm2, "--lazyfill", lazyfill, "--data", data, "--out", out,
               "--schedule", "9:0.5", "--methods", "dense,lazy", "--max-tokens", "100"]
    first = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=300)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8 and "| lazy |" in first.stdout
    out.write_text("\n".join(lines[:6]) + "\n" + lines[6][:20], encoding="utf-8")
    again = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=300)
    assert "2 of 2" in again.stderr and "2 of 8" not in again.stderr
    results = program.read_results(out, "method")
    assert len(results) == 8 and all(r["prompt_tokens"] <= 140 and 0 <= r["score"] <= 1 for r in results.values())
    assert results["lazy", "trec/0"]["computed"] < 1 and results["dense", "trec/0"]["computed"] == 1


def test_the_answering_document_stands_where_it_should():
    cases = [{"question": f"what is {i}", "answers": [f"answer {i}"], "title": f"title {i}", "text": f"text {i}."} for i in range(40)]
    for gold in (0, 2, 4):
        for i, line in enumerate(questions.nq(cases, 5, gold, 3)):
            assert line["answers"] == [f"answer {i}"] and line["prompt"].count("Document ") == 5
            assert f"Document {gold + 1} (title {i}): text {i}." in line["prompt"]


def test_the_asked_key_is_among_the_pairs():
    pairs = [[f"key {i}", f"value {i}"] for i in range(75)]
    line, = questions.kv([{"ordered_kv_records": pairs, "key": "key 60", "value": "value 60"}], 10, 1)
    assert '"key 60": "value 60"' in line["prompt"] and line["prompt"].count(": \"value") == 10 and line["answers"] == ["value 60"]


def test_a_needle_lies_between_sentences():
    text = "One sentence. " * 500
    first, middle, last = questions.needle(text, 1400, [0, 0.5, 1], 1)
    assert first["prompt"].startswith("The password") and f"is {first['answers'][0]}." in first["prompt"]
    assert ". The password of the harbour office is" in middle["prompt"]
    assert 500 < middle["prompt"].index("The password") < 800
    assert last["prompt"].index("The password") >= 1400


def test_a_line_that_fails_ends_the_measuring(lazyfill, smollm2):
    with program.Answers(lazyfill, smollm2, ["-n", "1"]) as answers:
        assert answers.ask(prompt="One")["token_ids"]
        with pytest.raises(SystemExit, match="could not answer"):
            answers.ask_all(2, document="word " * 9000, questions=["One?", "Two?"])
