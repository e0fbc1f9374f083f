"""`lazyfill calibrate` and the preset that `--lazy auto` takes, on a small budget."""

import json
import subprocess

import pytest

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
                    "--candidates", "4", "--json", search], check=True, capture_output=True, timeout=300, env=environment)
    (path,) = (tmp_path / "lazyfill" / "presets").glob("*.json")
    preset = json.loads(path.read_text(encoding="utf-8"))
    assert preset["fingerprint"] == path.stem
    report = json.loads(search.read_text(encoding="utf-8"))
    # With a target that everything holds, every candidate is within it and each faster than the one before.
    speed_ups = [c["predicted_speed_up"] for c in report["candidates"]]
    assert len(speed_ups) == 4 and speed_ups == sorted(speed_ups) and speed_ups[-1] > 1.5
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


def test_wrong_usage(lazyfill, smollm2, tmp_path):
    two = subprocess.run([lazyfill, "calibrate", "-m", smollm2, "--beside", "--out", "x"], capture_output=True, text=True)
    assert two.returncode == 2 and "--beside" in two.stderr
    short = tmp_path / "short.txt"
    short.write_text("Too short.", encoding="utf-8")
    done = subprocess.run([lazyfill, "calibrate", "-m", smollm2, "-f", short, "--out", tmp_path / "p.json"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "fewer than 16 tokens" in done.stderr and not (tmp_path / "p.json").exists()
