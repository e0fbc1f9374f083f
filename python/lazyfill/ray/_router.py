"""Which replica answers: the one that has most of a prompt's prefix, unless too much waits there.

The one file that uses Ray's interface for routers, which is alpha: it is written for ray 2.60.
"""

from __future__ import annotations

import random
import time
from typing import Any

from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from ._prefixes import BLOCK_TOKENS, n_held_blocks

_REMEMBER_S = 60.0
_CHOSEN_S = 2.0
_ANSWER_TOKENS = 64
_ROUTER = "lazyfill.ray._router:PrefixRouter"


def router_config(router: str, affinity: float, stats_period_s: float) -> RequestRouterConfig:
    """"prefix": this one; "default": Ray's choice of two; else the path of a class."""
    if router == "default":
        return RequestRouterConfig()
    config: dict[str, Any] = {"request_router_class": _ROUTER if router == "prefix" else router,
                              "request_router_kwargs": {"affinity": affinity} if router == "prefix" else {},
                              "request_routing_stats_period_s": stats_period_s}
    return RequestRouterConfig(**config)


class _Known:
    """What this router knows of one replica, beside what the replica says itself every few seconds."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # prefixes of requests that go there, and until when they count unpublished
        self._looked = 0.0
        self._chosen: dict[int, tuple[int, float]] = {}  # tokens of requests on their way there, and until when they count
        self.open: dict[int, int] = {}  # tokens of requests that are there
        self.n_sent = 0

    def prefixes(self, published: list[str]) -> set[str]:
        now = time.monotonic()
        if now > self._looked + 1:
            self._looked = now
            self._until = {one: until for one, until in self._until.items() if until >= now}
        return self._until.keys() | set(published)

    def n_waiting(self, n_requests: int) -> int:
        """Tokens; n_requests: that are there, also those of other ingresses, whose lengths nobody knows here."""
        now = time.monotonic()
        self._chosen = {key: one for key, one in self._chosen.items() if one[1] >= now}
        ours = sum(self.open.values()) + sum(n_tokens for n_tokens, _ in self._chosen.values())
        return ours + max(0, n_requests - len(self.open) - len(self._chosen)) * _ANSWER_TOKENS

    def choose(self, key: int, n_tokens: int, prefixes: list[str]) -> None:
        until = time.monotonic() + _CHOSEN_S
        self._chosen[key] = (n_tokens, until)
        for one in prefixes:
            self._until[one] = max(until, self._until.get(one, 0))

    def arrive(self, key: int, result_key: int, n_tokens: int, prefixes: list[str]) -> None:
        self._chosen.pop(key, None)
        self.open[result_key] = n_tokens
        self.n_sent += 1
        self._until.update(dict.fromkeys(prefixes, time.monotonic() + _REMEMBER_S))

    def leave(self, key: int) -> None:
        self._chosen.pop(key, None)


class PrefixRouter(RequestRouter):
    """Minimises what waits at a replica, less `affinity` times what it holds of the prompt, both in tokens.

    So a document finds its replica until more than `affinity` times its length waits there in excess of elsewhere. Replicas
    publish what they hold only every few seconds; what was sent to one counts at once, and for a minute without being published.
    """

    queue_len_response_deadline_s = 1.0
    """Ray gives a replica 0.1 s to say how much it has to do, else the request goes elsewhere. On a machine whose cores all
    compute, that is too short, and a document would leave its replica for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[ReplicaID, _Known] = {}
        self._affinity = 2.0
        self._n_routed = 0

    def initialize_state(self, **kwargs: Any) -> None:
        """The arguments of `router_config()`."""
        self._affinity = float(kwargs.get("affinity", 2.0))

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Forgets those that are gone."""
        super().update_replicas(replicas)
        self._known = {id_: known for id_, known in self._known.items() if id_ in self.curr_replicas}

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Forgets what it held."""
        super().on_replica_actor_died(replica_id)
        self._known.pop(replica_id, None)

    async def choose_replicas(self, candidate_replicas: list[RunningReplica],
                              pending_request: PendingRequest | None = None) -> list[list[RunningReplica]]:
        """All of them, the best one first; a rank each, so that the next is asked only where the one before is full."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True  # else Ray asks again without a pause
        prefixes = pending_request.kwargs.get("prefixes")
        if prefixes is None:  # rendering and the like: anybody's
            return [[replica] for replica in random.sample(candidate_replicas, len(candidate_replicas))]
        costs = {replica.replica_id: self._cost(replica, prefixes) for replica in candidate_replicas}
        ranked = sorted(candidate_replicas, key=lambda replica: costs[replica.replica_id])
        if ranked:
            # Requests come many at a time: the next must see where this one goes before it is there.
            for known in self._known.values():
                known.leave(id(pending_request))
            known = self._known[ranked[0].replica_id]
            n_tokens = self._n_to_compute(ranked[0].replica_id, pending_request)
            known.choose(id(pending_request), n_tokens, prefixes)
        return [[replica] for replica in ranked]

    def _n_held(self, replica_id: ReplicaID, prefixes: list[str]) -> int:
        known = self._known.setdefault(replica_id, _Known())
        replica = self.curr_replicas.get(replica_id)
        published = (replica.routing_stats or {}).get("prefixes", []) if replica is not None else []
        return n_held_blocks(prefixes, known.prefixes(published)) * BLOCK_TOKENS

    def _n_to_compute(self, replica_id: ReplicaID, pending_request: PendingRequest) -> int:
        n_held = self._n_held(replica_id, pending_request.kwargs["prefixes"])
        return max(0, len(pending_request.args[0]) - n_held) + _ANSWER_TOKENS

    def _cost(self, replica: RunningReplica, prefixes: list[str]) -> tuple[float, int]:
        known = self._known.setdefault(replica.replica_id, _Known())
        n_waiting = known.n_waiting(self.replica_queue_len_cache.get(replica.replica_id) or 0)
        return n_waiting - self._affinity * self._n_held(replica.replica_id, prefixes), known.n_sent

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Counts what was sent there as held, and as waiting until it ends."""
        prefixes = pending_request.kwargs.get("prefixes")
        if prefixes is None:  # not a request for an answer
            return
        for known in self._known.values():
            known.leave(id(pending_request))
        known = self._known.setdefault(replica_id, _Known())
        self._n_routed += 1
        key = self._n_routed
        known.arrive(id(pending_request), key, self._n_to_compute(replica_id, pending_request), prefixes)
        result.add_done_callback(lambda _: known.open.pop(key, None))
