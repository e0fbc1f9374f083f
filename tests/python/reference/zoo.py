"""Tiny random files of every architecture, with the names, permutations and metadata of llama.cpp's converter.

Their weights are the same bits everywhere and with every numpy, for tests/golden/architectures.npz holds what
transformers or mlx-lm computes from them (scripts/make_architecture_goldens.py): whole random numbers of a generator that numpy has
frozen, scaled and quantised. Matrices are Q8_0, so that the fast kernels take the path that they take with real models.

A new kind is one entry of KINDS: nothing else names the kinds, and no other kind's file changes.
"""

import dataclasses
import pathlib
import zlib

import gguf
import numpy as np

N_VOCAB = 96
N_TOKENS = 64
N_CONTEXT = 100  # what the sequences of the tests may grow to
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden" / "architectures.npz"

# A rounding error can flip a close choice of experts, which changes more than all other errors together. So the routers look
# mostly at these first elements of the hidden states, which are the token's own: as clear as the routers of trained models.
N_CODE = 16

Q8_0 = gguf.GGMLQuantizationType.Q8_0
GEMMA = {"d_model": 96, "head_dim": 32, "rms_eps": 1e-6, "tied": True}


@dataclasses.dataclass(frozen=True)
class Kind:
    architecture: str
    metadata: dict = dataclasses.field(default_factory=dict)  # beside the sizes; keys without the architecture
    n_layers: int = 4
    d_model: int = 128
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 32
    d_ff: int = 96
    n_context: int = 256
    rms_eps: float = 1e-5
    tied: bool = False
    biases: bool = False  # in every product of a layer
    tensors: dict = dataclasses.field(default_factory=dict)  # beside the weights: factors of the rotation
    # For the golden: the class of transformers (without "Config" and "ForCausalLM"), and what its configuration must be told
    # beside the sizes, the rotation, the window and the number of experts used.
    hf_class: str = "Llama"
    hf_config: dict = dataclasses.field(default_factory=dict)

    @property
    def n_experts(self):
        return self.metadata.get("expert_count", 0)


