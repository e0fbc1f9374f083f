"""Scores of the paper's methods and of their rivals on LongBench, with the time to the first token.

    python3 -m evals.longbench -m MODEL.gguf --data LONGBENCH --schedule 9:0.5,15:0.5,22:0.5 --out results.jsonl

LONGBENCH is a folder of TASK.jsonl files (of LongBench, or made by evals.questions): a line an object with "prompt", "answers"
and, for classification, "all_classes". Prompts of more than --max-tokens lose their middle, as LongBench does it. Every answer is a line of
--out at once; a run that was interrupted goes on where it stopped. The table at the end has, for each group of tasks, the
mean score and in brackets the speed-up of the time to the first token against dense, both over the prompts that every
method has answered, and the loss of the macro average with a 95% interval of a paired bootstrap over prompts.
"""

import argparse
import itertools
import json
import pathlib
import statistics
from typing import NamedTuple

from evals.methods import methods_for
from evals.metrics import score
from evals.program import Answers, common, measure, read_results, shortened
from evals.statistics_of_pairs import bootstrap


class Task(NamedTuple):
    group: str
    metric: str
    n_answer_tokens: int
    one_line: bool = False  # only the first line of the answer counts
    chat: bool = True       # asked as a chat message where the model has a template


# Of THUDM/LongBench: pred.py, eval.py and config/dataset2maxlen.json.
TASKS = {
    "narrativeqa": Task("Single-doc QA", "f1", 128),
    "qasper": Task("Single-doc QA", "f1", 128),
    "multifieldqa_en": Task("Single-doc QA", "f1", 64),
    "hotpotqa": Task("Multi-doc QA", "f1", 32),
    "2wikimqa": Task("Multi-doc QA", "f1", 32),
    "musique": Task("Multi-doc QA", "f1", 32),
    "gov_report": Task("Summarization", "rouge_l", 512),
    "qmsum": Task("Summarization", "rouge_l", 512),
    "multi_news": Task("Summarization", "rouge_l", 512),
    "trec": Task("Few-shot", "class", 64, one_line=True, chat=False),
    "triviaqa": Task("Few-shot", "f1", 32, one_line=True, chat=False),
    "samsum": Task("Few-shot", "rouge_l", 128, one_line=True, chat=False),
    "passage_count": Task("Synthetic", "count", 32),
    "passage_retrieval_en": Task("Synthetic", "retrieval", 32),
    "lcc": Task("Code", "code", 64, chat=False),
    "repobench-p": Task("Code", "code", 64, chat=False),
    # Of evals.questions.
    "nq": Task("Documents", "contains", 32),
    "kv": Task("Key-value", "contains", 48, chat=False),
    "needle": Task("Needle", "contains", 12, chat=False),
}
GROUPS = list(dict.fromkeys(task.group for task in TASKS.values()))


def load_questions(folder, limit):
    """Known tasks of the folder, at most `limit` lines of each: first one of every task, then the next of every task, so
    that a run that is cut short has seen all."""
    by_task = []
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem not in TASKS:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()[:limit]
        by_task.append([json.loads(line) | {"task": path.stem, "id": f"{path.stem}/{i}"} for i, line in enumerate(lines)])
    return [question for round_ in itertools.zip_longest(*by_task) for question in round_ if question]


def answer_score(question, text):
    task = TASKS[question["task"]]
    if task.one_line:
        text = text.lstrip("\n").split("\n")[0]
    return score(task.metric, text, question["answers"], question.get("all_classes"))


def computed_share(record):
    """Of the tokens of the prompt as it was given, the mean over the layers. Compression by self-information computes all of
    them to choose from; what chance drops is never computed."""
    share = statistics.mean(record["lazy"]["computed_fraction"]) if record["lazy"] else 1.0
    shorter = record.get("compression")
    if shorter and shorter["by"] == "random":
        share *= len(shorter["kept"]) / (shorter["kept"][-1] + 1)  # the last token always stays
    return share


def asker(lazyfill, model, max_tokens, plain, most_answer_tokens=512):
    """How program.measure asks these questions. plain: no chat template."""
    def ask(answers, method, question):
        task = TASKS[question["task"]]
        if "text" not in question:
            question["text"] = shortened(lazyfill, model, question["prompt"], max_tokens)
        flags = [*method.flags, "-n", str(min(task.n_answer_tokens, most_answer_tokens))] + ["--chat"] * (task.chat and not plain)
        record = answers.ask(prompt=question["text"], flags=flags)
        return {"task": question["task"], **question.get("at", {}), "score": answer_score(question, record["text"]),
                "ttft_ms": record["timings"]["ttft_ms"], "total_ms": record["timings"]["total_ms"],
                "prompt_tokens": record["prompt_tokens"],
                "computed": computed_share(record), "text": record["text"][:400]}
    return ask


