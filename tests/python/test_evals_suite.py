"""`python3 -m evals`: what it measures, when it stops, and the figures of its tables."""

import json
import math
import subprocess
import sys

import pytest

from evals import experiments, fidelity, methods, perplexity, program, questions, statistics_of_pairs, steps, transfer, turns

SMOLLM2 = {"model": {"n_layers": 30, "prunable_layers": list(range(29))}}
GEMMA = {"model": {"n_layers": 18, "prunable_layers": [5, 11]}}


class FakeProgram:
    """Stands for program.Answers."""

    def __init__(self):
        self.asked = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, **line):
        self.asked.append(line)


CELLS = [(methods.Method(name, ()), {"id": i}) for i in ("a", "b") for name in ("dense", "lazy")]


def answer(_, method, item):
    return {"value": f"{method.name} {item['id']}"}


def test_only_what_is_missing_is_measured(tmp_path):
    path = tmp_path / "deep" / "r.jsonl"
    program.measure(path, CELLS[:3], answer, FakeProgram(), "x")
    asked = []
    program.measure(path, CELLS, lambda *a: asked.append(a[1:]) or answer(*a), FakeProgram(), "x")
    assert asked == [CELLS[3]]
    results = program.read_results(path)
    assert results["lazy", "b"]["value"] == "lazy b" and program.common(results, ["dense", "lazy"]) == ["a", "b"]
    idle = FakeProgram()
    program.measure(path, CELLS, answer, idle, "x")
    assert not idle.asked  # not even started


def test_a_budget_that_is_over_measures_nothing(tmp_path, capsys):
    program.measure(tmp_path / "r.jsonl", CELLS, answer, FakeProgram(), "x", budget=program.Budget(0))
    assert not (tmp_path / "r.jsonl").exists()

    class OneMore(program.Budget):
        left = 2

        def is_over(self):
            self.left -= 1
            return self.left < 0

    program.measure(tmp_path / "r.jsonl", CELLS, answer, FakeProgram(), "x", budget=OneMore())
    assert list(program.read_results(tmp_path / "r.jsonl")) == [("dense", "a")]
    assert "3 of 4 are left" in capsys.readouterr().err


def test_a_part_of_a_budget():
    assert program.Budget().part(0.5).left_s() == math.inf
    assert 29 < program.Budget(1).part(0.5).left_s() <= 30


def test_schedules_fit_the_model():
    assert methods.schedule(SMOLLM2, 0.5) == "9:0.5,15:0.5,22:0.5"
    assert methods.schedule(GEMMA, 0.5) == "5:0.5,11:0.5"
    for info in (SMOLLM2, GEMMA):
        known = methods.ablation(info)
        assert len({m.name for m in known}) == len({m.flags for m in known}) == len(known)
        assert known[0].family == "lazy" and len([m for m in known if m.family == "lazy"]) == 5
        ladder = methods.ladder(info, ("lazy", "compression"))
        assert methods.base_of(ladder, "lazy")[ladder[4].name] == ladder[3].name and ladder[3].family == "lazy"
        assert [m.family for m in ladder] == ["dense"] + ["lazy", "compression"] * 4
        assert ladder[2].flags == ("--lazy", "off", "--compress", "0.75")
        table = methods.methods_for("9:0.5", "9:0.3", 0.5)
        assert table["auto"].flags == ("--lazy", "auto") and table["fast"].flags == ("--lazy", "fast")
        assert not {"auto", "fast"} & {m.family for m in methods.at_strength(info, 1)}


def test_a_value_between_the_points_of_a_curve():
    curve = [(2, 1.0), (1, 0.01), (3, 4.0)]
    assert statistics_of_pairs.at(curve, 1.5) == pytest.approx(0.1)
    assert statistics_of_pairs.at(curve, 3) == pytest.approx(4)
    assert statistics_of_pairs.at(curve, 0.9) is statistics_of_pairs.at(curve, 3.1) is None


def test_variants_are_compared_at_equal_time():
    known = [methods.Method(name, ("--lazy", name), family) for name, family in
             (("soft", "lazy"), ("hard", "lazy"), ("mine", "mine"), ("slow", "slow"))]
    figures = {"soft": (0.01, 50), "hard": (1.0, 25), "mine": (0.05, 100 / 3), "slow": (0.0, 100)}
    results = {(name, i): {"computed": 0.5, "first_kl": kl, "mean_kl": kl, "agreement": 0.9, "dense_ttft_ms": 100, "ttft_ms": ms}
               for name, (kl, ms) in figures.items() for i in "abcd"}
    lines = fidelity.frontier_table(results, known).splitlines()
    assert lines[0] == "4 prompts."
    # At 3 times the speed lazy is half way between 2 and 4 times: a KL of 0.1.
    assert "| mine | mine | 3.00 | 50% | 0.0500 | 0.0500 | 90.0% | 0.50 (0.50 to 0.50) |" in lines
    assert lines[-1].endswith("| 0.0000 | 90.0% |  |")  # slower than any lazy that was measured


