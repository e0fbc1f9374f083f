"""Several questions about one document that is prefilled once: what each method still knows at the second and third.

For every question the distance from the dense model (KL, agreement), along the dense model's answers, which are also the
history of the later questions; and the score of the method's own answers, with its own history. Each question is asked
at every turn (evals.questions turns), so the columns of a table differ by the turn alone. Prefilling again for each
question would give the first turn's score at the first turn's time.
"""

import statistics

from evals.metrics import score
from evals.program import common
from evals.statistics_of_pairs import bootstrap, ratio_text

N_TURNS = 3


def asker(n_tokens, plain):
    """plain: no chat template. A question with a "lead" (how its answer begins) is asked so in any case: a small chat model
    that repeats the question first shows little of what it found."""
    def ask(answers, method, item):
        if plain or "lead" in item["questions"][0]:
            questions = [f"Question: {q['question']}?\nAnswer:{q.get('lead', '')}" for q in item["questions"]]
            how = ["--stop", "\n"]
        else:
            questions = [f"{q['question']}? Answer in a few words." for q in item["questions"]]
            how = ["--chat"]
        flags = [*method.flags, "-n", str(n_tokens), "--fidelity", str(n_tokens), *how]
        records = answers.ask_all(len(questions), document=item["document"], questions=questions, flags=flags)
        turns = []
        for question, record in zip(item["questions"], records, strict=True):
            fidelity = record["fidelity"]
            turns.append({"first_kl": fidelity["first_kl"], "mean_kl": fidelity["mean_kl"], "agreement": fidelity["agreement"],
                          "contains": score("contains", record["text"], question["answers"]),
                          "f1": score("f1", record["text"], question["answers"]),
                          "f1_to_dense": score("f1", record["text"], [fidelity["dense_text"]]),
                          "ttft_ms": record["timings"]["ttft_ms"], "dense_ttft_ms": fidelity["dense_ttft_ms"],
                          "text": record["text"][:200]})
        return {"set": f"{item['id'].split('/')[0]}/{item['set']}", "prompt_tokens": records[0]["prompt_tokens"], "turns": turns}
    return ask


def means(results, method, ids, key):
    """[N_TURNS]"""
    return [statistics.mean(results[method, i]["turns"][turn][key] for i in ids) for turn in range(N_TURNS)]


def later_kl(result):
    """Mean over the turns after the first."""
    return statistics.mean(turn["mean_kl"] for turn in result["turns"][1:])


def ratio_of_sets(results, numerator, denominator, ids):
    """sum of numerator(id) / sum of denominator(id) and its interval over resampled documents (the conversations about one
    are no samples of their own)."""
    set_of = {i: result["set"] for (_, i), result in results.items()}
    sets = {}
    for i in ids:
        pair = sets.setdefault(set_of[i], [0.0, 0.0])
        pair[0] += numerator(i)
        pair[1] += denominator(i)
    return bootstrap(list(sets.values()), lambda sample: sum(a for a, _ in sample) / sum(b for _, b in sample))


def later_ratio(results, method, baseline, ids):
    """KL at the turns after the first, as a ratio to the baseline's."""
    return ratio_of_sets(results, lambda i: later_kl(results[method, i]), lambda i: later_kl(results[baseline, i]), ids)


def decline(results, method, ids):
    """KL at the turns after the first, as a ratio to the first's: what prefilling again would win back."""
    return ratio_of_sets(results, lambda i: later_kl(results[method, i]), lambda i: results[method, i]["turns"][0]["mean_kl"], ids)


def table(results, methods, first_of):
    """first_of: method -> the one that it is compared with."""
    ids = common(results, methods)
    if not ids:
        return "No document has been asked about under every method yet."
    n_sets = len({results[methods[0], i]["set"] for i in ids})
    rows = [f"{n_sets} document{'s' if n_sets > 1 else ''}, {len(ids)} conversations of {N_TURNS} questions; figures are for the 1st / 2nd / 3rd question.", "",
            "| method | mean KL | agreement | F1 to the dense answer | right answers | "
            "KL of the 2nd and 3rd, times the 1st (95%) | times that of lazy (95%) | TTFT ms | prefilling again costs |",
            "|---" * 9 + "|"]
    for method in methods:
        def cell(key, form, method=method):
            return " / ".join(form.format(value) for value in means(results, method, ids, key))
        fall = "" if method == "dense" else ratio_text(decline(results, method, ids), n_sets)
        beside = first_of.get(method, method)
        ratio = "" if beside == method else ratio_text(later_ratio(results, method, beside, ids), n_sets)
        ttft = means(results, method, ids, "ttft_ms")
        kl = "0" if method == "dense" else cell("mean_kl", "{:.4f}")
        rows.append(f"| {method} | {kl} | {cell('agreement', '{:.1%}')} | {cell('f1_to_dense', '{:.2f}')} | {cell('contains', '{:.0%}')} | "
                    f"{fall} | {ratio} | {cell('ttft_ms', '{:.0f}')} | {ttft[0] / statistics.mean(ttft[1:]):.0f} times the TTFT |")
    return "\n".join(rows)
