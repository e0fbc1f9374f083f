"""Options: what may be asked for, with the engine's defaults. Every field is also a keyword of the call it belongs to.

A new field is one line in a dataclass, one in its keywords, and one in the table of src/python/options.cc; a test compares
the three.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from ._errors import InvalidArgument

KvType: TypeAlias = Literal["as_computed", "q8"]
Pooling: TypeAlias = Literal["none", "average", "max"]
Draft: TypeAlias = Literal["none", "recycle", "lookup", "auto"]
Revive: TypeAlias = int | Literal["all", "auto"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How a model is loaded.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load(options=lazyfill.EngineOptions(threads=2))
    >>> engine.n_threads
    2
    """

    threads: int = 0
    """0: one a core. Answers do not depend on it."""
    kv: KvType = "as_computed"
    """How keys and values are kept; "q8" takes half the memory."""
    activation_bits: Literal[16, 8] = 16
    """How finely the inputs of products are rounded; 8 is faster and further from the exact model."""
    isa: str = ""
    """Instruction set: "reference", "avx2", "avx512" or "amx"; empty: what LAZYFILL_ISA says, else the best one."""
    preset_folder: str = ""
    """Where presets are, beside those that are shipped; empty: where `lazyfill calibrate` keeps them."""


class EngineKeywords(TypedDict, total=False):
    """The fields of `EngineOptions` as keywords."""

    threads: int
    kv: KvType
    activation_bits: Literal[16, 8]
    isa: str
    preset_folder: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class LazyOptions:
    """Which tokens a prefill computes in which layers; docs/lazy.md tells what each field does.

    >>> import lazyfill
    >>> lazyfill.LazyOptions(schedule="15:0.3", policy="window").schedule
    '15:0.3'
    """

    schedule: str = "auto"
    """"auto", "fast", "off", or LAYER:KEEP[,LAYER:KEEP...]: behind a layer, that share of the tokens goes on."""
    policy: str | None = None
    """Its name (`lazyfill.policies()`); None: the preset's."""
    window_rows: int = 8
    pooling: Pooling = "average"
    pooling_width: int = 7
    score_layers: int = 3
    vote_memory: float = 0.9
    seed: int = 0
    protect_first: int = 0
    protect_last: int = 1
    prune_generated: bool = True
    revive: Revive = None
    """How many dropped tokens come back in a decode step: a number, "all", "auto"; None: as the policy does."""
    revive_margin: float | None = None
    attention_mass: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guide:
    """What an answer must look like; one of the four is given (docs/guided.md).

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> engine.generate("Rome is in", guide=lazyfill.Guide(choices=[" France", " Italy"]), temperature=0).text
    ' Italy'
    """

    regex: str | None = None
    """All of the answer matches a regular expression."""
    json_schema: str | bool | Mapping[str, Any] | None = None
    """It is JSON that fits a schema: the schema, or its text."""
    grammar: str | None = None
    """A grammar in GBNF, from its rule `root`."""
    choices: Sequence[str] | None = None
    """One of some texts."""
    canonical: bool = True
    """Only tokens that encoding the answer's text alone gives back: what models are trained on."""

    def __post_init__(self) -> None:
        if len(self._given) != 1:
            raise InvalidArgument("a guide is one of regex, json_schema, grammar and choices")

    @property
    def _given(self) -> list[str]:
        return [name for name in ("regex", "json_schema", "grammar", "choices") if getattr(self, name) is not None]

    @property
    def kind(self) -> str:
        """Which of the four."""
        return self._given[0]

    @property
    def source(self) -> str:
        """The expression, the schema or the grammar as a text."""
        if self.json_schema is not None and not isinstance(self.json_schema, str):
            return json.dumps(self.json_schema, ensure_ascii=False)
        return self.regex or self.json_schema or self.grammar or ""

    @property
    def choice_texts(self) -> Sequence[str]:
        """The texts to choose from."""
        return self.choices or ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """A text without an end, in memory that does not grow (docs/streaming.md).

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> session = engine.start_session(endless=lazyfill.StreamOptions(window=64), lazy="off")
    >>> session.append(engine.tokenize("Rome, Paris, London. " * 40))
    >>> session.step()
    >>> len(session) > 200
    True
    """

    sinks: int = 4
    """The first tokens, which every token sees."""
    window: int = 2000
    """And the newest ones."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a token is chosen from the logits.

    >>> import lazyfill
    >>> lazyfill.SamplingOptions(temperature=0).top_k
    40
    """

    temperature: float = 0.8
    """0: always the most likely token."""
    top_k: int = 40
    """0: all."""
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int = 0
    """0: from the clock."""
    repeat_penalty: float = 1
    """Logits of the last `repeat_last_n` tokens are divided by it; 1: off."""
    repeat_last_n: int = 64
    """-1: all tokens."""
    presence_penalty: float = 0
    """Taken once from the logits of the answer's tokens so far."""
    frequency_penalty: float = 0
    """Taken as often as the token is there."""
    dry_multiplier: float = 0
    """DRY, against repetitions of more than a word; 0: off."""
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*")
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Added to the logits of these token ids; -100 and below: never chosen."""


class SamplingKeywords(TypedDict, total=False):
    """The fields of `SamplingOptions` as keywords."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    repeat_penalty: float
    repeat_last_n: int
    presence_penalty: float
    frequency_penalty: float
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_penalty_last_n: int
    dry_sequence_breakers: Sequence[str]
    logit_bias: Mapping[int, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateOptions(SamplingOptions):
    """What a request may ask for beside its prompt.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> careful = lazyfill.GenerateOptions(temperature=0, max_tokens=3, lazy="off")
    >>> engine.generate("Rome, Paris, London,", options=careful).finish_reason
    'length'
    """

    max_tokens: int = 128
    stop: Sequence[str] = ()
    """The answer ends before the first of these texts."""
    show_special: bool = False
    """Names of control tokens are part of the text."""
    with_logprobs: bool = False
    """Log-probabilities of the tokens that were chosen."""
    top_logprobs: int = 0
    """And of so many of the likeliest at each place; above 0: of both."""
    stop_at_end_token: bool = True
    forced_tokens: Sequence[int] = ()
    """Take these tokens one after another instead of choosing."""
    draft: Draft = "none"
    """Who proposes tokens that a step computes beside the newest: "recycle", "lookup", "auto" or "none"."""
    draft_tokens: int = 0
    """That a step proposes; 0: as many as pay."""
    guide: Guide | None = None
    """What the answer must look like."""
    lazy: str | LazyOptions = "auto"
    """A schedule, or all of `LazyOptions`."""
    endless: StreamOptions | None = None
    """A prompt and an answer of any length."""
    priority: int = 0
    """Higher ones go first."""
    cache_prompt: bool = False
    """Take what earlier requests with this option computed of the same first tokens, and leave what this one computes."""
    cache_salt: str = ""
    """Only requests with the same one share anything."""
    n_dense_tokens: int = 0
    """The first so many tokens are computed by the whole model."""


class GenerateKeywords(SamplingKeywords, total=False):
    """The fields of `GenerateOptions` as keywords."""

    max_tokens: int
    stop: Sequence[str]
    show_special: bool
    with_logprobs: bool
    top_logprobs: int
    stop_at_end_token: bool
    forced_tokens: Sequence[int]
    draft: Draft
    draft_tokens: int
    guide: Guide | None
    lazy: str | LazyOptions
    endless: StreamOptions | None
    priority: int
    cache_prompt: bool
    cache_salt: str
    n_dense_tokens: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchedulerOptions:
    """How many requests share an engine; docs/scheduling.md tells who waits for whom.

    >>> import lazyfill
    >>> lazyfill.SchedulerOptions(max_sequences=4).max_queue
    64
    """

    threads: int = 0
    """0: those of the engine, whose sessions take turns with the requests; else as many of its own."""
    context_tokens: int = 0
    """Of each request, its answer included; 0: the model's."""
    max_sequences: int = 16
    """Requests that are computed at a time."""
    max_queue: int = 64
    """Requests that may wait; one more is `Busy`."""
    turn_ms: float = 50
    """What prompts may take between two tokens of those that are being answered."""
    kv_memory_bytes: int = 0
    """Of all requests at a time; 0: half of the memory that is free."""
    state_folder: str = ""
    """Where what requests computed is kept for the next scheduler; empty: nowhere."""
    state_bytes: int = 4 << 30
    pack_tokens: int = 1024
    """Prompts that wait are computed together as long as they have so many tokens in all."""


class SchedulerKeywords(TypedDict, total=False):
    """The fields of `SchedulerOptions` as keywords."""

    threads: int
    context_tokens: int
    max_sequences: int
    max_queue: int
    turn_ms: float
    kv_memory_bytes: int
    state_folder: str
    state_bytes: int
    pack_tokens: int
