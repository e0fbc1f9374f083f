"""From the runs of a comparison to its table, JSON and pictures. Knows no engine; needs matplotlib for pictures only.

A run is {"length", "n_tokens", "engine", "ttft_ms", "decode_ms_per_token"}: `length` is what was asked for and names
the row, `n_tokens` what the prompt has.
"""

import re
import statistics

from isa import ISAS

SPARSE_PEER = "OpenVINO, XATTENTION"  # computes less than its dense engine does, as lazy does

def is_own(engine):
    return engine.startswith("lazyfill")


def summarize(runs):
    """One cell for every length and engine, in the order of the runs: the best of its repeats and their median."""
    groups = {}
    for run in runs:
        groups.setdefault((run["length"], run["engine"]), []).append(run)
    cells = []
    for (length, engine), group in groups.items():
        ttfts = [run["ttft_ms"] for run in group]
        n_tokens = group[0]["n_tokens"]
        cells.append(
            {
                "length": length,
                "n_tokens": n_tokens,
                "engine": engine,
                "ttft_ms": min(ttfts),
                "ttft_ms_median": statistics.median(ttfts),
                "prefill_tokens_per_s": n_tokens / min(ttfts) * 1e3,
                "decode_tokens_per_s": 1e3 / min(run["decode_ms_per_token"] for run in group),
                "repeats": len(group),
            }
        )
    for cell in cells:
        add_ratios(cell, [other for other in cells if other["length"] == cell["length"]])
    return cells


def add_ratios(cell, row):
    """How many times as fast as the best peer and as dense lazyfill; None where there is none in the row."""
    peers = [other for other in row if not is_own(other["engine"])]
    dense = [other for other in row if other["engine"] == "lazyfill"]
    cell["ttft_against_best_peer"] = ratio(min((p["ttft_ms"] for p in peers), default=None), cell["ttft_ms"])
    cell["decode_against_best_peer"] = ratio(
        cell["decode_tokens_per_s"], max((p["decode_tokens_per_s"] for p in peers), default=None)
    )
    cell["ttft_against_dense"] = ratio(dense[0]["ttft_ms"] if dense else None, cell["ttft_ms"])
    cell["decode_against_dense"] = ratio(
        cell["decode_tokens_per_s"], dense[0]["decode_tokens_per_s"] if dense else None
    )


def ratio(a, b):
    return None if a is None or b is None else a / b


def without_source_place(sentence):
    """An engine's complaint in one line, without the place in its sources on the machine that built it."""
    return re.sub(r" at /\S+:\d+:", ":", " ".join(sentence.split()))


def markdown(result):
    """The whole comparison as a page: the machine, a table a model, and what could not be measured."""
    lines = ["# Beside other engines", ""]
    settings = result["settings"]
    facts = [f"{name}: {value}" for name, value in result["machine"].items()] + list(ISAS[settings["isa"]].sentences)
    lines += [f"- {fact}" for fact in facts]
    lines += [
        f"- {settings['threads']} threads, {settings['n_decode']} tokens decoded, the best of {settings['repeats']}"
        " rounds in which the engines took turns; every prompt is computed in full",
    ]
    for model in result["models"]:
        lines += ["", f"## {model['model']}", ""]
        lines += [
            "| prompt tokens | engine | TTFT ms | prefill tok/s | decode tok/s | TTFT, times the best peer |"
            " decode, times the best peer |",
            "|---|---|---|---|---|---|---|",
        ]
        for cell in model["cells"]:
            lines.append(
                f"| {cell['n_tokens']} | {cell['engine']} | {cell['ttft_ms']:.0f} | {cell['prefill_tokens_per_s']:.0f}"
                f" | {cell['decode_tokens_per_s']:.1f} | {number(cell['ttft_against_best_peer'])}"
                f" | {number(cell['decode_against_best_peer'])} |"
            )
        for engine, sentence in model["failures"].items():
            lines += ["", f"{engine} could not be measured: {without_source_place(sentence)}"]
        lines += aims(model["cells"]) + losses(model["loss"])
    return "\n".join(lines) + "\n"


