"""--sparse-attention in the engine against reference/sparse.py, and what it costs."""

import json
import subprocess

import numpy as np
import pytest

from reference import tiny
from reference.model import Model, kl_divergence
from reference.sparse import SparseModel, choose_groups

N_TOKENS = 1000
MASSES = [0.5, 0.9]


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    path = tmp_path_factory.mktemp("sparse") / "llama.gguf"
    tiny.write_llama(path, "F32")
    ids = np.random.default_rng(5).integers(3, tiny.N_VOCAB, N_TOKENS).tolist()
    dense = Model(path).forward(ids, [-1])[0]
    sparse = {}
    for mass in MASSES:
        model = SparseModel(path, mass)
        sparse[mass] = model.forward(ids, [-1])[0], model.attention_kept
    return path, ids, dense, sparse


def test_choice_of_groups():
    weights = np.repeat([1.0, 4, 2, 3, 1, 1, 1, 1, 6], 16) / 16
    assert np.flatnonzero(~choose_groups(weights, 128, 0.5)).tolist() == [1, 2, 3]
    assert np.flatnonzero(~choose_groups(weights, 128, 0.76)).tolist() == [2]


@pytest.mark.parametrize("isa", ["reference", "avx2", "avx512", "amx"])
@pytest.mark.parametrize("mass", MASSES)
def test_engine_keeps_what_numpy_keeps(probe, tiny_llama, isa, mass):
    """The share kept counts every pair of row and column. Rounding may move a group over the border here and there (fp16
    columns move more of them), and the logits with it: by far less than what leaving out columns does."""
    probe.need_isa(isa)
    path, ids, dense, sparse = tiny_llama
    truth, kept = sparse[mass]
    step = probe.run(path, [{"tokens": ids}], lazy={"attention_mass": mass}, isa=isa).steps[0]
    to_numpy, to_dense = (kl_divergence(x, step["logits"][0]) for x in (truth, dense))
    print(f"{isa}, {mass}: kept {step['attention_kept']:.4f} and {kept:.4f}, KL {to_numpy:.2e}, to dense {to_dense:.2e}")
    assert 0.1 < kept < 0.95
    assert step["attention_kept"] == pytest.approx(kept, abs=2e-3)
    assert to_numpy < 0.1 * to_dense


@pytest.mark.parametrize("isa", ["reference", "avx2", "avx512", "amx"])
def test_mass_of_one_is_dense(probe, tiny_llama, isa):
    probe.need_isa(isa)
    path, ids, *_ = tiny_llama
    runs = [probe.run(path, [{"tokens": ids}], lazy=lazy, isa=isa).steps[0] for lazy in ({}, {"attention_mass": 1.0})]
    assert np.array_equal(runs[0]["logits"], runs[1]["logits"])
    assert runs[1]["attention_kept"] == 1


def test_threads_do_not_matter(probe, tiny_llama):
    path, ids, *_ = tiny_llama
    options = {"attention_mass": 0.7, "schedule": "1:0.6,3:0.8"}
    logits = [probe.run(path, [{"tokens": ids}], lazy=options, threads=n).steps[0]["logits"] for n in (1, 5)]
    assert np.array_equal(logits[0], logits[1])


def test_real_model(lazyfill, root, smollm2, tmp_path):
    """Beside pruning and alone, on a text that does not change: .95 loses some hundredths at most, and adds no more to what pruning loses."""
    text = (root / "examples" / "persuasion-1-2.txt").read_text(encoding="utf-8")[3000:9000]
    schedule = ["--lazy", "9:0.5,15:0.5,22:0.5"]
    sparse = ["--sparse-attention", "0.95"]
    lines, records = tmp_path / "lines.jsonl", tmp_path / "records.jsonl"
    lines.write_text("".join(json.dumps({"prompt": text, "flags": flags}) + "\n" for flags in (
        ["--lazy", "off", *sparse], schedule, [*schedule, *sparse])), encoding="utf-8")
    subprocess.run([lazyfill, "run", "-m", smollm2, "--jsonl", lines, "--fidelity", "8", "--no-answer", "--quiet", "--json", records],
                   check=True, timeout=300)
    alone, lazy, both = map(json.loads, records.read_text(encoding="utf-8").splitlines())
    assert alone["lazy"] is None and "sparse_attention" not in lazy["lazy_choice"]
    for record in (alone, both):
        used = record["lazy_choice"]["sparse_attention"]
        assert used["mass"] == 0.95 and 0.2 < used["kept"] < 0.95
    kl = [record["fidelity"]["mean_kl"] for record in (alone, lazy, both)]
    print(kl)
    assert 0 < kl[0] < 0.05
    assert kl[2] != kl[1] and kl[2] < kl[1] + 0.1


def test_bad_share_is_refused(lazyfill, smollm2):
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "-p", "Hello", "--sparse-attention", "0"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode != 0 and "share above 0" in done.stderr
