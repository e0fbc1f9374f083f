"""Answers: what was generated, how long it took, and what of the prompt was computed."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy
from numpy.typing import NDArray

from . import _html

if TYPE_CHECKING:
    from ._core import Generation
    from ._engine import Engine

FinishReason = Literal["stop", "length", "cancelled"]


class TokenLogprob(NamedTuple):
    """A candidate and the natural logarithm of its probability, before temperature."""

    id: int
    logprob: float


@dataclasses.dataclass(frozen=True)
class Timings:
    """Milliseconds, and tokens a second. Also by name: `timings["ttft_ms"]`.

    >>> import lazyfill
    >>> answer = lazyfill.Engine.load().generate("Rome, Paris,", max_tokens=2, temperature=0)
    >>> answer.timings.prefill_ms <= answer.timings.ttft_ms <= answer.timings["total_ms"]
    True
    """

    load_ms: float
    """Loading the model, once for all answers."""
    queue_ms: float
    """From the call until there was room for it."""
    ttft_ms: float
    """From the call to the first token."""
    prefill_ms: float
    """The prefill step alone."""
    decode_ms: float
    """The tokens after the first."""
    total_ms: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float

    def __getitem__(self, name: str) -> float:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return float(getattr(self, name))


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a schedule: behind `layer` (from 0) fewer tokens go on. One of the other three is given.

    >>> import lazyfill
    >>> lazyfill.Engine.load().resolve_schedule("15:0.5", n_tokens=100)
    [Stage(layer=15, keep=0.5, keep_tokens=None, keep_mass=None)]
    """

    layer: int
    keep: float | None = None
    """The share of the tokens that entered the layer."""
    keep_tokens: int | None = None
    """A number of tokens."""
    keep_mass: float | None = None
    """As few as hold this share of the attention."""


def stages_of(schedule: list[tuple[int, float, int, float]]) -> list[Stage]:
    """Stages, from how the extension module tells them."""
    stages = []
    for layer, keep, keep_tokens, keep_mass in schedule:
        by_share = keep_tokens == 0 and keep_mass == 0
        stages.append(Stage(layer, keep if by_share else None, keep_tokens or None, keep_mass or None))
    return stages


@dataclasses.dataclass(frozen=True)
class LazyChoice:
    """What a call was told to do, after "auto" or "fast" was looked up."""

    source: str
    """"given", "default" or "preset (PLACE)"."""
    policy: str
    min_tokens: int
    """With "auto" and "fast": shorter prompts are prefilled dense."""
    short_prompt: bool
    """And this one was."""
    attention_mass: float
    attention_kept: float


