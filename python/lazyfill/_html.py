"""The picture of an answer: which tokens of the prompt were computed how deep, and how long the first token took."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._answer import Answer, Stage
    from ._engine import Engine

_MOST_TOKENS = 20_000  # of a longer prompt the beginning and the end are shown
_COLOUR = "255,176,32"

# The text of strangers stands in elements of its own, escaped; bidi controls in it end with them.
_STYLE = """<style>
.lazyfill { font: 14px/1.5 system-ui, sans-serif; max-width: 72em }
.lazyfill .answer { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 15px; margin: 0 0 10px; unicode-bidi: isolate }
.lazyfill table { border-collapse: collapse; margin: 0 0 10px } .lazyfill td { padding: 1px 10px 1px 0; text-align: left }
.lazyfill .bar { display: inline-block; height: 12px; border-radius: 3px; background: rgb(255,176,32) }
.lazyfill .dense { background: rgb(141,151,168) }
.lazyfill .prompt { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 24em; overflow-y: auto; padding: 8px 10px;
  border: 1px solid rgba(127,127,127,.35); border-radius: 6px; unicode-bidi: isolate }
.lazyfill .key span, .lazyfill .prompt span { border-radius: 2px; unicode-bidi: isolate }
.lazyfill .key { margin: 0 0 6px } .lazyfill .key span { padding: 0 6px; margin-right: 10px }
</style>"""


def stages_survived(answer: Answer) -> list[int]:
    """[n_prompt] how many stages of the prefill kept each token."""
    survived = [0] * len(answer.prompt_token_ids)
    for stage, positions in enumerate(answer.kept):
        for position in positions.tolist():
            survived[position] = stage + 1
    return survived


def layers_computed(schedule: list[Stage], n_survived: int, n_layers: int) -> int:
    """In how many layers the prefill computed a token that so many stages kept."""
    return min(schedule[n_survived].layer + 1, n_layers) if n_survived < len(schedule) else n_layers


def _runs(engine: Engine, tokens: list[int], survived: list[int]) -> Iterator[tuple[str, int]]:
    """The prompt's text in runs that were computed alike. A character of several tokens goes with the longest-lived."""
    text, run_depth = bytearray(), 0
    character, depth = bytearray(), 0
    for token, n_survived in zip(tokens, survived, strict=True):
        character += engine.piece(token)
        depth = max(depth, n_survived)
        try:
            character.decode()
        except UnicodeDecodeError as error:
            if error.end >= len(character) and len(character) < 64:  # the rest is in the next token
                continue
        if text and depth != run_depth:
            yield text.decode(errors="replace"), run_depth
            text.clear()
        text += character
        run_depth = depth
        character, depth = bytearray(), 0
    if text:
        yield text.decode(errors="replace"), run_depth
    if character:
        yield character.decode(errors="replace"), depth


def _span(text: str, depth: int, n_stages: int, title: str) -> str:
    strength = 0.06 + 0.5 * depth / max(n_stages, 1)
    faded = "" if depth else ";opacity:.55"
    return (f'<span style="background:rgba({_COLOUR},{strength:.2f}){faded}" title="{html.escape(title)}">'
            f"{html.escape(text)}</span>")


def _times(answer: Answer) -> str:
    rows = [("first token", answer.timings.ttft_ms, "bar" if answer.schedule else "bar dense")]
    if answer.dense_ttft_ms is not None and answer.schedule:
        rows[0] = ("first token, lazy", answer.timings.ttft_ms, "bar")
        rows.append(("first token, dense", answer.dense_ttft_ms, "bar dense"))
    longest = max(ms for _, ms, _ in rows) or 1
    cells = "".join(f'<tr><td>{name}</td><td><b>{ms:,.0f} ms</b></td><td><i class="{kind}" '
                    f'style="width:{max(3, 240 * ms / longest):.0f}px"></i></td></tr>' for name, ms, kind in rows)
    return f"<table>{cells}</table>"


def _prompt(answer: Answer, engine: Engine) -> str:
    tokens, survived = answer.prompt_token_ids, stages_survived(answer)
    schedule, n_layers = answer.schedule, int(engine.info["n_layers"])
    if not schedule:
        survived = [0] * len(tokens)
    titles = [f"computed in {layers_computed(schedule, depth, n_layers)} of {n_layers} layers"
              for depth in range(len(schedule) + 1)]
    parts = [(tokens, survived)]
    if len(tokens) > _MOST_TOKENS:
        half = _MOST_TOKENS // 2
        parts = [(tokens[:half], survived[:half]), (tokens[-half:], survived[-half:])]
    shown = [
        "".join(_span(text, depth if schedule else 1, max(len(schedule), 1), titles[depth])
                for text, depth in _runs(engine, *part)) for part in parts
    ]
    key = "".join(_span(f"{layers_computed(schedule, depth, n_layers)} layers", depth, len(schedule), title)
                  for depth, title in enumerate(titles)) if schedule else "The prompt was computed in all layers."
    gap = f"<p>… {len(tokens) - _MOST_TOKENS:,} tokens are not shown …</p>"
    return f'<p class="key">{key}</p><div class="prompt">{gap.join(shown)}</div>'


def page(answer: Answer, engine: Engine) -> str:
    """HTML without scripts: the answer, its times, the prompt. Nothing is fetched."""
    cached = f", {answer.cached_tokens:,} of them computed before" if answer.cached_tokens else ""
    summary = (f"{len(answer.prompt_token_ids):,} prompt tokens{cached}; {len(answer.token_ids):,} generated, "
               f"{answer.timings.decode_tokens_per_s:,.0f} a second")
    return (f'<div class="lazyfill">{_STYLE}<p class="answer">{html.escape(answer.text)}</p>{_times(answer)}'
            f"<p>{summary}</p>{_prompt(answer, engine)}</div>")
