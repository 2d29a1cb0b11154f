"""The search offers exactly who can be booked: each offer is booked, and nobody who could be is left out of the page.

By default a small world; `make soak` asks HOLDFAST_SEARCH_QUERIES=500 of HOLDFAST_SEARCH_VENDORS=100000.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from actors.client import JUDGED_MAX
from actors.direct_client import DirectClient
from actors.limits import ShardLimits
from actors.outcome import Done
from actors.shard import Shard
from domain.booking import BookingStatus
from domain.command import PlaceHold, SetStatus
from domain.decide import decide_hold
from domain.event import HoldPlaced
from domain.ids import VendorId
from domain.rejection import Rejection
from domain.search import CandidateQuery, SeatWish, folded
from domain.vendor import Vendor
from domain.vendor_state import VendorState
from serve_app.auth import SigningKeys, Tokens
from serve_app.search import SearchDeps, search_app
from serve_app.search_models import VendorsAsked, query_of, wish_of
from storage.accounts import Accounts
from storage.candidate_cache import CandidateCache
from storage.directory import Directory
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.search_index import SearchIndex
from storage.search_index_url import search_index_at
from storage.shard_store import Owner
from tests.fakes.cheap_enough import cheap_enough
from tests.fakes.memory_search_index import candidate_of, fits, place
from tests.system.searched_world import (
    NOW,
    hold_of,
    holds,
    in_pages,
    question,
    records,
    vendors,
    write_all,
)

VENDORS = int(os.environ.get("HOLDFAST_SEARCH_VENDORS", "300"))
QUERIES = int(os.environ.get("HOLDFAST_SEARCH_QUERIES", "30"))
SEED = int(os.environ.get("HOLDFAST_SEARCH_SEED", "1"))
BOOKINGS_MAX = 200_000
ASKED_AT_ONCE = 256


@dataclass
class World:
    """`states` were read from the database after the last booking, so they owe nothing to the shard's memory."""

    made: Sequence[Vendor]
    vendors: dict[VendorId, Vendor]
    states: dict[VendorId, VendorState]
    client: DirectClient
    index: SearchIndex
    http: httpx.AsyncClient
    chance: random.Random

    def matching(self, query: CandidateQuery) -> list[VendorId]:
        """Whom the query is about, in its order, found by looking at every vendor."""
        candidates = [candidate_of(query, vendor) for vendor in self.made if fits(query, vendor)]
        return [candidate.vendor_id for candidate in sorted(candidates, key=place)]

    async def ranked(self, query: CandidateQuery) -> list[VendorId]:
        """The candidates of one request in their order. How well a text is met, only the index says."""
        if query.text is None:
            return self.matching(query)[:JUDGED_MAX]
        named = [one.vendor_id for one in await self.index.candidates(query, after=None, limit=JUDGED_MAX)]
        assert len(named) == JUDGED_MAX or set(self.matching(query)) <= set(named)
        return named

    def can_be_booked(self, vendor_id: VendorId, wish: SeatWish) -> bool:
        """By a guest who takes no seat but one that is cheap enough."""
        state = cheap_enough(self.vendors[vendor_id], self.states[vendor_id], wish.price_max_minor)
        return isinstance(decide_hold(state, self.hold(vendor_id, wish), now=NOW), HoldPlaced)

    def hold(self, vendor_id: VendorId, wish: SeatWish) -> PlaceHold:
        """In the vendor's own spelling of the type."""
        types = self.states[vendor_id].facts.plan.types
        seat_type = wish.seat_type and next(t for t in types if folded(t) == folded(wish.seat_type))
        return hold_of(vendor_id, wish.when, wish.party_size, self.chance, seat_type)

    async def book_and_cancel(self, vendor_id: VendorId, wish: SeatWish) -> None:
        hold = self.hold(vendor_id, wish)
        placed = await self.client.ask(hold)
        assert isinstance(placed, Done), (vendor_id, wish, placed)
        cancelled = await self.client.ask(SetStatus(hold.booking_id, hold.caller, BookingStatus.CANCELLED))
        assert isinstance(cancelled, Done), cancelled


