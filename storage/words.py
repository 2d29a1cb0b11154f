"""Words of 64 bits between Python, where they are 0..2**64-1, and Postgres, whose bigint has a sign."""

from collections.abc import Sequence
from typing import Final

from asyncpg.pgproto import pgproto

from storage.shard_store import WordChange

_SIGN: Final = 1 << 63
_MODULUS: Final = 1 << 64


def to_bigint(mask: int) -> int:
    """The bigint with the same 64 bits. ValueError beyond 64 bits."""
    if not 0 <= mask < _MODULUS:
        raise ValueError(f"not a word of 64 bits: {mask}")
    return mask - _MODULUS if mask >= _SIGN else mask


def from_bigint(stored: int) -> int:
    """The exact inverse of `to_bigint`."""
    return stored + _MODULUS if stored < 0 else stored


def word_columns(changes: Sequence[WordChange]) -> tuple[list[pgproto.UUID], list[int], list[int], list[int]]:
    """Parameters of the batch's statement: seat ids, words, bits to clear, bits to set.

    A seat's id is its vendor's with the number in the last 20 bits, made here as the driver's own UUID, which costs a
    third of the standard library's.
    """
    seat_ids = [pgproto.UUID((c.vendor_id.int | c.seat_no).to_bytes(16)) for c in changes]
    return (
        seat_ids,
        [c.word for c in changes],
        [to_bigint(c.clear) for c in changes],
        [to_bigint(c.set) for c in changes],
    )
