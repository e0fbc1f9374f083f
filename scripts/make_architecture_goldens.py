#!/usr/bin/env python3
"""Writes tests/golden/architectures.npz: what transformers computes, in fp32, from the files of tests/python/reference/zoo.py.

    make_architecture_goldens.py [KIND...]     # without names: all; the others stay as they are

Needs torch and transformers, which no test needs. Prints the KL divergence between transformers and the numpy reference.
"""

import argparse
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "architectures.npz"
sys.path.insert(0, str(ROOT / "tests" / "python"))
from reference import zoo  # noqa: E402
from reference.model import Model, kl_divergence  # noqa: E402

# GGUF name -> transformers name, inside a layer
NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate_inp": "mlp.gate", "ffn_down_exps": "mlp.experts.down_proj",
}
GEMMA_NAMES = NAMES | {"ffn_norm": "pre_feedforward_layernorm"}
PHI3_NAMES = NAMES | {"ffn_up": "mlp.gate_up_proj"}

CLASSES = {"mistral": "Mistral", "mixtral": "Mixtral", "qwen2": "Qwen2", "qwen3": "Qwen3", "qwen3moe": "Qwen3Moe",
           "phi3": "Phi3", "gemma2": "Gemma2", "gemma3": "Gemma3", "olmo2": "Olmo2", "olmo3": "Olmo3",
           "granite": "Granite", "llama": "Llama", "llama2": "Llama", "llama3": "Llama"}


def unpermute(weight, n_heads):
    """llama files hold q and k rows as neighbouring pairs; transformers rotates halves."""
    n_out, n_in = weight.shape
    return weight.reshape(n_heads, n_out // n_heads // 2, 2, n_in).swapaxes(1, 2).reshape(n_out, n_in)


def state_dict(kind, path):
    arrays = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
              for t in gguf.GGUFReader(str(path)).tensors if not t.name.startswith("rope_f")}
    is_gemma = kind.architecture.startswith("gemma")
    names = GEMMA_NAMES if is_gemma else PHI3_NAMES if kind.architecture == "phi3" else NAMES
    state = {}
    for name, array in arrays.items():
        stem, suffix = name.rsplit(".", 1)
        if is_gemma and stem.endswith("norm"):
            array = array - 1  # transformers adds 1 when it runs
        if not stem.startswith("blk."):
            target = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[stem]
            state[f"{target}.{suffix}"] = array
            continue
        _, layer, part = stem.split(".", 2)
        prefix = f"model.layers.{layer}."
        if kind.architecture in ("llama", "granite") and part in ("attn_q", "attn_k"):
            array = unpermute(array, kind.n_heads if part == "attn_q" else kind.n_kv_heads)
        if part == "ffn_gate_exps":
            up = arrays[f"blk.{layer}.ffn_up_exps.weight"]
            state[prefix + "mlp.experts.gate_up_proj"] = np.concatenate([array, up], axis=1)
        elif part != "ffn_up_exps":
            target = prefix + names[part]
            state[target if part.endswith("_exps") else f"{target}.{suffix}"] = array
    if kind.tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}


