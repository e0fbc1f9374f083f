"""LazyLLM (arXiv 2407.14057), spelled out on top of model.py with dictionaries.

State of a sequence
    columns[layer]  position -> (k, v) of tokens that entered the layer as rows
    aux[layer]      position -> what entered the layer, for tokens that were dropped there and computed no further

Step. New tokens become rows at layer 0; the candidates are all positions so far. In every layer:
    1. the rows' keys and values are stored, which may round them;
    2. at a pruning layer the candidates that are not kept leave for the rest of the step (so the sets are nested); a row
       among them leaves its state in aux;
    3. a candidate that is not a row and has no column at the next layer takes its state from aux and becomes a row again
       (is revived); its key and value at this layer are those of the step that dropped it;
    4. each row attends to the tokens that are not newer than itself among the candidates as they were at 1, and goes
       through the feed-forward.
The last row gives the logits. Positions are never renumbered.

Who is kept, at a stage (layer, keep) with n candidates:
    budget    ceil(keep * n), computed as ceil(keep * n * (1 - 1e-12)) so that 0.1 of 30 is 3; or min(count, n) for
              "@count". At least 1.
    forced    the newest max(1, protect_last) candidates and those at positions below protect_first; they count
              against the budget and are kept even beyond it.
    generated with prune_generated off, candidates at positions >= prompt_end: forced too, but outside the budget:
              kept = generated + budget of the others.
    the rest  by score, highest first; of equal scores the newer position.
    missing   with max_revived, in a step of generated tokens: of the candidates that are not new and have no column at the
              next layer, only the max_revived best (and the forced) can be kept; the others stay in aux, and their
              places go to the next best. With revive_margin only those can whose score is at least so many times the one
              at the place of the budget in the order of all scores.

Scores of the policies, over the candidates that entered the layer
    lazy      the last row's attention probabilities, mean over the query heads
    window    mean of those over the last `window_rows` new rows that reached the layer, then the average or maximum
              over `pooling_width` neighbours in the list of candidates (fewer at its ends)
    focus     the mean over the step's `voters` that reached the layer, summed over the pruning layer and the
              `score_layers` - 1 before it that lie behind the last stage and have no sliding window; in a step of generated
              tokens plus `vote_memory` times what each candidate had in the step before (every token's fades by this in
              each such step); pooled as window
    recent    the position
    static    lazy in the first step; later steps keep what has been computed at the next layer and every new token,
              so nothing is revived
    given     what `choose` says: lets a test replay a choice (the engine's random one, or a tie)
"""

import dataclasses
import math
from typing import Callable, Optional

import numpy as np


@dataclasses.dataclass
class Options:
    schedule: str = "off"  # "LAYER:KEEP,..." with KEEP a fraction or "@count"
    policy: str = "lazy"
    window_rows: int = 8
    pooling: str = "average"  # "none", "average", "max"
    pooling_width: int = 7
    score_layers: int = 3
    vote_memory: float = 0.9  # focus
    protect_first: int = 0
    protect_last: int = 1
    prune_generated: bool = True
    max_revived: Optional[int] = None  # None: the paper's algorithm
    revive_margin: float = 0

    def stages(self):
        """layer -> keep, in the order of layers."""
        if self.schedule == "off":
            return {}
        pairs = (part.split(":") for part in self.schedule.split(","))
        return {int(layer): keep for layer, keep in pairs}


@dataclasses.dataclass
class Stage:
    """What happened at one pruning layer."""
    layer: int
    candidates: list
    scores: Optional[np.ndarray]  # [len(candidates)]
    kept: list
    revived: list


@dataclasses.dataclass
class Step:
    logits: np.ndarray  # [n_vocab] of the last row, or [n_rows, n_vocab] with all_logits
    stages: list


def budget_of(keep, n):
    if n == 0:
        return 0
    if keep.startswith("@"):
        return min(int(keep[1:]), n)
    return min(max(math.ceil(float(keep) * n * (1 - 1e-12)), 1), n)


def count(times, positions):
    for position in positions:
        times[position] = times.get(position, 0) + 1


def pool(scores, how, width):
    if how == "none":
        return scores
    half = width // 2
    reduce = np.max if how == "max" else np.mean
    return np.array([reduce(scores[max(0, i - half):i + half + 1]) for i in range(len(scores))])


