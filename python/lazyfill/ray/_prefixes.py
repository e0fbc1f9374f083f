"""Salted hashes of prompts' prefixes, and what a replica or a router remembers of them."""

from __future__ import annotations

import collections
import hashlib
import itertools
from collections.abc import Iterable, Sequence, Set

import numpy

BLOCK_TOKENS = 256
"""A prompt has a hash for every so many of its first tokens."""


def prefix_hashes(tokens: Sequence[int], salt: str) -> list[str]:
    """[n_tokens / 256] one for each prefix of whole blocks, shortest first.

    Each hash is made of the one before it, so that equal hashes mean equal prefixes. Nobody who reads them can tell whether
    a text that he knows is among them, for he has no salt.

    >>> tokens = list(range(600))
    >>> len(prefix_hashes(tokens, "secret")), prefix_hashes(tokens, "secret")[0] == prefix_hashes(tokens[:256], "secret")[0]
    (2, True)
    """
    array = numpy.asarray(tokens, dtype="<i4")
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    hashes: list[str] = []
    before = b""
    for end in range(BLOCK_TOKENS, len(array) + 1, BLOCK_TOKENS):
        before = hashlib.blake2b(before + array[end - BLOCK_TOKENS:end].tobytes(), key=key, digest_size=8).digest()
        hashes.append(before.hex())
    return hashes


def n_held_blocks(hashes: Sequence[str], held: Set[str]) -> int:
    """How many of a prompt's first blocks are held: up to the deepest prefix that is."""
    for n in range(len(hashes), 0, -1):
        if hashes[n - 1] in held:
            return n
    return 0


class HeldPrefixes:
    """The prefixes that a replica computed lately, the latest last."""

    def __init__(self, max_hashes: int = 4096) -> None:
        self._hashes: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._max_hashes = max_hashes

    def add(self, hashes: Iterable[str]) -> None:
        """A request computes them, or has just taken them."""
        for one in hashes:
            self._hashes[one] = None
            self._hashes.move_to_end(one)
        while len(self._hashes) > self._max_hashes:
            self._hashes.popitem(last=False)

    def forget(self, hashes: Iterable[str]) -> None:
        """They are not there after all."""
        for one in hashes:
            self._hashes.pop(one, None)

    def older_than(self, one: str) -> list[str]:
        """Those that were last needed before this one."""
        return list(itertools.takewhile(lambda other: other != one, self._hashes))

    def all(self) -> list[str]:
        """Oldest first."""
        return list(self._hashes)

    def n_blocks_of(self, hashes: Sequence[str]) -> int:
        """How many of a prompt's first blocks are among them."""
        return n_held_blocks(hashes, self._hashes.keys())