class Answer:
    """What the engine answered. In a notebook it shows itself: the text, the times, and the prompt with what was computed.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> answer = engine.generate("Rome, Paris, London,", max_tokens=4, temperature=0)
    >>> len(answer.token_ids), answer.finish_reason
    (4, 'length')
    """

    def __init__(self, generation: Generation, engine: Engine) -> None:
        self._generation = generation
        self._engine = engine
        self.dense_ttft_ms: float | None = engine._dense_ttft_ms(generation)
        """Milliseconds to the first token of the whole model on this prompt; None: not known (`measure_dense()`)."""

    @functools.cached_property
    def text(self) -> str:
        """The answer, cut before a stop text."""
        return self._generation.text

    @functools.cached_property
    def token_ids(self) -> list[int]:
        """[n] what was generated, without the end token."""
        return self._generation.token_ids

    @functools.cached_property
    def prompt_token_ids(self) -> list[int]:
        """[n_prompt] the prompt as the model saw it."""
        return self._generation.prompt_token_ids

    @property
    def finish_reason(self) -> FinishReason:
        """"stop": the model ended its answer, or a stop text came; "length": max_tokens or the context; "cancelled"."""
        reason: FinishReason = self._generation.finish_reason  # type: ignore[assignment]
        return reason

    @functools.cached_property
    def timings(self) -> Timings:
        """Milliseconds, and tokens a second."""
        told = self._generation.timings
        n_computed = len(self.prompt_token_ids) - self.cached_tokens
        n_decoded = len(self.token_ids) - 1
        prefill_ms, decode_ms = told["prefill_ms"], told["decode_ms"]
        return Timings(load_ms=self._engine.load_ms, **told,
                       prefill_tokens_per_s=n_computed * 1000 / prefill_ms if prefill_ms > 0 else 0,
                       decode_tokens_per_s=n_decoded * 1000 / decode_ms if decode_ms > 0 and n_decoded > 0 else 0)

    @property
    def token_ms(self) -> NDArray[numpy.float64]:
        """[n] milliseconds from the call to each generated token; memory of the engine, not a copy."""
        return self._generation.token_ms

    @functools.cached_property
    def kept(self) -> list[NDArray[numpy.int32]]:
        """For each stage of the schedule [n_kept] ascending positions of the prompt that the prefill kept; not copies.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> answer = engine.generate("one two three four five six", lazy="15:0.5", max_tokens=1)
        >>> len(answer.prompt_token_ids), len(answer.kept[0])
        (6, 3)
        """
        return self._generation.kept

    @property
    def schedule(self) -> list[Stage]:
        """The stages; none: the prompt was prefilled dense."""
        return stages_of(self._generation.schedule)

    @property
    def computed_fraction(self) -> NDArray[numpy.float64]:
        """[n_layers] share of the prompt's tokens that were ever computed in each layer, the answer's steps included."""
        return self._generation.computed_fraction

    @property
    def revived_rows(self) -> int:
        """Rows of dropped tokens that were computed after all, all steps together."""
        return self._generation.revived_rows

    @property
    def computed_by_step(self) -> list[list[int]]:
        """[n_steps][n_stages] prompt tokens that a step was the first to compute above each stage's layer."""
        return self._generation.computed_by_step

    @functools.cached_property
    def top_logprobs(self) -> list[list[TokenLogprob]]:
        """[n][top_logprobs] candidates for each token that was chosen, an end token at the end too; most likely first."""
        return [[TokenLogprob(*one) for one in candidates] for candidates in self._generation.top_logprobs]

    @property
    def token_logprobs(self) -> NDArray[numpy.float32]:
        """[n] of each token that was chosen, an end token at the end too (`with_logprobs`); not a copy."""
        return self._generation.token_logprobs

    @property
    def stop_text(self) -> str:
        """The stop text that ended the answer; empty: none did."""
        return self._generation.stop_text

    @property
    def cached_tokens(self) -> int:
        """Of the prompt, taken from what earlier requests computed (`cache_prompt`)."""
        return self._generation.cached_tokens

    @property
    def lazy_choice(self) -> LazyChoice:
        """Which policy and preset were used, and why."""
        return LazyChoice(**self._generation.choice)

    @property
    def drafts(self) -> dict[str, int]:
        """What drafts did: decode "steps", tokens "proposed" and "accepted"."""
        return self._generation.drafts

    @property
    def memory(self) -> dict[str, int]:
        """Bytes: "weights_bytes", "kv_bytes", "aux_bytes"."""
        return self._generation.memory

    def measure_dense(self) -> float:
        """Runs the whole model on the same prompt once, and gives its milliseconds to the first token."""
        tokens = self.prompt_token_ids
        self.dense_ttft_ms = self._engine.generate(tokens, lazy="off", max_tokens=1, temperature=0).timings.ttft_ms
        return self.dense_ttft_ms

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return (f"<Answer {shown!r}: {len(self.token_ids)} tokens to {len(self.prompt_token_ids)}, "
                f"first after {self.timings.ttft_ms:.0f} ms, {self.finish_reason}>")

    def _repr_html_(self) -> str:
        return _html.page(self, self._engine)
