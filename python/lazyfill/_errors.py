"""Exceptions: one class for each kind of error that the engine knows, all of them `lazyfill.Error`."""

from __future__ import annotations


class Error(Exception):
    """What the engine refuses or cannot do; its text is one sentence that says what to do.

    `code` is the kind, as records and the server write it: "not_found".

    >>> import lazyfill
    >>> try:
    ...     lazyfill.Engine.load("no-such-model.gguf")
    ... except lazyfill.Error as error:
    ...     print(error.code)
    not_found
    """

    code = "error"


class InvalidArgument(Error, ValueError):
    """Something was asked for that cannot be."""

    code = "invalid_argument"


class InvalidFile(Error, ValueError):
    """A file is not what it claims to be."""

    code = "invalid_file"


class Unsupported(Error, NotImplementedError):
    """Valid, but this build cannot do it."""

    code = "unsupported"


class NotFound(Error, FileNotFoundError):
    """A file that does not exist or cannot be read."""

    code = "not_found"


class ContextExceeded(Error, ValueError):
    """More tokens than the context holds."""

    code = "context_exceeded"


class OutOfMemory(Error, MemoryError):
    """Not enough memory for this."""

    code = "out_of_memory"


class Cancelled(Error):
    """It was stopped before its first token."""

    code = "cancelled"


class Busy(Error):
    """Too much is waiting already; the same may do later."""

    code = "busy"


_KINDS: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (InvalidArgument, InvalidFile, Unsupported, NotFound, ContextExceeded, OutOfMemory, Cancelled, Busy)
}


def error_of(code: str, sentence: str) -> Error:
    """The exception for what the engine says; the extension module calls it."""
    return _KINDS.get(code, Error)(sentence)
