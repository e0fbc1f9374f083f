"""The application: an ingress over replicas, as `serve run` and a RayService take it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from .._errors import InvalidArgument
from .._models import default_model
from ._ingress import Ingress
from ._replica import Replica
from ._router import router_config

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._keywords import BuildKeywords


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What `build()` takes.

    >>> BuildOptions(n_replicas=2).lazy
    'auto'
    """

    model: str | None = None
    """The path of a GGUF file, on every machine; None: the default model of each."""
    model_name: str = ""
    """How clients call it; empty: the file's name."""
    n_replicas: int = 1
    max_replicas: int = 0
    """Above `n_replicas`: so many while more waits than `waiting_tokens`, and back."""
    waiting_tokens: int = 4096
    """Tokens of prompts that may wait at each replica before there is another."""
    threads: int = 0
    """Of each replica; 0: the cores of this machine divided by the replicas."""
    num_cpus: float = 0
    """What Ray sets aside for a replica, also in parts of one; 0: as many as threads."""
    lazy: str = "auto"
    """Where a request does not say."""
    context_tokens: int = 0
    max_sequences: int = 16
    max_queue: int = 64
    kv_memory_bytes: int = 0
    n_ingresses: int = 1
    router: str = "prefix"
    """"prefix", "default" (Ray's), or the path of another class."""
    affinity: float = 2.0
    """How many tokens may wait for each one that is held, before a prompt goes elsewhere."""
    stats_period_s: float = 10.0
    """How often replicas say what they hold."""
    salt: str = ""
    """Of the prefixes' hashes; empty: drawn here. Give one, so that a new deployment of the same keeps its replicas."""
    drain_s: float = 60.0
    """What answers have to end in when a replica is taken away."""


def scale_by_tokens(context: Any) -> tuple[int, dict[str, Any]]:
    """How many replicas are wanted for the tokens that wait at those that are there."""
    waiting = (context.aggregated_metrics or {}).get("waiting_tokens", {})
    target = context.config.target_ongoing_requests  # in tokens, see build()
    wanted = -int(-sum(waiting.values()) // target) if waiting else context.current_num_replicas
    low, high = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(low, min(high, wanted)), {}


def _scaling(options: BuildOptions) -> dict[str, Any]:
    if options.max_replicas <= options.n_replicas:
        return {"num_replicas": options.n_replicas}
    return {"num_replicas": None, "autoscaling_config": AutoscalingConfig(
        min_replicas=options.n_replicas, max_replicas=options.max_replicas,
        target_ongoing_requests=float(options.waiting_tokens), metrics_interval_s=2, look_back_period_s=6,
        upscale_delay_s=6, downscale_delay_s=300,
        policy=AutoscalingPolicy(  # type: ignore[no-untyped-call,unused-ignore]
            policy_function="lazyfill.ray._application:scale_by_tokens"))}


def _threads(options: BuildOptions) -> int:
    n_replicas = max(options.n_replicas, options.max_replicas)
    return options.threads or max(1, len(os.sched_getaffinity(0)) // n_replicas)


def build(options: BuildOptions | None = None, **keywords: Unpack[BuildKeywords]) -> Application:
    """The application, for `ray.serve.run()`. Keywords are the fields of `BuildOptions`."""
    asked = dataclasses.replace(options or BuildOptions(), **keywords)
    if asked.n_replicas < 1 or asked.n_ingresses < 1:
        raise InvalidArgument("n_replicas and n_ingresses must be at least 1")
    threads = _threads(asked)
    scheduler = {name: getattr(asked, name) for name in ("context_tokens", "max_sequences", "max_queue", "kv_memory_bytes")}
    name = asked.model_name or pathlib.Path(asked.model or default_model()).stem
    deployment: Any = serve.deployment  # its types know only its use as a decorator
    replicas = deployment(Replica).options(
        name="Replica", max_ongoing_requests=asked.max_sequences + asked.max_queue,
        ray_actor_options={"num_cpus": asked.num_cpus or threads}, graceful_shutdown_timeout_s=asked.drain_s,
        health_check_period_s=5, health_check_timeout_s=30,
        request_router_config=router_config(asked.router, asked.affinity, asked.stats_period_s), **_scaling(asked),
    ).bind(asked.model, threads, scheduler, asked.salt or secrets.token_hex(16))
    ingress = deployment(Ingress).options(
        name="Ingress", num_replicas=asked.n_ingresses, max_ongoing_requests=4096, ray_actor_options={"num_cpus": 0},
        graceful_shutdown_timeout_s=asked.drain_s)
    application: Application = ingress.bind(replicas, name, asked.lazy)
    return application


def app(args: dict[str, Any]) -> Application:
    """What `serve run lazyfill.ray:app model=model.gguf n_replicas=2` calls: values may be texts."""
    return build(BuildOptions(**_typed(args)))


def _typed(args: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(BuildOptions)}
    typed: dict[str, Any] = {}
    for name, value in args.items():
        if name not in defaults:
            raise InvalidArgument(f"there is no option '{name}'; there are {', '.join(defaults)}")
        kind = str if defaults[name] is None else type(defaults[name])
        try:
            typed[name] = kind(value)
        except ValueError:
            raise InvalidArgument(f"{name}={value} is not a {'whole ' if kind is int else ''}number") from None
    return typed
