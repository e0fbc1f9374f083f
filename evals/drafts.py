"""How many tokens a step gives with drafts, and what that makes of the speed: by drafter and by kind of text, while reference texts are
forced on the model and while it writes freely. Small models repeat themselves when they write freely, which flatters every drafter; a
reference text does not.
"""

import contextlib
import json
import re
import statistics

from evals.methods import Method
from evals.program import Answers, Progress, open_results, read_results, shortened

# Each has a process of its own, for a drafter learns from all that was answered before it.
METHODS = (Method("plain", ("--draft", "none")), Method("lookup", ("--draft", "lookup")), Method("recycle", ("--draft", "recycle")),
           Method("auto", ("--draft", "auto")), Method("recycle, whole tree", ("--draft", "recycle", "--draft-tokens", "80")))
PAPER = 2.70  # mean accepted tokens of Token Recycling, SpecBench, Vicuna 7B, whole tree (arXiv 2408.08696)


def lines_of(setup, task):
    with open(setup.data / "longbench" / f"{task}.jsonl", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def summaries(setup):
    for line in lines_of(setup, "multi_news"):
        yield shortened(setup.lazyfill, setup.model, line["prompt"], setup.size.draft_prompt), line["answers"][0]


def edits(setup):
    """A file of code, and the same file with its commonest name replaced."""
    for line in lines_of(setup, "lcc"):
        code = line["prompt"].split("\n", 1)[1].rsplit("Next line of code", 1)[0].strip()[:4 * setup.size.draft_tokens]
        names = re.findall(r"\b[A-Za-z_]{6,}\b", code)
        if not names:
            continue
        name = max(sorted(set(names)), key=names.count)
        yield (f"Here is a file:\n\n{code}\n\nThe same file again, with {name} renamed to {name}_of_old:\n\n",
               re.sub(rf"\b{name}\b", name + "_of_old", code))


def questions(setup):
    for line in lines_of(setup, "multifieldqa_en"):
        yield shortened(setup.lazyfill, setup.model, line["prompt"], setup.size.draft_prompt), " " + max(line["answers"], key=len)


def chats(setup):
    """A paragraph of an essay, and the next: text that is about the same and repeats nothing."""
    for path in sorted((setup.data / "essays").glob("*.txt")):
        paragraphs = [p for p in path.read_text(encoding="utf-8").split("\n\n") if len(p) > 300]
        for before, after in zip(paragraphs[1::2], paragraphs[2::2]):
            yield f"Somebody tells you:\n\n{before}\n\nGo on:\n\n", after


KINDS = {"summarisation": summaries, "code editing": edits, "question answering": questions, "chat": chats}


def items(setup):
    """One of every kind, then the next of every kind."""
    found = {kind: [] for kind in KINDS}
    for kind, texts in KINDS.items():
        for number, (prompt, reference) in enumerate(texts(setup)):
            if number == setup.size.drafts:
                break
            found[kind].append({"kind": kind, "number": number, "prompt": prompt, "reference": shortened(
                setup.lazyfill, setup.model, reference, setup.size.draft_tokens)})
    for number in range(setup.size.drafts):
        for kind in KINDS:
            yield from found[kind][number:number + 1]


def figures(record):
    drafts = record["drafts"] or {"steps": 0, "proposed": 0, "accepted": 0}
    return {"tokens": len(record["token_ids"]), "tokens_per_s": round(record["timings"]["decode_tokens_per_s"], 3),
            "sha": hash(tuple(record["token_ids"])) & 0xffffffff, **drafts}


def measure(setup, path):
    done = read_results(path)
    cells = [(mode, item, f"{mode}/{item['kind']}/{item['number']}") for item in items(setup) for mode in ("forced", "free")]
    missing = [cell for cell in cells if any((method.name, cell[2]) not in done for method in METHODS)]
    if not missing or setup.budget.is_over():
        return
    progress = Progress(f"drafts, {setup.name}", len(missing), setup.budget)
    with open_results(path) as output, contextlib.ExitStack() as stack:
        programs = [(method, stack.enter_context(Answers(setup.lazyfill, setup.model, ("--lazy", "off", *method.flags, *setup.flags))))
                    for method in METHODS]
        for mode, item, key in missing:
            if setup.budget.is_over():
                return
            line = {"prompt": item["prompt"]}
            if mode == "forced":
                line["continuation"] = item["reference"]
            else:
                line["flags"] = ["-n", str(setup.size.draft_tokens)] + ([] if setup.plain else ["--chat"])
            found = [(method, figures(program.ask(**line))) for method, program in programs]
            if len({(result["tokens"], result["sha"]) for _, result in found}) > 1:
                raise SystemExit(f"{key}: answers differ with drafts and without; that must not be")
            for method, result in found:
                del result["sha"]
                output.write(json.dumps({"method": method.name, "id": key, **result}) + "\n")
            output.flush()
            progress.step()


def of_kind(results, method, mode, kind):
    return {key: r for (name, key), r in results.items() if name == method and key.startswith(f"{mode}/{kind}/") and r["tokens"] > 1}


def cell(results, method, mode, kind):
    mine, plain = of_kind(results, method, mode, kind), of_kind(results, METHODS[0].name, mode, kind)
    if not mine:
        return ""
    ratio = statistics.median(r["tokens_per_s"] / plain[key]["tokens_per_s"] for key, r in mine.items() if key in plain)
    if method == METHODS[0].name:
        return f"{statistics.median(r['tokens_per_s'] for r in mine.values()):.1f}"
    steps = sum(r["steps"] for r in mine.values())
    per_step = sum(r["tokens"] - 1 for r in mine.values()) / steps if steps else 1
    return f"{per_step:.2f} / {ratio:.2f}"


def table(results):
    names = [method.name for method in METHODS]
    if not results:
        return "Nothing is measured yet."
    rows = ["| text | kind | n | plain, tokens/s | " + " | ".join(names[1:]) + " |", "|---" * (len(names) + 3) + "|"]
    for mode in ("forced", "free"):
        for kind in KINDS:
            if n := len(of_kind(results, names[0], mode, kind)):
                rows.append(f"| {mode} | {kind} | {n} | " + " | ".join(cell(results, name, mode, kind) for name in names) + " |")
    whole = [r for (name, _), r in results.items() if name == names[-1] and r["steps"]]
    mean = sum(r["tokens"] - 1 for r in whole) / max(1, sum(r["steps"] for r in whole))
    return "\n".join(rows) + f"\n\nTokens a step with the whole tree over all texts: {mean:.2f}; the paper has {PAPER:.2f} for a model of 7B."


def experiment(setup):
    """Drafts: tokens a step, and speed against plain decoding."""
    path = setup.path("drafts")
    if not setup.report_only:
        measure(setup, path)
    return ("Tokens a step / median of the speed against plain decoding of the same text, both in one run. `forced`: a reference text is forced "
            "on the model; `free`: it writes itself, and every drafter's answer was the plain one, token by token.\n\n"
            + table(read_results(path)))
