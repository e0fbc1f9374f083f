"""The experiments: each measures what its file of results lacks, and returns Markdown."""

import itertools
import json
import pathlib
import statistics
import sys
from dataclasses import dataclass

from evals import agents, drafts, fidelity, longbench, methods, perplexity, prepacking, questions, steps, streaming, transfer, turns
from evals.methods import Method
from evals.program import Answers, Budget, common, measure, read_results


@dataclass(frozen=True)
class Size:
    """How much is measured. Lengths in characters are about four a token."""
    prompt_tokens: int = 3500       # of LongBench, as in the paper
    characters: int = 8000          # of prompts for fidelity
    answer_tokens: int = 512        # at most
    per_task: int = 20              # LongBench's prompts of a task
    n_fidelity: int = 48            # prompts
    fidelity_tokens: int = 33       # the first and 32 more
    curve_questions: int = 48
    retrieval: int = 8              # questions at each place
    documents: int = 10
    pairs: tuple = (20, 40, 75)
    needle_characters: tuple = (4000, 8000, 16000)
    depths: tuple = (0.0, 0.25, 0.5, 0.75, 1.0)
    texts: int = 24                 # of perplexity
    continuation: int = 800         # characters
    sets: int = 8                   # of documents, for turns
    turn_strengths: tuple = (1, 2, 3)
    layer_step: int = 3
    layer_keeps: tuple = (0.7, 0.5, 0.3, 0.1)
    steps: int = 96
    batches: tuple = (2, 4, 8, 16, 32, 64)  # prepacking; the last is how many prompts there are
    spreads: tuple = (0.0, 0.4, 0.8, 1.2)
    repeats: int = 5
    trace_turns: int = 3            # in a piece of an agent's conversation
    trace_tools: int = 14
    trace_example: int = 6000       # characters
    trace_repeats: int = 2
    drafts: int = 8                 # texts of a kind
    draft_prompt: int = 1500        # tokens
    draft_tokens: int = 160         # of an answer
    stream_characters: int = 1000000  # some 220,000 tokens
    stream_cache: int = 1024        # tokens, as in the paper
    stream_every: int = 500         # tokens; there the window is read anew
    stream_answer: int = 64


SMALL = Size(prompt_tokens=700, answer_tokens=48, characters=2400, per_task=1, n_fidelity=2, fidelity_tokens=9, curve_questions=3, retrieval=1, documents=5,
             pairs=(10,), needle_characters=(2400,), depths=(0.25, 0.75), texts=2, continuation=200, sets=1, turn_strengths=(2, 3), layer_step=10,
             layer_keeps=(0.5, 0.2), steps=16, batches=(2, 8), spreads=(0.0, 0.8), repeats=1,
             trace_turns=1, trace_tools=3, trace_example=0, trace_repeats=1,
             drafts=1, draft_prompt=300, draft_tokens=40,
             stream_characters=9000, stream_cache=128, stream_every=250, stream_answer=8)


@dataclass(frozen=True)
class Setup:
    lazyfill: str
    model: pathlib.Path
    info: dict
    data: pathlib.Path
    out: pathlib.Path
    size: Size
    flags: tuple
    budget: Budget
    report_only: bool = False

    @property
    def name(self):
        return self.model.stem.lower().split(".")[0]

    @property
    def plain(self):
        return not self.info["has_chat_template"]

    def path(self, experiment, ending="jsonl"):
        return self.out / f"{experiment}-{self.name}.{ending}"

    def run(self, experiment, cells, ask):
        if not self.report_only:
            measure(self.path(experiment), cells, ask, Answers(self.lazyfill, self.model, self.flags),
                    f"{experiment}, {self.name}", budget=self.budget)
        return read_results(self.path(experiment))

    def picture(self, experiment, draw, *args):
        """draw: name of a function of evals.plots. Markdown; a machine without matplotlib keeps the tables."""
        try:
            from evals import plots
        except ImportError:
            print("no matplotlib: no pictures; pip install -r evals/requirements.txt", file=sys.stderr)
            return ""
        path = self.path(experiment, "svg")
        getattr(plots, draw)(path, *args)
        return f"\n\n![{experiment}, {self.name}]({path.name})"


