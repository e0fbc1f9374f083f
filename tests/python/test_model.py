"""Both real models end to end: the engine against the numpy reference, and both against transformers."""

import numpy as np
import pytest

from reference.model import kl_divergence, log_softmax

FAST_ISAS = ["avx2", "avx512", "amx"]
N_ROWS = 200  # the last positions of the text; with Gemma, many of them beyond the first sliding window
MAX_KL = {"reference": 1e-6, "avx2": 2e-3, "avx512": 2e-3, "amx": 2e-3}


@pytest.fixture(scope="module")
def smollm2_case(smollm2, smollm2_reference, smollm2_golden):
    return make_case(smollm2, smollm2_reference, smollm2_golden)


@pytest.fixture(scope="module")
def gemma3_case(gemma3, gemma3_reference, gemma3_golden):
    return make_case(gemma3, gemma3_reference, gemma3_golden)


def make_case(path, model, golden):
    """(path, golden, token ids, the reference's logits of the last rows and of the golden ones)"""
    ids = golden["document_ids"][:golden["n_tokens"]]
    positions = [row["position"] for row in golden["rows"]]
    last = list(range(len(ids) - N_ROWS, len(ids)))
    logits = model.forward(ids, last + positions)
    return path, golden, ids, logits[:N_ROWS], logits[N_ROWS:]


def check_golden(golden, logprobs_of):
    for i, row in enumerate(golden["rows"]):
        mine = logprobs_of(i)
        np.testing.assert_allclose(mine[row["ids"]], row["logprobs"], atol=2e-4, err_msg=f"position {row['position']}")


def check_kl(probe, case, isa, **extra):
    """Mean over the last rows of KL(reference || engine)."""
    probe.need_isa(isa)
    path, _, ids, truth, _ = case
    logits = probe.run(path, [{"tokens": ids, "logit_rows": N_ROWS}], isa=isa, **extra).steps[0]["logits"]
    kl = np.array([kl_divergence(t, o) for t, o in zip(truth, logits)])  # row by row: the vocabulary is large
    print(f"{path.name}, {isa} {extra}: mean KL {kl.mean():.3e}, max {kl.max():.3e} over {len(kl)} positions")
    assert kl.mean() < MAX_KL[isa]


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_reference_agrees_with_transformers(request, model):
    _, golden, _, _, truth = request.getfixturevalue(f"{model}_case")
    check_golden(golden, lambda i: log_softmax(truth[i]))


@pytest.mark.parametrize("model, isa", [
    ("smollm2", "reference"),
    ("smollm2", "avx2"), ("smollm2", "avx512"), ("smollm2", "amx"),
    ("gemma3", "reference"), ("gemma3", "avx2"), ("gemma3", "avx512"), ("gemma3", "amx"),
])
def test_engine_agrees_with_reference(request, probe, model, isa):
    check_kl(probe, request.getfixturevalue(f"{model}_case"), isa)


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
@pytest.mark.parametrize("isa", FAST_ISAS)
def test_eight_bit_activations_stay_within_the_same_bound(request, probe, model, isa):
    check_kl(probe, request.getfixturevalue(f"{model}_case"), isa, activation_bits=8)


@pytest.mark.parametrize("isa", ["avx2", "avx512"])  # tiles multiply 16 bits whatever is asked for
def test_activations_have_sixteen_bits_unless_told_otherwise(probe, smollm2, smollm2_ids, isa):
    probe.need_isa(isa)
    steps = [{"tokens": smollm2_ids[:100], "logit_rows": 2}]
    default, wide, narrow = (probe.run(smollm2, steps, isa=isa, **extra).steps[0]["logits"]
                             for extra in ({}, {"activation_bits": 16}, {"activation_bits": 8}))
    assert default.tobytes() == wide.tobytes() and default.tobytes() != narrow.tobytes()
