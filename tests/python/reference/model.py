"""Forward pass of the architectures llama and gemma3, straight from a GGUF file.

Written to be read and to be right, not to be fast: weights are dequantised by the `gguf` package, everything is
computed in one floating-point type (float32, or float64 for a truth without rounding), and there is no state.
`lazy.py` builds on the same pieces. Checked against transformers by scripts/make_model_goldens.py.

Shapes: n rows are computed and see m columns; hidden [n, d_model], q [n, n_heads, head_dim],
k and v [m, n_kv_heads, head_dim].
"""

import dataclasses

import gguf
import numpy as np

QUERY_BLOCK = 256  # rows whose attention is materialised at a time


@dataclasses.dataclass(frozen=True)
class Config:
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rms_eps: float
    rope_base: float        # of the global layers
    rope_base_local: float  # of the sliding-window layers
    window: int             # columns that a row of a sliding-window layer sees, itself included; 0: no such layers

    def is_global(self, layer):
        """Gemma 3 closes every run of six layers with one that sees everything."""
        return self.window == 0 or (layer + 1) % 6 == 0

    @property
    def is_gemma(self):
        return self.architecture == "gemma3"


def read_config(reader):
    def value(key, default=None):
        field = reader.get_field(key)
        if field is None and default is None:
            raise KeyError(key)
        return default if field is None else field.contents()

    arch = value("general.architecture")
    if arch not in ("llama", "gemma3"):
        raise ValueError(f"no reference for the architecture {arch}")
    d_model, n_heads = value(f"{arch}.embedding_length"), value(f"{arch}.attention.head_count")
    return Config(
        architecture=arch,
        n_layers=value(f"{arch}.block_count"),
        d_model=d_model,
        n_heads=n_heads,
        n_kv_heads=value(f"{arch}.attention.head_count_kv"),
        head_dim=value(f"{arch}.attention.key_length", d_model // n_heads),
        rms_eps=value(f"{arch}.attention.layer_norm_rms_epsilon"),
        rope_base=value(f"{arch}.rope.freq_base", 10000.0),
        rope_base_local=value(f"{arch}.rope.freq_base_swa", 10000.0),
        window=value(f"{arch}.attention.sliding_window", 0) if arch == "gemma3" else 0,
    )


class Model:
    """Weights and the steps of a layer. `dtype` is what everything is computed in."""

    def __init__(self, path, dtype=np.float32):
        reader = gguf.GGUFReader(str(path))
        self.config = read_config(reader)
        self.dtype = dtype
        self._weights = {}
        for tensor in reader.tensors:
            array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            # The embedding is by far the largest and is rounded to nothing: it stays in float32 until it is used.
            keep = tensor.name in ("token_embd.weight", "output.weight")
            self._weights[tensor.name] = array if keep else array.astype(dtype)
        self._head = self._weights.get("output.weight", self._weights["token_embd.weight"])

    def weight(self, name, layer=None):
        return self._weights[f"{name}.weight" if layer is None else f"blk.{layer}.{name}.weight"]

    @property
    def n_vocab(self):
        return self._head.shape[0]

    def _norm(self, x, weight):
        # The + 1 of Gemma's norm weights is already in the file.
        mean_square = np.mean(np.square(x.astype(np.float64)), axis=-1, keepdims=True)
        return (x * (1.0 / np.sqrt(mean_square + self.config.rms_eps)).astype(self.dtype)) * weight

    def embed(self, ids):
        hidden = self.weight("token_embd")[np.asarray(ids)].astype(self.dtype)
        return hidden * self.dtype(np.sqrt(self.config.d_model)) if self.config.is_gemma else hidden

    def _rope(self, layer, x, positions):
        """Rotates x [n, heads, head_dim]. The angle is exact before it is rounded to the computing type."""
        c = self.config
        base = c.rope_base if c.is_global(layer) else c.rope_base_local
        half = c.head_dim // 2
        frequency = float(base) ** (-2.0 * np.arange(half) / c.head_dim)
        angle = np.asarray(positions, np.float64)[:, None] * frequency  # [n, half]
        cos = np.cos(angle).astype(self.dtype)[:, None]
        sin = np.sin(angle).astype(self.dtype)[:, None]
        out = np.empty_like(x)
        # llama files have their q and k rows permuted so that neighbours turn together; gemma's are in halves.
        first, second = (np.s_[..., :half], np.s_[..., half:]) if c.is_gemma else (np.s_[..., 0::2], np.s_[..., 1::2])
        out[first] = x[first] * cos - x[second] * sin
        out[second] = x[first] * sin + x[second] * cos
        return out

    def project(self, layer, hidden, positions):
        """q, k and v of rows at `positions`, rotated."""
        c = self.config
        x = self._norm(hidden, self.weight("attn_norm", layer))
        q = (x @ self.weight("attn_q", layer).T).reshape(len(x), c.n_heads, c.head_dim)
        k = (x @ self.weight("attn_k", layer).T).reshape(len(x), c.n_kv_heads, c.head_dim)
        v = (x @ self.weight("attn_v", layer).T).reshape(len(x), c.n_kv_heads, c.head_dim)
        if c.is_gemma:
            q = self._norm(q, self.weight("attn_q_norm", layer))
            k = self._norm(k, self.weight("attn_k_norm", layer))
        return self._rope(layer, q, positions), self._rope(layer, k, positions), v

    def probabilities(self, layer, q, q_positions, k, k_positions):
        """softmax(q k^T / sqrt(head_dim)) over what each row may see: [n_heads, n, m]. A column is visible to a row
        of the same or a later position and, in a sliding-window layer, when less than `window` positions older."""
        c = self.config
        group = c.n_heads // c.n_kv_heads
        scores = np.empty((c.n_heads, len(q), len(k)), self.dtype)
        for head in range(c.n_heads):
            scores[head] = q[:, head] @ k[:, head // group].T
        scores *= self.dtype(1.0 / np.sqrt(c.head_dim))
        distance = np.asarray(q_positions)[:, None] - np.asarray(k_positions)[None, :]
        hidden = distance < 0
        if not c.is_global(layer):
            hidden |= distance >= c.window
        scores[:, hidden] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        return scores

    def attend(self, layer, q, q_positions, k, v, k_positions):
        """[n, n_heads * head_dim]. Both lists of positions ascend."""
        c = self.config
        group = c.n_heads // c.n_kv_heads
        q_positions, k_positions = np.asarray(q_positions), np.asarray(k_positions)
        out = np.empty((len(q), c.n_heads, c.head_dim), self.dtype)
        for begin in range(0, len(q), QUERY_BLOCK):
            rows = slice(begin, begin + QUERY_BLOCK)
            last = np.searchsorted(k_positions, q_positions[rows][-1], side="right")  # nobody sees beyond
            first = 0
            if not c.is_global(layer):
                first = np.searchsorted(k_positions, q_positions[begin] - c.window + 1)
            p = self.probabilities(layer, q[rows], q_positions[rows], k[first:last], k_positions[first:last])
            for head in range(c.n_heads):
                out[rows, head] = p[head] @ v[first:last, head // group]
        return out.reshape(len(q), c.n_heads * c.head_dim)

    def finish(self, layer, hidden, attended):
        """The rest of the layer after attention: output projection and feed-forward, each with its residual."""
        y = attended @ self.weight("attn_output", layer).T
        if self.config.is_gemma:
            y = self._norm(y, self.weight("post_attention_norm", layer))
        hidden = hidden + y
        x = self._norm(hidden, self.weight("ffn_norm", layer))
        gate = x @ self.weight("ffn_gate", layer).T
        up = x @ self.weight("ffn_up", layer).T
        y = (self._activation(gate) * up) @ self.weight("ffn_down", layer).T
        if self.config.is_gemma:
            y = self._norm(y, self.weight("post_ffw_norm", layer))
        return hidden + y

    def _activation(self, x):
        if self.config.is_gemma:  # GELU, tanh approximation
            return x * (0.5 * (1 + np.tanh(self.dtype(np.sqrt(2 / np.pi)) * (x + self.dtype(0.044715) * x * x * x))))
        return x / (1 + np.exp(-np.maximum(x, -80)))  # SiLU; below -80 the result is 0 in float32 either way

    def logits(self, hidden):
        """[n, n_vocab] of hidden states after the last layer, in blocks so that float64 stays small."""
        x = self._norm(hidden, self.weight("output_norm"))
        block = 16384
        parts = [x @ self._head[i:i + block].astype(self.dtype).T for i in range(0, self.n_vocab, block)]
        return np.concatenate(parts, axis=-1)

    def forward(self, ids, rows=None):
        """Dense: logits [n, n_vocab] of all tokens, or of those that `rows` (a slice or list) picks."""
        positions = np.arange(len(ids))
        hidden = self.embed(ids)
        for layer in range(self.config.n_layers):
            q, k, v = self.project(layer, hidden, positions)
            hidden = self.finish(layer, hidden, self.attend(layer, q, positions, k, v, positions))
        return self.logits(hidden if rows is None else hidden[rows])


def log_softmax(logits):
    """In float64, over the last axis."""
    x = np.asarray(logits, np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def kl_divergence(truth, other):
    """KL(truth || other) in nats of two arrays of logits [..., n_vocab]: [...]."""
    p, q = log_softmax(truth), log_softmax(other)
    return np.sum(np.exp(p) * (p - q), axis=-1)
