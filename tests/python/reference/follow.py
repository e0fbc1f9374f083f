"""The engine's steps followed by the plain LazyLLM of lazy.py: what each stage kept, what came back, which columns exist,
and the logits."""

import numpy as np

from reference.lazy import LazyLLM, eight_bits
from reference.model import kl_divergence

# Where engine and reference choose differently, the scores of what was swapped must be this close, relative to the
# larger one: then it is a tie at the precision of float32, and the reference goes on with the engine's choice.
TIE = 1e-6


class Follower:
    """Checks the engine's choices of one step against the reference's and counts ties."""

    def __init__(self, engine_step):
        self.kept = {stage["layer"]: stage["kept"] for stage in engine_step["stages"]}
        self.n_ties = 0

    def __call__(self, layer, candidates, scores, proposed):
        kept = self.kept[layer]
        if proposed is None or kept == proposed:
            return kept
        score = dict(zip(candidates, scores))
        lost = [score[p] for p in set(proposed) - set(kept)]
        won = [score[p] for p in set(kept) - set(proposed)]
        assert len(kept) == len(proposed), f"layer {layer}: {len(kept)} kept, not {len(proposed)}"
        assert max(lost) - min(won) <= TIE * max(lost), (
            f"layer {layer}: kept a token with score {min(won)} and dropped one with {max(lost)}")
        self.n_ties += len(lost)
        return kept


def check_sequence(probe, path, model, options, script, isa="reference", max_kl=1e-8, eight_bit_columns=False):
    """Runs `script`, a list of probe steps, in both. Returns the number of ties and of revived rows."""
    run = probe.run(path, script, lazy=options, isa=isa, context_tokens=model.n_context,
                    **({"column_type": "q8"} if eight_bit_columns else {}))
    reference = LazyLLM(model, options, **({"keep_column": eight_bits} if eight_bit_columns else {}))
    engine_steps = iter(run.steps)
    n_ties = n_revived = 0
    for step in script:
        if "rewind" in step:
            reference.rewind(step["rewind"])
            continue
        engine = next(engine_steps)
        follower = Follower(engine)
        truth = reference.step(step["tokens"], step.get("prompt_end"), choose=follower, voters=step.get("voters"))
        assert [(s.layer, s.kept, s.revived) for s in truth.stages] == [
            (s["layer"], s["kept"], s["revived"]) for s in engine["stages"]]
        assert engine["n_revived"] == sum(len(s.revived) for s in truth.stages)
        assert engine["n_columns"] == [len(columns) for columns in reference.columns]
        assert kl_divergence(truth.logits, engine["logits"][-1]) < max_kl
        n_ties += follower.n_ties
        n_revived += engine["n_revived"]
    assert run.computed == [sorted(columns) for columns in reference.columns]
    assert engine["n_columns"] == [len(positions) for positions in run.computed]  # none computed twice
    assert run.dropped == [sorted(aux) for aux in reference.aux]
    for layer in range(model.config.n_layers):
        assert all(times == 1 for counts in (reference.stored, reference.finished) for times in counts[layer].values())
        # A token that has its column at a layer either went through all of it or waits there to be wanted again.
        assert sorted([*reference.finished[layer], *run.dropped[layer]]) == run.computed[layer]
    return n_ties, n_revived


def conversation(seed, n_prompt, n_vocab, n_decode=32, second_turn=9):
    """A prompt, decode steps, a further turn with decode steps of its own, a rewind, another turn."""
    tokens = np.random.default_rng(seed).integers(0, n_vocab, n_prompt + n_decode + 3 * second_turn).tolist()

    def take(n):
        taken = tokens[:n]
        del tokens[:n]
        return taken

    script = [{"tokens": take(n_prompt)}]
    script += [{"tokens": take(1), "prompt_end": n_prompt} for _ in range(n_decode)]
    n = n_prompt + n_decode + second_turn
    script += [{"tokens": take(second_turn)}]
    script += [{"tokens": take(1), "prompt_end": n} for _ in range(second_turn // 2)]
    script += [{"rewind": n_prompt + 2}, {"tokens": take(second_turn)}]
    return script