def forced_positions(options, candidates, prompt_end):
    """(protected within the budget, generated ones outside it)"""
    newest = set(candidates[-max(1, options.protect_last):])
    protected = {p for p in candidates if p in newest or p < options.protect_first}
    generated = set() if options.prune_generated else {p for p in candidates if p >= prompt_end}
    return protected, generated


def choose_kept(options, keep, candidates, scores, prompt_end, missing=()):
    """`missing`: candidates of which at most options.max_revived can be kept, if they have the margin."""
    protected, generated = forced_positions(options, candidates, prompt_end)
    budget = len(generated) + budget_of(keep, len(candidates) - len(generated))
    kept = protected | generated
    missing, n_revived = set(missing) - kept, 0
    least = options.revive_margin * sorted(scores, reverse=True)[budget - 1] if budget < len(scores) else 0
    for score, position in sorted(zip(scores, candidates), reverse=True):
        if len(kept) >= budget:
            break
        if position in missing:
            if score < least:
                continue
            n_revived += 1
            if options.max_revived is not None and n_revived > options.max_revived:
                continue
        kept.add(position)
    return sorted(kept)


def eight_bits(x, block=32):
    """Keys or values [heads, head_dim] as --kv q8_0 keeps them: bytes with a scale in fp16 for every `block`."""
    kept = np.empty_like(x)
    for begin in range(0, x.shape[-1], block):
        part = x[:, begin:begin + block]
        scale = (np.abs(part).max(axis=-1, keepdims=True) / 127).astype(np.float16).astype(x.dtype)
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        kept[:, begin:begin + block] = np.clip(np.rint(part * inverse), -127, 127) * scale
    return kept