def aims(cells):
    """The ratios that are aimed at, a column a length; a ratio of what was not measured is left empty."""
    lengths = list(dict.fromkeys(cell["length"] for cell in cells))
    if not lengths:
        return []
    rows = [[cell for cell in cells if cell["length"] == length] for length in lengths]
    table = [
        ("dense prefill, times the best dense engine", lambda row: faster(row, "lazyfill", is_dense_peer)),
        ("dense prefill, times llama.cpp", lambda row: faster(row, "lazyfill", is_llama_cpp)),
        ("dense decode, times the best other engine", lambda row: of(row, "lazyfill", "decode_against_best_peer")),
        ("dense prefill, share of the fp32 peak", lambda row: of(row, "lazyfill", "prefill_peak_share")),
        ("dense decode, MB read a token", lambda row: (of(row, "lazyfill", "decode_bytes") or 0) / 1e6 or None),
        ("dense decode, share of the read bandwidth", lambda row: of(row, "lazyfill", "decode_bandwidth_share")),
        ("the same, of that in huge pages", lambda row: of(row, "lazyfill", "decode_huge_page_share")),
    ]
    for engine in dict.fromkeys(cell["engine"] for cell in cells):
        if not is_own(engine) or engine == "lazyfill":
            continue
        table += [
            (f"{engine}: prefill, times dense", lambda row, e=engine: of(row, e, "ttft_against_dense")),
            (f"{engine}: prefill, times llama.cpp", lambda row, e=engine: faster(row, e, is_llama_cpp)),
            (f"{engine}: prefill, times XATTENTION", lambda row, e=engine: faster(row, e, SPARSE_PEER.__eq__)),
            (f"{engine}: decode, times dense", lambda row, e=engine: of(row, e, "decode_against_dense")),
        ]
    lines = ["", "| | " + " | ".join(str(row[0]["n_tokens"]) for row in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    return lines + [f"| {name} | " + " | ".join(number(value(row)) for row in rows) + " |" for name, value in table]


def is_dense_peer(engine):
    return not is_own(engine) and engine != SPARSE_PEER


def is_llama_cpp(engine):
    return engine.startswith("llama.cpp")


def of(row, engine, key):
    return next((cell.get(key) for cell in row if cell["engine"] == engine), None)


def faster(row, engine, is_other):
    """How many times sooner the engine's first token comes than the best of the others'."""
    others = [cell["ttft_ms"] for cell in row if is_other(cell["engine"])]
    return ratio(min(others, default=None), of(row, engine, "ttft_ms"))


def losses(cells):
    if not cells:
        return []
    lines = [
        "",
        "KL of the first token to the same engine's dense prefill, nats; XATTENTION's is a lower bound, from its likeliest tokens:",
        "",
        "| prompt tokens | engine | prompts | mean | median |",
        "|---|---|---|---|---|",
    ]
    for cell in cells:
        lines.append(
            f"| {cell['length']} | {cell['engine']} | {cell['prompts']} | {cell['first_kl']:.3f}"
            f" | {cell['first_kl_median']:.3f} |"
        )
    return lines


def number(value):
    return "" if value is None else f"{value:.2f}"


def pictures(cells, title, folder, stem):
    """TTFT over prompt length and decode speed over context, as SVG. Returns the paths."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    colours = pyplot.colormaps["tab20"].colors[::2] + pyplot.colormaps["tab20"].colors[1::2]
    paths = []
    for what, label in [("ttft_ms", "time to first token, ms"), ("decode_tokens_per_s", "decode, tokens/s")]:
        figure, axes = pyplot.subplots(figsize=(10, 5), layout="constrained")
        for number, engine in enumerate(dict.fromkeys(cell["engine"] for cell in cells)):
            points = sorted((cell["n_tokens"], cell[what]) for cell in cells if cell["engine"] == engine)
            style = {"linewidth": 2.5, "marker": "o"} if is_own(engine) else {"linewidth": 1.2, "marker": "s"}
            style["color"] = colours[number % len(colours)]
            axes.plot([n for n, _ in points], [value for _, value in points], label=engine, **style)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({cell["n_tokens"] for cell in cells})
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.set_xlabel("prompt tokens")
        axes.set_ylabel(label)
        axes.set_title(title)
        axes.grid(True, which="both", alpha=0.3)
        figure.legend(loc="outside right upper", fontsize="small")
        paths.append(folder / f"{stem}-{what.split('_')[0]}.svg")
        figure.savefig(paths[-1])
        pyplot.close(figure)
    return paths
