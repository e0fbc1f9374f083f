"""A replica: one engine with its scheduler in a process of its own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from .._engine import Engine
from .._errors import Error
from ._prefixes import BLOCK_TOKENS, HeldPrefixes, prefix_hashes

_STUCK_S = 300.0


class Replica:
    """What Ray Serve runs many of. Engine errors are events like others; an exception means that the replica is lost."""

    def __init__(self, model: str | None, threads: int, scheduler: Mapping[str, Any], salt: str) -> None:
        self._engine = Engine.load(model, threads=threads)
        self._scheduler = self._engine.start_scheduler(**scheduler)
        self._salt = salt
        self._held = HeldPrefixes()
        self._waiting: dict[int, int] = {}  # tokens to compute of each request without a token yet
        self._n_asked = 0
        self._n_open = 0
        self._name = os.urandom(4).hex()
        self._progress: tuple[tuple[int, ...], float] = ((), time.monotonic())

    async def describe(self) -> dict[str, Any]:
        """The model, for /v1/models."""
        return self._engine.info

    async def status(self) -> dict[str, Any]:
        """What the scheduler does now, with this replica's name."""
        return {**self._scheduler.status(), "replica": self._name, "pid": os.getpid(),
                "waiting_tokens": sum(self._waiting.values())}

    async def render(self, prompt: Mapping[str, Any], cache_salt: str) -> dict[str, Any]:
        """The token ids of a prompt with the hashes of its prefixes, or an error. Ingresses have no tokenizer."""
        return await asyncio.to_thread(self._render, prompt, cache_salt)

    def _render(self, prompt: Mapping[str, Any], cache_salt: str) -> dict[str, Any]:
        try:
            if "messages" in prompt:
                tokens = self._engine.tokenize_chat(prompt["messages"], template_variables=prompt["template_variables"])
            elif isinstance(prompt["prompt"], str):
                tokens = self._engine.tokenize(prompt["prompt"])
            else:
                tokens = list(prompt["prompt"])
        except Error as error:
            return {"error": error.code, "message": str(error)}
        return {"tokens": tokens, "prefixes": prefix_hashes(tokens, self._salt + "\0" + cache_salt)}

    async def answer(self, tokens: list[int], options: Mapping[str, Any], *,
                     prefixes: list[str]) -> AsyncIterator[dict[str, Any]]:
        """Events: one when the request is accepted, the answer's pieces, the end; or an error.

        prefixes: the hashes that `render()` gave; the router reads them too.
        """
        self._n_asked += 1
        number = self._n_asked
        n_held = self._held.n_blocks_of(prefixes)
        # What is older than this, should this prove to be gone; while others are at it, nothing is proved.
        older = self._held.older_than(prefixes[n_held - 1]) if n_held and self._n_open == 0 else []
        self._n_open += 1
        self._waiting[number] = max(1, len(tokens) - n_held * BLOCK_TOKENS)
        options = {"max_tokens": max(1, self._engine.info["context_length"] - len(tokens)), **options}
        try:
            with self._scheduler.stream(tokens, **options) as stream:
                if options["cache_prompt"]:
                    self._held.add(prefixes)
                yield {"accepted": True}
                async for piece in stream:
                    self._waiting.pop(number, None)
                    yield {"text": str(piece)}
                answer = stream.answer
            if options["cache_prompt"] and answer.cached_tokens < BLOCK_TOKENS:
                self._held.forget(set(older) - set(prefixes))  # the engine's cache had to make room
            yield {"finish_reason": answer.finish_reason, "n_prompt": len(tokens), "n_generated": len(answer.token_ids),
                   "n_cached": answer.cached_tokens, "replica": self._name,
                   "timings": {"ttft_ms": answer.timings.ttft_ms, "queue_ms": answer.timings.queue_ms,
                               "total_ms": answer.timings.total_ms}}
        except Error as error:
            self._held.forget(prefixes[n_held:])
            yield {"error": error.code, "message": str(error)}
        finally:
            self._n_open -= 1
            self._waiting.pop(number, None)

    def record_routing_stats(self) -> dict[str, Any]:
        """What routers are told every few seconds: the prefixes that are here."""
        return {"prefixes": self._held.all()}

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What the autoscaler is told."""
        return {"waiting_tokens": float(sum(self._waiting.values()))}

    async def check_health(self) -> None:
        """Ray replaces a replica that has work and does none of it."""
        status = self._scheduler.status()
        done = tuple(status[name] for name in ("n_ended", "n_prompt_tokens", "n_generated_tokens"))
        is_idle = status["n_queued"] + status["n_prefilling"] + status["n_decoding"] == 0
        if is_idle or done != self._progress[0]:
            self._progress = (done, time.monotonic())
        elif time.monotonic() - self._progress[1] > _STUCK_S:
            raise RuntimeError(f"the engine has work and did nothing for {_STUCK_S:.0f} s")

    def __del__(self) -> None:
        if hasattr(self, "_scheduler"):  # not where the model could not be loaded
            self._scheduler.close()