class LazyLLM:
    """One sequence. `choose(stage_layer, candidates, scores, proposed) -> kept` overrides the choice of a stage."""

    def __init__(self, model, options, keep_column=lambda x: x):
        self.model = model
        self.keep_column = keep_column  # what becomes of keys and values [heads, head_dim] that are stored
        self.options = options
        self.n_tokens = 0
        self.columns = [{} for _ in range(model.config.n_layers)]
        self.aux = [{} for _ in range(model.config.n_layers)]
        self.votes = [{} for _ in range(model.config.n_layers)]     # position -> remembered votes
        self.stored = [{} for _ in range(model.config.n_layers)]    # position -> times its column was computed
        self.finished = [{} for _ in range(model.config.n_layers)]  # position -> times the rest of the layer was

    def step(self, tokens, prompt_end=None, all_logits=False, choose: Optional[Callable] = None,
             voters=None):
        """Positions from `prompt_end` on are generated tokens; by default there are none. `voters`: positions, for focus;
        by default the last."""
        model, n_layers = self.model, self.model.config.n_layers
        first_new, n_now = self.n_tokens, self.n_tokens + len(tokens)
        prompt_end = n_now if prompt_end is None else prompt_end
        keep_of = self.options.stages()
        rows = list(range(first_new, n_now))
        candidates = self._held(n_now)
        hidden = model.embed(tokens)
        stages, votes = [], 0
        voters = set(voters or [n_now - 1])
        for layer in range(n_layers):
            q, k, v = self._store(layer, hidden, rows, candidates)
            entered, stage = candidates, None
            if self._has_a_vote(layer, keep_of):
                votes = votes + self._votes(layer, q, rows, k, candidates, voters)
            if layer in keep_of:
                if self.options.policy == "focus":
                    votes = self._remember(layer, candidates, votes, first_new >= prompt_end)
                    scores, votes = pool(votes, self.options.pooling, self.options.pooling_width), 0
                else:
                    scores = self._scores(layer, q, rows, k, v, candidates, first_new)
                kept = self._choose(keep_of[layer], layer, candidates, scores, prompt_end, first_new)
                if choose is not None:
                    kept = sorted(choose(layer, candidates, scores, kept))
                stage = Stage(layer, candidates, scores, kept, [])
                stages.append(stage)
                wanted = set(kept)
                for row, position in enumerate(rows):
                    if position not in wanted:
                        assert position not in self.aux[layer] and position not in self.columns[layer + 1]
                        self.aux[layer][position] = hidden[row].copy()
                stay = [row for row, position in enumerate(rows) if position in wanted]
                rows, hidden, q, candidates = [rows[row] for row in stay], hidden[stay], q[stay], kept
            if layer + 1 < n_layers:
                rows, hidden, q, revived = self._revive(layer, rows, hidden, q, candidates)
                if stage is not None:
                    stage.revived = revived
            count(self.finished[layer], rows)
            hidden = model.finish(layer, hidden, model.attend(layer, q, rows, k, v, entered))
        assert rows[-1] == n_now - 1
        self.n_tokens = n_now
        logits = model.logits(hidden if all_logits else hidden[-1:])
        return Step(logits if all_logits else logits[0], stages)

    def _held(self, n_now):
        """The positions that a step may look at, its own among them."""
        return list(range(n_now))

    def rewind(self, n_tokens):
        """Forgets every token from position n_tokens on."""
        self.n_tokens = n_tokens
        for store in self.columns + self.aux + self.votes + self.stored + self.finished:
            for position in [p for p in store if p >= n_tokens]:
                del store[position]

    def _store(self, layer, hidden, rows, candidates):
        """Queries of the rows, and keys and values of every candidate: those just stored and the older ones. Where there are
        no older ones, the rows see their own as they were before they were stored."""
        q, k, v = self.model.project(layer, hidden, rows)
        columns = self.columns[layer]
        for row, position in enumerate(rows):
            columns[position] = (self.keep_column(k[row]), self.keep_column(v[row]))
        count(self.stored[layer], rows)
        if rows == candidates:
            return q, k, v
        return q, np.stack([columns[p][0] for p in candidates]), np.stack([columns[p][1] for p in candidates])

    def _has_a_vote(self, layer, keep_of):
        to_come = [stage for stage in keep_of if stage >= layer]
        return (self.options.policy == "focus" and to_come and min(to_come) - layer < self.options.score_layers
                and self.model.config.is_global(layer))

    def _votes(self, layer, q, rows, k, candidates, voters):
        mine = [row for row, position in enumerate(rows) if position in voters]
        return self.model.probabilities(layer, q[mine], [rows[row] for row in mine], k, candidates).mean(axis=(0, 1))

    def _remember(self, layer, candidates, votes, is_decode):
        share = self.options.vote_memory if is_decode else 0
        memory = {position: share * vote for position, vote in self.votes[layer].items()}
        for position, vote in zip(candidates, votes):
            memory[position] = memory.get(position, 0) + vote
        self.votes[layer] = memory
        return np.array([memory[position] for position in candidates])

    def _scores(self, layer, q, rows, k, v, candidates, first_new):
        options = self.options
        if options.policy == "recent":
            return np.array(candidates, np.float64)
        if options.policy not in ("lazy", "static", "window", "values"):
            return None
        voters = [row for row, position in enumerate(rows) if position >= first_new]
        voters = voters[-(options.window_rows if options.policy == "window" else 1):]
        positions = [rows[row] for row in voters]
        by_head = self.model.probabilities(layer, q[voters], positions, k, candidates).mean(axis=1)
        if options.policy == "values":
            norms = np.linalg.norm(v, axis=-1).T  # [n_kv_heads, n]
            by_head = by_head * norms.repeat(len(by_head) // len(norms), axis=0)
        scores = by_head.mean(axis=0)
        return pool(scores, options.pooling, options.pooling_width) if options.policy == "window" else scores

    def _choose(self, keep, layer, candidates, scores, prompt_end, first_new):
        if self.options.policy == "static" and first_new > 0:
            return [p for p in candidates if p >= first_new or p in self.columns[layer + 1]]
        if scores is None:
            return None  # `choose` must know
        missing = []
        if (self.options.max_revived is not None or self.options.revive_margin) and first_new >= prompt_end:
            missing = [p for p in candidates if p < first_new and p not in self.columns[layer + 1]]
        return choose_kept(self.options, keep, candidates, scores, prompt_end, missing)

    def _revive(self, layer, rows, hidden, q, candidates):
        present = set(rows)
        revived = [p for p in candidates if p not in present and p not in self.columns[layer + 1]]
        if not revived:
            return rows, hidden, q, revived
        states = np.stack([self.aux[layer].pop(position) for position in revived])
        queries, _, _ = self.model.project(layer, states, revived)
        rows, hidden, q = rows + revived, np.concatenate([hidden, states]), np.concatenate([q, queries])
        order = np.argsort(rows)
        return [rows[i] for i in order], hidden[order], q[order], revived
