"""Whether a preset keeps its promise on texts that calibration never saw."""

import json
import pathlib
import statistics

from evals.program import common
from evals.statistics_of_pairs import bootstrap

ALLOWED = 1.5  # times the target
SHIPPED = pathlib.Path(__file__).resolve().parents[1] / "src" / "pruning" / "presets"


def target_of(model_name, folder=SHIPPED, kind="auto"):
    """The target of the shipped preset of this kind for the model (its general.name), None where there is none."""
    for path in sorted(folder.glob("*.json")):
        preset = json.loads(path.read_text(encoding="utf-8"))
        if preset["model"] == model_name and preset.get("preset", "auto") == kind:
            return preset["target"]
    return None


def used_by(result):
    """The schedule as it was applied, and with sparse attention its share."""
    mass = result.get("sparse_attention", 1)
    return result["schedule"] + (f" --sparse-attention {mass}" if mass < 1 else "")


def verdict(results, target, method="auto"):
    """Markdown: both losses over the texts, beside the target."""
    # A prompt that is too short for the preset is prefilled dense: that it loses nothing says nothing.
    ids = [i for i in common(results, [method]) if used_by(results[method, i]) != "off"]
    if not ids:
        return "No text that the preset prunes has been measured yet."
    used = sorted({used_by(results[method, i]) for i in ids})
    rows = [f"`{', '.join(used)}` on {len(ids)} texts, none of them among those of calibration; every other one as a chat message where the "
            "model has a template.", "", "| loss | target | measured (95%) | times the target (95%) | at most 1.5 times |", "|---|---|---|---|---|"]
    losses = {"mean KL": (target["max_kl"], [results[method, i]["mean_kl"] for i in ids]),
              "disagreement": (1 - target["min_agreement"], [1 - results[method, i]["agreement"] for i in ids])}
    for name, (allowed, values) in losses.items():
        found = bootstrap(values, statistics.mean)
        times = [value / allowed for value in found]
        rows.append(f"| {name} | {allowed:.3f} | {found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f}) | "
                    f"{times[0]:.2f} ({times[1]:.2f} to {times[2]:.2f}) | {'yes' if times[0] <= ALLOWED else 'no'} |")
    return "\n".join(rows)
