"""LazyLLM in the engine against the plain second implementation in reference/lazy.py: what each stage kept, what came
back, which (layer, token) pairs were computed, and the logits, step by step."""

import json

import numpy as np
import pytest

from reference import tiny
from reference.follow import check_sequence, conversation
from reference.lazy import LazyLLM, Options, budget_of
from reference.model import Model, kl_divergence
from reference.probe import Refused
from reference_tokenizers import Metadata, byte_level_bpe

FAST_ISAS = ["avx2", "avx512", "amx"]

LLAMA_OPTIONS = [
    Options("0:0.3"),
    Options("1:0.5,3:0.5"),
    Options("1:0.7,2:0.7,4:0.25"),
    Options("2:@10,4:0.6"),
    Options("1:0.5,3:0.5", prune_generated=False),
    Options("1:0.2,2:0.5", protect_first=4, protect_last=6),
    Options("1:@5,4:@3", protect_first=4, protect_last=6),  # only what is protected fits
    Options("1:0.5,3:0.5", protect_first=3, protect_last=2, prune_generated=False),
    Options("1:0.5,3:0.5", policy="static"),
    Options("1:0.5,3:0.5", policy="recent"),
    Options("1:0.5,3:0.5", policy="values"),
    Options("1:0.5,3:0.5", policy="window", window_rows=4, pooling="none"),
    Options("1:0.5,3:0.5", policy="window", window_rows=8, pooling="average", pooling_width=7),
    Options("0:0.4,4:0.5", policy="window", window_rows=3, pooling="max", pooling_width=5),
    Options("1:0.5,3:0.5", policy="window", window_rows=500, pooling="average", pooling_width=3),
    Options("1:0.5,3:0.5", max_revived=3),
    Options("1:0.5,3:0.5", max_revived=1, protect_first=3, prune_generated=False),
    Options("0:0.3,2:@20,4:0.5", max_revived=2, policy="window", window_rows=3),
    Options("1:0.5,3:0.3", revive_margin=1.05, protect_first=2, prune_generated=False),
]
GEMMA_OPTIONS = [
    Options("5:0.5"),
    Options("5:0.4,11:0.5"),
    Options("5:@9,11:0.3", prune_generated=False),
    Options("5:0.5,11:0.5", policy="static", protect_first=2),
    Options("5:0.4,11:0.5", policy="values"),
    Options("5:0.5,11:0.5", policy="window", window_rows=4, pooling="max", pooling_width=3),
    Options("5:0.4,11:0.5", max_revived=3),
]


def can_revive(options):
    """Whether a token that left may ever be wanted again."""
    return options.policy not in ("static", "recent") and options.schedule != "1:@5,4:@3"


def describe(options):
    changed = [f"{k}={v}" for k, v in vars(options).items() if v != getattr(Options(), k) and k != "schedule"]
    return " ".join([options.schedule, *changed])


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    """(architecture, weight type) -> (path, float64 reference), made when asked for."""
    folder, made = tmp_path_factory.mktemp("tiny"), {}

    def get(architecture, weight_type):
        if (architecture, weight_type) not in made:
            path = folder / f"{architecture}-{weight_type}.gguf"
            {"llama": tiny.write_llama, "gemma3": tiny.write_gemma3}[architecture](path, weight_type)
            made[architecture, weight_type] = path, Model(path, np.float64)
        return made[architecture, weight_type]

    return get


@pytest.mark.parametrize("keep, n, expected", [("0.5", 7, 4), ("0.1", 30, 3), ("0.3", 10, 3), ("0.7", 10, 7), ("1", 9, 9),
                                               ("0.001", 5, 1), ("@3", 9, 3), ("@12", 9, 9), ("0.5", 0, 0)])
def test_budget(keep, n, expected):
    assert budget_of(keep, n) == expected


@pytest.mark.parametrize("weight_type", ["F32", "Q8_0"])
@pytest.mark.parametrize("options", LLAMA_OPTIONS, ids=describe)
def test_tiny_llama_agrees(probe, tiny_models, options, weight_type):
    path, model = tiny_models("llama", weight_type)
    for seed, n_prompt in ((1, 60), (2, 37)):
        n_ties, n_revived = check_sequence(probe, path, model, options, conversation(seed, n_prompt, tiny.N_VOCAB))
        assert n_ties == 0
        assert (n_revived > 0) == can_revive(options)


