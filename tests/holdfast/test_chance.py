"""Bits for ids: as many as asked for, never twice the same."""

from unittest.mock import patch

from holdfast.chance import Chance


def test_each_draw_is_128_new_bits():
    chance = Chance()
    drawn = [chance() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert max(drawn).bit_length() > 120
    assert all(0 <= bits < 1 << 128 for bits in drawn)


def test_the_system_is_asked_for_many_at_once():
    with patch("holdfast.chance.os.urandom", side_effect=lambda size: bytes(range(256)) * (size // 256)) as urandom:
        chance = Chance()
        drawn = {chance() for _ in range(256)}
    assert urandom.call_count == 1
    assert int.from_bytes(bytes(range(16))) in drawn
