"""Pages of current bookings: newest start first, whole and without repeats, whatever is inserted; the owner's alone."""

from dataclasses import replace

import pytest

from domain.booking import BookingStatus
from domain.booking_list import ListPosition
from domain.event import VendorCreated
from domain.ids import UserId
from storage.booking_page import PageAsked
from storage.bookings import BookingReads
from storage.directory import Directory
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, booking, cancelled, changing, house, ids, placing
from tests.fakes.houses import EVENING, guest, vendor_id

USER = UserId(guest(1).account_id)
V = vendor_id(1)


class Books:
    def __init__(self, store, lease):
        self.store, self.lease, self.seq = store, lease, 10

    async def place(self, *bookings):
        self.seq += 1
        await self.store.commit(placing(self.lease, self.seq, *bookings))

    async def change(self, *events):
        self.seq += 1
        await self.store.commit(changing(self.lease, self.seq, *events))


@pytest.fixture
async def books(open_database, database):
    directory = Directory(open_database)
    await directory.seed(1)
    await directory.claim(0, ACTOR.actor_id)
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    vendor = replace(house(V, tables=40), time_zone="America/New_York")
    await store.commit_vendor(lease, 1, VendorCreated(vendor, "house@example.org", "h"))
    yield Books(store, lease)
    await store.close()


@pytest.fixture
def reads(open_database):
    return BookingReads(open_database)


def position(last):
    return ListPosition(last.starts_at, last.booking_id)


async def of_vendor(reads, asked, *, of=V, current=None, now=EVENING):
    return await reads.of_vendor(of, asked, current=current, now=now)


async def all_pages(fetch, limit):
    """Every item, page by page; stops at the first page that is not full."""
    seen = []
    while len(seen) < 100:
        page = await fetch(position(seen[-1]) if seen else None, limit)
        seen += page
        if len(page) < limit:
            return seen
    raise AssertionError("the pages never end")


def newest_first(bookings):
    return sorted(bookings, key=lambda b: (b.starts_at, b.booking_id.int), reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_are_whole_and_in_order(books, reads, limit):
    start = booking(V, 1).first_slot
    numbers = [5, 13, 1, 9, 4, 12, 8, 2, 6, 10, 3, 11, 7]  # in no order, and many of them begin together
    made = [booking(V, n, first_slot=start + n % 4, seats=(n,)) for n in numbers]
    await books.place(*made)
    found = await all_pages(lambda after, n: of_vendor(reads, PageAsked(n, after)), limit)
    assert found == newest_first(made)
    found = await all_pages(lambda after, n: reads.of_user(USER, PageAsked(n, after), current=None, now=EVENING), limit)
    assert found == newest_first(made)


async def test_a_cursor_survives_what_is_inserted(books, reads):
    start = booking(V, 1).first_slot
    made = [booking(V, n, first_slot=start + n, seats=(n,)) for n in range(1, 9)]
    await books.place(*made)
    first = await of_vendor(reads, PageAsked(3))
    newer, older = booking(V, 30, first_slot=start + 50), booking(V, 31, first_slot=start - 50)
    await books.place(newer, older)
    await books.change(cancelled(first[-1]))
    rest = await of_vendor(reads, PageAsked(50, position(first[-1])))
    assert ids(first) + ids(rest) == ids(newest_first([*made, older]))


async def test_the_owner_stands_in_the_question(books, reads):
    mine, other = booking(V, 1, seats=(1,)), booking(V, 2, seats=(2,), user=2)
    await books.place(mine, other)
    assert await reads.of_user(USER, PageAsked(9), current=None, now=EVENING) == [mine]
    assert await of_vendor(reads, PageAsked(9), of=vendor_id(2)) == []


async def test_current_and_past_together_are_all(books, reads):
    start = booking(V, 1).first_slot
    live = booking(V, 1, first_slot=start + 10)
    blocked = booking(V, 2, first_slot=start + 10, seats=(2,), status=BookingStatus.BLOCKED)
    over = booking(V, 3)
    gone = booking(V, 4, first_slot=start + 10, seats=(4,))
    await books.place(live, blocked, over, gone)
    await books.change(cancelled(gone))
    now = over.ends_at

    async def ask(current):
        return set(ids(await of_vendor(reads, PageAsked(9), current=current, now=now)))

    assert await ask(True) == {*ids([live, blocked])}
    assert await ask(False) == {*ids([over, gone])}
    assert await ask(None) == {*ids([live, blocked, over, gone])}


async def test_a_status_can_be_chosen(books, reads):
    kept, gone = booking(V, 1), booking(V, 2, seats=(2,))
    await books.place(kept, gone)
    event = cancelled(gone)
    await books.change(event)
    asked = PageAsked(9, status=BookingStatus.CANCELLED)
    assert await of_vendor(reads, asked) == [event.booking]
    assert await of_vendor(reads, asked, current=True) == []


async def test_starts_can_be_bounded(books, reads):
    start = booking(V, 1).first_slot
    made = [booking(V, n, first_slot=start + n, seats=(n,)) for n in range(1, 5)]
    await books.place(*made)
    asked = PageAsked(9, starts_from=made[1].starts_at, starts_before=made[3].starts_at)
    assert await of_vendor(reads, asked) == [made[2], made[1]]
    asked = PageAsked(9, position(made[2]), starts_from=made[1].starts_at)
    assert await of_vendor(reads, asked) == [made[1]]


async def test_one_booking_by_its_id(books, reads):
    one = booking(V, 1)
    await books.place(one)
    assert await reads.by_id(one.booking_id) == one
    unknown = booking(V, 2).booking_id
    assert await reads.by_id(unknown) is None
    assert await reads.versions([one.booking_id, unknown]) == {one.booking_id: 1}
    assert await reads.versions([]) == {}
