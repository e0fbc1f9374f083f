"""StreamingLLM (arXiv 2309.17453) as the paper tells it: a row sees the first tokens of the text, the sinks, and the newest
ones, and all positions are those within what it sees. Keys are turned anew for every row, which is slow and hard to get wrong;
the engine turns them once.

The place of a token, from where the row at position t is: its position for the first sinks + window rows of a text, which see
everything. Later rows have the last place, sinks + window - 1; a sink its position, and a newer token as much less than the
row's as it is older. A layer's own sliding window counts places.
"""

import dataclasses

import numpy as np

from reference.lazy import LazyLLM


class StreamModel:
    """A model whose rows see columns so. Of rotations whose cosines and sines have no factor."""

    def __init__(self, model, sinks, window):
        self._model, self.sinks, self.window = model, sinks, window

    def __getattr__(self, name):
        return getattr(self._model, name)

    def places(self, position, others):
        """Of the row's position and of others, those that it does not see being -1."""
        shift = max(0, position + 1 - self.sinks - self.window)
        others = np.asarray(others)
        is_sink = others < self.sinks
        places = np.where(is_sink, others, others - shift)
        seen = (others <= position) & (is_sink | (others > position - self.window) | (shift == 0))
        return position - shift, np.where(seen, places, -1)

    def probabilities(self, layer, q, q_positions, k, k_positions):
        """As Model.probabilities: [n_heads, n, m]."""
        c = self._model.config
        group = c.n_heads // c.n_kv_heads
        out = np.zeros((c.n_heads, len(q), len(k)), self._model.dtype)
        k_positions = np.asarray(k_positions)
        for row, position in enumerate(q_positions):
            place, places = self.places(position, k_positions)
            seen = places >= 0
            if not c.is_global(layer):
                seen &= place - places < c.windows[layer]
            keys = self._model._rope(layer, k[seen], (places - k_positions)[seen])
            query = self._model._rope(layer, q[row:row + 1], [place - position])[0]
            scores = np.einsum("hd,mhd->hm", query, keys.repeat(group, axis=1)) * c.attention_scale
            if c.attention_cap:
                scores = c.attention_cap * np.tanh(scores / c.attention_cap)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, row, seen] = weights / weights.sum(axis=-1, keepdims=True)
        return out

    def attend(self, layer, q, q_positions, k, v, k_positions):
        c = self._model.config
        p = self.probabilities(layer, q, q_positions, k, k_positions)
        return np.einsum("hnm,mhd->nhd", p, v.repeat(c.n_heads // c.n_kv_heads, axis=1)).reshape(len(q), -1)


class Stream(LazyLLM):
    """A sequence that forgets before each step what none of its rows sees. Sinks are never pruned."""

    def __init__(self, model, options, sinks, window):
        protected = max(options.protect_first, sinks)
        super().__init__(StreamModel(model, sinks, window), dataclasses.replace(options, protect_first=protected))

    def _held(self, n_now):
        m, first_new = self.model, self.n_tokens
        forgotten = set(range(m.sinks, first_new - m.window + 1))
        for store in self.columns + self.aux + self.votes:
            for position in forgotten & set(store):
                del store[position]
        return [p for p in range(n_now) if p not in forgotten]