def every(cells_of, items):
    return [(method, item) for item in items for method in cells_of]


def asker(setup, prompt_tokens):
    return longbench.asker(setup.lazyfill, setup.model, prompt_tokens, setup.plain, setup.size.answer_tokens)


def fidelity_prompts(setup, lines, chat_too=False):
    """One prompt of each task, then another of each. chat_too: every other one as a chat message."""
    found = []
    for which in lines:
        found += fidelity.load_prompts(setup.data / "longbench", which, setup.size.characters)
    found = found[:setup.size.n_fidelity]
    return [item | {"chat": chat_too and not setup.plain and number % 2 == 1} for number, item in enumerate(found)]


def scores(setup):
    """Scores of the paper's methods and of today's rivals (Tables 1 and 2)."""
    known = methods.methods_for(methods.schedule(setup.info, methods.STAGED[methods.STANDARD]),
                                methods.schedule(setup.info, methods.SINGLE[methods.STANDARD], (methods.SINGLE_DEPTH,)),
                                methods.SHORTER[methods.STANDARD])
    if transfer.target_of(setup.info["name"], kind="fast") is None:
        del known["fast"]  # which would be auto again
    items = longbench.load_questions(setup.data / "longbench", setup.size.per_task)
    ask = asker(setup, setup.size.prompt_tokens)
    results = setup.run("scores", every(known.values(), items), ask)
    flags = "\n".join(f"- {m.name}: `{' '.join(m.flags)}`" for m in known.values())
    return f"{flags}\n\n{longbench.table(results, list(known))}\n\n{task_table(results, list(known))}"


def preset_scores(setup):
    """Whether the presets keep LongBench's scores."""
    known = [Method("dense", ("--lazy", "off"))]
    known += [Method(kind, ("--lazy", kind)) for kind in methods.PRESETS if transfer.target_of(setup.info["name"], kind=kind)]
    items = longbench.load_questions(setup.data / "longbench", setup.size.per_task)
    results = setup.run("preset-scores", every(known, items), asker(setup, setup.size.prompt_tokens))
    names = [m.name for m in known]
    return f"{len(common(results, names))} prompts.\n\n{longbench.table(results, names)}\n\n{task_table(results, names)}"


