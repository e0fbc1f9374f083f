"""A fleet of replicas in SimPy. Each is an engine with its scheduler and prefix store, as docs/scheduling.md tells it; what a step
costs was measured by `lazyfill bench --json`."""

import bisect
import collections
import dataclasses
import hashlib
import math
import random

import simpy


class Costs:
    """What one replica's steps take (seconds), between the lengths that were measured by straight lines."""

    def __init__(self, prefill, decode, rows_8=3.0, store_tokens=100_000, held_cost=0.0):
        """prefill: [(prompt tokens, seconds to the first token)]; decode: [(tokens before, seconds of a step of one sequence)], both
        by ascending tokens; rows_8: how many times the tokens a second eight sequences have together; store_tokens: what a
        replica keeps of prompts; held_cost: what a kept token takes, as a share of computing it (copies, and its layers that choose
        anew)."""
        self.prefill, self.decode = [(0, 0.0), *prefill], list(decode)
        self.rows_8, self.store_tokens, self.held_cost = rows_8, store_tokens, held_cost

    @classmethod
    def of_bench(cls, record, lazy, **more):
        cases = sorted((case for case in record["cases"] if case["lazy"] == lazy), key=lambda case: case["prompt_tokens"])
        if not cases:
            raise SystemExit(f"The record has no case of lazy {lazy}: run lazyfill bench --json FILE --lazy off --lazy auto.")
        return cls([(case["prompt_tokens"], case["ttft_ms"]["median"] / 1000) for case in cases],
                   [(case["prompt_tokens"], 1 / case["decode_tokens_per_s"]["median"]) for case in cases], **more)

    @staticmethod
    def _between(points, n):
        if n <= points[0][0] or len(points) == 1:
            return points[0][1]
        at = min(max(bisect.bisect_left(points, (n, 0.0)), 1), len(points) - 1)
        (n0, s0), (n1, s1) = points[at - 1], points[at]
        seconds = s0 + (s1 - s0) * (n - n0) / (n1 - n0)
        return max(seconds, s1) if n > n1 else seconds  # more tokens never take less: two noisy points may fall

    def prefill_s(self, n_prompt, n_held=0):
        """Of a prompt whose first n_held tokens are kept; at least one token is computed."""
        n_held = min(n_held, n_prompt - 1)
        new_s = self._between(self.prefill, n_prompt) - (1 - self.held_cost) * self._between(self.prefill, n_held)
        return max(new_s, self._between(self.decode, n_prompt))

    def step_s(self, lengths):
        """The next token of sequences of these lengths, together."""
        mean = sum(self._between(self.decode, n) for n in lengths) / len(lengths)
        return mean * (1 + (len(lengths) - 1) * (8 / self.rows_8 - 1) / 7)


@dataclasses.dataclass
class Job:
    request: object
    n_held: int = 0
    left_s: float = 0.0       # of its prefill
    n_left: int = 0           # tokens of the answer
    first_s: float | None = None
    end_s: float | None = None
    replica: int | None = None

    @property
    def ttft_s(self):
        return self.first_s - self.request.arrival_s

    @property
    def latency_s(self):
        return self.end_s - self.request.arrival_s