@pytest.mark.parametrize("weight_type", ["F32", "Q8_0"])
@pytest.mark.parametrize("options", GEMMA_OPTIONS, ids=describe)
def test_tiny_gemma3_agrees(probe, tiny_models, options, weight_type):
    path, model = tiny_models("gemma3", weight_type)
    for seed, n_prompt in ((3, 60), (4, 37)):
        n_ties, n_revived = check_sequence(probe, path, model, options, conversation(seed, n_prompt, tiny.N_VOCAB))
        assert n_ties == 0
        assert (n_revived > 0) == can_revive(options)


@pytest.mark.parametrize("options", [Options("off"), Options("1:0.5,3:0.5", max_revived=3), Options("0:0.3")], ids=describe)
def test_columns_of_eight_bits_agree(probe, tiny_models, options):
    """--kv q8_0, with what is pruned and revived, later turns and a rewind. The engine rounds keys and values that it computed
    in float32: a few of some 40,000 become the neighbouring byte, and each changes what the layers above round. Noise of that
    size in the reference's own keys moves its logits by as much, 1e-5; the rounding itself by 2e-3."""
    path, model = tiny_models("llama", "F32")
    script = conversation(12, 60, tiny.N_VOCAB)
    check_sequence(probe, path, model, options, script, max_kl=1e-4, eight_bit_columns=True)
    first, second = zip(*([step["logits"] for step in probe.run(path, script[:2], **extra).steps]
                          for extra in ({}, {"column_type": "q8"})))
    assert (first[0] == first[1]).all()  # the prompt saw its own columns before they were rounded
    assert kl_divergence(*second).max() > 1e-4


@pytest.mark.parametrize("architecture, options", [
    ("llama", Options("1:0.5,3:0.5", policy="focus", score_layers=1)),
    ("llama", Options("1:0.5,4:0.5", policy="focus", score_layers=3, pooling_width=3)),
    ("llama", Options("2:0.6,4:0.3", policy="focus", score_layers=9, pooling="none", protect_first=2)),
    ("llama", Options("1:0.5,4:0.5", policy="focus", vote_memory=0, pooling_width=3)),
    ("llama", Options("0:0.4,3:0.5", policy="focus", vote_memory=0.95, max_revived=1)),
    ("llama", Options("1:0.5,4:0.5", policy="focus", max_revived=8, revive_margin=1.2)),
    ("gemma3", Options("5:0.5,11:0.5", policy="focus", score_layers=7, pooling_width=5)),
], ids=lambda x: describe(x) if isinstance(x, Options) else x)
def test_focus_agrees(probe, tiny_models, architecture, options):
    """Voters that are not the newest, in steps of several tokens; in decode the new token votes alone."""
    path, model = tiny_models(architecture, "F32")
    n_now = 0
    script = conversation(11, 60, tiny.N_VOCAB)
    for step in script:
        n_now = step.get("rewind", n_now + len(step.get("tokens", [])))
        if len(step.get("tokens", [])) > 1:
            step["voters"] = [n_now - 8, n_now - 7, n_now - 5, n_now - 1]
    n_ties, n_revived = check_sequence(probe, path, model, options, script)
    assert n_ties == 0 and n_revived > 0


def test_random_choice_is_computed_right(probe, tiny_models):
    """The reference cannot know the engine's random numbers: it replays the choice and checks all that follows."""
    path, model = tiny_models("llama", "F32")
    script = conversation(5, 50, tiny.N_VOCAB)
    options = Options("1:0.5,3:0.5", policy="random")
    check_sequence(probe, path, model, options, script)
    kept = [s["kept"] for s in probe.run(path, script, lazy=options).steps[0]["stages"]]
    assert [len(k) for k in kept] == [25, 13] and kept[0][-1] == kept[1][-1] == 49
    again = {**vars(options), "seed": 0}, {**vars(options), "seed": 1}
    same, other = (probe.run(path, script[:1], lazy=o).steps[0]["stages"][0]["kept"] for o in again)
    assert same == kept[0] and other != kept[0]


@pytest.mark.parametrize("isa", ["reference", *FAST_ISAS])
@pytest.mark.parametrize("architecture, schedule", [("llama", "0:1,2:1.0,4:@4096"), ("gemma3", "5:1,11:@4096")])
def test_keep_all_is_dense_bit_for_bit(probe, tiny_models, isa, architecture, schedule):
    probe.need_isa(isa)
    for weight_type in ("F32", "Q8_0"):
        path, _ = tiny_models(architecture, weight_type)
        script = conversation(6, 70, tiny.N_VOCAB)
        dense = probe.run(path, script, lazy=Options("off"), isa=isa)
        lazy = probe.run(path, script, lazy=Options(schedule), isa=isa)
        for a, b in zip(dense.steps, lazy.steps):
            assert a["logits"].tobytes() == b["logits"].tobytes()


