"""OpenAI's requests and answers: what is asked, as the engine's options, and what is answered, as their JSON."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

_NUMBERS = {"temperature": float, "top_p": float, "min_p": float, "top_k": int, "seed": int, "presence_penalty": float,
            "frequency_penalty": float, "repeat_penalty": float}
_UNKNOWN_HERE = {"tools": "calls of tools", "functions": "calls of functions", "response_format": "a form of answers",
                 "logprobs": "log-probabilities"}


class BadRequest(Exception):
    """A request that cannot be answered; its text names the field."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request for one answer."""

    is_chat: bool
    prompt: dict[str, Any]
    """"prompt": a text or token ids, or "messages" and "template_variables"."""
    options: dict[str, Any]
    """Fields of `GenerateOptions`."""
    is_stream: bool
    with_usage: bool


def _number(body: Mapping[str, Any], name: str, kind: type) -> int | float:
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and int(value) != value):
        raise BadRequest(f"'{name}' must be a {'whole ' if kind is int else ''}number")
    return int(value) if kind is int else float(value)


def _stop(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadRequest("'stop' must be a text or a list of texts")
    return [text for text in texts if text]


def _logit_bias(value: Any) -> dict[int, float]:
    try:
        return {int(token): float(bias) for token, bias in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise BadRequest("'logit_bias' must be an object with a number for each token id") from None


def _content(value: Any) -> str:
    """The text of a message; other parts than texts cannot be read."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    raise BadRequest("'content' of a message must be a text or a list of parts with 'text'")


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise BadRequest("'messages' must be a list with at least one message")
    messages = []
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest("each of 'messages' must be an object with a 'role'")
        role = "system" if message["role"] == "developer" else message["role"]
        messages.append({**message, "role": role, "content": _content(message.get("content"))})
    return messages


def _prompt(body: Mapping[str, Any], is_chat: bool) -> dict[str, Any]:
    if is_chat:
        variables = body.get("chat_template_kwargs")
        if variables is not None and not isinstance(variables, dict):
            raise BadRequest("'chat_template_kwargs' must be an object")
        return {"messages": _messages(body.get("messages")), "template_variables": variables}
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], (str, list)):
        prompt = prompt[0]
    is_ids = isinstance(prompt, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in prompt)
    if not isinstance(prompt, str) and not is_ids:
        raise BadRequest("'prompt' must be a text or a list of token ids")
    return {"prompt": prompt}


def _options(body: Mapping[str, Any], lazy: str) -> dict[str, Any]:
    options: dict[str, Any] = {name: _number(body, name, kind) for name, kind in _NUMBERS.items() if body.get(name) is not None}
    limit = next((name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None), None)
    if limit is not None:
        options["max_tokens"] = _number(body, limit, int)
    if body.get("stop") is not None:
        options["stop"] = _stop(body["stop"])
    if body.get("logit_bias") is not None:
        options["logit_bias"] = _logit_bias(body["logit_bias"])
    for name, kind, default in (("lazy", str, lazy), ("cache_salt", str, ""), ("cache_prompt", bool, True)):
        options[name] = body[name] if body.get(name) is not None else default
        if not isinstance(options[name], kind):
            raise BadRequest(f"'{name}' must be {'true or false' if kind is bool else 'a text'}")
    return options


def parse(text: bytes, is_chat: bool, lazy: str) -> Asked:
    """What a body asks for. Fields that nobody knows are left aside; those that change an answer's form are refused."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    for name, what in _UNKNOWN_HERE.items():
        if body.get(name) and body[name] != {"type": "text"}:
            raise BadRequest(f"'{name}' is not known here: {what} are answered by 'lazyfill serve'")
    if body.get("n") not in (None, 1):
        raise BadRequest("'n' must be 1")
    if not isinstance(body.get("stream") or False, bool):
        raise BadRequest("'stream' must be true or false")
    stream_options = body.get("stream_options")
    with_usage = isinstance(stream_options, dict) and bool(stream_options.get("include_usage"))
    return Asked(is_chat, _prompt(body, is_chat), _options(body, lazy), bool(body.get("stream")), with_usage)


def error(message: str, code: str) -> dict[str, Any]:
    """An error as OpenAI writes it."""
    kind = "server_error" if code in ("replica_lost", "busy", "out_of_memory", "error") else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


class Writer:
    """An answer's JSON: whole, or in chunks."""

    def __init__(self, asked: Asked, model: str) -> None:
        self._is_chat = asked.is_chat
        kind = "chat.completion" if asked.is_chat else "text_completion"
        self._whole = {"id": ("chatcmpl-" if asked.is_chat else "cmpl-") + uuid.uuid4().hex, "object": kind,
                       "created": int(time.time()), "model": model}

    def whole(self, text: str, end: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request without `stream`."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": end["finish_reason"], "logprobs": None}
        if self._is_chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        return {**self._whole, "choices": [choice], **self._report(end)}

    def chunk(self, text: str, *, is_first: bool = False, finish_reason: str | None = None) -> dict[str, Any]:
        """A piece of it."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason, "logprobs": None}
        if not self._is_chat:
            choice["text"] = text
        elif finish_reason is not None:
            choice["delta"] = {}
        else:
            choice["delta"] = {"role": "assistant", "content": text} if is_first else {"content": text}
        return {**self._whole, "object": "chat.completion.chunk" if self._is_chat else "text_completion", "choices": [choice]}

    def report_chunk(self, end: Mapping[str, Any]) -> dict[str, Any]:
        """The last chunk where `include_usage` asks for it."""
        return {**self.chunk(""), "choices": [], **self._report(end)}

    def _report(self, end: Mapping[str, Any]) -> dict[str, Any]:
        usage = {"prompt_tokens": end["n_prompt"], "completion_tokens": end["n_generated"],
                 "total_tokens": end["n_prompt"] + end["n_generated"],
                 "prompt_tokens_details": {"cached_tokens": end["n_cached"]}}
        return {"usage": usage, "timings": end["timings"], "replica": end["replica"]}
