"""`lazyfill calibrate` and the preset that `--lazy auto` takes, on a small budget."""

import json
import subprocess

import pytest

from reference import tiny

TEXT = "The keeper of the harbour counts the boats every evening and writes them down. {} boats came in from the north. "


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    paths = []
    for name in ("one", "two"):
        path = folder / f"{name}.txt"
        path.write_text("".join(TEXT.format(len(name) + i) for i in range(8)) + "How many boats came?", encoding="utf-8")
        paths.append(path)
    return paths


def record_of(lazyfill, model, prompt, *flags, **variables):
    done = subprocess.run([lazyfill, "run", "-m", model, "-p", prompt, "-n", "1", "--temp", "0", "--quiet", "--json", "-", *flags],
                          check=True, capture_output=True, timeout=300, env=variables or None)
    return json.loads(done.stdout)


def test_the_preset_is_found_and_used(lazyfill, smollm2, texts, tmp_path):
    files = [flag for text in texts for flag in ("-f", text)]
    search = tmp_path / "search.json"
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([lazyfill, "calibrate", "-m", smollm2, *files, "--max-kl", "100", "--min-agreement", "0", "--tokens", "2",
                    "--candidates", "4", "--prompt-tokens", "300", "--json", search], check=True, capture_output=True, timeout=300, env=environment)
    (path,) = (tmp_path / "lazyfill" / "presets").glob("*.json")
    preset = json.loads(path.read_text(encoding="utf-8"))
    assert preset["fingerprint"] == path.stem
    report = json.loads(search.read_text(encoding="utf-8"))
    # With a target that everything holds, every candidate is within it and each faster than the one before.
    speed_ups = [c["predicted_speed_up"] for c in report["candidates"]]
    assert len(speed_ups) == 4 and speed_ups == sorted(speed_ups) and speed_ups[-1] > 1.5
    assert report["prompt_tokens"] == preset["measured"]["prompt_tokens"] == 300
    assert report["candidates"][-1]["schedule"] == preset["schedule"]
    assert all(part >= 0 for part in report["cost_model"].values())

    text = texts[0].read_text(encoding="utf-8")
    used = record_of(lazyfill, smollm2, text * 4, **environment)
    assert used["lazy_choice"]["source"] == "preset (user)"
    assert used["lazy_choice"]["schedule"] == preset["schedule"] and used["lazy_choice"]["policy"] == preset["policy"]
    assert len(used["lazy"]["schedule"]) == len(preset["schedule"].split(","))
    short = record_of(lazyfill, smollm2, "Hello there", **environment)
    assert short["lazy"] is None and short["lazy_choice"]["short_prompt"]
    path.write_text("{", encoding="utf-8")
    broken = subprocess.run([lazyfill, "run", "-m", smollm2, "-p", text], capture_output=True, text=True, env=environment)
    assert broken.returncode == 1 and path.name in broken.stderr


