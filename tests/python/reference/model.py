"""Forward pass of every architecture that the engine knows, straight from a GGUF file.

Written to be read and to be right, not to be fast: weights are dequantised by the `gguf` package, everything is
computed in one floating-point type (float32, or float64 for a truth without rounding), and there is no state.
`lazy.py` builds on the same pieces. Checked against transformers by scripts/make_model_goldens.py and
scripts/make_architecture_goldens.py.

Shapes: n rows are computed and see m columns; hidden [n, d_model], q [n, n_heads, head_dim],
k and v [m, n_kv_heads, head_dim].
"""

import dataclasses

import gguf
import numpy as np

from reference.rope import Rope, read_rope

QUERY_BLOCK = 256  # rows whose attention is materialised at a time

# Which layer of every so many sees everything, where the file gives a window: 0 is none.
GLOBAL_EVERY = {"llama": 0, "phi3": 0, "gemma2": 2, "gemma3": 6, "olmo2": 4}
NEIGHBOURS_TURN = ("llama", "granite", "smollm3")  # pairs (2i, 2i + 1); the others turn (i, i + rope_dim / 2)

# Which layer of every so many has no rotation: SmolLM3's "NoPE" layers.
UNROTATED_EVERY = {"smollm3": 4}


@dataclasses.dataclass(frozen=True)
class Config:
    architecture: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rms_eps: float
    windows: tuple          # by layer: columns that a row sees, itself included; 0: all
    rope: Rope              # of the global layers
    rope_local: Rope        # of the sliding-window layers
    attention_scale: float
    attention_cap: float    # 0: none
    logit_cap: float        # 0: none
    embedding_scale: float
    residual_scale: float
    logit_scale: float
    n_experts: int
    n_experts_used: int
    normalize_experts: bool
    expert_scale: float

    def is_global(self, layer):
        return self.windows[layer] == 0

    def is_rotated(self, layer):
        period = UNROTATED_EVERY.get(self.architecture)
        return period is None or (layer + 1) % period != 0

    @property
    def window(self):
        return max(self.windows)

    @property
    def is_gemma(self):
        return self.architecture.startswith("gemma")


