"""A model with all its matrices, the embedding among them, in one type: the engine against the numpy reference."""

import numpy as np
import pytest

from reference import tiny
from reference.model import Model, kl_divergence
from reference.tensor_types import READABLE

TYPES = [kind.name for kind in READABLE if kind.name != "F32"]
N_TOKENS = 60
MAX_KL = {"reference": 1e-6, "avx2": 2e-3, "avx512": 2e-3, "amx": 2e-3}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """kind -> (path, token ids, the reference's logits); a model is written once for all instruction sets."""
    folder, made = tmp_path_factory.mktemp("types"), {}

    def make(kind):
        if kind not in made:
            path = folder / f"{kind}.gguf"
            tiny.write_blocks(path, kind)
            ids = np.random.default_rng(9).integers(0, tiny.N_VOCAB, N_TOKENS).tolist()
            made[kind] = path, ids, Model(path).forward(ids)
        return made[kind]

    return make


@pytest.mark.parametrize("isa", list(MAX_KL))
@pytest.mark.parametrize("kind", TYPES)
def test_logits_agree_with_the_reference(probe, case, kind, isa):
    """Prefill of all but four tokens, then those one by one: both paths of the products."""
    probe.need_isa(isa)
    path, ids, truth = case(kind)
    steps = [{"tokens": ids[:-4], "logit_rows": N_TOKENS - 4}] + [{"tokens": [token], "logit_rows": 1} for token in ids[-4:]]
    run = probe.run(path, steps, isa=isa, context_tokens=64)
    logits = np.concatenate([step["logits"] for step in run.steps])
    kl = kl_divergence(truth, logits)
    print(f"{kind}, {isa}: mean KL {kl.mean():.3e}, prefill {kl[:-4].mean():.3e}, decode {kl[-4:].mean():.3e}")
    assert kl[:-4].mean() < MAX_KL[isa]
    assert kl[-4:].mean() < MAX_KL[isa]
    # Of what the test is worth: the model is far from even.
    assert np.exp(truth - truth.max(-1, keepdims=True)).sum(-1).mean() < tiny.N_VOCAB / 2
