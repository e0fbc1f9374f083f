"""The table of policies, seen from outside: what can be chosen is what runs, and the documents know it all."""

import json
import re
import subprocess

import pytest

from evals import methods
from reference import tiny

PROMPT = "The keeper of the harbour counts the boats every evening and writes them down. " * 4 + "How many came?"


@pytest.fixture(scope="module")
def choices(lazyfill):
    text = subprocess.run([lazyfill, "run", "--help"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^ +--policy (\S+)", text, flags=re.MULTILINE)[1].split("|")


@pytest.fixture(scope="module")
def record(lazyfill, tmp_path_factory):
    path = tmp_path_factory.mktemp("policies") / "tiny.gguf"
    tiny.write_llama(path)

    def call(*flags):
        done = subprocess.run([lazyfill, "run", "-m", path, "-p", PROMPT, "-n", "4", "--temp", "0", "--quiet", "--json", "-", *flags],
                              check=True, capture_output=True, timeout=300)
        return json.loads(done.stdout)

    return call


def test_what_is_chosen_is_what_is_recorded(choices, record):
    assert choices[0] == "auto" and len(choices) == len(set(choices)) > 9
    recorded = {name: record("--lazy", "1:0.5", "--policy", name)["lazy_choice"]["policy"] for name in choices}
    assert recorded == {name: name for name in choices} | {"auto": "lazy"}


def test_each_choice_keeps_what_its_name_says(choices, record):
    kept = {name: record("--lazy", "1:0.5", "--policy", name)["lazy"]["kept"] for name in choices}
    positions = {name: stages[0]["positions"] for name, stages in kept.items() if stages}
    assert set(kept) - set(positions) == {"snapkv"}  # each layer keeps others
    n = len(positions["recent"])
    assert positions["recent"] == list(range(positions["lazy"][-1] - n + 1, positions["lazy"][-1] + 1))
    # Different names keep different tokens, but for those that differ in what comes after the prompt.
    same = [{"auto", "lazy", "static"}, {"window", "fastkv"}]
    for one in positions:
        for other in positions:
            expected = one == other or any({one, other} <= group for group in same)
            assert (positions[one] == positions[other]) == expected, (one, other)


def test_an_unknown_name_is_refused_with_those_there_are(lazyfill, choices):
    done = subprocess.run([lazyfill, "run", "-p", "x", "--policy", "best"], capture_output=True, text=True)
    assert done.returncode == 2 and f"--policy is one of {', '.join(choices)}, not" in done.stderr


def test_the_evaluation_names_policies_that_there_are(choices):
    info = {"model": {"n_layers": 30, "prunable_layers": list(range(29))}}
    flags = [m.flags for m in [*methods.ablation(info), *methods.methods_for("1:0.5", "1:0.5", 0.5).values()]]
    named = {f[f.index("--policy") + 1] for f in flags if "--policy" in f}
    assert named == set(choices) - {"auto", "recent"}  # the newest alone is the bound that nobody doubts
