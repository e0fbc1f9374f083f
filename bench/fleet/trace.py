"""Requests that a fleet gets: questions about shared documents, turns of conversations, and short ones that nobody shares."""

import bisect
import dataclasses
import itertools
import math
import random


@dataclasses.dataclass(frozen=True)
class Request:
    arrival_s: float
    kind: str              # "document", "conversation" or "short"
    prefix: str            # what others may have asked of before: the document's or the conversation's name
    n_prefix: int          # tokens of the prompt that belong to it
    n_prompt: int          # tokens, the prefix among them
    n_answer: int          # tokens


@dataclasses.dataclass(frozen=True)
class Mix:
    """Shares of the kinds, and how long everything is (tokens). Lengths are log-normal about their medians."""

    document: float = 0.5
    conversation: float = 0.3
    short: float = 0.2
    n_documents: int = 32
    document_tokens: int = 3000
    popularity: float = 0.8    # Zipf's exponent: how much more often the favourite is asked about
    question_tokens: int = 40
    answer_tokens: int = 60
    most_tokens: int = 7500    # of a prompt; a conversation that would pass it begins anew


def _lengths(rng, median, low, high, sigma=0.6):
    return int(min(high, max(low, rng.lognormvariate(math.log(median), sigma))))


def make_trace(n_requests, per_s, seed, mix=Mix()):
    """`n_requests` in the order of their arrival, Poisson at `per_s` a second. The same seed gives the same trace; another rate
    only stretches it."""
    rng = random.Random(seed)
    documents = [_lengths(rng, mix.document_tokens, 300, mix.most_tokens - 500) for _ in range(mix.n_documents)]
    weights = list(itertools.accumulate((i + 1) ** -mix.popularity for i in range(mix.n_documents)))
    conversations = []  # [name, tokens so far]
    now, trace, n_begun = 0.0, [], 0
    for i in range(n_requests):
        now += rng.expovariate(1.0)
        n_answer = _lengths(rng, mix.answer_tokens, 4, 400)
        n_question = _lengths(rng, mix.question_tokens, 8, 300)
        kind = rng.choices(("document", "conversation", "short"), (mix.document, mix.conversation, mix.short))[0]
        if kind == "document":
            which = bisect.bisect_left(weights, rng.random() * weights[-1])
            prefix, n_prefix = f"document {which}", documents[which]
        elif kind == "conversation":
            if not conversations or rng.random() < 0.25:
                conversations.append([f"conversation {n_begun}", 0])
                n_begun += 1
            talk = rng.choice(conversations[-8:])
            if talk[1] + n_question + n_answer > mix.most_tokens:
                talk[0], talk[1], n_begun = f"conversation {n_begun}", 0, n_begun + 1
            prefix, n_prefix = talk[0], talk[1]
            talk[1] += n_question + n_answer
        else:
            prefix, n_prefix = f"short {i}", 0
        trace.append(Request(now / per_s, kind, prefix, n_prefix, n_prefix + n_question, n_answer))
    return trace
