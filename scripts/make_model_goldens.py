#!/usr/bin/env python3
"""Writes tests/golden/*.logprobs.json: what transformers computes, in fp32, from the dequantised weights of a model.

    make_model_goldens.py MODEL.gguf... [--text FILE] [--tokens 640] [--check]

Needs torch and transformers, which no test needs: the tests compare the numpy reference (tests/python/reference) and
the engine with the files. --check also prints the KL divergence between transformers and the numpy reference.
"""

import argparse
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))
from reference.model import Model, kl_divergence, log_softmax, read_config  # noqa: E402

N_DOCUMENT = 4200  # ids that are written down, for tests of longer prompts
N_POSITIONS = 16
N_TOP = 64

# GGUF name -> transformers name, inside a layer
LLAMA_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
GEMMA_LAYER = LLAMA_LAYER | {
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def unpermute(weight, n_heads):
    """llama files hold q and k rows as neighbouring pairs; transformers rotates halves."""
    n_out, n_in = weight.shape
    return weight.reshape(n_heads, n_out // n_heads // 2, 2, n_in).swapaxes(1, 2).reshape(n_out, n_in)


def state_dict(reader, config):
    state = {}
    for tensor in reader.tensors:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        name = tensor.name.removesuffix(".weight")
        if config.is_gemma and name.endswith("norm"):
            array = array - 1  # transformers adds 1 when it runs
        if name.startswith("blk."):
            _, layer, part = name.split(".", 2)
            if not config.is_gemma and part in ("attn_q", "attn_k"):
                array = unpermute(array, config.n_heads if part == "attn_q" else config.n_kv_heads)
            target = f"model.layers.{layer}.{(GEMMA_LAYER if config.is_gemma else LLAMA_LAYER)[part]}"
        else:
            target = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[name]
        state[target + ".weight"] = torch.from_numpy(np.ascontiguousarray(array))
    state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    return state


def build(reader, config, attention):
    rope_base = reader.get_field(f"{config.architecture}.rope.freq_base").contents()
    common = dict(
        vocab_size=int(next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]),
        hidden_size=config.d_model, num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads,
        num_key_value_heads=config.n_kv_heads, head_dim=config.head_dim, rms_norm_eps=config.rms_eps,
        intermediate_size=reader.get_field(f"{config.architecture}.feed_forward_length").contents(),
        max_position_embeddings=reader.get_field(f"{config.architecture}.context_length").contents(),
        tie_word_embeddings=True, attn_implementation=attention)
    if config.is_gemma:
        # Left at the defaults of transformers: activation, query_pre_attn_scalar, which layers slide. They are what
        # the reference is checked against.
        settings = transformers.Gemma3TextConfig(
            **common, sliding_window=config.window,
            rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": rope_base},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})
        model = transformers.Gemma3ForCausalLM(settings)
    else:
        settings = transformers.LlamaConfig(
            **common, rope_parameters={"rope_type": "default", "rope_theta": rope_base})
        model = transformers.LlamaForCausalLM(settings)
    missing, unexpected = model.load_state_dict(state_dict(reader, config), strict=False)
    if missing or unexpected:
        raise SystemExit(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    return model.eval()


def token_ids(path, text):
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
    return tokenizer(text)["input_ids"][:N_DOCUMENT]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "examples" / "persuasion-1-2.txt")
    parser.add_argument("--tokens", type=int, default=640, help="more than the 512 of Gemma's sliding window")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    for path in options.models:
        reader = gguf.GGUFReader(str(path))
        config = read_config(reader)
        document = token_ids(path, options.text.read_text(encoding="utf-8"))
        ids = document[:options.tokens]
        model = build(reader, config, "eager")
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].numpy()
        del model
        logprobs = log_softmax(logits)
        positions = np.linspace(0, len(ids) - 1, N_POSITIONS).round().astype(int).tolist()
        rows = []
        for position in positions:
            top = np.argsort(-logprobs[position], kind="stable")[:N_TOP]
            rows.append({"position": position, "ids": top.tolist(),
                         "logprobs": [round(float(x), 6) for x in logprobs[position][top]]})
        golden = {"model": path.name, "made_by": f"transformers {transformers.__version__}, torch "
                  f"{torch.__version__.split('+')[0]}, fp32, eager attention", "n_tokens": len(ids),
                  "document_ids": document, "rows": rows}
        target = ROOT / "tests" / "golden" / (path.stem.lower() + ".logprobs.json")
        target.parent.mkdir(exist_ok=True)
        text = json.dumps(golden).replace('{"position"', '\n{"position"')
        text = text.replace(', "document_ids"', ',\n"document_ids"').replace(', "rows"', ',\n"rows"')
        target.write_text(text + "\n", encoding="utf-8")
        print(f"{target.relative_to(ROOT)}: {len(ids)} tokens, {len(rows)} positions")
        if options.check:
            kl = kl_divergence(logits, Model(path).forward(ids))
            print(f"  KL(transformers || numpy) over {len(kl)} positions: mean {kl.mean():.3e}, max {kl.max():.3e}")


if __name__ == "__main__":
    main()
