"""The tiny files of every architecture (reference/zoo.py) and the script that makes their goldens, without torch."""

import importlib.util

import gguf
import numpy as np
import pytest

from reference import zoo


@pytest.fixture(scope="module")
def goldens_script(root):
    spec = importlib.util.spec_from_file_location("goldens", root / "scripts" / "make_architecture_goldens.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_new_kind_changes_no_other_file(tmp_path, monkeypatch):
    def contents(folder):
        folder.mkdir()
        for name in zoo.KINDS:
            zoo.write(folder / name, name)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    before = contents(tmp_path / "before")
    monkeypatch.setattr(zoo, "KINDS", {"aaa": zoo.Kind("llama"), **zoo.KINDS, "zzz": zoo.Kind("llama")})
    after = contents(tmp_path / "after")
    assert {name: after[name] for name in before} == before
    weights = [{tensor.name: bytes(tensor.data) for tensor in gguf.GGUFReader(str(tmp_path / "after" / name)).tensors}
               for name in ("aaa", "zzz")]
    assert weights[0]["token_embd.weight"] != weights[1]["token_embd.weight"]


def test_goldens_say_which_file_they_were_made_from():
    with np.load(zoo.GOLDEN) as goldens:
        names = {key for key in goldens if "." not in key}
        assert names <= set(zoo.KINDS) and set(goldens) == names | {f"{name}.{part}" for name in names for part in ("seed", "by")}
        assert {str(goldens[f"{name}.by"]).split()[0] for name in names} <= {"transformers", "mlx-lm"}
        assert all(zoo.seed_of(name) == goldens[f"{name}.seed"] for name in names)
        assert zoo.seed_of("no-such-kind") == zoo.seed_by_name("no-such-kind")


@pytest.mark.parametrize("name", zoo.KINDS)
def test_the_goldens_script_knows_every_tensor(goldens_script, tmp_path, name):
    """A kind whose tensors it cannot name ends in a KeyError here rather than on the machine that has torch."""
    kind = zoo.KINDS[name]
    zoo.write(tmp_path / "kind.gguf", name)
    tensors = [tensor.name for tensor in gguf.GGUFReader(str(tmp_path / "kind.gguf")).tensors if "rope_f" not in tensor.name]
    state = goldens_script.state_dict(kind, tmp_path / "kind.gguf")
    # Gates and ups of experts are one tensor there; a tied head is a second name.
    n_joined = kind.n_layers if kind.n_experts else 0
    assert len(state) == len(tensors) - n_joined + kind.tied
    settings = goldens_script.settings(kind)
    assert settings["num_hidden_layers"] == kind.n_layers and "rope_parameters" in settings
