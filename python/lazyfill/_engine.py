"""Engines and schedulers."""

from __future__ import annotations

import atexit
import collections
import dataclasses
import hashlib
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from . import _core, _models
from ._answer import Answer, Stage, stages_of
from ._errors import InvalidArgument, Unsupported
from ._options import EngineOptions, GenerateOptions, LazyOptions, SchedulerOptions, StreamOptions
from ._progress import ProgressTeller, WantsProgress
from ._session import Session
from ._stream import Stream
from ._texts import Message, TokenIds, as_json, token_array, utf8

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import EngineKeywords, GenerateKeywords, SchedulerKeywords

_open: weakref.WeakSet[_Asks] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """No thread of the engine may run while the interpreter takes itself apart."""
    for one in list(_open):
        one.close()  # of another process: nothing happens


def _resolved(options: GenerateOptions | None, keywords: GenerateKeywords) -> GenerateOptions:
    return dataclasses.replace(options or GenerateOptions(), **keywords)


class _Asks:
    """What engines and schedulers share: a prompt goes in, an answer comes out."""

    def _engine_of(self) -> Engine:
        raise NotImplementedError

    def _ask(self, tokens: NDArray[numpy.int32], options: GenerateOptions, watches: bool) -> _core.Ticket:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def stream(self, prompt: str | TokenIds | None = None, options: GenerateOptions | None = None, *,
               messages: Sequence[Message] | None = None, tools: Sequence[Mapping[str, Any]] | None = None,
               template_variables: Mapping[str, Any] | None = None, special: bool = False,
               progress: WantsProgress = None, **keywords: Unpack[GenerateKeywords]) -> Stream:
        """As `generate()`, but gives the answer while it is written: for `for`, `async for` and `await`.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> stream = engine.stream("Rome, Paris, London,", max_tokens=4, temperature=0)
        >>> len([piece for piece in stream]), stream.answer.finish_reason
        (4, 'length')

        >>> import asyncio
        >>> async def ask():
        ...     return await engine.stream("Rome, Paris, London,", max_tokens=4, temperature=0)
        >>> asyncio.run(ask()).text == stream.answer.text
        True
        """
        engine = self._engine_of()
        tokens = engine._prompt(prompt, messages, tools, template_variables, special)
        teller = ProgressTeller(progress)
        ticket = self._ask(tokens, _resolved(options, keywords), teller.is_watching)
        return Stream(ticket, engine, teller)

    def generate(self, prompt: str | TokenIds | None = None, options: GenerateOptions | None = None, *,
                 messages: Sequence[Message] | None = None, tools: Sequence[Mapping[str, Any]] | None = None,
                 template_variables: Mapping[str, Any] | None = None, special: bool = False,
                 progress: WantsProgress = None, **keywords: Unpack[GenerateKeywords]) -> Answer:
        """Answers a prompt: a text, token ids, or `messages` for the model's chat template.

        prompt: a text or [n] token ids.
        messages: a conversation, {"role": ..., "content": ...} each; `tools`: functions that the model may call, as JSON
            schemas; `template_variables`: what else the template knows, such as {"enable_thinking": False}.
        special: control tokens that the text or the messages spell out are taken as such; not for text of strangers.
        progress: a function that is told how far the prefill is; True: a bar; None: a bar in notebooks with tqdm.
        Everything else is a field of `GenerateOptions`.

        Any number of threads may call it: their answers are written together. Ctrl-C stops it.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> answer = engine.generate(messages=[{"role": "user", "content": "Say hello."}], max_tokens=8, temperature=0)
        >>> 0 < len(answer.token_ids) <= 8
        True
        """
        return self.stream(prompt, options, messages=messages, tools=tools, template_variables=template_variables,
                           special=special, progress=progress, **keywords).result()

    async def agenerate(self, prompt: str | TokenIds | None = None, options: GenerateOptions | None = None, *,
                        messages: Sequence[Message] | None = None, tools: Sequence[Mapping[str, Any]] | None = None,
                        template_variables: Mapping[str, Any] | None = None, special: bool = False,
                        progress: WantsProgress = None, **keywords: Unpack[GenerateKeywords]) -> Answer:
        """`generate()` for tasks of asyncio: others go on meanwhile, and a task that is cancelled stops the engine.

        >>> import asyncio, lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> async def ask():
        ...     return await asyncio.gather(engine.agenerate("Rome,", max_tokens=2), engine.agenerate("Oslo,", max_tokens=3))
        >>> [len(answer.token_ids) for answer in asyncio.run(ask())]
        [2, 3]
        """
        return await self.stream(prompt, options, messages=messages, tools=tools, template_variables=template_variables,
                                 special=special, progress=progress, **keywords)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Engine(_Asks):
    """A model with the threads that compute it. Any number of threads and tasks may share one.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> engine.info["architecture"], engine.info["n_layers"]
    ('llama', 30)
    """

    def __init__(self, core: _core.Engine) -> None:
        """Use `Engine.load()`."""
        self._core = core
        self._scheduler: _core.Scheduler | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._dense_ttft: collections.OrderedDict[bytes, float] = collections.OrderedDict()
        self._is_closed = False
        _open.add(self)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, options: EngineOptions | None = None,
             **keywords: Unpack[EngineKeywords]) -> Engine:
        """Loads a GGUF file; without a path that of LAZYFILL_MODEL, or else the default model where it is installed.

        >>> import lazyfill
        >>> lazyfill.Engine.load(threads=1).n_threads
        1
        """
        asked = dataclasses.replace(options or EngineOptions(), **keywords)
        asked = dataclasses.replace(asked, isa=asked.isa or os.environ.get("LAZYFILL_ISA", ""),
                                    preset_folder=asked.preset_folder or str(_models.cache_folder() / "presets"))
        return cls(_core.Engine.load(os.fspath(_models.default_model() if path is None else path), asked))

    @property
    def info(self) -> dict[str, Any]:
        """How the model was understood: "architecture", "n_layers", "context_length", "prunable_layers", "isa", ..."""
        return self._core.info

    @property
    def n_threads(self) -> int:
        """Those that compute."""
        return self._core.n_threads

    @property
    def load_ms(self) -> float:
        """Milliseconds that loading took."""
        return self._core.load_ms

    def tokenize(self, text: str, *, add_special: bool = True, special: bool = False) -> list[int]:
        """[n] token ids of a text; `add_special`: the begin token where the model wants one.

        special: control tokens that the text spells out are taken as such.

        >>> import lazyfill
        >>> lazyfill.Engine.load().tokenize("Rome, Paris")
        [46292, 28, 7042]
        """
        return self._core.tokenize(utf8(text), add_special, special)

    def detokenize(self, tokens: TokenIds, *, with_special: bool = False) -> str:
        """The text of token ids.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> engine.detokenize(engine.tokenize("Rome, Paris"))
        'Rome, Paris'
        """
        return self._core.detokenize(token_array(tokens), with_special)

    def piece(self, token: int) -> bytes:
        """The bytes of one token; a character may need several."""
        return self._core.piece(token)

    def apply_chat_template(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] | None = None,
                            template_variables: Mapping[str, Any] | None = None,
                            add_generation_prompt: bool = True) -> str:
        """The text that the model's own chat template makes of a conversation.

        >>> import lazyfill
        >>> text = lazyfill.Engine.load().apply_chat_template([{"role": "user", "content": "Hello"}])
        >>> text.endswith("<|im_start|>assistant\\n")
        True
        """
        return self._core.apply_chat_template(as_json(messages, "messages"), as_json(tools, "tools"),
                                              as_json(template_variables, "template_variables"), add_generation_prompt)

    def tokenize_chat(self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] | None = None,
                      template_variables: Mapping[str, Any] | None = None, add_generation_prompt: bool = True,
                      special: bool = False) -> list[int]:
        """[n] token ids of a conversation, in which no message can spell a control token (but with `special`)."""
        if special:
            text = self.apply_chat_template(messages, tools=tools, template_variables=template_variables,
                                            add_generation_prompt=add_generation_prompt)
            return self.tokenize(text, add_special=False, special=True)
        return self._core.tokenize_chat(as_json(messages, "messages"), as_json(tools, "tools"),
                                        as_json(template_variables, "template_variables"), add_generation_prompt)

    def resolve_schedule(self, lazy: str | LazyOptions, n_tokens: int) -> list[Stage]:
        """Checks a schedule against this model, and says what it is for a prompt of n tokens."""
        return stages_of(self._core.resolve_schedule(lazy, n_tokens))

    def token_logprobs(self, tokens: TokenIds, *, endless: StreamOptions | None = None) -> NDArray[numpy.float32]:
        """[n] natural logarithms of the probability that the dense model gives each token after those before it; 0 first.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> engine.token_logprobs(engine.tokenize("Rome, Paris")).shape
        (3,)
        """
        self._check_usable()
        return self._core.token_logprobs(token_array(tokens), endless)

    def start_session(self, *, context_tokens: int = 0, lazy: str | LazyOptions = "auto",
                      endless: StreamOptions | None = None) -> Session:
        """One conversation, in small steps; 0: the model's context. `endless`: of any length, the newest tokens are held."""
        self._check_usable()
        return Session(self._core.start_session(context_tokens, lazy, endless), self)

    def start_scheduler(self, options: SchedulerOptions | None = None,
                        **keywords: Unpack[SchedulerKeywords]) -> Scheduler:
        """Many requests by options of your own; `generate()` of the engine has a scheduler already."""
        self._check_usable()
        return Scheduler(self, dataclasses.replace(options or SchedulerOptions(), **keywords))

    def close(self) -> None:
        """Stops what it is answering, and ends the threads of its scheduler. Sessions can still be used."""
        with self._lock:
            self._is_closed = True
            scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.close()

    def __repr__(self) -> str:
        info = self.info
        return f"<Engine {info['name'] or info['architecture']}: {info['n_layers']} layers, {self.n_threads} threads>"

    def _engine_of(self) -> Engine:
        return self

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise Unsupported("this engine was loaded by another process, whose threads are not here: load it in this one, "
                              "or start processes with the method 'spawn'")
        if self._is_closed:
            raise InvalidArgument("this engine was closed")

    def _prompt(self, prompt: str | TokenIds | None, messages: Sequence[Message] | None,
                tools: Sequence[Mapping[str, Any]] | None, variables: Mapping[str, Any] | None,
                special: bool) -> NDArray[numpy.int32]:
        """The token ids of what is asked."""
        self._check_usable()
        if (prompt is None) == (messages is None):
            raise InvalidArgument("give a prompt or messages" + ("" if prompt is None else ", not both"))
        if messages is not None:
            return token_array(self.tokenize_chat(messages, tools=tools, template_variables=variables, special=special))
        if tools is not None or variables is not None:
            raise InvalidArgument("tools and template_variables go with messages")
        assert prompt is not None
        return token_array(self.tokenize(prompt, special=special) if isinstance(prompt, str) else prompt)

    def _ask(self, tokens: NDArray[numpy.int32], options: GenerateOptions, watches: bool) -> _core.Ticket:
        policy = options.lazy.policy if isinstance(options.lazy, LazyOptions) else None
        if policy in _RIVALS:  # computes one prompt by itself
            return self._core.answer_alone(0, tokens, options, watches)
        with self._lock:
            if self._scheduler is None and not self._is_closed:
                everybody = SchedulerOptions(max_queue=1 << 30)  # who waits is a thread or a task, and knows it
                self._scheduler = self._core.start_scheduler(everybody, False)
            scheduler = self._scheduler
        if scheduler is None:
            raise InvalidArgument("this engine was closed")
        return scheduler.submit(tokens, options, watches)

    def _dense_ttft_ms(self, generation: _core.Generation) -> float | None:
        """Remembers how long dense prefills took, and says so of the latest ones."""
        prompt = numpy.asarray(generation.prompt_token_ids, dtype=numpy.int32)
        key = hashlib.blake2b(prompt.tobytes(), digest_size=16).digest()
        with self._lock:
            if not generation.schedule and generation.cached_tokens == 0:
                self._dense_ttft[key] = generation.timings["ttft_ms"]
                while len(self._dense_ttft) > 256:
                    self._dense_ttft.popitem(last=False)
            return self._dense_ttft.get(key)


