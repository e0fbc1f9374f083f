"""The trace of an agent over HTTP: what each kind of turn finds in the server's prompt cache, in OpenAI's and in Anthropic's form, beside
what it finds in `lazyfill run`, which has the scheduler and its store alone.

    python3 -m bench.serving.agent_trace -m MODEL.gguf [--turns 3 --tools 16 --example 6000] [--lazy off]
"""

import argparse
import http.client
import json
import pathlib
import subprocess
import sys

from bench.serving.client import Server

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "make_agent_trace.py"
N_TOKENS = 8  # of an answer


def trace(args):
    command = [sys.executable, SCRIPT, "--turns", args.turns, "--tools", args.tools, "--example", args.example]
    done = subprocess.run([str(word) for word in command], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_run(args, lines):
    """(prompt tokens, those that were cached) of each request."""
    command = [args.lazyfill, "run", "-m", args.model, "--jsonl", "-", "--temp", "0", "-n", str(N_TOKENS), "--batch", "1", "--prefix-cache",
               "--lazy", args.lazy]
    done = subprocess.run(command, input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        yield record["prompt_tokens"], record["cached_tokens"]


def openai_request(messages):
    return "/v1/chat/completions", {"messages": messages, "max_tokens": N_TOKENS, "temperature": 0}


def openai_usage(answer):
    return answer["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def anthropic_request(messages):
    system, talk = messages[0], messages[1:]
    return "/v1/messages", {"system": system["content"], "messages": talk, "max_tokens": N_TOKENS, "temperature": 0}


def anthropic_usage(answer):
    usage = answer["usage"]
    return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]


FORMS = {"OpenAI": (openai_request, openai_usage), "Anthropic": (anthropic_request, anthropic_usage)}


def served(args, lines, form):
    make_request, usage = FORMS[form]
    with Server([args.lazyfill, "serve", "-m", args.model, "--port", "0", "--lazy", args.lazy, "--quiet"]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
        for line in lines:
            path, body = make_request(line["messages"])
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != 200:
                raise SystemExit(f"{path}: {answer}")
            yield usage(answer)


def shares(lines, found, kinds):
    own = [counts for line, counts in zip(lines, found) if line["id"]["kind"] in kinds]
    return sum(cached for _, cached in own) / sum(prompt for prompt, _ in own)


def table(lines, by_way):
    kinds = list(dict.fromkeys(line["id"]["kind"] for line in lines))
    rows = ["| kind | requests | " + " | ".join(by_way) + " |", "|---" * (2 + len(by_way)) + "|"]
    for name, members in [*((kind, [kind]) for kind in kinds), ("all", kinds)]:
        n = sum(line["id"]["kind"] in members for line in lines)
        rows.append(f"| {name} | {n} | " + " | ".join(f"{shares(lines, found, members):.1%}" for found in by_way.values()) + " |")
    return "\n".join(rows)


def replay(args):
    """Way -> (prompt tokens, cached ones) of each request, and the requests."""
    lines = trace(args)
    by_way = {"run": list(by_run(args, lines))}
    by_way.update({form: list(served(args, lines, form)) for form in FORMS})
    return lines, by_way


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lazyfill", default="build/release/bin/lazyfill")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--lazy", default="off")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tools", type=int, default=16)
    parser.add_argument("--example", type=int, default=6000)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(table(*replay(parse())))