@pytest.fixture
async def world(database: str, valkey_server: Any) -> AsyncIterator[World]:
    chance = random.Random(SEED)
    started = time.monotonic()
    made = list(vendors(VENDORS, SEED))
    made_by = time.monotonic()
    await write_all(database, made)
    written_by = time.monotonic()
    index = search_index_at("", database)
    await index.rebuild(in_pages(made))
    indexed_by = time.monotonic()
    reads = Database(database, "search is exact", 4)
    directory = Directory(reads)
    await directory.seed(1)
    await directory.claim(0, "a")
    shard = Shard(0, PostgresShardStore(database), Owner("a", "here", 1), lambda: NOW, ShardLimits())
    assert await shard.start()
    redis = Redis.from_url(valkey_server.url)
    client = DirectClient([shard])
    tokens = Tokens(SigningKeys("k", {"k": bytes(32)}), Accounts(reads), lambda: NOW)
    app = search_app(SearchDeps(CandidateCache(index, redis), client, tokens, lambda: NOW))
    booked = await _book(client, made, chance)
    booked_by = time.monotonic()
    states = {
        record.vendor.vendor_id: VendorState.of(record.vendor, record.words, record.covers)
        async for record in records(database, made)
    }
    tell(
        f"\n{len(made)} vendors: made in {made_by - started:.1f} s, written in {written_by - made_by:.1f} s, "
        f"indexed in {indexed_by - written_by:.1f} s; {booked} bookings in {booked_by - indexed_by:.1f} s; "
        f"read back in {time.monotonic() - booked_by:.1f} s"
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        yield World(made, {vendor.vendor_id: vendor for vendor in made}, states, client, index, http, chance)
    await shard.stop()
    await redis.aclose()
    await index.close()
    await reads.close()


def tell(figures: str) -> None:
    print(figures)  # noqa: T201 - shown where a run asks for it with -s


async def _book(client: DirectClient, made: Sequence[Vendor], chance: random.Random) -> int:
    """Bookings until many a famous house is full at the time that everybody wants."""
    wanted = holds(made, min(30 * len(made), BOOKINGS_MAX), chance)
    booked = 0
    while some := list(islice(wanted, ASKED_AT_ONCE)):
        outcomes = await asyncio.gather(*(client.ask(hold) for hold in some))
        assert all(isinstance(outcome, Done | Rejection) for outcome in outcomes)
        booked += sum(isinstance(outcome, Done) for outcome in outcomes)
    return booked


async def test_who_is_offered_can_be_booked_and_nobody_else_could(world: World) -> None:
    offers = left_out = 0
    seconds = []
    for number in range(QUERIES):
        asked = question(world.chance, world.made)
        started = time.monotonic()
        response = await world.http.get("/vendors", params=asked)
        seconds.append(time.monotonic() - started)
        assert response.status_code == 200, (asked, response.text)
        offered = [item["vendor_id"] for item in response.json()["items"]]
        parsed = VendorsAsked.model_validate(asked)
        query, wish = query_of(parsed), wish_of(parsed)
        assert wish is not None
        ranked = await world.ranked(query)
        expected = [vendor_id for vendor_id in ranked if world.can_be_booked(vendor_id, wish)]
        assert offered == [str(vendor_id) for vendor_id in expected[: parsed.limit]], (number, asked)
        assert (response.json()["next_cursor"] is None) <= (len(expected) <= parsed.limit), (number, asked)
        for vendor_id in expected[: parsed.limit]:
            await world.book_and_cancel(vendor_id, wish)
        offers += len(offered)
        left_out += len(ranked) - len(expected)
    ordered = sorted(seconds)
    tell(
        f"{QUERIES} searches: {offers} offers, each booked; {left_out} candidates could not take the party; "
        f"p50 {ordered[len(ordered) // 2] * 1000:.1f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1000:.1f} ms"
    )
    # A world in which everybody has room, or nobody, would prove nothing.
    assert offers > QUERIES
    assert left_out > QUERIES