def test_dense_steps_do_not_depend_on_how_tokens_are_cut(probe, tiny_models):
    """One step, or many over the columns of the others: the same distribution."""
    for architecture in ("llama", "gemma3"):
        path, model = tiny_models(architecture, "F32")
        tokens = np.random.default_rng(7).integers(0, tiny.N_VOCAB, 45).tolist()
        truth = model.forward(tokens)
        cuts = [0, 1, 2, 9, 30, 31, 45]
        script = [{"tokens": tokens[a:b], "logit_rows": b - a} for a, b in zip(cuts, cuts[1:])]
        logits = np.concatenate([s["logits"] for s in probe.run(path, script).steps])
        assert kl_divergence(truth, logits).max() < 1e-8


def test_options_may_change_between_steps(probe, tiny_models):
    """A token dropped under one schedule comes back under the next, also at a layer that no longer prunes."""
    path, model = tiny_models("llama", "F32")
    tokens = np.random.default_rng(8).integers(0, tiny.N_VOCAB, 60).tolist()
    reference = LazyLLM(model, Options("1:0.3,4:0.5"))
    reference.step(tokens[:40])
    reference.options = Options("3:0.9")
    second = reference.step(tokens[40:50])
    reference.options = Options("off")
    third = reference.step(tokens[50:])
    run = probe.run(path, [{"tokens": tokens[:40]}, {"lazy": vars(Options("3:0.9"))}, {"tokens": tokens[40:50]},
                           {"lazy": vars(Options("off"))}, {"tokens": tokens[50:]}], lazy=Options("1:0.3,4:0.5"))
    assert run.steps[1]["n_revived"] > 0
    assert kl_divergence(second.logits, run.steps[1]["logits"][0]) < 1e-8
    assert kl_divergence(third.logits, run.steps[2]["logits"][0]) < 1e-8
    # Dense again: every token has been computed everywhere, and once.
    assert run.computed == [list(range(60))] * model.config.n_layers
    assert run.steps[2]["n_columns"] == [60] * model.config.n_layers


@pytest.mark.parametrize("policy, voters", [("lazy", None), ("focus", [58, 59])])
def test_a_stopped_step_leaves_no_trace(probe, tiny_models, policy, voters):
    """Stopped anywhere, in a prompt, in a step that drops and revives, or where the schedule has changed, and then done again."""
    path, model = tiny_models("llama", "F32")
    tokens = np.random.default_rng(9).integers(0, tiny.N_VOCAB, 80).tolist()
    prompt = {"tokens": tokens[:60], **({"voters": voters} if voters else {})}
    decode = [{"tokens": [token], "prompt_end": 60} for token in tokens[60:64]]
    turn, dense = {"tokens": tokens[64:]}, {"lazy": vars(Options("3:0.9"))}
    options = Options("1:0.3,3:0.5", policy=policy)
    whole = probe.run(path, [prompt, *decode, dense, turn], lazy=options)
    for stop_at in range(1, 2 * model.config.n_layers + 1):  # few rows are asked for twice a layer, three times if some come back
        steps = [step for step in (prompt, *decode, dense, turn)
                 for step in ([{**step, "stop_at": stop_at}] if "tokens" in step else []) + [step]]
        stopped = probe.run(path, steps, lazy=options)
        assert len(stopped.steps) == len(whole.steps)
        assert [a["logits"].tobytes() for a in whole.steps] == [b["logits"].tobytes() for b in stopped.steps]
        assert (stopped.computed, stopped.dropped) == (whole.computed, whole.dropped)


def test_a_sliding_window_layer_cannot_prune(probe, tiny_models):
    path, _ = tiny_models("gemma3", "F32")
    for schedule in ("4:0.5", "5:0.5,6:0.5", "12:0.5"):
        with pytest.raises(Refused, match=r"5, 11"):
            probe.run(path, [{"tokens": [1, 2, 3]}], lazy=Options(schedule))


def text_script(token_ids, n_prompt, n_decode=32, question=None):
    """Text, of which the last part is decoded token by token; then, perhaps, a second question on it."""
    script = [{"tokens": token_ids[:n_prompt]}]
    script += [{"tokens": [t], "prompt_end": n_prompt} for t in token_ids[n_prompt:n_prompt + n_decode]]
    if question:
        script += [{"rewind": n_prompt}, {"tokens": question}]
        script += [{"tokens": [t], "prompt_end": n_prompt + len(question)} for t in token_ids[n_prompt:n_prompt + 4]]
    return script


