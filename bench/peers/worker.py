"""The protocol between compare.py and an engine's process: JSON objects, a line each, on standard input and output.

The first line holds the engine's options and is answered with {"ready": true} or {"error": SENTENCE}. Each further one,
{"token_ids", "n_decode"}, is answered with {"ttft_ms", "decode_ms_per_token", "token_ids"} or {"error": SENTENCE}. An
engine with further questions is asked them by name: {"ask": "first_logprobs", "token_ids", "n_likeliest"} is answered with
{"token_ids", "logprobs"}.
"""

import importlib
import json
import os
import sys



def packages(*names):
    """The modules; for engines that most machines do not have, imported when the engine is started."""
    found = []
    for name in names:
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError as missing:
            raise RuntimeError(f"the package {missing.name} is not installed") from missing
    return found


def serve(engine_class):
    # Whatever an engine's library prints must not land between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        engine = engine_class(json.loads(sys.stdin.readline()))
    except Exception as error:  # any failure of a peer is a sentence in the table, not the end of the comparison
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for line in sys.stdin:
        try:
            message = json.loads(line)
            answer(getattr(engine, message.pop("ask", "measure"))(**message))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})
