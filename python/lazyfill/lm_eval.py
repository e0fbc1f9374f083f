"""An adapter for `lm_eval`, so that anybody can judge a schedule on tasks of their own.

    python -m lazyfill.lm_eval --model lazyfill --model_args path=MODEL.gguf,lazy=9:0.5+15:0.5 --tasks TASK

`lazy` takes a plus for the comma of a schedule, because a comma ends an argument there. Log-likelihoods of a continuation
are computed behind a lazily prefilled context; those of a whole text (`loglikelihood_rolling`) by the whole model, since every
token is asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from numpy.typing import NDArray

from ._engine import Engine
from ._errors import InvalidArgument
from ._session import Session
from ._stream import Stream

_PREFIXES = ("<|endoftext|>", "<bos>", "<s>", "<|begin_of_text|>", "<|im_start|>", "</s>")


def _log_softmax(logits: NDArray[numpy.float32]) -> NDArray[numpy.float64]:
    """[n_vocab] natural logarithms of probabilities."""
    shifted = logits.astype(numpy.float64) - float(logits.max())
    result: NDArray[numpy.float64] = shifted - numpy.log(numpy.exp(shifted).sum())
    return result


class _Context:
    """A context that was prefilled, behind which continuations are scored one after another."""

    def __init__(self, engine: Engine, tokens: list[int], lazy: str) -> None:
        self.tokens = tokens
        self._engine = engine
        self._lazy = lazy
        self._session = self._prefilled()
        self._logits = self._session.logits

    def _prefilled(self) -> Session:
        session = self._engine.start_session(lazy=self._lazy)
        session.append(self.tokens)
        session.step()
        return session

    def score(self, continuation: list[int]) -> tuple[float, bool]:
        """Sum of the logarithms of the tokens' probabilities, and whether each was the likeliest."""
        if len(continuation) > 1 and len(self._session) > len(self.tokens):
            # Steps of the answer before may have brought dropped tokens back; dense there are none.
            if self._lazy == "off":
                self._session.rewind(len(self.tokens))
            else:
                self._session = self._prefilled()
        total, is_greedy, logits = 0.0, True, self._logits
        for i, token in enumerate(continuation):
            total += float(_log_softmax(logits)[token])
            is_greedy = is_greedy and int(logits[: self._engine.info["n_tokens"]].argmax()) == token
            if i + 1 < len(continuation):
                self._session.append([token], generated=True)
                self._session.step()
                logits = self._session.logits
        return total, is_greedy


@register_model("lazyfill")
class LazyfillLM(LM):  # type: ignore[misc]
    """A GGUF file by lazyfill."""

    def __init__(self, path: str | None = None, lazy: str = "auto", threads: int = 0, max_gen_toks: int = 256,
                 prefix_token_id: int | None = None, engine: Engine | None = None, **_ignored: Any) -> None:
        super().__init__()
        self._engine = engine if engine is not None else Engine.load(path, threads=int(threads))
        self._lazy = str(lazy).replace("+", ",")
        self._engine.resolve_schedule(self._lazy, 1)  # a wrong one is told before an hour of work
        self._max_gen_toks = int(max_gen_toks)
        self._uses_template = False
        self._prefix = self._find_prefix() if prefix_token_id is None else int(prefix_token_id)

    @property
    def max_length(self) -> int:
        """Tokens that the context holds."""
        return int(self._engine.info["context_length"])

    @property
    def tokenizer_name(self) -> str:
        """What the harness keys its caches by."""
        return f"lazyfill-{self._engine.info['fingerprint']}"

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The harness keeps a record of it; the model's own is the one that is used."""
        return ""

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The text of a conversation, as the model's own template writes it."""
        self._uses_template = True
        return self._engine.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)

    def loglikelihood(self, requests: Iterable[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each continuation behind its context."""
        asked = [self._pair(*request.args) for request in requests]
        results: list[tuple[float, bool]] = [(0.0, True)] * len(asked)
        context: _Context | None = None
        for i in sorted(range(len(asked)), key=lambda i: asked[i][0]):  # those with the same context together
            tokens, continuation = asked[i]
            if not continuation:
                continue
            if context is None or context.tokens != tokens:
                context = _Context(self._engine, tokens, self._lazy)
            results[i] = context.score(continuation)
        return results

    def loglikelihood_rolling(self, requests: Iterable[Any], disable_tqdm: bool = False) -> list[float]:
        """Of each whole text, by the whole model, in windows of the context's length that do not overlap."""
        results = []
        for request in requests:
            tokens = self._tokens(request.args[0], add_special=False)
            total = 0.0
            for begin in range(0, len(tokens), self.max_length - 1):
                before = tokens[begin - 1] if begin else self._prefix
                window = [before, *tokens[begin:begin + self.max_length - 1]]
                total += float(self._engine.token_logprobs(window).astype(numpy.float64)[1:].sum())
            results.append(total)
        return results

    def generate_until(self, requests: Iterable[Any], disable_tqdm: bool = False) -> list[str]:
        """An answer to each, written together."""
        return [stream.result().text for stream in [self._start(*request.args) for request in requests]]

    def _start(self, context: str, settings: Mapping[str, Any]) -> Stream:
        until = settings.get("until") or []
        n_tokens = int(settings.get("max_gen_toks", self._max_gen_toks))
        temperature = float(settings.get("temperature") or 0) if settings.get("do_sample", True) else 0.0
        room = self.max_length - min(n_tokens, self.max_length // 2)
        return self._engine.stream(
            self._tokens(context)[-room:] or [self._prefix], max_tokens=n_tokens, temperature=temperature,
            stop=[until] if isinstance(until, str) else [text for text in until if text], lazy=self._lazy)

    def _tokens(self, text: str, add_special: bool = True) -> list[int]:
        # As the harness has it elsewhere: control tokens that a template wrote are taken as such.
        return self._engine.tokenize(text, add_special=add_special and not self._uses_template, special=True)

    def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of both, cut where the context ends in the tokens of the whole; spaces go to the continuation."""
        stripped = context.rstrip()
        continuation = context[len(stripped):] + continuation
        if not stripped:
            whole, n_context = [self._prefix, *self._tokens(continuation, add_special=False)], 1
        else:
            whole, n_context = self._tokens(stripped + continuation), len(self._tokens(stripped))
        n_context = max(1, min(n_context, len(whole)))
        n_dropped = max(0, len(whole) - self.max_length)
        if n_dropped >= n_context:
            raise InvalidArgument(f"a continuation of {len(whole) - n_context} tokens does not fit into the context")
        return whole[n_dropped:n_context], whole[n_context:]

    def _find_prefix(self) -> int:
        """What stands before a text that has nothing before it."""
        begin = self._engine.tokenize("")
        for ids in ([begin] if begin else []) + [self._engine.tokenize(name, add_special=False, special=True) for name in _PREFIXES]:
            if len(ids) == 1:
                return ids[0]
        raise InvalidArgument("this model has no token to begin a text with: give its id as prefix_token_id")


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
