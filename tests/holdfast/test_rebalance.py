"""Buckets are spread evenly by as few moves as that takes, and whoever gives some away loses the lease."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import BUCKETS
from holdfast.rebalance import even_moves, rebalance
from storage.directory import Directory
from storage.postgres import Database


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 9))
def test_shares_come_out_even_and_nothing_moves_that_need_not(pattern, shards):
    before = [pattern[bucket % len(pattern)] for bucket in range(BUCKETS)]
    moves = even_moves(before, shards)
    after = [moves.get(bucket, shard_id) for bucket, shard_id in enumerate(before)]
    held, shares = Counter(before), Counter(after)
    assert set(shares) == set(range(shards))
    assert max(shares.values()) - min(shares.values()) <= 1
    for shard_id in set(before):
        given_away = sum(1 for bucket in moves if before[bucket] == shard_id)
        assert given_away == max(0, held[shard_id] - shares[shard_id])


@pytest.mark.parametrize("shards", [1, 3])
def test_what_is_even_already_stays(shards):
    assert even_moves([bucket % shards for bucket in range(BUCKETS)], shards) == {}


async def test_givers_lose_their_lease_and_takers_keep_theirs(database):
    pool = Database(database, "test", 1)
    directory = Directory(pool)
    await directory.seed(1)
    await directory.seed(3)
    before = {row.shard_id: row.epoch for row in await directory.shards()}
    assert await rebalance(pool, 3) == {0: 2730}
    rows = await directory.shards()
    assert [row.buckets for row in rows] == [1366, 1365, 1365]
    assert {row.shard_id: row.epoch - before[row.shard_id] for row in rows} == {0: 1, 1: 0, 2: 0}
    assert await rebalance(pool, 3) == {}
    assert await rebalance(pool, 1) == {1: 1365, 2: 1365}
    assert [row.buckets for row in await directory.shards()] == [4096, 0, 0]
    await pool.close()