def rope_parameters(name, kind):
    rope = {"rope_type": "default", "rope_theta": kind.metadata.get("rope.freq_base", 10000.0)}
    scaling = kind.metadata.get("rope.scaling.type")
    if scaling:
        rope |= {"rope_type": scaling, "factor": kind.metadata["rope.scaling.factor"]}
    if scaling == "yarn":
        rope["original_max_position_embeddings"] = kind.metadata["rope.scaling.original_context_length"]
        for ours, theirs in (("rope.scaling.yarn_beta_fast", "beta_fast"), ("rope.scaling.yarn_beta_slow", "beta_slow")):
            if ours in kind.metadata:
                rope[theirs] = kind.metadata[ours]
    if name == "llama3":
        rope |= {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                 "original_max_position_embeddings": 64}
    if kind.architecture == "phi3":
        rope["partial_rotary_factor"] = kind.metadata["rope.dimension_count"] / kind.head_dim
    if "rope_factors_long.weight" in kind.tensors:
        rope |= {"rope_type": "longrope", "long_factor": kind.tensors["rope_factors_long.weight"].tolist(),
                 "short_factor": kind.tensors["rope_factors_short.weight"].tolist()}
    if name in ("gemma3", "olmo3"):
        theta = 10000.0 if name == "gemma3" else rope["rope_theta"]
        return {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": theta}}
    return rope


def settings(name, kind):
    """Arguments of the configuration class; what is left out is at the default of transformers."""
    meta = kind.metadata
    common = dict(vocab_size=zoo.N_VOCAB, hidden_size=kind.d_model, intermediate_size=kind.d_ff,
                  num_hidden_layers=kind.n_layers, num_attention_heads=kind.n_heads, num_key_value_heads=kind.n_kv_heads,
                  rms_norm_eps=kind.rms_eps, max_position_embeddings=kind.n_context, tie_word_embeddings=kind.tied,
                  pad_token_id=None, bos_token_id=1, eos_token_id=2, attn_implementation="eager",
                  rope_parameters=rope_parameters(name, kind))
    if kind.architecture not in ("phi3", "olmo2", "granite"):
        common["head_dim"] = kind.head_dim
    window = meta.get("attention.sliding_window") or None
    if window or name == "mistral":
        common["sliding_window"] = window
    if kind.architecture == "gemma2":
        common |= {"attn_logit_softcapping": meta["attn_logit_softcapping"],
                   "final_logit_softcapping": meta["final_logit_softcapping"],
                   "query_pre_attn_scalar": kind.d_model // kind.n_heads if kind.n_layers == 46 else kind.head_dim}
    elif kind.architecture == "gemma3":
        common["query_pre_attn_scalar"] = kind.head_dim
    elif name == "olmo3":
        pattern = meta["attention.sliding_window_pattern"]
        common["layer_types"] = ["sliding_attention" if slides else "full_attention" for slides in pattern]
    elif name == "qwen3moe":
        common |= {"num_experts": meta["expert_count"], "num_experts_per_tok": meta["expert_used_count"],
                   "moe_intermediate_size": meta["expert_feed_forward_length"], "norm_topk_prob": True}
    elif name == "mixtral":
        common |= {"num_local_experts": meta["expert_count"], "num_experts_per_tok": meta["expert_used_count"]}
    elif name == "granite":
        common |= {"attention_multiplier": meta["attention.scale"], "embedding_multiplier": meta["embedding_scale"],
                   "residual_multiplier": meta["residual_scale"], "logits_scaling": meta["logit_scale"]}
    elif name in ("phi3-short", "phi3-long"):
        common["original_max_position_embeddings"] = meta["rope.scaling.original_context_length"]
    return common


def compute(name, path):
    """Logits [N_TOKENS, N_VOCAB]."""
    kind = zoo.KINDS[name]
    family = CLASSES[name if name in CLASSES else name.split("-")[0]]
    config = getattr(transformers, family + ("TextConfig" if family == "Gemma3" else "Config"))(**settings(name, kind))
    model = getattr(transformers, family + "ForCausalLM")(config)
    missing, unexpected = model.load_state_dict(state_dict(kind, path), strict=False)
    if missing or unexpected:
        raise SystemExit(f"{name}: weights do not fit: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        return model.eval()(torch.tensor([zoo.tokens()])).logits[0].numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(zoo.KINDS))
    names = parser.parse_args().kinds or list(zoo.KINDS)
    goldens = dict(np.load(GOLDEN)) if GOLDEN.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = pathlib.Path(folder) / f"{name}.gguf"
            zoo.write(path, name)
            goldens[name] = compute(name, path)
            reference = Model(path, n_context=zoo.N_CONTEXT).forward(zoo.tokens())
            kl = kl_divergence(goldens[name], reference)
            print(f"{name}: logits of standard deviation {goldens[name].std():.2f}; KL(transformers || numpy) "
                  f"mean {kl.mean():.3e}, max {kl.max():.3e}")
    np.savez_compressed(GOLDEN, **{name: goldens[name] for name in zoo.KINDS})
    print(f"{GOLDEN.relative_to(ROOT)}: {len(zoo.KINDS)} kinds, {GOLDEN.stat().st_size} bytes; transformers "
          f"{transformers.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