def test_shipped_presets_are_found(lazyfill, smollm2, gemma3, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    for model in (smollm2, gemma3):
        choice = record_of(lazyfill, model, TEXT * 90, "--lazy", "auto", **environment)["lazy_choice"]
        assert choice["source"] == "preset (shipped)" and choice["schedule"] != "off" and not choice["short_prompt"]
        given = record_of(lazyfill, model, "Hello", "--lazy", "5:0.5", **environment)["lazy_choice"]
        assert given == {"source": "given", "schedule": "5:0.5", "policy": "lazy"}


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A token a byte: 1,200 characters are a long prompt."""
    path = tmp_path_factory.mktemp("tiny") / "model.gguf"
    tiny.write_llama(path)
    return path


def calibrate(lazyfill, model, texts, *flags):
    files = [flag for text in texts for flag in ("-f", text)]
    done = subprocess.run([lazyfill, "calibrate", "-m", model, *files, "--tokens", "2", "--prompt-tokens", "1500", "--candidates", "3", *flags],
                          check=True, capture_output=True, text=True, timeout=300)
    return done.stdout


def test_a_model_may_have_two_presets(lazyfill, tiny_model, texts, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    prompt = (TEXT.format(1) * 20)[:1200]

    def choice(*flags, text=prompt):
        return record_of(lazyfill, tiny_model, text, *flags, **environment)["lazy_choice"]

    assert choice("--lazy", "fast")["source"] == "no fast preset: default"
    line = calibrate(lazyfill, tiny_model, texts, "--beside", "--preset", "fast")
    path = tiny_model.with_name("model.gguf.fast.preset.json")
    preset = json.loads(path.read_text(encoding="utf-8"))
    assert preset["preset"] == "fast" and preset["target"] == {"max_kl": 0.25, "min_agreement": 0.8}
    assert preset["measured"]["prompt_tokens"] == 1500 and "at 1,500 tokens" in line
    assert choice("--lazy", "auto")["source"] == "default"  # the fast one is for those alone who ask for it

    # What a search would find on a random model says nothing: a schedule that can be told from others.
    path.write_text(json.dumps(preset | {"schedule": "2:0.3", "policy": "window", "min_tokens": 1000, "sparse_attention": 0.7}), encoding="utf-8")
    used = choice("--lazy", "fast")
    assert used["source"] == "fast preset (beside the model)" and used["schedule"] == "2:0.3" and used["policy"] == "window"
    assert used["sparse_attention"]["mass"] == 0.7 and used["sparse_attention"]["kept"] < 1
    given = choice("--lazy", "fast", "--sparse-attention", "1", "--policy", "lazy")
    assert "sparse_attention" not in given and given["policy"] == "lazy" and given["schedule"] == "2:0.3"
    short = choice("--lazy", "fast", text=prompt[:900])
    assert short["short_prompt"] and short["schedule"] == "off" and "sparse_attention" not in short
    assert "sparse_attention" not in choice("--lazy", "2:0.3")

    # Without a fast preset the careful one serves, and the record says so.
    path.rename(tiny_model.with_name("model.gguf.preset.json"))
    assert choice("--lazy", "auto")["source"] == "preset (beside the model)"
    assert choice("--lazy", "fast") | {"source": ""} == used | {"source": ""}
    assert choice("--lazy", "fast")["source"] == "no fast preset: preset (beside the model)"
    tiny_model.with_name("model.gguf.preset.json").unlink()


def test_every_command_takes_fast(lazyfill, tiny_model, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path), "LAZYFILL_LAZY": "fast"}
    record = record_of(lazyfill, tiny_model, "Hello there", **environment)
    assert record["lazy_choice"]["source"] == "no fast preset: default"
    done = subprocess.run([lazyfill, "bench", "-m", tiny_model, "--lengths", "300", "--lazy", "fast", "--repeat", "1", "-n", "2", "--json", "-"],
                          check=True, capture_output=True, timeout=60)
    (case,) = json.loads(done.stdout)["cases"]
    assert case["lazy"] == "fast" and case["schedule"] == "off" and case["sparse_attention"] == 1
    for command in ("run", "explain"):
        wrong = subprocess.run([lazyfill, command, "-m", tiny_model, "-p", "x", "--lazy", "fas"], capture_output=True, text=True, timeout=60)
        assert wrong.returncode == 2 and "write off, auto" in wrong.stderr and "fast" in wrong.stderr


def test_wrong_usage(lazyfill, smollm2, tmp_path):
    two = subprocess.run([lazyfill, "calibrate", "-m", smollm2, "--beside", "--out", "x"], capture_output=True, text=True)
    assert two.returncode == 2 and "--beside" in two.stderr
    slow = subprocess.run([lazyfill, "calibrate", "-m", smollm2, "--preset", "slow"], capture_output=True, text=True)
    assert slow.returncode == 2 and "--preset is one of auto, fast, not" in slow.stderr
    short = tmp_path / "short.txt"
    short.write_text("Too short.", encoding="utf-8")
    done = subprocess.run([lazyfill, "calibrate", "-m", smollm2, "-f", short, "--out", tmp_path / "p.json"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "fewer than 16 tokens" in done.stderr and not (tmp_path / "p.json").exists()


def test_a_quick_search_keeps_what_holds_the_target(lazyfill, tiny_model, texts, tmp_path):
    path, search = tmp_path / "quick.json", tmp_path / "search.json"
    calibrate(lazyfill, tiny_model, texts, "--quick", "--out", path, "--json", search, "--max-kl", "100", "--min-agreement", "0")
    preset, report = json.loads(path.read_text(encoding="utf-8")), json.loads(search.read_text(encoding="utf-8"))
    assert report["candidates"][-1]["schedule"] == preset["schedule"] and len(report["candidates"]) == 3
    assert report["candidates"][0]["predicted_speed_up"] >= 2  # where it begins
    assert {saving["mass"] for saving in report["sparse_attention"]["savings"]} <= {0.95}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        calibrate(lazyfill, tiny_model, texts, "--quick", "--schedule", "2:0.5")
    assert refused.value.returncode == 2 and "--quick" in refused.value.stderr


def test_a_search_without_time_keeps_nothing(lazyfill, tiny_model, texts, tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        calibrate(lazyfill, tiny_model, texts * 200, "--minutes", "0.01", "--out", tmp_path / "p.json", "--tokens", "16")
    assert "give more --minutes" in stopped.value.stderr and not (tmp_path / "p.json").exists()


def test_a_model_of_windows_needs_no_preset(lazyfill, tmp_path):
    """Of 18 layers only 5 and 11 can prune: no two depths may ask for the same one."""
    model = tmp_path / "m.gguf"
    tiny.write_gemma3(model, n_layers=18)
    choice = record_of(lazyfill, model, (TEXT.format(1) * 20)[:1200], XDG_CACHE_HOME=str(tmp_path))["lazy_choice"]
    assert choice["source"] == "default" and [stage.split(":")[0] for stage in choice["schedule"].split(",")] == ["5", "11"]


def test_run_says_once_that_calibration_would_pay(lazyfill, tmp_path):
    model, environment = tmp_path / "m.gguf", {"XDG_CACHE_HOME": str(tmp_path)}
    tiny.write_llama(model)

    def said(prompt, *flags):
        done = subprocess.run([lazyfill, "run", "-m", model, "-p", prompt, "-n", "1", *flags], check=True, capture_output=True, text=True, timeout=300, env=environment)
        return done.stderr.count("calibrate --quick")

    long = (TEXT.format(1) * 20)[:1200]
    assert said(long, "--quiet") == 0 and said("Hello") == 0 and said(long, "--lazy", "2:0.5") == 0
    assert said(long) == 1
    assert said(long) == 0


def test_a_schedule_of_ones_own_is_kept_if_it_holds_the_target(lazyfill, tiny_model, texts, tmp_path):
    path = tmp_path / "own.json"
    flags = ("--out", path, "--schedule", "2:0.5,3:0.7", "--policy", "window", "--sparse-attention", "0.9")
    calibrate(lazyfill, tiny_model, texts, *flags, "--max-kl", "100", "--min-agreement", "0")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["schedule"], kept["policy"], kept["sparse_attention"]) == ("2:0.5,3:0.7", "window", 0.9)
    assert kept["revive"] == "auto" and kept["measured"]["kl"] > 0
    path.unlink()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        calibrate(lazyfill, tiny_model, texts, *flags, "--max-kl", "0")
    assert "loses more than the target" in refused.value.stderr and "--max-kl" in refused.value.stderr and not path.exists()


def test_flags_of_a_schedule_without_one_are_refused(lazyfill, tiny_model, texts):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        calibrate(lazyfill, tiny_model, texts, "--policy", "window")
    assert refused.value.returncode == 2 and "--schedule" in refused.value.stderr
