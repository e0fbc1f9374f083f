#!/usr/bin/env python3
"""Writes tests/golden/architectures.npz: what an independent implementation computes, in fp32, from the files of
tests/python/reference/zoo.py.

    make_architecture_goldens.py [--by transformers|mlx] [KIND...]     # without names: those that have none

Needs transformers with torch (5 GB), or mlx-lm (0.4 GB), which has fewer architectures and fewer of their settings. No test
needs either:

    python3 -m venv build/goldens && build/goldens/bin/pip install torch transformers gguf==0.19.0
    python3 -m venv build/goldens && build/goldens/bin/pip install 'mlx[cpu]' mlx-lm gguf==0.19.0
    build/goldens/bin/python scripts/make_architecture_goldens.py --by mlx KIND

Prints the KL divergence between it and the numpy reference. What a kind needs here is said in its entry of zoo.KINDS; this
script has a line for an architecture only where its tensors have other names than Llama's.
"""

import argparse
import importlib
import importlib.metadata
import pathlib
import sys
import tempfile

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))
from reference import zoo  # noqa: E402
from reference.model import NEIGHBOURS_TURN, Model, kl_divergence  # noqa: E402

# GGUF name -> transformers name, inside a layer
NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate_inp": "mlp.gate", "ffn_down_exps": "mlp.experts.down_proj",
}
# ... and where an architecture's are others, or lie elsewhere
OTHER_NAMES = {
    "gemma2": {"ffn_norm": "pre_feedforward_layernorm"},
    "gemma3": {"ffn_norm": "pre_feedforward_layernorm"},
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
}
MLX_MODULES = {"Qwen3Moe": "qwen3_moe", "Mistral": "llama"}  # where they are not called as the class is
ROPES_BY_LAYER_TYPE = ("Gemma3", "Olmo3")  # classes whose sliding layers have a rotation of their own, never scaled


def unpermute(weight, n_heads):
    """Some files hold q and k rows as neighbouring pairs; transformers rotates halves."""
    pairs = weight.reshape(n_heads, len(weight) // n_heads // 2, 2, *weight.shape[1:])  # of a matrix or a bias
    return pairs.swapaxes(1, 2).reshape(weight.shape)


def state_dict(kind, path):
    arrays = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
              for t in gguf.GGUFReader(str(path)).tensors if not t.name.startswith("rope_f")}
    is_gemma = kind.architecture.startswith("gemma")
    names = NAMES | OTHER_NAMES.get(kind.architecture, {})
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
        if kind.architecture in NEIGHBOURS_TURN and part in ("attn_q", "attn_k"):
            array = unpermute(array, kind.n_heads if part == "attn_q" else kind.n_kv_heads)
        if part == "ffn_gate_exps":
            up = arrays[f"blk.{layer}.ffn_up_exps.weight"]
            state[prefix + "mlp.experts.gate_up_proj"] = np.concatenate([array, up], axis=1)
        elif part != "ffn_up_exps":
            target = prefix + names[part]
            state[target if part.endswith("_exps") else f"{target}.{suffix}"] = array
    if kind.tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return {name: np.ascontiguousarray(array) for name, array in state.items()}