def test_every_question_is_asked_at_every_turn():
    cases = [{"question": f"what is {i}", "answers": [f"answer {i}"], "title": f"title {i}", "text": f"text {i}."} for i in range(60)]
    lines = list(questions.nq_turns(cases, 9, 2))
    assert [line["id"] for line in lines] == [f"nq/{s}/{r}" for s in range(2) for r in range(3)]
    for number in range(2):
        mine = [line for line in lines if line["set"] == number]
        assert len({line["document"] for line in mine}) == 1 and mine[0]["document"].count("Document ") == 9
        for turn in range(3):
            assert {line["questions"][turn]["answers"][0] for line in mine} == {f"answer {3 * number + i}" for i in range(3)}
        places = sorted(mine[0]["document"].index(f"(title {3 * number + i})") / len(mine[0]["document"]) for i in range(3))
        assert places[0] < 0.34 < places[1] < 0.67 < places[2]


def test_a_needle_lies_in_each_third():
    lines = list(questions.needle_turns("A sentence of no use. " * 400, 3000, 2))
    assert [line["id"] for line in lines] == [f"needle/{s}/{r}" for s in range(2) for r in range(3)]
    for line in lines:
        places = []
        for asked in line["questions"]:
            sentence = f" {asked['lead'].strip()} {asked['answers'][0]}. "
            assert line["document"].count(sentence) == 1
            places.append(3 * line["document"].index(sentence) // len(line["document"]))
        assert sorted(places) == [0, 1, 2]
    assert lines[0]["questions"][0] == lines[1]["questions"][2] == lines[2]["questions"][1]


def test_later_turns_are_compared_by_document():
    def result(kls, number):
        return {"set": number, "prompt_tokens": 9, "turns": [
            {"mean_kl": kl, "agreement": 1, "f1_to_dense": 1, "contains": 0, "ttft_ms": ms} for kl, ms in zip(kls, (100, 5, 5))]}

    results = {("lazy", "a"): result((1, 2, 3), 0), ("lazy", "b"): result((1, 1, 2), 1),
               ("static", "a"): result((1, 4, 6), 0), ("static", "b"): result((1, 2, 4), 1)}
    assert turns.later_ratio(results, "static", "lazy", ["a", "b"]) == pytest.approx((2, 2, 2))
    row = turns.table(results, ["lazy", "static"], {"static": "lazy"}).splitlines()[-1]
    assert row == ("| static | 1.0000 / 3.0000 / 5.0000 | 100.0% / 100.0% / 100.0% | 1.00 / 1.00 / 1.00 | 0% / 0% / 0% | "
                   "4.00 | 2.00 | 100 / 5 / 5 | 20 times the TTFT |")


def test_texts_are_cut_at_sentences():
    texts = {"a": "A sentence of a. " * 60, "b": "One of b. " * 40}
    found = perplexity.windows(texts, 300, 50, 4)
    assert [w["id"] for w in found] == ["a/0", "b/0", "a/1"]  # there is no second piece of b
    for window in found:
        assert window["prompt"].endswith(".") and window["continuation"].startswith(" ") and len(window["continuation"]) == 50
        assert window["prompt"] + window["continuation"] in texts[window["id"][0]]


def test_perplexity_is_over_all_tokens():
    results = {(m, i): {"nll": nll, "tokens": n, "ttft_ms": 10, "computed": 1} for m, i, nll, n in
               (("dense", "a", 10, 10), ("dense", "b", 50, 20), ("lazy", "a", 20, 10), ("lazy", "b", 70, 20))}
    assert perplexity.perplexity(results, "dense", ["a", "b"]) == pytest.approx(math.exp(2))
    assert "| lazy | 20.09 | 2.718 (" in perplexity.table(results, ["dense", "lazy"])


def test_used_tokens_add_up():
    result = {"prompt_tokens": 10, "layers": [9, 15], "computed_by_step": [[5, 2], [1, 2], [0, 1]]}
    assert steps.used_shares(result) == [[0.5, 0.6, 0.6], [0.2, 0.4, 0.5]]
    shorter = result | {"computed_by_step": [[5, 2], [3, 2]]}
    assert steps.mean_shares({("m", "a"): result, ("m", "b"): shorter}, "m", ["a", "b"]) == [[0.5, 0.7], [0.2, 0.4]]


def test_a_preset_is_held_to_its_target(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps({"model": "M", "target": {"max_kl": 0.1, "min_agreement": 0.8}}), encoding="utf-8")
    target = transfer.target_of("M", tmp_path)
    assert transfer.target_of("N", tmp_path) is None
    assert transfer.target_of("M", tmp_path, "fast") is None
    (tmp_path / "a.fast.json").write_text(json.dumps({"model": "M", "preset": "fast", "target": {"max_kl": 0.25, "min_agreement": 0.7}}),
                                          encoding="utf-8")
    assert transfer.target_of("M", tmp_path) == target and transfer.target_of("M", tmp_path, "fast")["max_kl"] == 0.25
    results = {("auto", i): {"schedule": "9:0.5", "mean_kl": kl, "agreement": 0.6} for i, kl in (("a", 0.1), ("b", 0.18))}
    results["auto", "short"] = {"schedule": "off", "mean_kl": 0, "agreement": 1}
    kl, disagreement = transfer.verdict(results, target).splitlines()[-2:]
    assert kl == "| mean KL | 0.100 | 0.140 (0.100 to 0.180) | 1.40 (1.00 to 1.80) | yes |"
    assert disagreement.endswith("| 2.00 (2.00 to 2.00) | no |")
    sparse = {("fast", "a"): {"schedule": "off", "sparse_attention": 0.9, "mean_kl": 0.1, "agreement": 0.9}}
    assert transfer.verdict(sparse, target, "fast").startswith("`off --sparse-attention 0.9` on 1 texts")


def test_shipped_presets_have_targets():
    for name in ("Gemma 3 270m", "Smollm2 135M 8k Lc100K Mix1 Ep2"):
        assert transfer.target_of(name)["max_kl"] > 0


def test_the_command_measures_and_writes_a_page(root, lazyfill, smollm2, data_dir, tmp_path):
    command = [sys.executable, "-m", "evals", "usage", "preset", "--small", "-m", smollm2, "--lazyfill", lazyfill, "--data", data_dir,
               "--out", tmp_path, "--note", "A trial."]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=600)
    page = (tmp_path / "evals.md").read_text(encoding="utf-8")
    target = transfer.target_of("Smollm2 135M 8k Lc100K Mix1 Ep2")["max_kl"]
    assert "**A trial.**" in page and f"| mean KL | {target:.3f} |" in page and "| lazy 9:0.5,15:0.5,22:0.5 | 22 |" in page
    assert "No document has been asked about" in page  # what was not measured is said
    measured = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert measured == ["preset-smollm2-135m-instruct.jsonl", "usage-smollm2-135m-instruct.jsonl"]
    again = subprocess.run([*command, "--report"], cwd=root, check=True, capture_output=True, text=True, timeout=600)
    assert "min left" not in again.stderr and (tmp_path / "evals.md").read_text(encoding="utf-8") == page


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib", reason="pip install -r evals/requirements.txt draws the pictures")
    from evals import plots

    plots.curves(tmp_path / "a.svg", {"lazy": [(1, 0.1), (2, 0.3)], "focus": [(1, 0.2)]}, "x", "y", "title", True, (0.5, "dense"))
    plots.steps(tmp_path / "b.svg", {"lazy": [[0.5, 0.6], [0.2, 0.3]]}, [9, 15], "title")
    plots.turns(tmp_path / "c.svg", {"lazy": [0.1, 0.2, 0.3]}, {"lazy": [1, 1, 0.5], "dense": [1, 1, 1]}, "y", "title")
    plots.needles(tmp_path / "d.svg", {"lazy": {(4000, 0.5): [1, 0]}, "dense": {}}, (4000, 8000), (0.5,), "title")
    report = {"preset": {"target": {"max_kl": 0.1}}, "candidates": [
        {"policy": "focus", "predicted_speed_up": 2, "kl": 0.09, "within": True}, {"policy": "lazy", "predicted_speed_up": 2.1, "kl": 0.3, "within": False}]}
    plots.calibration(tmp_path / "e.svg", report, "title")
    report["candidates"].append({"policy": "focus", "sparse_attention": 0.95, "predicted_speed_up": 2.2, "kl": 0.09, "within": True})
    plots.calibration(tmp_path / "f.svg", report | {"prompt_tokens": 4096}, "title")
    plots.side_by_side(tmp_path / "g.svg", {"seconds": {"packed": [(2, 0.1), (4, 0.2)]}, "MB": {"packed": [(2, 100), (4, 120)]}}, "x", "title", True)
    for name in "abcdefg":
        picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert picture.count("</svg>") == 1 and "title" in picture and len(picture) < 200_000


def test_small_is_smaller_everywhere():
    small, full = vars(experiments.SMALL), vars(experiments.Size())
    for key, value in small.items():
        if isinstance(value, tuple):
            assert len(value) <= len(full[key])
        elif key != "layer_step":
            assert value < full[key], key