def llama3_factors(head_dim=32, base=500000.0, factor=8.0, low=1.0, high=4.0, n_original=64):
    """What the converter makes of rope_type llama3: long waves are stretched, short ones are not."""
    wavelength = 2 * np.pi * base ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = np.clip((n_original / wavelength - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def longrope(n_original, rope_dim):
    """Metadata and tensors of Phi-3's LongRoPE in a context of 256 tokens."""
    stretch = 256 / n_original
    ramp = np.linspace(0, 1, rope_dim // 2)
    return {"rope.scaling.original_context_length": n_original, "rope.dimension_count": rope_dim,
            "rope.scaling.attn_factor": float(np.sqrt(1 + np.log(stretch) / np.log(n_original)))}, {
                "rope_factors_long.weight": (1 + ramp * (stretch - 1)).astype(np.float32),
                "rope_factors_short.weight": (1 + 0.1 * ramp).astype(np.float32)}


def _phi3(n_original, rope_dim):
    metadata, tensors = longrope(n_original, rope_dim)
    return Kind("phi3", {"attention.sliding_window": 0, **metadata}, tensors=tensors, hf_class="Phi3",
                hf_config={"original_max_position_embeddings": n_original})


def _gemma2(query_width, **sizes):
    """Caps that bite: scores and logits of random weights would not come near the real 50 and 30."""
    caps = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 8.0}
    return Kind("gemma2", {"attention.sliding_window": 16, **caps}, **{**GEMMA, **sizes}, hf_class="Gemma2",
                hf_config={**caps, "query_pre_attn_scalar": query_width})


_YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}
_EXPERTS = {"expert_count": 16, "expert_used_count": 6}
_OLMO3_SLIDES = [True, True, False, True, False]
KINDS = {
    "llama2": Kind("llama", {"rope.dimension_count": 32}, n_kv_heads=4),
    "llama3": Kind("llama", {"rope.freq_base": 500000.0, "rope.dimension_count": 32}, d_model=96, head_dim=32,
                   tensors={"rope_freqs.weight": llama3_factors()},
                   hf_config={"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}),
    "llama-linear": Kind("llama", {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "llama-yarn": Kind("llama", {**_YARN, "rope.scaling.yarn_beta_fast": 8.0, "rope.scaling.yarn_beta_slow": 2.0}),
    "llama-biases": Kind("llama", {"rope.dimension_count": 32}, biases=True, hf_config={"attention_bias": True, "mlp_bias": True}),
    "mistral": Kind("llama", {"attention.sliding_window": 16, "rope.dimension_count": 32}, hf_class="Mistral"),
    "mixtral": Kind("llama", {"expert_count": 8, "expert_used_count": 4, "rope.freq_base": 1000000.0},
                    hf_class="Mixtral", hf_config={"num_local_experts": 8}),
    "qwen2": Kind("qwen2", {"rope.freq_base": 1000000.0, **_YARN}, tied=True, hf_class="Qwen2"),
    "qwen3": Kind("qwen3", {"rope.freq_base": 1000000.0}, d_model=96, n_heads=6, hf_class="Qwen3"),
    "qwen3moe": Kind("qwen3moe", {"rope.freq_base": 1000000.0, "expert_feed_forward_length": 64, **_EXPERTS},
                     hf_class="Qwen3Moe", hf_config={"num_experts": 16, "moe_intermediate_size": 64, "norm_topk_prob": True}),
    "phi3-short": _phi3(128, 32),
    "phi3-long": _phi3(32, 24),
    "phi3-window": Kind("phi3", {"attention.sliding_window": 16, "rope.dimension_count": 32}, hf_class="Phi3"),
    "gemma2": _gemma2(32),
    "gemma2-27b": _gemma2(24, n_layers=46, n_kv_heads=1, d_ff=32),
    "gemma3": Kind("gemma3", {"attention.sliding_window": 16, "rope.freq_base": 1000000.0, "rope.scaling.type": "linear",
                              "rope.scaling.factor": 8.0}, n_layers=8, n_kv_heads=1, **GEMMA, hf_class="Gemma3",
                   hf_config={"query_pre_attn_scalar": 32}),
    "olmo2": Kind("olmo2", {"rope.freq_base": 500000.0}, hf_class="Olmo2"),
    "olmo3": Kind("olmo2", {"rope.freq_base": 500000.0, "attention.sliding_window": 16,
                            "attention.sliding_window_pattern": _OLMO3_SLIDES, **_YARN}, n_layers=5, hf_class="Olmo3",
                  hf_config={"layer_types": ["sliding_attention" if slides else "full_attention" for slides in _OLMO3_SLIDES]}),
    "granite": Kind("granite", {"attention.scale": 0.1, "embedding_scale": 3.0, "residual_scale": 0.22,
                                "logit_scale": 2.0, "rope.dimension_count": 32}, tied=True, hf_class="Granite",
                    hf_config={"attention_multiplier": 0.1, "embedding_multiplier": 3.0, "residual_multiplier": 0.22,
                               "logits_scaling": 2.0}),
    "smollm3": Kind("smollm3", {"rope.freq_base": 5000000.0, "rope.dimension_count": 32, **_YARN}, n_layers=8, tied=True,
                    hf_class="SmolLM3"),
}


def seed_by_name(name):
    return zlib.crc32(name.encode())


def seed_of(name):
    """By the name, so that a new kind changes no other's file; where there is a golden, the seed of the file it was made from."""
    with np.load(GOLDEN) as goldens:
        return int(goldens[f"{name}.seed"]) if f"{name}.seed" in goldens else seed_by_name(name)


def tokens(n=N_TOKENS, seed=7):
    return np.random.RandomState(seed).randint(0, N_VOCAB, n).tolist()


def write(path, name, seed=None):
    """The file of KINDS[name]."""
    kind = KINDS[name]
    writer = gguf.GGUFWriter(str(path), kind.architecture)
    writer.add_name(f"tiny {name}")
    sizes = {"block_count": kind.n_layers, "context_length": kind.n_context, "embedding_length": kind.d_model,
             "feed_forward_length": kind.d_ff, "attention.head_count": kind.n_heads,
             "attention.head_count_kv": kind.n_kv_heads, "attention.layer_norm_rms_epsilon": kind.rms_eps}
    if kind.head_dim * kind.n_heads != kind.d_model:
        sizes |= {"attention.key_length": kind.head_dim, "attention.value_length": kind.head_dim}
    for key, value in {**sizes, **kind.metadata}.items():
        _add(writer, f"{kind.architecture}.{key}", value)
    _weights(writer, kind, np.random.RandomState(seed_of(name) if seed is None else seed))
    for tensor, values in kind.tensors.items():
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer, key, value):
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
           list: writer.add_array}
    add[type(value)](key, value)


def _weights(writer, kind, random):
    def numbers(shape, size):
        """Even over an interval, with the standard deviation `size`."""
        return (random.randint(-(1 << 20), 1 << 20, shape) * (size * 3 ** 0.5 / (1 << 20))).astype(np.float32)

    def matrix(name, *shape, gain=1.0):
        values = numbers(shape, gain / shape[-1] ** 0.5)
        if kind.n_experts and ("attn_output" in name or "ffn_down" in name):
            values[..., :N_CODE, :] = 0  # no layer writes there
        writer.add_tensor(name + ".weight", gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)

    def norm(name, n, around=1.0):
        writer.add_tensor(name + ".weight", around + numbers(n, 0.1))

    arch, d_model, d_ff = kind.architecture, kind.d_model, kind.d_ff
    q_dim, kv_dim = kind.n_heads * kind.head_dim, kind.n_kv_heads * kind.head_dim
    post_norms, pre_norms = arch in ("gemma2", "gemma3", "olmo2"), arch != "olmo2"
    heads_normed = arch in ("qwen3", "qwen3moe", "gemma3", "olmo2")
    # Large beside what one layer adds, as in trained models: what is rounded in a layer is then little of the whole. Where
    # the embedding is the head too, it must not make the logits too certain.
    matrix("token_embd", N_VOCAB, d_model, gain=2.0 if kind.tied else 6.0)
    norm("output_norm", d_model)
    if not kind.tied:
        matrix("output", N_VOCAB, d_model, gain=2.0)
    for layer in range(kind.n_layers):
        block = f"blk.{layer}."
        if pre_norms:
            norm(block + "attn_norm", d_model)
            norm(block + "ffn_norm", d_model)
        # Attention far from even: a cap, a window or a turn of the wrong angle then shows.
        gain = 1.0 if heads_normed else 1.6
        if arch == "phi3":
            matrix(block + "attn_qkv", q_dim + 2 * kv_dim, d_model, gain=gain)
        else:
            matrix(block + "attn_q", q_dim, d_model, gain=gain)
            matrix(block + "attn_k", kv_dim, d_model, gain=gain)
            matrix(block + "attn_v", kv_dim, d_model)
        if arch == "qwen2" or kind.biases:
            for part, n in (("q", q_dim), ("k", kv_dim), ("v", kv_dim)):
                writer.add_tensor(f"{block}attn_{part}.bias", numbers(n, 0.5))
        if heads_normed:
            norm(block + "attn_q_norm", q_dim if arch == "olmo2" else kind.head_dim, around=1.6)
            norm(block + "attn_k_norm", kv_dim if arch == "olmo2" else kind.head_dim, around=1.6)
        matrix(block + "attn_output", d_model, q_dim)
        for part, n in (("attn_output", d_model), ("ffn_gate", d_ff), ("ffn_up", d_ff), ("ffn_down", d_model)) if kind.biases else ():
            writer.add_tensor(f"{block}{part}.bias", numbers(n, 0.3))
        if kind.n_experts:
            d_expert = kind.metadata.get("expert_feed_forward_length", d_ff)
            router = numbers((kind.n_experts, d_model), 0.2 / d_model ** 0.5)
            router[:, :N_CODE] *= 50
            writer.add_tensor(block + "ffn_gate_inp.weight", router)
            matrix(block + "ffn_gate_exps", kind.n_experts, d_expert, d_model)
            matrix(block + "ffn_up_exps", kind.n_experts, d_expert, d_model)
            matrix(block + "ffn_down_exps", kind.n_experts, d_model, d_expert)
        else:
            if arch != "phi3":
                matrix(block + "ffn_gate", d_ff, d_model)
            matrix(block + "ffn_up", 2 * d_ff if arch == "phi3" else d_ff, d_model)
            matrix(block + "ffn_down", d_model, d_ff)
        if post_norms:
            norm(block + "post_attention_norm", d_model)
            norm(block + "post_ffw_norm", d_model)
