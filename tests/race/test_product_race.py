"""The race as guests run it: HTTP requests of 64 clients, through the booking app in both of its mounts, into Postgres.

The express lane's mount asks the shard directly, the gateway's by calls that carry batches; both meet in one shard.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from secrets import randbits

import httpx
import pytest

from actors.addressing import BucketMap
from actors.direct_client import DirectClient
from actors.limits import ShardLimits
from actors.outcome import VendorDone
from actors.remote_client import RemoteClient
from actors.remote_lane import RemoteLimits
from actors.shard import Shard
from domain.command import Role
from serve_app.auth import SigningKeys, Tokens
from serve_app.booking import BookingDeps, booking_app
from storage.shard_store import Owner
from tests.fakes.houses import EVENING, guest, opening, restaurant, vendor_id
from tests.race.race_conditions import NO_FENCE, NO_GUARD

V = vendor_id(1)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SEATS, CLIENTS, TRIES = 40, 64, 500


def clock():
    return NOW


class EveryAccount:
    async def tokens_valid_from(self, role, account_id):
        return NOW.replace(year=2000)


TOKENS = Tokens(SigningKeys("k", {"k": bytes(32)}), EveryAccount(), clock)


class CallsInto:
    """What Ray would carry, without Ray."""

    def __init__(self, shard):
        self.shard = shard

    async def ask_batch(self, shard_id, commands):
        return await self.shard.ask_batch(commands)


class Product:
    """Shards over one database, and for each of them its two ways in."""

    def __init__(self, ground):
        self.ground = ground
        self.shards = []
        self.ways_in = []

    async def own(self, *spoilt):
        """Another owner of everything. With a spoilt fence the ones before it go on selling."""
        owner = Owner(f"actor-{len(self.shards)}", "node", 100 + len(self.shards))
        await self.ground.directory.claim(0, owner.actor_id)
        shard = Shard(0, self.ground.store(*spoilt), owner, clock, ShardLimits(sweep_vendors=1))
        assert await shard.start()
        self.shards.append(shard)
        buckets = BucketMap(self.ground.directory.bucket_shards)
        store = self.ground.stores[-1]

        async def read(booking_id):
            return (await store.load_bookings([booking_id])).get(booking_id)

        for client in (DirectClient([shard]), RemoteClient(CallsInto(shard), buckets, read, RemoteLimits())):
            app = booking_app(BookingDeps(client, TOKENS, lambda: randbits(128)))
            self.ways_in.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://house"))
        return shard

    async def rush(self):
        """500 tries by 64 clients, each under a key of its own, at one evening of one house."""
        tries = count()
        answers = []

        async def client(number):
            token = TOKENS.issue(Role.USER, guest(number).account_id)
            way_in = self.ways_in[number % len(self.ways_in)]
            while (one := next(tries)) < TRIES:
                answer = await way_in.post(
                    f"/booking/vendor/{V}",
                    json={"party_size": 2, "starts_at": EVENING.isoformat()},
                    headers={"Authorization": f"Bearer {token}", "Idempotency-Key": f"try-{one}"},
                )
                answers.append(answer)

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        return answers


@pytest.fixture
async def product(ground):
    made = Product(ground)
    yield made
    for way_in in made.ways_in:
        await way_in.aclose()
    for shard in made.shards:
        await shard.stop()


async def open_house(shard):
    assert isinstance(await shard.ask(opening(restaurant(V, tables=SEATS))), VendorDone)


async def test_with_guard_and_single_writer_off_guests_get_one_seat_twice(product, ground):
    """Negative control: the same rush sells every seat to two guests, so the one below can fail."""
    await open_house(await product.own(NO_FENCE, NO_GUARD))
    await product.own(NO_FENCE, NO_GUARD)
    # Both owners look at the house before anybody books: what each sells later, the other does not know of.
    too_many = {"party_size": 99, "starts_at": EVENING.isoformat()}
    token = TOKENS.issue(Role.USER, guest(99).account_id)
    for way_in in product.ways_in:
        refused = await way_in.post(f"/booking/vendor/{V}", json=too_many, headers={"Authorization": f"Bearer {token}"})
        assert refused.json()["code"] == "party_too_large"
    answers = await product.rush()
    seats = Counter(answer.json()["seats"][0]["seat_id"] for answer in answers if answer.status_code == 201)
    assert sum(seats.values()) == 2 * SEATS
    assert set(seats.values()) == {2}
    assert (await ground.faults())["seat-slots are held by one booking only"] > 0


@pytest.mark.parametrize("round_number", range(10))
async def test_500_tries_by_64_clients_on_40_seats_sell_exactly_40(product, ground, round_number):
    await open_house(await product.own())
    answers = await product.rush()
    assert Counter(answer.status_code for answer in answers) == {201: SEATS, 409: TRIES - SEATS}
    sold = [answer.json() for answer in answers if answer.status_code == 201]
    assert len({booking["seats"][0]["seat_id"] for booking in sold}) == SEATS
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"no_availability"}
    assert await ground.faults() == {}


async def test_two_owners_without_a_fence_still_sell_40(product, ground):
    """The single writer alone is switched off: the row locks on the words make the second owner look again."""
    await open_house(await product.own(NO_FENCE))
    await product.own(NO_FENCE)
    answers = await product.rush()
    sold = [answer.json() for answer in answers if answer.status_code == 201]
    assert len({booking["seats"][0]["seat_id"] for booking in sold}) == len(sold) == SEATS
    assert await ground.faults() == {}