@pytest.mark.parametrize("options, n_prompt", [
    (Options("9:0.5,15:0.5,22:0.5"), 160),
    (Options("9:0.5,15:0.5,22:0.5", max_revived=3), 160),
    (Options("4:0.3,20:@20", protect_first=4, prune_generated=False), 120),
    (Options("12:0.4", policy="window"), 120),
], ids=lambda x: describe(x) if isinstance(x, Options) else str(x))
def test_smollm2_agrees(probe, smollm2, smollm2_reference, smollm2_ids, options, n_prompt):
    script = text_script(smollm2_ids[200:], n_prompt, question=smollm2_ids[50:62])
    _, n_revived = check_sequence(probe, smollm2, smollm2_reference, options, script)
    assert n_revived > 0


def test_gemma3_agrees(probe, gemma3, gemma3_reference, gemma3_ids):
    script = text_script(gemma3_ids, 150, question=gemma3_ids[300:312])
    _, n_revived = check_sequence(probe, gemma3, gemma3_reference, Options("5:0.5,11:0.4"), script)
    assert n_revived > 0


@pytest.mark.parametrize("isa", FAST_ISAS)
def test_keep_all_is_dense_bit_for_bit_on_real_models(probe, smollm2, smollm2_ids, gemma3, gemma3_ids, isa):
    probe.need_isa(isa)
    for path, ids, schedule in ((smollm2, smollm2_ids, "9:1,15:1,22:1"), (gemma3, gemma3_ids, "5:1,11:1")):
        script = text_script(ids, 600, n_decode=8)
        dense, lazy = (probe.run(path, script, lazy=Options(s), isa=isa) for s in ("off", schedule))
        for a, b in zip(dense.steps, lazy.steps):
            assert a["logits"].tobytes() == b["logits"].tobytes()


MIN_JACCARD = 0.97
MAX_FIRST_TOKEN_KL = 0.02


@pytest.fixture(scope="module")
def texts(request, smollm2, smollm2_ids):
    """name -> token ids: parts of the example document, and prompts of the evaluation data, of which the middle is left
    out where they are too long."""
    encode = byte_level_bpe(Metadata(smollm2))

    def get(name):
        if name.startswith("document"):
            return smollm2_ids[{"document, first 1500": slice(1500), "document, last 1700": slice(-1700, None),
                                "document": slice(4096)}[name]]
        data_dir, n = request.getfixturevalue("data_dir"), 1600
        if name == "essay":
            return encode((data_dir / "essays" / "love.txt").read_text(encoding="utf-8"))[:n]
        with open(data_dir / "longbench" / f"{name}.jsonl", encoding="utf-8") as file:
            ids = encode(json.loads(file.readline())["prompt"])
        return ids[:n // 2] + ids[-n // 2:]

    return get


@pytest.fixture(scope="module")
def long_prefill(probe, smollm2, smollm2_reference, texts):
    """(text, isa) -> the reference's step and the engine's; each is computed once."""
    options = Options("9:0.5,15:0.5,22:0.5")
    truths, runs = {}, {}

    def get(text, isa):
        probe.need_isa(isa)
        ids = texts(text)
        if text not in truths:
            truths[text] = LazyLLM(smollm2_reference, options).step(ids)
        if (text, isa) not in runs:
            runs[text, isa] = probe.run(smollm2, [{"tokens": ids}], lazy=options, isa=isa, context_tokens=8192).steps[0]
        return truths[text], runs[text, isa]

    return get


LONG_PROMPTS = ["document, first 1500", "document, last 1700", "essay", "repobench-p", "qasper",
                pytest.param("document", marks=pytest.mark.long)]


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("text", LONG_PROMPTS)
def test_first_token_of_a_long_prompt_on_fast_kernels(long_prefill, text, isa):
    truth, engine = long_prefill(text, isa)
    kl = kl_divergence(truth.logits, engine["logits"][0])
    print(f"{isa}, {text}: first-token KL {kl:.5f}")
    assert kl < MAX_FIRST_TOKEN_KL


@pytest.mark.parametrize("isa", FAST_ISAS)
@pytest.mark.parametrize("text", LONG_PROMPTS)
def test_kept_sets_of_a_long_prompt_on_fast_kernels(long_prefill, text, isa):
    truth, engine = long_prefill(text, isa)
    overlap = {}
    for mine, its in zip(truth.stages, engine["stages"]):
        common, either = set(mine.kept) & set(its["kept"]), set(mine.kept) | set(its["kept"])
        overlap[mine.layer] = len(common) / len(either)
    print(f"{isa}, {text}: Jaccard by layer {overlap}")
    assert min(overlap.values()) >= MIN_JACCARD