def rope_parameters(kind):
    meta = kind.metadata
    rope = {"rope_type": "default", "rope_theta": meta.get("rope.freq_base", 10000.0)}
    scaling = meta.get("rope.scaling.type")
    if scaling:
        rope |= {"rope_type": scaling, "factor": meta["rope.scaling.factor"]}
    if scaling == "yarn":
        rope["original_max_position_embeddings"] = meta["rope.scaling.original_context_length"]
        for ours, theirs in (("rope.scaling.yarn_beta_fast", "beta_fast"), ("rope.scaling.yarn_beta_slow", "beta_slow")):
            if ours in meta:
                rope[theirs] = meta[ours]
    if kind.architecture == "phi3":
        rope["partial_rotary_factor"] = meta["rope.dimension_count"] / kind.head_dim
    if "rope_factors_long.weight" in kind.tensors:
        rope |= {"rope_type": "longrope", "long_factor": kind.tensors["rope_factors_long.weight"].tolist(),
                 "short_factor": kind.tensors["rope_factors_short.weight"].tolist()}
    rope |= kind.hf_config.get("rope_parameters", {})
    if kind.hf_class in ROPES_BY_LAYER_TYPE:
        theta = 10000.0 if kind.hf_class == "Gemma3" else rope["rope_theta"]
        return {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": theta}}
    return rope


def settings(kind):
    """Arguments of the configuration class; what is left out is at the default of transformers."""
    found = dict(vocab_size=zoo.N_VOCAB, hidden_size=kind.d_model, intermediate_size=kind.d_ff,
                 num_hidden_layers=kind.n_layers, num_attention_heads=kind.n_heads, num_key_value_heads=kind.n_kv_heads,
                 rms_norm_eps=kind.rms_eps, max_position_embeddings=kind.n_context, tie_word_embeddings=kind.tied,
                 pad_token_id=None, bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    if kind.architecture not in ("phi3", "olmo2", "granite"):  # these have no heads of a width of their own
        found["head_dim"] = kind.head_dim
    if kind.metadata.get("attention.sliding_window"):
        found["sliding_window"] = kind.metadata["attention.sliding_window"]
    if kind.n_experts:
        found["num_experts_per_tok"] = kind.metadata["expert_used_count"]
    return found | kind.hf_config | {"rope_parameters": rope_parameters(kind)}


def by_transformers(kind, path):
    """Logits [N_TOKENS, N_VOCAB]."""
    import torch
    import transformers

    suffix = "TextConfig" if kind.hf_class == "Gemma3" else "Config"
    config = getattr(transformers, kind.hf_class + suffix)(**settings(kind))
    model = getattr(transformers, kind.hf_class + "ForCausalLM")(config)
    state = {key: torch.from_numpy(array) for key, array in state_dict(kind, path).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        return model.eval()(torch.tensor([zoo.tokens()])).logits[0].numpy()


def by_mlx(kind, path):
    """Logits [N_TOKENS, N_VOCAB]. What mlx-lm does not have, or names otherwise, ends in its own error."""
    import mlx.core as mx

    name = MLX_MODULES.get(kind.hf_class, kind.hf_class.lower())
    module = importlib.import_module(f"mlx_lm.models.{name}")
    found = settings(kind)
    rope = found.pop("rope_parameters")
    scaling = None if rope["rope_type"] == "default" else rope
    found |= {"model_type": name, "rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    model = module.Model(module.ModelArgs.from_dict(found))
    state = {key: mx.array(array) for key, array in state_dict(kind, path).items()}
    sanitize = getattr(model, "sanitize", dict)  # leaves out what a tied head repeats
    model.load_weights(list(sanitize(state).items()))
    return np.array(model(mx.array([zoo.tokens()]))[0])


MAKERS = {"transformers": (by_transformers, "transformers"), "mlx": (by_mlx, "mlx-lm")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(zoo.KINDS))
    parser.add_argument("--by", choices=MAKERS, default="transformers")
    arguments = parser.parse_args()
    compute, package = MAKERS[arguments.by]
    goldens = dict(np.load(zoo.GOLDEN)) if zoo.GOLDEN.is_file() else {}
    names = arguments.kinds or [name for name in zoo.KINDS if name not in goldens]
    unknown = [name for name in names if name not in zoo.KINDS]
    if unknown:
        raise SystemExit(f"no kind is called {', '.join(unknown)}; add it to KINDS in tests/python/reference/zoo.py")
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{package} is not installed for {sys.executable}; the head of this file says how") from None
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = pathlib.Path(folder) / f"{name}.gguf"
            seed = zoo.seed_by_name(name)
            zoo.write(path, name, seed)
            goldens[name], goldens[f"{name}.seed"] = compute(zoo.KINDS[name], path), np.uint32(seed)
            goldens[f"{name}.by"] = np.array(f"{package} {version}")
            reference = Model(path, n_context=zoo.N_CONTEXT).forward(zoo.tokens())
            kl = kl_divergence(goldens[name], reference)
            print(f"{name}: logits of standard deviation {goldens[name].std():.2f}; KL({package} || numpy) "
                  f"mean {kl.mean():.3e}, max {kl.max():.3e}")
    kept = [key for key in goldens if key.split(".")[0] in zoo.KINDS]
    np.savez_compressed(zoo.GOLDEN, **{key: goldens[key] for key in kept})
    print(f"{zoo.GOLDEN.relative_to(ROOT)}: {len(names)} kinds made, {len(kept) // 3} in all, {zoo.GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
