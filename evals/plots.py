"""The pictures of the evaluations: as SVG, the same file for the same figures."""

import statistics

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "lazyfill", "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif"})
import matplotlib.pyplot as plt  # noqa: E402  (the backend is chosen first)

COLOURS = ["#0969da", "#bf3989", "#1a7f37", "#bc4c00", "#8250df", "#57606a", "#9a6700", "#1b7c83", "#cf222e", "#6e7781", "#0a3069", "#4d2d00"]
MARKS = "osD^vPX*<>ph"


def save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def figure(n_columns=1, height=4.2, width=7.5):
    made, axes = plt.subplots(1, n_columns, figsize=(width, height), layout="constrained", squeeze=False)
    for one in axes[0]:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
    return made, axes[0]


def curves(path, lines, xlabel, ylabel, title, logarithmic=False, level=None):
    """lines: name -> [(x, y)], drawn in the order given. level: (y, name) of a dashed line."""
    made, (axes,) = figure()
    for i, (name, points) in enumerate(lines.items()):
        axes.plot(*zip(*points), marker=MARKS[i % len(MARKS)], color=COLOURS[i % len(COLOURS)], linewidth=1.6, markersize=5, label=name)
    if level:
        axes.axhline(level[0], color="#57606a", linestyle="--", linewidth=1, label=level[1])
    if logarithmic:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save(made, path)


def side_by_side(path, panels, xlabel, title, doubles=False):
    """panels: ylabel -> name -> [(x, y)], each from 0. doubles: x goes by powers of two."""
    made, all_axes = figure(len(panels), height=3.4, width=9)
    for axes, (ylabel, lines) in zip(all_axes, panels.items(), strict=True):
        for i, (name, points) in enumerate(lines.items()):
            axes.plot(*zip(*points), marker=MARKS[i], color=COLOURS[i], linewidth=1.6, markersize=5, label=name)
        if doubles:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_ylim(bottom=0)
    all_axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    made.suptitle(title, fontsize=10)
    save(made, path)


def steps(path, shares, layers, title):
    """shares: method -> [n_stages][n_steps] (evals.steps.mean_shares)."""
    made, all_axes = figure(len(layers), height=3.2, width=3.2 * len(layers) + 1)
    for stage, (axes, layer) in enumerate(zip(all_axes, layers, strict=True)):
        for i, (method, stages) in enumerate(shares.items()):
            axes.plot([100 * share for share in stages[stage]], color=COLOURS[i], linewidth=1.8, label=method)
        axes.set(xlabel="step of the answer", ylim=(0, 100), title=f"above layer {layer}")
        axes.title.set_fontsize(10)
    all_axes[0].set_ylabel("prompt tokens used so far, %")
    all_axes[-1].legend(frameon=False, fontsize=8)
    made.suptitle(title, fontsize=10)
    save(made, path)


def turns(path, kl, score, label, title):
    """kl, score (with its label): method -> [n_turns]."""
    made, (left, right) = figure(2, height=3.4, width=9)
    colours = dict(zip({**score, **kl}, zip(COLOURS, MARKS)))
    for axes, values, ylabel in ((left, kl, "mean KL from dense"), (right, score, label)):
        for method, points in values.items():
            colour, mark = colours[method]
            axes.plot(range(1, len(points) + 1), points, marker=mark, color=colour, linewidth=1.6, label=method)
        axes.set(xlabel="question", ylabel=ylabel, xticks=range(1, len(next(iter(values.values()))) + 1))
    left.set_yscale("log")
    right.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    made.suptitle(title, fontsize=10)
    save(made, path)


def needles(path, grids, lengths, depths, title):
    """grids: method -> {(length, depth): scores}."""
    made, all_axes = plt.subplots(1, len(grids), figsize=(2.2 * len(grids) + 1.2, 0.5 * len(depths) + 1.4), layout="constrained", squeeze=False)
    for axes, (method, grid) in zip(all_axes[0], grids.items(), strict=True):
        cells = [[statistics.mean(grid[length, depth]) if (length, depth) in grid else float("nan") for length in lengths] for depth in depths]
        shown = axes.imshow(cells, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
        axes.set_xticks(range(len(lengths)), [f"{length // 1000}k" for length in lengths], fontsize=8)
        axes.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths], fontsize=8)
        axes.set_title(method, fontsize=9)
        axes.set_xlabel("characters", fontsize=8)
    all_axes[0][0].set_ylabel("depth of the needle", fontsize=8)
    made.colorbar(shown, ax=all_axes[0].tolist(), shrink=0.8)
    made.suptitle(title, fontsize=10)
    save(made, path)


def calibration(path, report, title):
    """report: of `lazyfill calibrate --json`."""
    made, (axes,) = figure()
    kind = lambda c: c["policy"] + (", sparse attention" if c.get("sparse_attention", 1) < 1 else "")
    kinds = list(dict.fromkeys(map(kind, report["candidates"])))
    for within in (False, True):
        for i, name in enumerate(kinds):
            points = [(c["predicted_speed_up"], max(c["kl"], 1e-4)) for c in report["candidates"]
                      if kind(c) == name and c["within"] == within]
            if points:
                axes.scatter(*zip(*points), color=COLOURS[i], marker="o" if within else "x", s=30 if within else 18,
                             alpha=1 if within else 0.5, label=name + (", within the target" if within else ", given up"))
    best = [(c["predicted_speed_up"], max(c["kl"], 1e-4)) for c in report["candidates"] if c["within"]]
    if best:
        axes.plot(*zip(*best), color="#57606a", linewidth=1, label="the best so far")
    axes.axhline(report["preset"]["target"]["max_kl"], color="#57606a", linestyle="--", linewidth=1, label="target")
    axes.set_yscale("log")
    length = f" of {report['prompt_tokens']:,} tokens" if "prompt_tokens" in report else ""
    axes.set(xlabel=f"predicted speed-up of the prefill{length}", ylabel="KL from dense (of the texts measured)")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save(made, path)