class Replica:
    """Answers get a token each, then prompts go on for a turn: the short ones before the long ones, every fourth turn the oldest."""

    def __init__(self, env, costs, number, max_sequences=16, turn_s=0.05):
        self.env, self.costs, self.number = env, costs, number
        self.max_sequences, self.turn_s = max_sequences, turn_s
        self.queue = collections.deque()
        self.prefills, self.answers = [], []
        self.held = collections.OrderedDict()  # prefix: tokens, the least recently used first
        self.busy_s = 0.0
        self.n_computed = 0
        self.n_turns = 0
        self._wake = env.event()
        env.process(self._run())

    def n_held(self, request):
        return min(self.held.get(request.prefix, 0), request.n_prompt - 1)

    def waiting_tokens(self):
        open_jobs = [*self.queue, *self.prefills]
        return sum(job.request.n_prompt - self.n_held(job.request) + 64 for job in open_jobs) + 64 * len(self.answers)

    def n_open(self):
        return len(self.queue) + len(self.prefills) + len(self.answers)

    def submit(self, job):
        job.replica = self.number
        self.queue.append(job)
        if not self._wake.triggered:
            self._wake.succeed()

    def _keep(self, job):
        prefix, n_tokens = job.request.prefix, job.request.n_prefix
        if job.request.kind == "conversation":
            n_tokens = job.request.n_prompt + job.request.n_answer
        if n_tokens > 0:
            self.held[prefix] = max(n_tokens, self.held.pop(prefix, 0))
        while sum(self.held.values()) > self.costs.store_tokens:
            self.held.popitem(last=False)

    def _admit(self):
        while self.queue and len(self.prefills) + len(self.answers) < self.max_sequences:
            job = self.queue.popleft()
            job.n_held = self.n_held(job.request)
            if job.n_held > 0:
                self.held.move_to_end(job.request.prefix)
            job.left_s = self.costs.prefill_s(job.request.n_prompt, job.n_held)
            job.n_left = job.request.n_answer
            self.n_computed += job.request.n_prompt - job.n_held
            self.prefills.append(job)

    def _spend(self, seconds):
        self.busy_s += seconds
        return self.env.timeout(seconds)

    def _run(self):
        while True:
            self._admit()
            if not self.prefills and not self.answers:
                self._wake = self.env.event()
                yield self._wake
                continue
            if self.answers:
                yield self._spend(self.costs.step_s([job.request.n_prompt for job in self.answers]))
                self._give_tokens(self.answers)
            if self.prefills:
                self.n_turns += 1
                oldest_turn = self.n_turns % 4 == 0
                job = self.prefills[0] if oldest_turn else min(self.prefills, key=lambda one: one.left_s)
                seconds = min(job.left_s, self.turn_s)
                yield self._spend(seconds)
                job.left_s -= seconds
                if job.left_s <= 1e-9:
                    self.prefills.remove(job)
                    self._keep(job)
                    self.answers.append(job)
                    self._give_tokens([job])

    def _give_tokens(self, jobs):
        for job in list(jobs):
            job.first_s = self.env.now if job.first_s is None else job.first_s
            job.n_left -= 1
            if job.n_left <= 0:
                job.end_s = self.env.now
                self.answers.remove(job)


def _affine(replicas, request, rng, affinity=2.0):
    """lazyfill.ray's router: what waits there, less twice what is held of the prompt."""
    return min(replicas, key=lambda one: (one.waiting_tokens() - affinity * one.n_held(request), rng.random()))


def _of_two(replicas, request, rng):
    """Ray's own: of two at random the one with fewer requests."""
    return min(rng.sample(replicas, min(2, len(replicas))), key=lambda one: one.n_open())


def _hashed(replicas, request, rng):
    """The same prefix always goes to the same replica, however much waits there."""
    return replicas[int.from_bytes(hashlib.sha256(request.prefix.encode()).digest()[:8], "big") % len(replicas)]


ROUTERS = {"prefix": _affine, "two": _of_two, "hash": _hashed}


def simulate(trace, costs, n_replicas, router="prefix", seed=0, **of_replicas):
    """The jobs, all of them ended, and the replicas."""
    env, rng = simpy.Environment(), random.Random(seed)
    replicas = [Replica(env, costs, number, **of_replicas) for number in range(n_replicas)]
    jobs = []

    def arrivals():
        for request in trace:
            yield env.timeout(request.arrival_s - env.now)
            job = Job(request)
            jobs.append(job)
            ROUTERS[router](replicas, request, rng).submit(job)

    env.process(arrivals())
    env.run()
    return jobs, replicas


def percentile(values, share):
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def summary(jobs, replicas):
    """What the people who wait see, and what the machines did."""
    begin = min(job.request.arrival_s for job in jobs)
    span = max(job.end_s for job in jobs) - begin
    known = [job for job in jobs if job.request.n_prefix > 0]
    return {"ttft_p50_s": percentile([job.ttft_s for job in jobs], 0.5), "ttft_p95_s": percentile([job.ttft_s for job in jobs], 0.95),
            "latency_p50_s": percentile([job.latency_s for job in jobs], 0.5),
            "latency_p95_s": percentile([job.latency_s for job in jobs], 0.95),
            "held_share": sum(job.n_held for job in known) / max(1, sum(job.request.n_prefix for job in known)),
            "computed_share": sum(one.n_computed for one in replicas) / sum(job.request.n_prompt for job in jobs),
            "busy_share": sum(one.busy_s for one in replicas) / (span * len(replicas)) if span > 0 else 0.0,
            "n_requests": len(jobs)}
