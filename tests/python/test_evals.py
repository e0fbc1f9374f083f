"""The arithmetic of evals/, and a run of it on a model."""

import json
import subprocess
import sys

import pytest

from evals import fidelity


def test_both_ends_of_a_long_prompt_stay():
    assert fidelity.drop_middle("abcdefgh", 8) == "abcdefgh"
    assert fidelity.drop_middle("abcdefgh", 5) == "abcgh"
    assert fidelity.drop_middle("abcdefgh", 1) == "a"


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
    assert not fidelity.read_done(path)
    path.write_text('{"policy": "lazy", "id": "a"}\n{"policy": "lazy", "id"', encoding="utf-8")
    assert list(fidelity.read_done(path)) == [("lazy", "a")]


def test_an_interrupted_run_goes_on(root, lazyfill, smollm2, tmp_path):
    data, out = tmp_path / "data", tmp_path / "results.jsonl"
    data.mkdir()
    for task in ("one", "two"):
        (data / f"{task}.jsonl").write_text(json.dumps({"prompt": f"A text about {task}. " * 40}) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "evals.fidelity", "-m", smollm2, "--lazyfill", lazyfill, "--data", data, "--out", out,
               "--schedule", "9:0.5", "--policies", "lazy,focus", "--tokens", "2"]
    subprocess.run(command, cwd=root, check=True, timeout=300)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["policy"] for line in lines] == ["lazy", "lazy", "focus", "focus"]
    out.write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    again = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=300)
    assert again.stderr.split() == ["focus:", "1", "of", "1"]
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
