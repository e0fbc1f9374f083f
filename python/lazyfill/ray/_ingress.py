"""The ingress: OpenAI's API over the replicas."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ray.exceptions import RayError, TaskCancelledError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from . import _openai

_log = logging.getLogger("ray.serve")

_KEEP_ALIVE_S = 5.0
_MAX_TRIES = 4
_STATUS = {"busy": 503, "out_of_memory": 503, "replica_lost": 503, "error": 500}
_SENTENCE_LOST = ("the replica that wrote this answer was lost; what came so far stays as it is, and the same request "
                  "asked again is answered from the beginning")


class ReplicaLost(Exception):
    """The replica was lost after the first piece of an answer, or too many were before it."""


class _Events:
    """The events of one answer. A replica that is lost before the first piece is replaced by another."""

    def __init__(self, replicas: Any, rendered: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._handle = replicas.options(method_name="answer", stream=True)
        self._rendered = rendered
        self._options = options
        self._response: Any = None
        self._next: asyncio.Task[dict[str, Any]] | None = None
        self._has_text = False
        self._n_tries = 0

    async def next(self, patience_s: float | None = None) -> dict[str, Any]:
        """The next event; {} where there is none within so many seconds."""
        while True:
            if self._response is None:
                self._n_tries += 1
                self._response = self._handle.remote(self._rendered["tokens"], self._options,
                                                     prefixes=self._rendered["prefixes"])
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._response))
            done, _ = await asyncio.wait({self._next}, timeout=patience_s)
            if not done:
                return {}
            task, self._next = self._next, None
            try:
                event = task.result()
            except (RayError, StopAsyncIteration) as error:
                await self._try_again(error)
                continue
            self._has_text = self._has_text or "text" in event
            return event

    async def _try_again(self, error: Exception) -> None:
        self._response = None
        if isinstance(error, TaskCancelledError):
            raise asyncio.CancelledError from None
        if self._has_text or self._n_tries >= _MAX_TRIES:
            raise ReplicaLost(_SENTENCE_LOST if self._has_text else "no replica stayed long enough to answer") from None
        _log.warning("a replica was lost before the first token; another one is asked: %s", type(error).__name__)
        await asyncio.sleep(0.1 * 2 ** self._n_tries)

    def close(self) -> None:
        """Stops the replica if it is still at it."""
        if self._next is not None:
            self._next.cancel()
        if self._response is not None:
            self._response.cancel()


def _sse(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _failure(event: Mapping[str, Any]) -> Response:
    code = str(event["error"])
    return JSONResponse(_openai.error(str(event["message"]), code), status_code=_STATUS.get(code, 400))


class Ingress:
    """What the proxies of Ray Serve send requests to. It has neither model nor tokenizer: one costs little."""

    def __init__(self, replicas: Any, model_name: str, lazy: str) -> None:
        self._replicas = replicas
        self._model_name = model_name
        self._lazy = lazy
        self._info: dict[str, Any] | None = None

    async def __call__(self, request: Request) -> Response:
        """Answers a request of HTTP."""
        path = request.url.path.rstrip("/")
        if request.method == "POST" and path in ("/v1/chat/completions", "/v1/completions"):
            return await self._complete(request, is_chat=path == "/v1/chat/completions")
        if request.method == "GET" and path == "/health":
            return JSONResponse({"status": "ok"})
        if request.method == "GET" and path == "/v1/models":
            return await self._models()
        return JSONResponse(_openai.error(f"there is no {request.method} {path or '/'} here", "not_found"), status_code=404)

    async def _models(self) -> Response:
        if self._info is None:
            self._info = await self._replicas.describe.remote()
        return JSONResponse({"object": "list", "data": [{
            "id": self._model_name, "object": "model", "created": 0, "owned_by": "lazyfill",
            "max_model_len": self._info["context_length"], "meta": {"n_ctx": self._info["context_length"]}}]})

    async def _complete(self, request: Request, *, is_chat: bool) -> Response:
        try:
            asked = _openai.parse(await request.body(), is_chat, self._lazy)
        except _openai.BadRequest as error:
            return _failure({"error": "invalid_argument", "message": error})
        rendered = await self._render(asked)
        if "error" in rendered:
            return _failure(rendered)
        events = _Events(self._replicas, rendered, asked.options)
        is_handed_on = False
        try:
            first = await events.next()  # accepted or refused, before anything is computed
            if "error" in first:
                return _failure(first)
            writer = _openai.Writer(asked, self._model_name)
            if asked.is_stream:
                is_handed_on = True
                return StreamingResponse(_stream(events, writer, asked), media_type="text/event-stream")
            return await _whole(events, writer)
        except ReplicaLost as error:
            return _failure({"error": "replica_lost", "message": error})
        finally:
            if not is_handed_on:
                events.close()

    async def _render(self, asked: _openai.Asked) -> dict[str, Any]:
        for n_tries in range(1, _MAX_TRIES + 1):
            try:
                rendered: dict[str, Any] = await self._replicas.render.remote(asked.prompt, asked.options["cache_salt"])
                return rendered
            except TaskCancelledError:
                raise asyncio.CancelledError from None
            except RayError:
                await asyncio.sleep(0.1 * 2 ** n_tries)
        return {"error": "replica_lost", "message": "no replica stayed long enough to answer"}


async def _whole(events: _Events, writer: _openai.Writer) -> Response:
    texts: list[str] = []
    while True:
        event = await events.next()
        if "error" in event:
            return _failure(event)
        if "finish_reason" in event:
            return JSONResponse(writer.whole("".join(texts), event))
        texts.append(event.get("text", ""))


async def _stream(events: _Events, writer: _openai.Writer, asked: _openai.Asked) -> AsyncIterator[str]:
    try:
        yield _sse(writer.chunk("", is_first=True))
        while True:
            event = await events.next(_KEEP_ALIVE_S)
            if "error" in event:
                yield _sse(_openai.error(str(event["message"]), str(event["error"])))
                return
            if "finish_reason" in event:
                yield _sse(writer.chunk("", finish_reason=event["finish_reason"]))
                if asked.with_usage:
                    yield _sse(writer.report_chunk(event))
                yield "data: [DONE]\n\n"
                return
            if event.get("text") or not event:  # none for a while: a chunk without text says that it lives
                yield _sse(writer.chunk(event.get("text", "")))
    except ReplicaLost as error:
        yield _sse(_openai.error(str(error), "replica_lost"))
    finally:
        events.close()
