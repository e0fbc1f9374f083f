"""How far a prefill is: told to a function, or shown as a bar of tqdm."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeAlias


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a prefill stands.

    >>> import lazyfill
    >>> seen = []
    >>> engine = lazyfill.Engine.load()
    >>> answer = engine.generate("Rome, Paris, London,", max_tokens=1, progress=seen.append)
    >>> all(0 <= progress.fraction <= 1 for progress in seen)
    True
    """

    layer: int
    n_layers: int
    rows: int
    """That this layer computes."""
    fraction: float
    """Of the work, 0 to 1."""


OnProgress: TypeAlias = Callable[[Progress], object]
WantsProgress: TypeAlias = "bool | OnProgress | None"


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _tqdm() -> Any | None:
    try:
        import tqdm.auto  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    return tqdm.auto.tqdm


class ProgressTeller:
    """Passes progress on. `wants`: a function; True: a bar; None: a bar in a notebook where tqdm is installed."""

    def __init__(self, wants: WantsProgress) -> None:
        self._function: OnProgress | None = wants if callable(wants) else None
        self._bar: Any | None = None
        if wants is True or (wants is None and _is_notebook()):
            make_bar = _tqdm()
            if make_bar is not None:
                self._bar = make_bar(total=100, desc="prefill", unit="%", leave=False, delay=0.3)
            elif wants is True:
                raise ModuleNotFoundError("a progress bar needs tqdm: 'pip install lazyfill[notebook]'")

    @property
    def is_watching(self) -> bool:
        """Whether anybody wants to know."""
        return self._function is not None or self._bar is not None

    def tell(self, told: tuple[int, int, int, float] | None) -> None:
        """What the extension module says."""
        if told is None:
            return
        progress = Progress(*told)
        if self._function is not None:
            self._function(progress)
        if self._bar is not None:
            self._bar.update(int(100 * progress.fraction) - self._bar.n)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
