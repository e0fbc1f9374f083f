"""Both real models end to end: the engine against the numpy reference, and both against transformers."""

import numpy as np
import pytest

from reference.model import kl_divergence, log_softmax

FAST_ISAS = ["avx2", "avx512"]
N_ROWS = 200  # the last positions of the text; with Gemma, many of them beyond the first sliding window
MAX_KL = {"reference": 1e-6, "avx2": 2e-3, "avx512": 2e-3}


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


def check_kl(probe, case, isa):
    """Mean over the last rows of KL(reference || engine)."""
    probe.need_isa(isa)
    path, _, ids, truth, _ = case
    logits = probe.run(path, [{"tokens": ids, "logit_rows": N_ROWS}], isa=isa).steps[0]["logits"]
    kl = np.array([kl_divergence(t, o) for t, o in zip(truth, logits)])  # row by row: the vocabulary is large
    print(f"{path.name}, {isa}: mean KL {kl.mean():.3e}, max {kl.max():.3e} over {len(kl)} positions")
    assert kl.mean() < MAX_KL[isa]


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_reference_agrees_with_transformers(request, model):
    _, golden, _, _, truth = request.getfixturevalue(f"{model}_case")
    check_golden(golden, lambda i: log_softmax(truth[i]))


@pytest.mark.parametrize("model, isa", [
    ("smollm2", "reference"),
    ("smollm2", "avx2"), ("smollm2", "avx512"),
    ("gemma3", "reference"), ("gemma3", "avx2"), ("gemma3", "avx512"),
])
def test_engine_agrees_with_reference(request, probe, model, isa):
    check_kl(probe, request.getfixturevalue(f"{model}_case"), isa)
