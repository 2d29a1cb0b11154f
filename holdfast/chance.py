"""Bits that nobody can guess, asked of the system for many ids at once: a system call costs more than the rest of an id."""

import os
from typing import Final

_BYTES: Final = 16
_IDS_PER_CALL: Final = 256


class Chance:
    """128 bits per call. For one thread; a forked child must make its own."""

    def __init__(self) -> None:
        self._drawn: list[int] = []

    def __call__(self) -> int:
        if not self._drawn:
            given = os.urandom(_BYTES * _IDS_PER_CALL)
            self._drawn = [int.from_bytes(given[at : at + _BYTES]) for at in range(0, len(given), _BYTES)]
        return self._drawn.pop()
