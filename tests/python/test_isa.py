"""Instruction sets as the program names, chooses and refuses them."""
import json
import os
import subprocess

import pytest


@pytest.fixture
def run(lazyfill):
    def call(*args, isa):
        return subprocess.run([lazyfill, *map(str, args)], capture_output=True, text=True, timeout=300, check=False,
                              env={**os.environ, "LAZYFILL_ISA": isa})
    return call


@pytest.mark.parametrize("wanted", ["reference", ""])
def test_inspect_names_the_kernels_and_what_the_machine_lacks(run, smollm2, wanted):
    kernels = json.loads(run("inspect", smollm2, "--json", isa=wanted).stdout)["kernels"]
    lacking = [entry["isa"] for entry in kernels["lacking"]]
    assert kernels["can_run"] and kernels["isa"] not in lacking and "reference" not in lacking
    assert kernels["isa"] == wanted or not wanted
    line = next(line for line in run("inspect", smollm2, isa=wanted).stdout.splitlines() if line.startswith("kernels "))
    assert line.split()[1].rstrip(";") == kernels["isa"]
    assert all(entry["reason"] and f"no {entry['isa']}: {entry['reason']}" in line for entry in kernels["lacking"])


def test_an_unknown_instruction_set_is_refused_with_those_there_are(run, smollm2):
    done = run("run", "-m", smollm2, "-p", "x", isa="sse9")
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert '"sse9"' in done.stderr and "reference" in done.stderr
    assert "reference" in json.loads(run("inspect", smollm2, "--json", isa="sse9").stdout)["kernels"]["reason"]
