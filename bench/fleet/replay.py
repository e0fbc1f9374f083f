"""Plays a trace against real servers of one thread each, which a router of the simulation's kind chooses among."""

import contextlib
import random
import threading
import time

from bench.fleet import model
from bench.serving import client


class _Server:
    """What a router wants to know of a server: what was sent there, and what of it has not ended."""

    def __init__(self, server):
        self.server = server
        self.held = {}
        self.open = {}  # request: tokens to compute
        self.answering = set()

    def n_held(self, request):
        return min(self.held.get(request.prefix, 0), request.n_prompt - 1)

    def waiting_tokens(self):
        return sum(self.open.values()) + 64 * len(self.answering)

    def n_open(self):
        return len(self.open) + len(self.answering)


class _Texts:
    """Prompts as long as the trace says, by token ids: the same prefix is the same ids."""

    def __init__(self, seed):
        self._seed = seed
        self._prefixes = {}

    def _ids(self, name, n):
        rng = random.Random(f"{self._seed} {name}")
        return [rng.randrange(1000, 20000) for _ in range(n)]

    def prompt(self, request):
        return self._prefixes.get(request.prefix, self._ids(request.prefix, request.n_prefix))[:request.n_prefix] + self._ids(
            (request.prefix, request.arrival_s), request.n_prompt - request.n_prefix)

    def went_on(self, request, prompt):
        """A conversation's next turn begins with this prompt and an answer (here as many ids that nobody wrote)."""
        if request.kind == "conversation":
            self._prefixes[request.prefix] = prompt + self._ids((request.prefix, "answer", request.arrival_s), request.n_answer)


def _answer(server, request, prompt, lazy, jobs, lock):
    begin = time.monotonic()
    answer = client.stream(server.server.port, {"prompt": prompt, "max_tokens": request.n_answer, "temperature": 0, "lazy": lazy,
                                                "ignore_eos": True, "cache_salt": "fleet", "stream_options": {"include_usage": True}})
    if answer.error or not answer.times:
        raise SystemExit(f"a request failed: {answer.error or 'no text came'}")
    with lock:
        server.open.pop(request, None)
        jobs.append((answer.ttft, time.monotonic() - begin, request, answer.usage))


def replay(trace, n_servers, router, program, lazy, seed):
    """What simulate's summary says, measured. Requests are sent when the trace says, whatever has not ended."""
    rng, texts, jobs, lock, threads = random.Random(seed), _Texts(seed), [], threading.Lock(), []
    with contextlib.ExitStack() as stack:
        servers = [_Server(stack.enter_context(client.Server([program, "serve", "--threads", "1", "--port", "0"])))
                   for _ in range(n_servers)]
        start, n_held = time.monotonic(), 0
        for request in trace:
            time.sleep(max(0.0, start + request.arrival_s - time.monotonic()))
            prompt = texts.prompt(request)
            texts.went_on(request, prompt)
            with lock:
                server = model.ROUTERS[router](servers, request, rng)
                found = server.n_held(request)
                n_held += found
                server.open[request] = request.n_prompt - found + 64
                server.held[request.prefix] = request.n_prompt if request.kind == "conversation" else request.n_prefix
            threads.append(threading.Thread(target=_answer, args=(server, request, prompt, lazy, jobs, lock)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    if len(jobs) != len(trace):
        raise SystemExit(f"{len(trace) - len(jobs)} of {len(trace)} requests failed")
    ttft, latency = [job[0] for job in jobs], [job[1] for job in jobs]
    return {"ttft_p50_s": model.percentile(ttft, 0.5), "ttft_p95_s": model.percentile(ttft, 0.95),
            "latency_p50_s": model.percentile(latency, 0.5), "latency_p95_s": model.percentile(latency, 0.95),
            "held_share": n_held / max(1, sum(request.n_prefix for request in trace))}
