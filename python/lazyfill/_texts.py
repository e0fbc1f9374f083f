"""What users give, in the form that the extension module takes; what cannot be taken gets a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy
from numpy.typing import NDArray

from ._errors import InvalidArgument

TokenIds: TypeAlias = "Sequence[int] | NDArray[numpy.integer[Any]]"
Message: TypeAlias = Mapping[str, Any]

_INT32 = numpy.iinfo(numpy.int32)


def utf8(text: str) -> bytes:
    """The bytes of a text."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the text has half a surrogate pair at character {error.start}, which UTF-8 cannot hold; "
                              "take it out or decode the text again") from None


def token_array(tokens: TokenIds) -> NDArray[numpy.int32]:
    """[n] token ids, from any sequence of whole numbers."""
    try:
        array = numpy.asarray(tokens)
    except (ValueError, OverflowError):
        raise InvalidArgument("token ids are a list of whole numbers") from None
    if array.ndim != 1 or (array.size > 0 and array.dtype.kind not in "iu"):
        raise InvalidArgument("token ids are a list of whole numbers")
    if array.size > 0 and not (_INT32.min <= array.min() and array.max() <= _INT32.max):
        raise InvalidArgument(f"no token has the id {array.max() if array.max() > _INT32.max else array.min()}")
    return numpy.ascontiguousarray(array, dtype=numpy.int32)


def as_json(value: Iterable[Any] | Mapping[str, Any] | None, what: str) -> bytes:
    """JSON of what a chat template is given; empty where it is None."""
    if value is None:
        return b""
    try:
        text = json.dumps(value if isinstance(value, Mapping) else list(value), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"{what} cannot be written as JSON: {error}") from None
    return utf8(text)
