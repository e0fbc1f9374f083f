"""Drives build/.../bin/lazyfill_probe: steps of the engine, with everything that can be compared."""

import json
import os
import subprocess

import numpy as np
import pytest


class Refused(Exception):
    """The engine said no; the text is its sentence."""


class Run:
    """What one sequence of steps gave. `steps` holds the token steps only, each a dict with "stages" and "logits"
    [logit_rows, n_vocab]; `computed` per layer the positions that have a column at the end, `dropped` those in the Aux Cache."""

    def __init__(self, prefix):
        with open(f"{prefix}.json", encoding="utf-8") as file:
            record = json.load(file)
        self.isa, self.computed, self.steps = record["isa"], record["computed"], record["steps"]
        self.dropped, self.n_tokens = record["dropped"], record["n_tokens"]
        logits = np.fromfile(f"{prefix}.f32", np.float32).reshape(-1, record["n_vocab"])
        row = 0
        for step in self.steps:
            step["logits"] = logits[row:row + step["logit_rows"]]
            row += step["logit_rows"]


class Probe:
    def __init__(self, program, folder):
        self.program, self.folder, self.n_runs = program, folder, 0

    def need_isa(self, isa):
        """Skips the test on a machine without the instruction set."""
        with pytest.raises(Refused) as refused:  # there is no such file, but the instruction set is looked at first
            self.run("no-such-file.gguf", [], isa=isa)
        if "the instruction set" in str(refused.value) or "an instruction set" in str(refused.value):
            pytest.skip(f"this machine lacks {isa}")

    def run(self, model, steps, lazy=None, isa="reference", context_tokens=4096, **extra):
        """`lazy` is a lazy.Options or a dict with the keys of LazyOptions; `steps` as in probe.cc."""
        self.n_runs += 1
        prefix = self.folder / f"run{self.n_runs}"
        options = lazy if isinstance(lazy, dict) else vars(lazy) if lazy is not None else {}
        request = {"model": str(model), "lazy": options, "steps": steps, "context_tokens": context_tokens, "isa": isa, **extra}
        prefix.with_suffix(".request.json").write_text(json.dumps(request), encoding="utf-8")
        done = subprocess.run([self.program, prefix.with_suffix(".request.json"), prefix], capture_output=True,
                              text=True, timeout=550, check=False)
        if done.returncode == 2:
            raise Refused(done.stderr.strip())
        if done.returncode != 0:
            raise RuntimeError(f"the probe failed ({done.returncode}): {done.stderr.strip()}")
        run = Run(prefix)
        assert run.isa == isa
        for suffix in (".json", ".f32"):
            prefix.with_suffix(suffix).unlink()
        return run
