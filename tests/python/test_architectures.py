"""Every architecture, as tiny random files (reference/zoo.py): the engine and the numpy reference against transformers or
mlx-lm, dense, and the engine against the plain LazyLLM, lazy."""

import functools

import gguf
import numpy as np
import pytest

from reference import zoo
from reference.follow import check_sequence, conversation
from reference.lazy import LazyLLM, Options
from reference.model import Model, kl_divergence
from reference.probe import Refused

ISAS = ["reference", "avx2", "avx512", "amx"]
MAX_KL = {"reference": 1e-6, "avx2": 2e-3, "avx512": 2e-3, "amx": 2e-3}
ALL = pytest.mark.parametrize("name", zoo.KINDS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """name -> path, made when asked for."""
    folder = tmp_path_factory.mktemp("zoo")

    def get(name):
        path = folder / f"{name}.gguf"
        if not path.exists():
            zoo.write(path, name)
        return path

    return get


class Goldens(dict):
    """name -> logits [N_TOKENS, N_VOCAB] of transformers or mlx-lm; a kind without them skips the test that asks."""

    def __missing__(self, name):
        pytest.skip(f"no golden for {name}: scripts/make_architecture_goldens.py {name} makes it; its head says with what")


@pytest.fixture(scope="module")
def golden():
    return Goldens(np.load(zoo.GOLDEN))


@pytest.fixture(scope="module")
def numpy_logits(files):
    """name -> logits [N_TOKENS, N_VOCAB] of the numpy reference, computed when asked for."""
    return functools.cache(lambda name: Model(files(name), n_context=zoo.N_CONTEXT).forward(zoo.tokens()))


def prunable_layers(model):
    return [layer for layer in range(model.config.n_layers - 1) if model.config.is_global(layer)]


def lazy_options(model, keep="0.5", **options):
    """One or two stages; None where no layer can prune."""
    layers = prunable_layers(model)
    chosen = sorted({layers[len(layers) // 3], layers[-1]}) if layers else []
    return Options(",".join(f"{layer}:{keep}" for layer in chosen), **options) if chosen else None


def run_dense(probe, path, isa):
    script = [{"tokens": zoo.tokens(), "logit_rows": zoo.N_TOKENS}]
    return probe.run(path, script, isa=isa, context_tokens=zoo.N_CONTEXT).steps[0]["logits"]


@ALL
def test_numpy_agrees_with_the_golden(numpy_logits, golden, name):
    assert kl_divergence(golden[name], numpy_logits(name)).mean() < 1e-9


@ALL
@pytest.mark.parametrize("isa", ISAS)
def test_engine_agrees_with_numpy(probe, files, numpy_logits, name, isa):
    probe.need_isa(isa)
    assert kl_divergence(numpy_logits(name), run_dense(probe, files(name), isa)).mean() < MAX_KL[isa]


@ALL
@pytest.mark.parametrize("isa", ISAS)
def test_engine_agrees_with_the_golden(probe, files, golden, name, isa):
    probe.need_isa(isa)
    kl = kl_divergence(golden[name], run_dense(probe, files(name), isa))
    print(f"{name}, {isa}: mean KL {kl.mean():.3e}, max {kl.max():.3e}")
    assert kl.mean() < MAX_KL[isa]


@ALL
def test_lazy_agrees(probe, files, name):
    path = files(name)
    model = Model(path, np.float64, zoo.N_CONTEXT)
    script = conversation(5, 40, zoo.N_VOCAB, n_decode=6, second_turn=5)
    for options in (lazy_options(model, protect_first=1), lazy_options(model, "0.4", policy="focus")):
        if options is None:
            with pytest.raises(Refused, match="no layer that can prune"):
                probe.run(path, script, lazy=Options("0:0.5"), context_tokens=zoo.N_CONTEXT)
            return
        n_ties, n_revived = check_sequence(probe, path, model, options, script)
        assert n_ties == 0 and n_revived > 0


@ALL
@pytest.mark.parametrize("isa", ISAS[1:])
def test_lazy_agrees_on_fast_kernels(probe, files, name, isa):
    """The reference follows the engine's choices, which may differ from its own where scores are close."""
    probe.need_isa(isa)
    path = files(name)
    model = Model(path, n_context=zoo.N_CONTEXT)
    options = lazy_options(model)
    if options is None:
        pytest.skip("no layer can prune")
    script = [{"tokens": zoo.tokens()[:48]}] + [{"tokens": [token], "prompt_end": 48} for token in zoo.tokens()[48:]]
    run = probe.run(path, script, lazy=options, isa=isa, context_tokens=zoo.N_CONTEXT)
    lazy, kls, shared, total = LazyLLM(model, options), [], 0, 0
    for step, engine in zip(script, run.steps):
        kept = {stage["layer"]: stage["kept"] for stage in engine["stages"]}
        overlaps = []

        def follow(layer, _candidates, _scores, proposed, kept=kept, overlaps=overlaps):
            overlaps.append((len(set(kept[layer]) & set(proposed)), len(proposed)))
            return kept[layer]

        truth = lazy.step(step["tokens"], step.get("prompt_end"), choose=follow)
        shared, total = shared + sum(o[0] for o in overlaps), total + sum(o[1] for o in overlaps)
        kls.append(kl_divergence(truth.logits, engine["logits"][-1]))
    print(f"{name}, {isa}: mean KL {np.mean(kls):.3e}, {shared} of {total} choices the same")
    assert np.mean(kls) < MAX_KL[isa]
    assert shared >= 0.97 * total


@ALL
@pytest.mark.parametrize("isa", ISAS)
def test_keep_all_is_dense_bit_for_bit(probe, files, name, isa):
    probe.need_isa(isa)
    path = files(name)
    options = lazy_options(Model(path, n_context=zoo.N_CONTEXT), "1")
    if options is None:
        pytest.skip("no layer can prune")
    script = conversation(6, 60, zoo.N_VOCAB, n_decode=4, second_turn=6)
    runs = [probe.run(path, script, lazy=o, isa=isa, context_tokens=zoo.N_CONTEXT) for o in (Options("off"), options)]
    for dense, lazy in zip(*(run.steps for run in runs)):
        assert dense["logits"].tobytes() == lazy["logits"].tobytes()


def test_a_kind_without_a_golden_is_skipped_with_how_to_make_it(golden):
    with pytest.raises(pytest.skip.Exception, match="make_architecture_goldens.py llama9 makes it"):
        golden["llama9"]


@pytest.mark.parametrize("isa", ISAS)
def test_experts_one_token_at_a_time(probe, files, golden, isa):
    """Rows that experts compute together are not mixed up: alone each gives what it gives among the others."""
    probe.need_isa(isa)
    script = [{"tokens": [token]} for token in zoo.tokens()]
    steps = probe.run(files("qwen3moe"), script, isa=isa, context_tokens=zoo.N_CONTEXT).steps
    kl = kl_divergence(golden["qwen3moe"], np.concatenate([step["logits"] for step in steps]))
    assert kl.mean() < MAX_KL[isa]


@pytest.mark.parametrize("isa", ISAS)
def test_experts_give_the_same_bits_on_any_number_of_threads(probe, files, isa):
    probe.need_isa(isa)
    # The vector tables' attention rounds by blocks of rows, and a long prompt is cut into blocks for the threads.
    for n_tokens in (24, 192) if isa == "reference" else (24,):
        script = [{"tokens": (zoo.tokens() * 3)[:n_tokens], "logit_rows": 8}]
        script += [{"tokens": [token]} for token in zoo.tokens()[:4]]
        runs = [probe.run(files("qwen3moe"), script, isa=isa, threads=n) for n in (1, 2, 3)]
        for steps in zip(*(run.steps for run in runs)):
            assert len({step["logits"].tobytes() for step in steps}) == 1


@pytest.mark.parametrize("unrotated", [{}, {"smollm3": 2}, {"smollm3": 8}])
def test_layers_without_a_rotation_are_noticed(probe, files, monkeypatch, unrotated):
    monkeypatch.setattr("reference.model.UNROTATED_EVERY", unrotated)
    logits = Model(files("smollm3"), n_context=zoo.N_CONTEXT).forward(zoo.tokens())
    assert kl_divergence(logits, run_dense(probe, files("smollm3"), "reference")).mean() > 1e-2


def test_long_rope_is_chosen_by_what_the_sequence_may_grow_to(probe, files):
    """phi3-long was trained on 32 tokens: a sequence that cannot outgrow these takes the short factors."""
    path, ids = files("phi3-long"), zoo.tokens()[:30]
    for n_context in (32, 33):
        truth = Model(path, n_context=n_context).forward(ids)
        logits = probe.run(path, [{"tokens": ids, "logit_rows": 30}], context_tokens=n_context).steps[0]["logits"]
        assert kl_divergence(truth, logits).mean() < MAX_KL["reference"]


def rewritten(path, target, metadata=None, rename=None, drop=None, add=None):
    """A copy with other metadata, tensor names or tensors."""
    reader = gguf.GGUFReader(str(path))
    writer = gguf.GGUFWriter(str(target), reader.get_field("general.architecture").contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", *(metadata or {})):
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], element)
    for key, value in (metadata or {}).items():
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for tensor in reader.tensors:
        if tensor.name != drop:
            writer.add_tensor((rename or {}).get(tensor.name, tensor.name), tensor.data, raw_dtype=tensor.tensor_type)
    for name, values in (add or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


ONE = np.ones(128, np.float32)


@pytest.mark.parametrize("name, change, sentence", [
    ("llama2", {"add": {"blk.0.attn_output.scale": ONE}}, r'the file holds the tensor "blk.0.attn_output.scale", which its'),
    ("llama2", {"add": {"blk.1.ffn_sub_norm.weight": ONE}}, r'tensor "blk.1.ffn_sub_norm.weight", which its architecture'),
    ("qwen2", {"drop": "blk.1.attn_k.bias"}, "the tensor blk.1.attn_k.bias is missing"),
    ("qwen3moe", {"drop": "blk.0.ffn_gate_inp.weight"}, "the tensor blk.0.ffn_gate_inp.weight is missing"),
    ("qwen3moe", {"metadata": {"qwen3moe.expert_used_count": 17}}, "expert_used_count is 17; it must be from 1 to 16"),
    ("qwen3moe", {"metadata": {"qwen3moe.expert_count": 0}}, "qwen3moe.expert_count is missing or 0"),
    ("phi3-long", {"drop": "rope_factors_short.weight"}, "one is missing"),
    ("phi3-long", {"metadata": {"phi3.rope.dimension_count": 32}}, "rope_factors_short.weight must hold 16 factors"),
    ("llama3", {"drop": "rope_freqs.weight", "add": {"rope_freqs.weight": np.zeros(16, np.float32)}},
     "factors that are not above 0"),
    ("llama-yarn", {"metadata": {"llama.rope.scaling.type": "magic"}}, 'scaled by "magic"; supported are none, linear'),
    ("llama-yarn", {"metadata": {"llama.rope.scaling.yarn_beta_slow": 0.0}}, "must be above 0"),
    ("llama-linear", {"metadata": {"llama.rope.scaling.factor": -2.0}}, "scaling.factor must be above 0"),
    ("olmo3", {"metadata": {"olmo2.attention.sliding_window_pattern": [True]}}, "true or false for every layer"),
    ("granite", {"metadata": {"granite.logit_scale": 0.0}}, "granite.logit_scale must be above 0"),
    ("granite", {"metadata": {"granite.attention.head_count_kv": [2, 2, 1, 2]}}, "not the same for every layer"),
    ("gemma2", {"metadata": {"gemma2.attn_logit_softcapping": -1.0}}, "softcapping must not be negative"),
])
def test_files_that_do_not_fit_are_refused(probe, files, tmp_path, name, change, sentence):
    path = rewritten(files(name), tmp_path / "changed.gguf", **change)
    with pytest.raises(Refused, match=sentence):
        probe.run(path, [{"tokens": [1, 2, 3]}])


def test_a_list_of_the_same_for_every_layer_is_one_number(probe, files, golden, tmp_path):
    """As the converter writes it for Granite 4's dense models."""
    path = rewritten(files("granite"), tmp_path / "changed.gguf", metadata={"granite.attention.head_count_kv": [2] * 4})
    assert kl_divergence(golden["granite"], run_dense(probe, path, "reference")).mean() < MAX_KL["reference"]


@pytest.mark.parametrize("name, change", [
    ("llama-linear", {"llama.rope.scaling.factor": 3.9}),
    ("llama-yarn", {"llama.rope.scaling.yarn_beta_slow": 1.0}),
    ("mistral", {"llama.attention.sliding_window": 17}),
    ("qwen2", {"qwen2.rope.scaling.original_context_length": 128}),
    ("gemma2", {"gemma2.attn_logit_softcapping": 3.1}),
    ("gemma2", {"gemma2.final_logit_softcapping": 8.1}),
    ("gemma3", {"gemma3.rope.scaling.factor": 7.5}),
    ("granite", {"granite.attention.scale": 0.11}),
    ("granite", {"granite.embedding_scale": 3.1}),
    ("granite", {"granite.residual_scale": 0.25}),
    ("granite", {"granite.logit_scale": 2.02}),
    ("granite", {"granite.rope.scaling.finetuned": False}),
    ("mixtral", {"llama.expert_used_count": 1}),
    ("qwen3moe", {"qwen3moe.expert_used_count": 5}),
    ("qwen3moe", {"qwen3moe.expert_weights_norm": False}),
    ("qwen3moe", {"qwen3moe.expert_weights_scale": 1.1}),
    ("phi3-long", {"phi3.rope.scaling.attn_factor": 1.2}),
    ("smollm3", {"smollm3.rope.scaling.factor": 3.9}),
])
def test_the_goldens_notice_every_setting(probe, files, golden, tmp_path, name, change):
    """With a little of what the file says changed, the logits are no longer those of the golden."""
    path = rewritten(files(name), tmp_path / "changed.gguf", metadata=change)
    assert kl_divergence(golden[name], run_dense(probe, path, "reference")).mean() > 10 * MAX_KL["reference"]
