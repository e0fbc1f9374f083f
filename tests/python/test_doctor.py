"""`lazyfill doctor` on the machine that runs the tests."""

import json
import subprocess

import pytest


def doctor(lazyfill, *flags, cache=None, isa=None):
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **({"XDG_CACHE_HOME": str(cache)} if cache else {}),
                   **({"LAZYFILL_ISA": isa} if isa else {})}
    return subprocess.run([lazyfill, "doctor", *flags], capture_output=True, text=True, check=False, env=environment)


def test_it_says_what_to_expect_of_a_model(lazyfill, smollm2):
    done = doctor(lazyfill, "-m", smollm2, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["usable_cores"] >= 1 and "reference" in report["instruction_sets"]
    assert report["bandwidth_bytes_per_s"] > 0
    expected = report["model"]["expected"]
    assert [one["prompt_tokens"] for one in expected] == [1024, 4096, 8192]
    for one in expected:
        assert 0 < one["ttft_ms"]["fast"] <= one["ttft_ms"]["auto"] <= one["ttft_ms"]["off"]
    dense = [one["ttft_ms"]["off"] for one in expected]
    assert dense == sorted(dense)


def test_it_tells_it_to_a_person(lazyfill, smollm2):
    text = doctor(lazyfill, "-m", smollm2).stdout
    for word in ["processor", "bandwidth", "dense", "8,192"]:
        assert word in text
    assert "In the way:" in text or "Nothing is in the way." in text


def test_it_needs_no_model(lazyfill, tmp_path):
    done = doctor(lazyfill, cache=tmp_path)
    assert done.returncode == 0
    assert "-m MODEL.gguf" in done.stdout


def test_it_says_when_less_than_the_best_kernels_are_asked_for(lazyfill, smollm2):
    report = json.loads(doctor(lazyfill, "-m", smollm2, "--json").stdout)
    *others, best = report["instruction_sets"]
    assert report["model"]["isa"] == best and not any("LAZYFILL_ISA" in sentence for sentence in report["in_the_way"])
    if others in ([], ["reference"]):
        pytest.skip("this machine has no second set of fast kernels")
    report = json.loads(doctor(lazyfill, "-m", smollm2, "--json", isa=others[-1]).stdout)
    assert report["model"]["isa"] == others[-1]
    sentence, = [sentence for sentence in report["in_the_way"] if "LAZYFILL_ISA" in sentence]
    assert f"asks for {others[-1]}" in sentence and f"kernels of {best} " in sentence


def test_a_model_that_is_none_is_named(lazyfill, tmp_path):
    (tmp_path / "none.gguf").write_text("no")
    done = doctor(lazyfill, "-m", str(tmp_path / "none.gguf"))
    assert done.returncode == 1 and "none.gguf" in done.stderr