def task_table(results, names):
    """Score and, in brackets, speed-up of the time to the first token, by task."""
    ids = common(results, names)
    tasks = [task for task in longbench.TASKS if any(results[names[0], i]["task"] == task for i in ids)]
    rows = ["| task | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for task in tasks:
        mine = [i for i in ids if results[names[0], i]["task"] == task]
        cells = []
        for name in names:
            speed_up = sum(results[names[0], i]["ttft_ms"] for i in mine) / sum(results[name, i]["ttft_ms"] for i in mine)
            cells.append(f"{100 * statistics.mean(results[name, i]['score'] for i in mine):.1f} ({speed_up:.2f})")
        rows.append(f"| {task} ({len(mine)}) | " + " | ".join(cells) + " |")
    return "\n".join(rows)


CURVE_FAMILIES = ("lazy", "focus", "static", "random", "compression", "random-drop", "gemfilter", "fastkv")


def curve(setup):
    """Score against the speed-up of the time to the first token (Figure 5)."""
    qa = longbench.load_questions(setup.data / "longbench", setup.size.per_task)
    qa = [q for q in qa if longbench.TASKS[q["task"]].group in ("Single-doc QA", "Multi-doc QA", "Code")]
    size = setup.size
    nq = list(questions.nq(questions.read_lines(setup.data / "nq" / "nq-open-gold.jsonl")[800:], size.documents, size.documents // 2,
                           size.curve_questions))
    nq = [q | {"task": "nq", "id": f"nq/{i}"} for i, q in enumerate(nq)]
    items = [q for pair in itertools.zip_longest(qa, nq) for q in pair if q][:size.curve_questions]
    known = methods.ladder(setup.info, CURVE_FAMILIES)
    ask = asker(setup, size.prompt_tokens)
    results = setup.run("curve", every(known, items), ask)
    names = [m.name for m in known]
    ids = common(results, names)
    text = longbench.table(results, names)
    if not ids:
        return text
    lines = {}
    for method in known[1:]:
        speed_up = sum(results["dense", i]["ttft_ms"] for i in ids) / sum(results[method.name, i]["ttft_ms"] for i in ids)
        score = longbench.macro([(results[method.name, i]["task"], results[method.name, i]["score"]) for i in ids])
        lines.setdefault(method.family, []).append((speed_up, 100 * score))
    dense = 100 * longbench.macro([(results["dense", i]["task"], results["dense", i]["score"]) for i in ids])
    return text + setup.picture("curve", "curves", lines, "speed-up of the time to the first token",
                                "macro average of the scores", f"{setup.name}, {len(ids)} questions", False, (dense, "dense"))


DRAWN = ("lazy", "focus", "window", "static", "random", "lazy, early", "focus, early", "focus, six stages", "lazy, mass", "focus, mass", *methods.RIVALS)


def ablation(setup):
    """Which tokens to keep: variants by their distance from the dense model."""
    known = methods.ablation(setup.info)
    results = setup.run("ablation", every(known, fidelity_prompts(setup, (-1, -2, 0, 1), chat_too=True)),
                        fidelity.asker(setup.size.fidelity_tokens))
    text = fidelity.frontier_table(results, known)
    ids = common(results, [m.name for m in known])
    if not ids:
        return text
    lines = {}
    for method in known:
        found = fidelity.summary(results, method.name, ids)
        lines.setdefault(method.family, []).append((found["speed_up"], found["mean_kl"]))
    lines = {family: points for family, points in lines.items() if family in DRAWN}
    return text + setup.picture("ablation", "curves", lines, "speed-up of the time to the first token", "mean KL from dense",
                                f"{setup.name}, {len(ids)} prompts", True)


def layers(setup):
    """The place of a single pruning layer and the share it keeps (Figure 6)."""
    prunable = setup.info["model"]["prunable_layers"]
    chosen = [layer for layer in prunable if layer % setup.size.layer_step == 0] if len(prunable) > 6 else prunable
    known = [Method(f"{layer}:{keep}", ("--lazy", f"{layer}:{keep}", "--policy", "lazy"), f"keep {keep:.0%}")
             for keep in setup.size.layer_keeps for layer in chosen]
    items = fidelity_prompts(setup, (0, 1), chat_too=True)[:max(2, setup.size.n_fidelity // 3)]
    results = setup.run("layers", every(known, items), fidelity.asker(setup.size.fidelity_tokens))
    ids = common(results, [m.name for m in known])
    if not ids:
        return "No prompt has been measured at every layer yet."
    lines = {}
    for method in known:
        found = fidelity.summary(results, method.name, ids)
        lines.setdefault(method.family, []).append((int(method.name.split(":")[0]), found["mean_kl"], found["agreement"], found["speed_up"]))
    rows = [f"{len(ids)} prompts; mean KL, agreement and, in brackets, TTFT speed-up.", "",
            "| pruning after layer | " + " | ".join(lines) + " |", "|---" * (len(lines) + 1) + "|"]
    for number, layer in enumerate(chosen):
        cells = [f"{points[number][1]:.3f}, {points[number][2]:.0%} ({points[number][3]:.2f})" for points in lines.values()]
        rows.append(f"| {layer} | " + " | ".join(cells) + " |")
    drawn = {family: [(layer, 100 * agreement) for layer, _, agreement, _ in points] for family, points in lines.items()}
    return "\n".join(rows) + setup.picture("layers", "curves", drawn, "pruning after this layer", "agreement with dense, %",
                                           f"{setup.name}, lazy, one stage, {len(ids)} prompts")


def usage(setup):
    """Prompt tokens used over the steps of an answer (Figure 7)."""
    known = [m for m in methods.at_strength(setup.info, methods.STANDARD) if m.family in ("lazy", "focus", "static")]
    items = fidelity_prompts(setup, (0, 1))[:max(2, setup.size.n_fidelity // 3)]
    results = setup.run("usage", every(known, items), steps.asker(setup.size.steps))
    names = [m.name for m in known]
    ids = common(results, names)
    text = steps.table(results, names)
    if not ids:
        return text
    shares = {m.name: steps.mean_shares(results, m.name, ids) for m in known}
    return text + setup.picture("usage", "steps", shares, results[names[0], ids[0]]["layers"], f"{setup.name}, {len(ids)} prompts")


def multi_turn(setup):
    """A second and third question on the same prefilled document."""
    known = methods.ladder(setup.info, ("lazy", "focus", "static", *methods.RIVALS), setup.size.turn_strengths)
    size = setup.size
    documents = questions.nq_turns(questions.read_lines(setup.data / "nq" / "nq-open-gold.jsonl"), size.documents + 2, size.sets)
    hidden = questions.needle_turns(essays_of(setup), size.characters, size.sets)
    items = [item for pair in zip(hidden, documents) for item in pair]
    results = setup.run("turns", every(known, items), turns.asker(24, setup.plain))
    names = [m.name for m in known]
    text = ""
    for task, title in (("needle", "Needles in a long text"), ("nq", "Questions about documents")):
        mine = {key: result for key, result in results.items() if key[1].startswith(task)}
        text += f"\n\n{title}: {turns.table(mine, names, methods.base_of(known, 'lazy'))}"
        if ids := common(mine, names):
            middle = len(setup.size.turn_strengths) // 2
            drawn = [m.name for m in known[1:] if m.name in {s.name for s in methods.at_strength(setup.info, setup.size.turn_strengths[middle])}]
            kl = {name: turns.means(mine, name, ids, "mean_kl") for name in drawn}
            right = {name: turns.means(mine, name, ids, "contains" if task == "needle" else "f1_to_dense") for name in ["dense", *drawn]}
            label = "right answers" if task == "needle" else "answers as the dense model's, F1"
            text += setup.picture(f"turns-{task}", "turns", kl, right, label, f"{setup.name}, {title.lower()}, {len(ids)} conversations")
    return text.strip()


def essays_of(setup):
    return "\n\n".join(path.read_text(encoding="utf-8") for path in sorted((setup.data / "essays").glob("*.txt")))


def long_text(setup):
    """Perplexity of what follows a long text."""
    size = setup.size
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((setup.data / "essays").glob("*.txt"))}
    items = perplexity.windows(texts, size.characters, size.continuation, size.texts)
    known = methods.ladder(setup.info, ("lazy", "focus", "static", "random", "gemfilter", "random-drop", "compression"), (1, 2))
    results = setup.run("perplexity", every(known, items), perplexity.ask)
    return perplexity.table(results, [m.name for m in known])


RETRIEVAL = ("dense", "lazy", "focus", "static", "gemfilter", "random-drop")


def retrieval(setup):
    """Documents by the place of the answer, key-value pairs, and needles over length and depth."""
    size = setup.size
    cases = questions.read_lines(setup.data / "nq" / "nq-open-gold.jsonl")
    pairs = questions.read_lines(setup.data / "kv" / "kv-75.jsonl")
    places = sorted({0, size.documents // 2, size.documents - 1})
    groups = [("nq", [q for g in places for q in questions.nq(cases[400:], size.documents, g, size.retrieval)]),
              ("kv", [q for n in size.pairs for q in questions.kv(pairs, n, size.retrieval)]),
              ("needle", [q for n in size.needle_characters for q in questions.needle(essays_of(setup), n, size.depths, size.retrieval)])]
    items = [q | {"task": task, "id": f"{task}/{'/'.join(map(str, q['at'].values()))}/{i % size.retrieval}"}
             for task, group in groups for i, q in enumerate(group)]
    items.sort(key=lambda q: int(q["id"].split("/")[-1]))  # whole rounds over the places first
    known = methods.methods_for(methods.schedule(setup.info, methods.STAGED[methods.STANDARD]),
                                methods.schedule(setup.info, methods.SINGLE[methods.STANDARD], (methods.SINGLE_DEPTH,)),
                                methods.SHORTER[methods.STANDARD])
    known = [known[name] for name in RETRIEVAL]
    results = setup.run("retrieval", every(known, items), asker(setup, 8000))
    ids = common(results, list(RETRIEVAL))
    if not ids:
        return "No question has been answered by every method yet."
    cells = {}
    for i in ids:
        result = results["dense", i]
        place = {"nq": lambda r: f"answer in document {r['gold']} of {r['documents']}", "kv": lambda r: f"{r['pairs']} pairs",
                 "needle": lambda r: f"needle, {r['characters']} characters"}[result["task"]](result)
        cells.setdefault(place, []).append(i)
    rows = ["| place | questions | " + " | ".join(RETRIEVAL) + " |", "|---" * (len(RETRIEVAL) + 2) + "|"]
    for place, mine in cells.items():
        values = [f"{statistics.mean(results[name, i]['score'] for i in mine):.0%}" for name in RETRIEVAL]
        rows.append(f"| {place} | {len(mine)} | " + " | ".join(values) + " |")
    grids = {name: {} for name in RETRIEVAL}
    for name in RETRIEVAL:
        for i in ids:
            if results[name, i]["task"] == "needle":
                grids[name].setdefault((results[name, i]["characters"], results[name, i]["depth"]), []).append(results[name, i]["score"])
    if not grids["dense"]:
        return "\n".join(rows)
    return "\n".join(rows) + setup.picture("retrieval", "needles", grids, size.needle_characters, size.depths, f"{setup.name}, needles found")


def presets(setup):
    """Whether the presets keep their promises on texts that calibration never saw."""
    targets = {kind: transfer.target_of(setup.info["name"], kind=kind) for kind in methods.PRESETS}
    shipped = [Method(kind, ("--lazy", kind)) for kind, target in targets.items() if target]
    if not shipped:
        return "There is no shipped preset for this model."
    items = [item | {"id": f"{item['id']}, {'chat' if item['chat'] else 'plain'}"}
             for item in fidelity_prompts(setup, (0, 1, 2, -1), chat_too=True)]
    results = setup.run("preset", every(shipped, items), fidelity.asker(17))
    parts = [f"`--lazy {m.name}`: {transfer.verdict(results, targets[m.name], m.name)}" for m in shipped]
    return "\n\n".join(parts + [f"There is no shipped preset `{kind}` for this model." for kind, target in targets.items() if not target])


def frontier(setup):
    """What `calibrate` tried, from docs/results/calibration-MODEL.json and calibration-fast-MODEL.json (see evals/README.md)."""
    return "\n\n".join(frontier_of(setup, name) for name in ("calibration", "calibration-fast"))


def frontier_of(setup, name):
    path = setup.path(name, "json")
    if not path.exists():
        return f"`lazyfill calibrate --json {path.name}` has not been run."
    report = json.loads(path.read_text(encoding="utf-8"))
    preset, measured = report["preset"], report["preset"]["measured"]
    kind, mass = preset.get("preset", "auto"), preset.get("sparse_attention", 1)
    sparse = f" --sparse-attention {mass}" if mass < 1 else ""
    length = f" of {measured['prompt_tokens']} tokens" if measured.get("prompt_tokens") else ""
    option = " --preset fast" if kind == "fast" else ""
    return (f"`calibrate{option}` found `{preset['schedule']} --policy {preset['policy']}{sparse}`: {measured['speed_up']} times the prefill speed{length}, KL "
            f"{measured['kl']}, agreement {measured['agreement']:.1%}, in {report['seconds']:.0f} s and "
            f"{len(report['candidates'])} candidates." + setup.picture(name, "calibration", report, f"{setup.name}, {kind}"))


# name -> (function, share of the budget)
EXPERIMENTS = {"turns": (multi_turn, 3), "ablation": (ablation, 5), "curve": (curve, 5), "scores": (scores, 6), "retrieval": (retrieval, 3),
               "perplexity": (long_text, 2), "layers": (layers, 2), "usage": (usage, 1), "preset": (presets, 1), "preset-scores": (preset_scores, 4),
               "prepacking": (prepacking.experiment, 2), "agents": (agents.experiment, 1), "drafts": (drafts.experiment, 1), "streaming": (streaming.experiment, 2),
               "calibration": (frontier, 0.1)}
