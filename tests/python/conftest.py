"""Fixtures of the whole-program tests: where the build, the models and the evaluation data are."""

import json
import os
import pathlib
import sys

import pytest

from reference.model import Model
from reference.probe import Probe

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # evals/


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests marked 'long' (minutes each)")
    parser.addoption("--build-dir", type=pathlib.Path, default=ROOT / "build" / "release",
                     help="the build to test (default: build/release)")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs only with --long")
    config.addinivalue_line("markers", "ray: starts Ray on this machine; skipped where it is not installed")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def build_dir(request):
    path = request.config.getoption("--build-dir").resolve()
    if not path.is_dir():
        pytest.fail(f"{path} is missing: build first (./scripts/test.sh) or name another folder with --build-dir")
    return path


@pytest.fixture(scope="session")
def lazyfill(build_dir):
    """The program under test."""
    program = build_dir / "bin" / "lazyfill"
    if not program.is_file():
        pytest.fail(f"{program} is missing: the build is not complete")
    return program


@pytest.fixture(scope="session")
def models_dir():
    """The folder with the models: LAZYFILL_TEST_MODELS, else the cache that scripts/test.sh fills."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    return pathlib.Path(os.environ.get("LAZYFILL_TEST_MODELS", cache / "lazyfill" / "models"))


def _model(models_dir, name):
    path = models_dir / name
    if not path.is_file():
        pytest.skip(f"the model {path} is missing; scripts/test.sh fetches it")
    return path


@pytest.fixture(scope="session")
def smollm2(models_dir):
    return _model(models_dir, "SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="session")
def gemma3(models_dir):
    return _model(models_dir, "gemma-3-270m-q4_k_m.gguf")


@pytest.fixture(scope="session")
def data_dir():
    """Evaluation data that the project does not ship: LAZYFILL_TEST_DATA, else ../shared/data."""
    path = pathlib.Path(os.environ.get("LAZYFILL_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"the evaluation data {path} is missing; LAZYFILL_TEST_DATA names the folder that holds it")
    return path


@pytest.fixture(scope="session")
def probe(build_dir, tmp_path_factory):
    """Steps of the engine below its public interface; see tests/tools/probe.cc."""
    program = build_dir / "bin" / "lazyfill_probe"
    if not program.is_file():
        pytest.fail(f"{program} is missing: the build is not complete")
    return Probe(program, tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="session")
def smollm2_reference(smollm2):
    """The numpy model, in float32."""
    return Model(smollm2)


@pytest.fixture(scope="session")
def gemma3_reference(gemma3):
    return Model(gemma3)


def _golden(root, model):
    return json.loads((root / "tests" / "golden" / f"{model.stem.lower()}.logprobs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def smollm2_golden(root, smollm2):
    """What transformers computes on real text; made by scripts/make_model_goldens.py."""
    return _golden(root, smollm2)


@pytest.fixture(scope="session")
def gemma3_golden(root, gemma3):
    return _golden(root, gemma3)


@pytest.fixture(scope="session")
def smollm2_ids(smollm2_golden):
    """Token ids of the example document."""
    return smollm2_golden["document_ids"]


@pytest.fixture(scope="session")
def gemma3_ids(gemma3_golden):
    return gemma3_golden["document_ids"]
