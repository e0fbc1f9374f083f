"""Sessions: one conversation in small steps."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from ._answer import Answer
from ._options import GenerateOptions, LazyOptions, SamplingOptions
from ._progress import OnProgress, Progress
from ._texts import TokenIds, token_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from . import _core
    from ._engine import Engine
    from ._options import GenerateKeywords, SamplingKeywords


def _told(on_progress: OnProgress | None) -> Callable[[int, int, int, float], object] | None:
    if on_progress is None:
        return None
    function = on_progress
    return lambda *told: function(Progress(*told))


class Session:
    """One conversation, with what was computed of it. Threads that share one wait for each other.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> session = engine.start_session(lazy="off")
    >>> session.append(engine.tokenize("Rome, Paris, London,"))
    >>> session.step()
    >>> token = session.sample(temperature=0)
    >>> session.tokens[-1] == token
    True
    """

    def __init__(self, core: _core.Session, engine: Engine) -> None:
        self._core = core
        self._engine = engine

    @property
    def tokens(self) -> list[int]:
        """[n] given and generated; of an endless session the newest ones."""
        return self._core.tokens()

    def __len__(self) -> int:
        return self._core.n_tokens()

    def sync(self, tokens: TokenIds) -> int:
        """Makes the tokens these: keeps what they begin with, forgets the rest, appends what is new.

        Gives how many were kept; the last token is always computed again, for its logits.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> session = engine.start_session(lazy="off")
        >>> session.sync(engine.tokenize("Rome, Paris, London,"))
        0
        >>> session.step()
        >>> session.sync(engine.tokenize("Rome, Paris, Berlin,"))
        4
        """
        return self._core.sync(token_array(tokens))

    def append(self, tokens: TokenIds, *, generated: bool = False) -> None:
        """More of the prompt, or with `generated` tokens of the answer that came from elsewhere; `step()` computes them."""
        self._core.append(token_array(tokens), generated)

    def step(self, on_progress: OnProgress | None = None) -> None:
        """Computes all tokens that are not computed yet. After an error or Ctrl-C the session is as it was before."""
        self._core.step(_told(on_progress))

    @property
    def logits(self) -> NDArray[numpy.float32]:
        """[n_vocab] of the last token, or [0] before it is computed.

        Memory of the engine, not a copy, and read-only; it stays as it is whatever the session does next.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> session = engine.start_session()
        >>> session.append(engine.tokenize("Rome, Paris, London,"))
        >>> session.step()
        >>> session.logits.shape == (engine.info["n_vocab"],)
        True
        """
        return self._core.logits()

    def sample(self, options: SamplingOptions | None = None, **keywords: Unpack[SamplingKeywords]) -> int:
        """Draws a token from the logits, appends it, and gives its id."""
        return self._core.sample(dataclasses.replace(options or SamplingOptions(), **keywords))

    def rewind(self, n_tokens: int) -> None:
        """Forgets all tokens from position n_tokens on."""
        self._core.rewind(n_tokens)

    def set_lazy(self, lazy: str | LazyOptions) -> None:
        """Another schedule or policy from the next prompt on."""
        self._core.set_lazy(lazy)

    def generate(self, prompt: str | TokenIds = (), options: GenerateOptions | None = None, *,
                 on_progress: OnProgress | None = None, **keywords: Unpack[GenerateKeywords]) -> Answer:
        """Appends a prompt and answers it: of what the session holds, only what is new is computed.

        Not of it: `lazy`, `cache_prompt` and what else concerns many requests; a session has its own `lazy`.

        >>> import lazyfill
        >>> engine = lazyfill.Engine.load()
        >>> session = engine.start_session()
        >>> answer = session.generate("Anna lives in Rome.", max_tokens=4, temperature=0)
        >>> again = session.generate(" And Bert lives in", max_tokens=4, temperature=0)
        >>> len(session) > len(answer.prompt_token_ids) + 4
        True
        """
        asked = dataclasses.replace(options or GenerateOptions(), **keywords)
        tokens = self._engine.tokenize(prompt, add_special=len(self) == 0) if isinstance(prompt, str) else prompt
        return Answer(self._core.generate(token_array(tokens), asked, _told(on_progress)), self._engine)