class Scheduler(_Asks):
    """Many requests over one engine, by options of its own; `Engine.start_scheduler()` makes one.

    >>> import lazyfill
    >>> with lazyfill.Engine.load().start_scheduler(max_sequences=2) as scheduler:
    ...     streams = [scheduler.stream(city, max_tokens=2) for city in ("Rome", "Oslo", "Bern")]
    ...     [len(stream.result().token_ids) for stream in streams]
    [2, 2, 2]
    """

    def __init__(self, engine: Engine, options: SchedulerOptions) -> None:
        """Use `Engine.start_scheduler()`."""
        self._engine = engine
        self._core = engine._core.start_scheduler(options, options.threads > 0)
        _open.add(self)

    def status(self) -> dict[str, int]:
        """Now: "n_queued", "n_prefilling", "n_decoding"; since the start: "n_ended", "n_prompt_tokens", ...; bytes."""
        return self._core.status()

    def notes(self) -> list[str]:
        """What went wrong with files of the state folder, a sentence each."""
        return self._core.notes()

    def close(self) -> None:
        """Stops what is not finished, which ends as `Cancelled`."""
        self._core.close()

    def _engine_of(self) -> Engine:
        return self._engine

    def _ask(self, tokens: NDArray[numpy.int32], options: GenerateOptions, watches: bool) -> _core.Ticket:
        return self._core.submit(tokens, options, watches)


def policies() -> dict[str, str]:
    """The pruning policies by name, with what each keeps.

    >>> import lazyfill
    >>> "lazy" in lazyfill.policies()
    True
    """
    return {name: what for name, what, _ in _core.policies()}


_RIVALS = frozenset(name for name, _, is_scheduled in _core.policies() if not is_scheduled)
