"""The OpenAPI document: schemathesis sends what it allows and what it does not, and the answers must be those that it tells of."""

import pytest

from scripted import write_model
from serving import Serving

schemathesis = pytest.importorskip("schemathesis", reason="the package schemathesis is missing; scripts/venv.sh brings it")
hypothesis = pytest.importorskip("hypothesis")
positive_data_acceptance = pytest.importorskip("schemathesis.specs.openapi.checks").positive_data_acceptance

N_EXAMPLES = 10  # of each route


@pytest.fixture(scope="module")
def server(lazyfill, root, tmp_path_factory):
    """A model of one layer: what is tried here is the way to it."""
    folder = tmp_path_factory.mktemp("openapi")
    model = write_model(folder / "model.gguf", root, "qwen-3", n_context=4096)
    with Serving(lazyfill, model, "--alias", "small", "--max-tokens", "8", log=folder / "log") as serving:
        yield serving.wait_until_ready()


@pytest.fixture(scope="module")
def document(server):
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_what_schemathesis_thinks_of_the_answers(document, mode):
    """What the document allows, and what it does not. A request that it allows may still be refused, for a schedule that does not fit the
    model or for a token that there is not."""
    operations = [operation.ok() for operation in document.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        if mode.is_negative and not operation.body:
            continue
        @hypothesis.settings(max_examples=N_EXAMPLES, deadline=None, derandomize=True, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def check(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()


def test_the_server_lives_after_all_that(server):
    assert server.get("/health") == (200, {"status": "ok"})
