"""A plug-in for the command line `llm`: its models are the GGUF files that are installed, computed by lazyfill.

    llm -m lazyfill 'What did the committee decide?' -f report.txt
    llm chat -m lazyfill -o lazy fast
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, Optional

import llm
from pydantic import Field

from . import _models
from ._engine import Engine
from ._errors import Error
from ._options import GenerateOptions


class LazyfillModel(llm.Model):
    """A model's file; it is loaded when it is first asked, and kept."""

    can_stream = True

    class Options(llm.Options):
        """Of a prompt: `-o NAME VALUE`."""

        max_tokens: Optional[int] = Field(default=None, description="Length of the answer, in tokens", ge=1)
        temperature: Optional[float] = Field(default=None, description="0: always the most likely token", ge=0)
        top_p: Optional[float] = Field(default=None, description="Choose among the likeliest that hold this share")
        top_k: Optional[int] = Field(default=None, description="Choose among so many; 0: all", ge=0)
        min_p: Optional[float] = Field(default=None, description="And no less likely than this share of the likeliest")
        seed: Optional[int] = Field(default=None, description="Equal seeds give equal answers", ge=0)
        lazy: Optional[str] = Field(default=None, description="Schedule: auto, fast, off, or LAYER:KEEP,...")

    def __init__(self, model_id: str, path: pathlib.Path) -> None:
        self.model_id = model_id
        self._path = path
        self._engine: Engine | None = None

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        """Answers the conversation so far; of it, only what is new is computed."""
        try:
            if self._engine is None:
                self._engine = Engine.load(self._path)
            asked = GenerateOptions(
                cache_prompt=True, **{"max_tokens": 1024, **prompt.options.model_dump(exclude_none=True)})
            answering = self._engine.stream(options=asked, messages=_messages(prompt))
            if stream:
                yield from answering
            answer = answering.result()
        except Error as error:
            raise llm.ModelError(str(error)) from None
        if not stream:
            yield answer.text
        response.set_usage(input=len(answer.prompt_token_ids), output=len(answer.token_ids))

    def __str__(self) -> str:
        return f"lazyfill: {self.model_id}"


def _messages(prompt: Any) -> list[dict[str, str]]:
    """The conversation so far, as chat templates have it; of its parts only texts are known."""
    return [{"role": message.role, "content": "".join(getattr(part, "text", "") for part in message.parts)}
            for message in prompt.messages]


@llm.hookimpl
def register_models(register: Any) -> None:
    """Every installed file as lazyfill/NAME; the default one as lazyfill too."""
    try:
        default = _models.default_model()
    except Error:
        default = None
    paths = _models.installed_models()
    if default is not None and default not in paths:
        paths.append(default)
    for path in paths:
        register(LazyfillModel(f"lazyfill/{path.stem}", path), aliases=("lazyfill",) if path == default else ())