def read_config(reader):
    def value(key, default=None):
        field = reader.get_field(key)
        if field is None and default is None:
            raise KeyError(key)
        return default if field is None else field.contents()

    arch = value("general.architecture")
    n_layers, d_model, n_heads = (value(f"{arch}.{key}") for key in ("block_count", "embedding_length", "attention.head_count"))
    head_dim = value(f"{arch}.attention.key_length", d_model // n_heads)
    n_context = value(f"{arch}.context_length")
    rope_dim = value(f"{arch}.rope.dimension_count", head_dim)
    base = value(f"{arch}.rope.freq_base", 10000.0)
    rope = read_rope(arch, value, {t.name: t.data for t in reader.tensors}, base, rope_dim, n_context)
    unscaled = {"gemma3": value("gemma3.rope.freq_base_swa", 10000.0), "olmo2": base}
    width = d_model // n_heads if (arch, n_layers) in (("gemma2", 46), ("gemma3", 62)) else head_dim
    return Config(
        architecture=arch, n_layers=n_layers, d_model=d_model, n_heads=n_heads, head_dim=head_dim,
        n_kv_heads=value(f"{arch}.attention.head_count_kv"), rms_eps=value(f"{arch}.attention.layer_norm_rms_epsilon"),
        windows=read_windows(arch, value, n_layers, n_context), rope=rope,
        rope_local=Rope.plain(unscaled[arch], rope_dim) if arch in unscaled else rope,
        attention_scale=value(f"{arch}.attention.scale", width ** -0.5),
        attention_cap=value(f"{arch}.attn_logit_softcapping", 50.0 if arch == "gemma2" else 0.0),
        logit_cap=value(f"{arch}.final_logit_softcapping", 30.0 if arch == "gemma2" else 0.0),
        embedding_scale=value(f"{arch}.embedding_scale", d_model ** 0.5 if arch.startswith("gemma") else 1.0),
        residual_scale=value(f"{arch}.residual_scale", 1.0), logit_scale=1 / value(f"{arch}.logit_scale", 1.0),
        n_experts=value(f"{arch}.expert_count", 0), n_experts_used=value(f"{arch}.expert_used_count", 0),
        normalize_experts=value(f"{arch}.expert_weights_norm", True),
        expert_scale=value(f"{arch}.expert_weights_scale", 1.0))


def read_windows(arch, value, n_layers, n_context):
    window = value(f"{arch}.attention.sliding_window", 0)
    if window == 0 or window >= n_context or arch not in GLOBAL_EVERY:
        return (0,) * n_layers
    pattern = value(f"{arch}.attention.sliding_window_pattern", GLOBAL_EVERY[arch])
    if not isinstance(pattern, list):
        pattern = [pattern == 0 or layer % pattern < pattern - 1 for layer in range(n_layers)]
    return tuple(window if slides else 0 for slides in pattern[:n_layers])


class Model:
    """Weights and the steps of a layer. `dtype` is what everything is computed in; `n_context` is what the sequence may
    grow to, which decides between LongRoPE's two sets of frequencies."""

    def __init__(self, path, dtype=np.float32, n_context=4096):
        reader = gguf.GGUFReader(str(path))
        self.config = read_config(reader)
        self.dtype, self.n_context = dtype, n_context
        self._weights = {}
        for tensor in reader.tensors:
            array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            # The embedding is by far the largest and is rounded to nothing: it stays in float32 until it is used.
            keep = tensor.name in ("token_embd.weight", "output.weight")
            self._weights[tensor.name] = array if keep else array.astype(dtype)
        self._split_fused()
        self._head = self._weights.get("output.weight", self._weights["token_embd.weight"])

    def _split_fused(self):
        """Phi-3 holds q, k and v in one matrix, and gate above up."""
        c = self.config
        for name in [name for name in self._weights if "attn_qkv" in name]:
            cuts = np.cumsum([c.n_heads, c.n_kv_heads]) * c.head_dim
            for part, array in zip("qkv", np.split(self._weights.pop(name), cuts)):
                self._weights[name.replace("attn_qkv", f"attn_{part}")] = array
        if c.architecture == "phi3":
            for name in [name for name in self._weights if "ffn_up" in name]:
                self._weights[name.replace("ffn_up", "ffn_gate")], self._weights[name] = np.split(self._weights[name], 2)

    def weight(self, name, layer=None):
        return self._weights[f"{name}.weight" if layer is None else f"blk.{layer}.{name}.weight"]

    def _has(self, name, layer):
        return f"blk.{layer}.{name}.weight" in self._weights

    @property
    def n_vocab(self):
        return self._head.shape[0]

    def _norm(self, x, weight):
        # The + 1 of Gemma's norm weights is already in the file.
        mean_square = np.mean(np.square(x.astype(np.float64)), axis=-1, keepdims=True)
        return (x * (1.0 / np.sqrt(mean_square + self.config.rms_eps)).astype(self.dtype)) * weight

    def embed(self, ids):
        hidden = self.weight("token_embd")[np.asarray(ids)].astype(self.dtype)
        return hidden * self.dtype(self.config.embedding_scale)

    def _rope(self, layer, x, positions):
        """Rotates x [n, heads, head_dim]. The angle is exact before it is rounded to the computing type."""
        c = self.config
        if not c.is_rotated(layer):
            return x
        rope = c.rope if c.is_global(layer) else c.rope_local
        frequency, magnitude = rope.angles(self.n_context)
        half = len(frequency)
        angle = np.asarray(positions, np.float64)[:, None] * frequency  # [n, half]
        cos = (magnitude * np.cos(angle)).astype(self.dtype)[:, None]
        sin = (magnitude * np.sin(angle)).astype(self.dtype)[:, None]
        out = x.copy()  # what lies beyond rope_dim stays
        # llama files have their q and k rows permuted so that neighbours turn together; the others' are in halves.
        first, second = np.s_[..., :half], np.s_[..., half:2 * half]
        if c.architecture in NEIGHBOURS_TURN:
            first, second = np.s_[..., 0:2 * half:2], np.s_[..., 1:2 * half:2]
        out[first] = x[first] * cos - x[second] * sin
        out[second] = x[first] * sin + x[second] * cos
        return out

    def project(self, layer, hidden, positions):
        """q, k and v of rows at `positions`, rotated."""
        c = self.config
        x = self._norm(hidden, self.weight("attn_norm", layer)) if self._has("attn_norm", layer) else hidden
        q, k, v = (self._projection(layer, name, x) for name in ("attn_q", "attn_k", "attn_v"))
        q, k, v = (y.reshape(len(x), -1, c.head_dim) for y in (q, k, v))
        if self._has("attn_q_norm", layer):
            q, k = (self._norm_heads(y, self.weight(name, layer)) for y, name in ((q, "attn_q_norm"), (k, "attn_k_norm")))
        return self._rope(layer, q, positions), self._rope(layer, k, positions), v

    def _projection(self, layer, name, x):
        return x @ self.weight(name, layer).T + self._weights.get(f"blk.{layer}.{name}.bias", self.dtype(0))

    def _norm_heads(self, x, weight):
        """Each head by itself, or (OLMo 2) all heads of a row together: as long as the weight is."""
        return self._norm(x.reshape(len(x), -1, len(weight)), weight).reshape(x.shape)

    def probabilities(self, layer, q, q_positions, k, k_positions):
        """softmax(scale q k^T), perhaps soft-capped, over what each row may see: [n_heads, n, m]. A column is visible to a row
        of the same or a later position and, in a sliding-window layer, when less than `window` positions older."""
        c = self.config
        group = c.n_heads // c.n_kv_heads
        scores = np.empty((c.n_heads, len(q), len(k)), self.dtype)
        for head in range(c.n_heads):
            scores[head] = q[:, head] @ k[:, head // group].T
        scores *= self.dtype(c.attention_scale)
        if c.attention_cap:
            scores = self.dtype(c.attention_cap) * np.tanh(scores / self.dtype(c.attention_cap))
        distance = np.asarray(q_positions)[:, None] - np.asarray(k_positions)[None, :]
        hidden = distance < 0
        if not c.is_global(layer):
            hidden |= distance >= c.windows[layer]
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
                first = np.searchsorted(k_positions, q_positions[begin] - c.windows[layer] + 1)
            p = self.probabilities(layer, q[rows], q_positions[rows], k[first:last], k_positions[first:last])
            for head in range(c.n_heads):
                out[rows, head] = p[head] @ v[first:last, head // group]
        return out.reshape(len(q), c.n_heads * c.head_dim)

    def finish(self, layer, hidden, attended):
        """The rest of the layer after attention: output projection and feed-forward, each with its residual."""
        c = self.config
        y = self._projection(layer, "attn_output", attended)
        if self._has("post_attention_norm", layer):
            y = self._norm(y, self.weight("post_attention_norm", layer))
        hidden = hidden + y * self.dtype(c.residual_scale)
        x = self._norm(hidden, self.weight("ffn_norm", layer)) if self._has("ffn_norm", layer) else hidden
        if c.n_experts:
            y = self._mix(layer, x)
        else:
            gate, up = (self._projection(layer, name, x) for name in ("ffn_gate", "ffn_up"))
            y = self._projection(layer, "ffn_down", self._activation(gate) * up)
        if self._has("post_ffw_norm", layer):
            y = self._norm(y, self.weight("post_ffw_norm", layer))
        return hidden + y * self.dtype(c.residual_scale)

    def _feed_forward(self, x, gate, up, down):
        return (self._activation(x @ gate.T) * (x @ up.T)) @ down.T

    def _mix(self, layer, x):
        """Row by row: the experts with the largest probabilities, weighted by these."""
        c = self.config
        logits = x @ self.weight("ffn_gate_inp", layer).T
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        stacks = [self.weight(name, layer) for name in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")]
        out = np.zeros_like(x)
        for row in range(len(x)):
            chosen = np.argsort(-p[row], kind="stable")[:c.n_experts_used]
            weights = p[row, chosen] / (p[row, chosen].sum() if c.normalize_experts else 1)
            for expert, weight in zip(chosen, weights):
                y = self._feed_forward(x[row:row + 1], *(stack[expert] for stack in stacks))
                out[row] += self.dtype(c.expert_scale) * weight * y[0]
        return out

    def _activation(self, x):
        if self.config.is_gemma:  # GELU, tanh approximation
            return x * (0.5 * (1 + np.tanh(self.dtype(np.sqrt(2 / np.pi)) * (x + self.dtype(0.044715) * x * x * x))))
        return x / (1 + np.exp(-np.maximum(x, -80)))  # SiLU; below -80 the result is 0 in float32 either way

    def logits(self, hidden):
        """[n, n_vocab] of hidden states after the last layer, in blocks so that float64 stays small."""
        x = self._norm(hidden, self.weight("output_norm"))
        block = 16384
        parts = [x @ self._head[i:i + block].astype(self.dtype).T for i in range(0, self.n_vocab, block)]
        logits = np.concatenate(parts, axis=-1) * self.dtype(self.config.logit_scale)
        cap = self.dtype(self.config.logit_cap)
        return cap * np.tanh(logits / cap) if cap else logits

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
