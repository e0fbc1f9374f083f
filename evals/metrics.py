"""LongBench's metrics (THUDM/LongBench, metrics.py): how good an answer is, from 0 to 1.

Each takes the model's answer, the list of right answers, and the classes of the task (empty where it has none).
"""

import re
import string
from collections import Counter

from rapidfuzz import fuzz
from rouge import Rouge


def normalized_words(text):
    """Lower case, without punctuation and English articles."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(answer, right):
    got, wanted = normalized_words(answer), normalized_words(right)
    common = sum((Counter(got) & Counter(wanted)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(got), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def rouge_l(answer, right):
    if not any(c.isalnum() for c in answer) or not right.strip():
        return 0.0  # the library has no score for a text without words
    return Rouge(["rouge-l"]).get_scores([answer], [right], avg=True)["rouge-l"]["f"]


def named_class(answer, right, classes):
    """1 / number of classes that the answer names, if the right one is among them. A class whose name is only part of
    the right one's does not count as named."""
    named = [c for c in classes if c in answer and not (c in right and c != right)]
    return 1 / len(named) if right in named else 0.0


def numbers_that_are(answer, right):
    """Share of the answer's numbers that are the right one."""
    numbers = re.findall(r"\d+", answer)
    return numbers.count(right) / len(numbers) if numbers else 0.0


def retrieved(answer, right):
    return numbers_that_are(answer, re.findall(r"Paragraph (\d+)", right)[0])


def code_similarity(answer, right):
    """Edit similarity of the first line that is code."""
    lines = [line for line in answer.lstrip("\n").split("\n") if not any(mark in line for mark in ("`", "#", "//"))]
    return fuzz.ratio(lines[0] if lines else "", right) / 100


def contains(answer, right):
    """Whether the right answer is part of this one, but for case, punctuation and articles."""
    return float(" ".join(normalized_words(right)) in " ".join(normalized_words(answer)))


METRICS = {
    "f1": lambda answer, right, _: f1(answer, right),
    "rouge_l": lambda answer, right, _: rouge_l(answer, right),
    "class": named_class,
    "count": lambda answer, right, _: numbers_that_are(answer, right),
    "retrieval": lambda answer, right, _: retrieved(answer, right),
    "contains": lambda answer, right, _: contains(answer, right),
    "code": lambda answer, right, _: code_similarity(answer, right),
}


def score(metric, answer, right_answers, classes=()):
    """The best over the right answers."""
    return max(METRICS[metric](answer, right, classes or []) for right in right_answers)
