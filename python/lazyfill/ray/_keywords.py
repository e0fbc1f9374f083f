"""The fields of `BuildOptions` as keywords, for those who check types."""

from __future__ import annotations

from typing import TypedDict


class BuildKeywords(TypedDict, total=False):
    """As there."""

    model: str | None
    model_name: str
    n_replicas: int
    max_replicas: int
    waiting_tokens: int
    threads: int
    num_cpus: float
    lazy: str
    context_tokens: int
    max_sequences: int
    max_queue: int
    kv_memory_bytes: int
    n_ingresses: int
    router: str
    affinity: float
    stats_period_s: float
    salt: str
    drain_s: float