def macro(scores):
    """Mean over the tasks of their mean. scores: (task, score) pairs."""
    by_task = {}
    for task, value in scores:
        by_task.setdefault(task, []).append(value)
    return statistics.mean(statistics.mean(values) for values in by_task.values())


def tasks_within(pairs, loss=0.01):
    """Of how many tasks the mean score loses no more than this share. pairs: (result, the first method's)."""
    by_task = {}
    for mine, base in pairs:
        by_task.setdefault(mine["task"], []).append((mine["score"], base["score"]))
    kept = sum(sum(m for m, _ in scores) >= (1 - loss) * sum(b for _, b in scores) for scores in by_task.values())
    return f"{kept} of {len(by_task)}"


def table(results, methods):
    """Markdown. The first method is what the others are compared with."""
    ids = common(results, methods)
    if not ids:
        return "No prompt has been answered by every method yet."
    groups = [g for g in GROUPS if any(TASKS[results[methods[0], i]["task"]].group == g for i in ids)]
    rows = ["| method | " + " | ".join(groups) + " | macro average | loss of it (95%) | tasks within 1% | TTFT speed-up | whole answer | computed |",
            "|---" * (len(groups) + 7) + "|"]
    base = [results[methods[0], i] for i in ids]
    for method in methods:
        mine = [results[method, i] for i in ids]
        pairs = list(zip(mine, base, strict=True))
        cells = []
        for group in groups:
            here = [(m, b) for m, b in pairs if TASKS[m["task"]].group == group]
            speed_up = sum(b["ttft_ms"] for _, b in here) / sum(m["ttft_ms"] for m, _ in here)
            cells.append(f"{100 * macro([(m['task'], m['score']) for m, _ in here]):.1f} ({speed_up:.2f})")
        loss = "" if method == methods[0] else "{:.1%} ({:.1%} to {:.1%})".format(*bootstrap(
            pairs, lambda p: 1 - macro([(m["task"], m["score"]) for m, _ in p]) / macro([(b["task"], b["score"]) for _, b in p])))
        ttft, whole = (sum(b[key] for b in base) / sum(m[key] for m in mine) for key in ("ttft_ms", "total_ms"))
        average = 100 * macro([(m["task"], m["score"]) for m in mine])
        within = "" if method == methods[0] else tasks_within(pairs)
        rows.append(f"| {method} | {' | '.join(cells)} | {average:.1f} | {loss} | {within} | {ttft:.2f} | {whole:.2f} | "
                    f"{statistics.mean(m['computed'] for m in mine):.0%} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--schedule", required=True, help="of lazy, focus, window, static and random")
    parser.add_argument("--single", default="50%:0.3", help="the one drop of gemfilter, fastkv and snapkv")
    parser.add_argument("--keep", default="0.5", help="share of the prompt that compression and random-drop keep")
    parser.add_argument("--methods", default="dense,lazy,focus,static,random-drop,compression")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int, default=1000, help="prompts a task at most")
    parser.add_argument("--max-tokens", type=int, default=3500)
    parser.add_argument("--plain", action="store_true", help="no chat template")
    parser.add_argument("--lazyfill", default="build/release/bin/lazyfill")
    args = parser.parse_args()
    if not args.data.is_dir():
        raise SystemExit(f"the folder {args.data} does not exist; --data names a copy of LongBench")
    known = methods_for(args.schedule, args.single, args.keep)
    methods = args.methods.split(",")
    if unknown := [m for m in methods if m not in known]:
        raise SystemExit(f"unknown method {unknown[0]}; there are {', '.join(known)}")
    questions = load_questions(args.data, args.limit)
    if not questions:
        raise SystemExit(f"{args.data} holds no TASK.jsonl of LongBench")
    cells = [(known[name], question) for question in questions for name in methods]
    measure(args.out, cells, asker(args.lazyfill, args.model, args.max_tokens, args.plain),
            Answers(args.lazyfill, args.model), "longbench")
    print(table(read_results(args.out), methods))


if __name__ == "__main__":
    main()
