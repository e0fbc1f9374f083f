"""How far sparse prefill is from an engine's own dense one: KL(dense || sparse) of the first token, over many prompts.

lazyfill compares whole distributions itself (run --fidelity). OpenVINO tells no logits, but the beams of a search over a
single token are its likeliest tokens with their probabilities. What neither list holds counts as one token there, which
can only make the KL smaller: OpenVINO's figures are lower bounds.
"""

import json
import math
import pathlib
import statistics
import sys

from engines import count_tokens, flags_of

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))
from evals.program import Answers, shortened  # noqa: E402

N_LIKELIEST = 1000
SLACK_TOKENS = 64  # that a prompt may have more than was asked for
SPARSE = {"OpenVINO, XATTENTION": "OpenVINO"}  # sparse engine -> its dense one


def divergence(dense, sparse):
    """A lower bound of KL(dense || sparse), nats; each: token -> log-probability of its likeliest tokens."""
    common = dense.keys() & sparse.keys()
    total = sum(math.exp(dense[token]) * (dense[token] - sparse[token]) for token in common)
    rest_dense = 1 - sum(math.exp(dense[token]) for token in common)
    rest_sparse = 1 - sum(math.exp(sparse[token]) for token in common)
    if rest_dense <= 0:  # by rounding only; what it would add tends to nothing
        return max(0.0, total)
    return max(0.0, total + rest_dense * math.log(rest_dense / max(rest_sparse, 1e-9)))


def prompts_of(folder, binary, model, n_tokens, n_prompts):
    """(name, text) of n_tokens each, without their middle: from every *.jsonl file in turn the last prompts that are long enough."""
    files = [read_prompts(path) for path in sorted(pathlib.Path(folder).glob("*.jsonl"))]
    chosen = []
    for turn in range(max(map(len, files), default=0)):
        for prompts in files:
            if turn >= len(prompts) or len(chosen) == n_prompts:
                continue
            name, text = prompts[turn]
            if len(text) < 3 * n_tokens:  # no text has tokens that short; spares counting most of the others
                continue
            cut = shortened(binary, model, text, n_tokens)
            # What was joined in the middle, or cut by characters, may have more tokens again.
            if cut != text and count_tokens(binary, model, cut) <= n_tokens + SLACK_TOKENS:
                chosen.append((name, cut))
    return chosen


def read_prompts(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(f"{path.stem}/{i}", json.loads(lines[i])["prompt"]) for i in reversed(range(len(lines)))]


def measure(args, model, running):
    """Yields a line for every length, prompt and engine that prunes: {"length", "prompt", "engine", "first_kl"}."""
    # The model may refuse a schedule; and the bits of the rows are the model's, not a line's of run --jsonl.
    schedules = [schedule for schedule in args.lazy if f"lazyfill {schedule}" in running and "--activations" not in flags_of(schedule)]
    if not schedules:
        return
    threads = ["--threads", str(args.threads)]
    with Answers(args.binary, model, threads) as answers:
        for length in args.loss_lengths:
            for name, text in prompts_of(args.loss, args.binary, model, length, args.loss_prompts):
                kls, token_ids = own(answers, schedules, text)
                kls |= peers(running, token_ids)
                for engine, kl in kls.items():
                    yield {"length": length, "prompt": name, "engine": engine, "first_kl": kl}
                print(f"{length:6d} {name:24s} " + ", ".join(f"{e}: KL {kl:.4f}" for e, kl in kls.items()), flush=True)


def own(answers, schedules, text):
    kls, token_ids = {}, None
    for schedule in schedules:
        record = answers.ask(prompt=text, flags=[*flags_of(schedule), "--fidelity", "1", "--no-answer"])
        kls[f"lazyfill {schedule}"], token_ids = record["fidelity"]["first_kl"], record["prompt_token_ids"]
    return kls, token_ids


def peers(running, token_ids):
    kls = {}
    for sparse, dense in SPARSE.items():
        if sparse in running and dense in running:
            lists = [running[name].first_logprobs(token_ids, N_LIKELIEST) for name in (dense, sparse)]
            kls[sparse] = divergence(*lists)
    return kls


def summarize(lines):
    """A cell for every length and engine: mean and median over the prompts."""
    groups = {}
    for line in lines:
        groups.setdefault((line["length"], line["engine"]), []).append(line["first_kl"])
    return [
        {
            "length": length,
            "engine": engine,
            "first_kl": statistics.mean(kls),
            "first_kl_median": statistics.median(kls),
            "prompts": len(kls),
        }
        for (length, engine), kls in groups.items()
    ]
