#!/usr/bin/env python3
"""Draws time to first token over prompt length, a line per schedule, from what `lazyfill bench --json` measured.

    .venv/bin/pip install -r scripts/requirements.txt
    build/release/bin/lazyfill bench --lengths 512,1024,2048,4096,7900 --lazy off --lazy 9:0.5,15:0.5,22:0.5 --json bench.json
    .venv/bin/python scripts/plot_ttft.py bench.json docs/images/ttft.svg
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
# The same figures give the same file: no random ids, no date.
matplotlib.rcParams.update({"svg.hashsalt": "lazyfill", "svg.fonttype": "none", "font.size": 11, "font.family": "sans-serif"})
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)

COLOURS = ["#57606a", "#0969da", "#bf3989", "#1a7f37"]


def lines_of(bench):
    """schedule -> [(prompt tokens, best TTFT in seconds)], in the order of the command line."""
    lines = {}
    for case in bench["cases"]:
        lines.setdefault(case["lazy"], []).append((case["prompt_tokens"], case["ttft_ms"]["min"] / 1000))
    return {schedule: sorted(points) for schedule, points in lines.items()}


def draw(bench, axes):
    lines = lines_of(bench)
    dense = dict(lines.get("off", []))
    for colour, (schedule, points) in zip(COLOURS, lines.items()):
        label = "dense" if schedule == "off" else f"--lazy {schedule}"
        axes.plot(*zip(*points), marker="o", color=colour, linewidth=2, label=label)
        n_tokens, seconds = points[-1]
        note = f"{seconds:.2f} s"
        if schedule != "off" and n_tokens in dense:
            note += f", {dense[n_tokens] / seconds:.2f}× sooner"
        axes.annotate(note, points[-1], xytext=(-8, 8), textcoords="offset points", ha="right", color=colour)
    axes.margins(y=0.12)
    axes.set(xlabel="tokens in the prompt", ylabel="seconds to the first token", xlim=(0, None))
    axes.set_ylim(bottom=0)
    axes.set_title(f"{bench['model']['name']}, {bench['model']['isa']} kernels, best of {bench['repeats']}", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    bench = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    draw(bench, axes)
    output = pathlib.Path(sys.argv[2])
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
