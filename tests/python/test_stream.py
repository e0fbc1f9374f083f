"""Streams in the engine against the paper's way of telling it, in reference/stream.py."""

import numpy as np
import pytest

from reference import tiny
from reference.follow import Follower
from reference.lazy import Options
from reference.model import Model, kl_divergence
from reference.stream import Stream

FAST_ISAS = ["avx2", "avx512", "amx"]


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    """(architecture, weight type) -> (path, float64 reference), made when asked for."""
    folder, made = tmp_path_factory.mktemp("stream"), {}

    def get(architecture, weight_type="F32"):
        if (architecture, weight_type) not in made:
            path = folder / f"{architecture}-{weight_type}.gguf"
            {"llama": tiny.write_llama, "gemma3": tiny.write_gemma3}[architecture](path, weight_type)
            made[architecture, weight_type] = path, Model(path, np.float64)
        return made[architecture, weight_type]

    return get


def script_of(sizes, n_decode, n_vocab, seed=1, prompt_end=None):
    """Pieces of a prompt, with the logits of every row, and then tokens of an answer."""
    tokens = np.random.default_rng(seed).integers(0, n_vocab, sum(sizes) + n_decode).tolist()
    script, at = [], 0
    for n in sizes + [1] * n_decode:
        rows = n if prompt_end is None else 1
        script.append({"tokens": tokens[at:at + n], "logit_rows": rows, "prompt_end": prompt_end or sum(sizes)})
        at += n
    return script


def check(probe, path, model, sinks, window, script, options=Options(), isa="reference", max_kl=1e-8, n_rows=64):
    """Returns the rows that came back."""
    capacity = sinks + window - 1 + n_rows
    run = probe.run(path, script, lazy={**vars(options), "protect_first": max(options.protect_first, sinks)}, isa=isa,
                    context_tokens=capacity, stream={"sinks": sinks, "window": window})
    reference = Stream(model, options, sinks, window)
    for step, engine in zip(script, run.steps, strict=True):
        truth = reference.step(step["tokens"], step["prompt_end"], all_logits=step["logit_rows"] > 1, choose=Follower(engine))
        assert [(s.layer, s.kept, s.revived) for s in truth.stages] == [
            (s["layer"], s["kept"], s["revived"]) for s in engine["stages"]]
        assert kl_divergence(truth.logits, engine["logits"]).max() < max_kl
        assert max(engine["n_columns"]) <= capacity
    return sum(engine["n_revived"] for engine in run.steps)


SHAPES = [(4, 20), (1, 33), (0, 20), (7, 1), (3, 90)]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("sinks, window", SHAPES)
def test_every_row_sees_sinks_and_window(probe, tiny_models, architecture, sinks, window):
    """Pieces of many rows, of few and of one, and tokens one by one, long after the window is full."""
    path, model = tiny_models(architecture)
    script = script_of([64, 40, 9, 3, 1, 64], 70, tiny.N_VOCAB)
    check(probe, path, model, sinks, window, script)


@pytest.mark.parametrize("window, sinks", [(3, 2), (6, 2), (9, 4), (30, 4)])
def test_a_layer_with_a_window_counts_places(probe, tiny_models, sinks, window):
    """The window of tiny Gemma's local layers is 8: shorter than the stream's, as long as it, longer."""
    path, model = tiny_models("gemma3")
    check(probe, path, model, sinks, window, script_of([50, 30], 40, tiny.N_VOCAB, seed=2))


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_every_instruction_set_agrees(probe, tiny_models, architecture, isa):
    probe.need_isa(isa)
    path, model = tiny_models(architecture)
    check(probe, path, model, 4, 24, script_of([60, 64, 12], 40, tiny.N_VOCAB, seed=3), isa=isa, max_kl=2e-3)


@pytest.mark.parametrize("architecture, options", [
    ("llama", Options("1:0.5,3:0.5")),
    ("llama", Options("1:0.5,3:0.5", policy="window", window_rows=4, pooling="none")),
    ("llama", Options("1:0.5,3:0.5", policy="values", max_revived=3)),
    ("gemma3", Options("5:0.4,11:0.5")),
], ids=str)
def test_a_document_that_is_pruned_and_then_streams(probe, tiny_models, architecture, options):
    """Who stays is chosen by attention to sinks and window, and what was dropped comes back until it is forgotten."""
    path, model = tiny_models(architecture)
    script = script_of([44], 80, tiny.N_VOCAB, seed=4, prompt_end=44)
    assert check(probe, path, model, 4, 40, script, options) > 0


def test_a_text_that_fits_is_not_changed_by_the_stream(probe, tiny_models):
    path, _ = tiny_models("llama", "Q8_0")
    script = script_of([50, 9], 5, tiny.N_VOCAB, seed=5)
    plain, stream = (probe.run(path, script, isa="avx2", **extra).steps
                     for extra in ({}, {"stream": {"sinks": 4, "window": 60}}))
    assert all(a["logits"].tobytes() == b["logits"].tobytes() for a, b in zip(plain, stream, strict=True))
