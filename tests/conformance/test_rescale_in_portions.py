"""A house with many words gets a finer step in portions: no pause between its statements ends its transaction."""

import time
from dataclasses import replace

import pytest

from domain.event import VendorCreated, VendorUpdated
from domain.rescale import rescale_words
from storage import postgres, vendor_writes
from storage.directory import Directory
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, booking, house, placing, slot_at
from tests.fakes.houses import vendor_id

V = vendor_id(1)
WORDS = 12
SECONDS_EACH = 0.1


def slow(words, old_step, new_step):
    words = list(words)
    time.sleep(SECONDS_EACH * len(words))
    return rescale_words(words, old_step, new_step)


@pytest.fixture
async def store(open_database, database, monkeypatch):
    monkeypatch.setitem(postgres._EVERY_CONNECTION, "idle_in_transaction_session_timeout", "600ms")
    monkeypatch.setattr(vendor_writes, "rescale_words", slow)
    directory = Directory(open_database)
    await directory.seed(1)
    await directory.claim(0, ACTOR.actor_id)
    made = PostgresShardStore(database)
    yield made
    await made.close()


@pytest.mark.parametrize("at_once", [2, 5])
async def test_what_takes_longer_than_a_transaction_may_be_idle_is_rewritten_all_the_same(
    store, admin, monkeypatch, at_once
):
    monkeypatch.setattr(vendor_writes, "_WORDS_AT_ONCE", at_once)
    lease = await store.take(0, ACTOR)
    old = house(V)
    await store.commit_vendor(lease, 1, VendorCreated(old, "house@example.org", "h"))
    slots = [slot_at() + 64 * n for n in range(WORDS)]
    await store.commit(placing(lease, 2, *(booking(V, n, first_slot=slot, slots=1) for n, slot in enumerate(slots))))
    new = replace(old, step_minutes=15, version=2)
    await store.commit_vendor(lease, 3, VendorUpdated(new, old, rescaled=True))
    rows = await admin.fetch("SELECT word, mask FROM seat_word ORDER BY word")
    taken = [row["word"] * 64 + bit for row in rows for bit in range(64) if row["mask"] >> bit & 1]
    assert taken == [fine for slot in slots for fine in (slot * 2, slot * 2 + 1)]
