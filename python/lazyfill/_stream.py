"""Streams: an answer that is being written, for loops, for tasks of asyncio, and for those who just wait."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from ._answer import Answer
from ._errors import InvalidArgument
from ._progress import ProgressTeller

if TYPE_CHECKING:
    from ._core import Ticket
    from ._engine import Engine


def _wake(changed: asyncio.Future[None]) -> None:
    if not changed.done():
        changed.set_result(None)


class Piece(str):
    """A piece of an answer's text, which became complete with one token; it may be empty.

    >>> import lazyfill
    >>> stream = lazyfill.Engine.load().stream("Rome, Paris,", max_tokens=3, temperature=0)
    >>> [piece.token_id for piece in stream] == stream.answer.token_ids
    True
    """

    token_id: int
    """Of the token; -1 where the text came at the end, without one."""

    def __new__(cls, text: str, token_id: int) -> Piece:
        piece = super().__new__(cls, text)
        piece.token_id = token_id
        return piece


class Stream(Iterator[Piece], AsyncIterator[Piece]):
    """An answer that is being written. Take its pieces with `for` or `async for`, or the whole with `result()` or `await`.

    The engine works on its own, whether or not somebody reads. `close()`, the end of a `with` block, Ctrl-C, a task that
    is cancelled, and forgetting the stream stop it. One thread or task reads a stream at a time.

    >>> import lazyfill
    >>> engine = lazyfill.Engine.load()
    >>> with engine.stream("Rome, Paris, London,", max_tokens=4, temperature=0) as stream:
    ...     text = "".join(stream)
    >>> text == stream.answer.text
    True
    """

    def __init__(self, ticket: Ticket, engine: Engine, progress: ProgressTeller) -> None:
        self._ticket = ticket
        self._engine = engine
        self._progress = progress
        self._pieces: collections.deque[Piece] = collections.deque()
        self._n_characters = 0  # of the pieces that were taken
        self._answer: Answer | None = None
        self._is_closed = False

    @property
    def answer(self) -> Answer:
        """The whole answer, once the stream is at its end."""
        if self._answer is None:
            raise InvalidArgument("the answer is not at its end yet: read the stream on, or call result()")
        return self._answer

    def result(self) -> Answer:
        """Waits for the end, and gives the whole answer; pieces that were not read are skipped."""
        try:
            while not self._is_at_end(skip=True):
                self._ticket.wait(only_end=True)
        except BaseException:
            self.close()
            raise
        return self.answer

    def close(self) -> None:
        """Stops the engine if it is still at it."""
        self._is_closed = True
        self._progress.close()
        self._ticket.cancel()

    def __next__(self) -> Piece:
        try:
            while not self._is_at_end():
                if self._pieces:
                    return self._pieces.popleft()
                self._ticket.wait(only_end=False)
        except BaseException:
            self.close()
            raise
        if self._pieces:
            return self._pieces.popleft()
        raise StopIteration

    async def __anext__(self) -> Piece:
        try:
            while not self._is_at_end():
                if self._pieces:
                    return self._pieces.popleft()
                await self._changed()
        except BaseException:
            self.close()
            raise
        if self._pieces:
            return self._pieces.popleft()
        raise StopAsyncIteration

    async def _result(self) -> Answer:
        try:
            while not self._is_at_end(skip=True):
                await self._changed()
        except BaseException:
            self.close()
            raise
        return self.answer

    def __await__(self) -> Generator[object, None, Answer]:
        return self._result().__await__()

    def _is_at_end(self, skip: bool = False) -> bool:
        """Takes what has come. At the end, what is left of the pieces is complete."""
        if self._answer is not None:
            return True
        if self._is_closed:
            raise InvalidArgument("the stream was closed before its end")
        has_ended = self._ticket.ended  # before the pieces are taken: none comes after it
        self._progress.tell(self._ticket.take_progress())
        for token_id, text in self._ticket.take():
            self._n_characters += len(text)
            if not skip:
                self._pieces.append(Piece(text, token_id))
        if not has_ended:
            return False
        self._progress.close()
        self._answer = Answer(self._ticket.generation(), self._engine)
        rest = self._answer.text[self._n_characters:]  # held back for a stop text that did not come
        if rest and not skip:
            self._pieces.append(Piece(rest, -1))
        return True

    async def _changed(self) -> None:
        """Until there is something new; the event loop watches a file descriptor for it."""
        descriptor = self._ticket.descriptor()
        if descriptor < 0:  # none to be had
            await asyncio.sleep(0.005)
            return
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _wake, changed)
        try:
            await changed
        finally:
            loop.remove_reader(descriptor)
        self._ticket.clear_descriptor()

    def __iter__(self) -> Stream:
        return self

    def __aiter__(self) -> Stream:
        return self

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self.close()
