"""Every table and picture of the evaluations.

    python3 -m evals all                             # all of them, both models: hours
    python3 -m evals all --budget 25                 # as much as 25 minutes allow; the next run goes on
    python3 -m evals all --small                     # few and short prompts: minutes; into docs/results/small
    python3 -m evals turns ablation -m MODEL.gguf    # some of them, one model
    python3 -m evals all --report                    # only the page and the pictures, from what was measured

Results are JSON lines beside the page, docs/results/EXPERIMENT-MODEL.jsonl; what they hold is not measured again, so remove
those that an older build measured.
"""

import argparse
import itertools
import os
import pathlib
import subprocess

from evals.experiments import EXPERIMENTS, SMALL, Setup, Size
from evals.program import Budget, inspect

ROOT = pathlib.Path(__file__).resolve().parents[1]


def machine(lazyfill, flags):
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores, flags `{' '.join(flags) or 'none'}`, commit {revision or 'unknown'}"


def write_page(path, parts, args, where):
    note = f"\n**{args.note}**\n" if args.note else ""
    text = (f"<!-- Written by python3 -m evals; see evals/README.md -->\n# The evaluations{', a small run' if args.small else ''}\n{note}\n"
            f"Measured on {where}. Intervals are 95% of a paired bootstrap. In brackets beside scores: the speed-up of the time to the first token "
            "against dense.\n")
    for name, (function, _) in EXPERIMENTS.items():
        if any((name, model) in parts for model in args.models):
            text += f"\n## {function.__doc__.splitlines()[0]}\n"
        for model in args.models:
            if (name, model) in parts:
                text += f"\n### {model.stem}\n\n{parts[name, model]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def default_models():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = pathlib.Path(os.environ.get("LAZYFILL_TEST_MODELS", cache / "lazyfill" / "models"))
    return [folder / "SmolLM2-135M-Instruct.Q4_1.gguf", folder / "gemma-3-270m-q4_k_m.gguf"]


def parse():
    parser = argparse.ArgumentParser(prog="python3 -m evals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=["all", *EXPERIMENTS], metavar="EXPERIMENT",
                        help="all, or " + ", ".join(EXPERIMENTS))
    parser.add_argument("-m", "--model", dest="models", action="append", type=pathlib.Path, help="may be given several times; default: both of the tests")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("LAZYFILL_TEST_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--out", type=pathlib.Path, help="default: docs/results, with --small docs/results/small")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--budget", type=float, metavar="MINUTES")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--note", default="", help="a sentence at the head of the page, such as that other work ran beside it")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--lazyfill", default=str(ROOT / "build" / "release" / "bin" / "lazyfill"))
    args = parser.parse_args()
    args.models = args.models or default_models()
    args.out = args.out or ROOT / "docs" / "results" / ("small" if args.small else "")
    for path in (args.data, *args.models, pathlib.Path(args.lazyfill)):
        if not pathlib.Path(path).exists():
            raise SystemExit(f"{path} does not exist; --data, -m and --lazyfill name other places")
    return args


def main():
    args = parse()
    chosen = list(EXPERIMENTS) if "all" in args.experiments else args.experiments
    flags = ("--threads", str(args.threads)) if args.threads else ()
    budget = Budget(args.budget)
    left = [(name, model) for name in chosen for model in args.models]
    infos = {model: inspect(args.lazyfill, model) for model in args.models}
    parts = {}

    def part(name, model, time, report_only):
        size = SMALL if args.small else Size()
        setup = Setup(args.lazyfill, model, infos[model], pathlib.Path(args.data), args.out, size, flags, time, report_only)
        parts[name, model] = EXPERIMENTS[name][0](setup)

    while left:
        name, model = left[0]
        share = EXPERIMENTS[name][1] / sum(EXPERIMENTS[n][1] for n, _ in left)
        part(name, model, budget.part(share), args.report)
        print(f"\n{name}, {model.stem}\n\n{parts[name, model]}\n", flush=True)
        left.pop(0)
    for name, model in itertools.product(EXPERIMENTS, args.models):
        if (name, model) not in parts:  # the page shows what earlier runs measured too
            part(name, model, budget, True)
    write_page(args.out / "evals.md", parts, args, machine(args.lazyfill, flags))


if __name__ == "__main__":
    main()
