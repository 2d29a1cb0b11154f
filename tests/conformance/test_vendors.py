"""A vendor's rows: written whole behind the fence, read back with what is taken."""

from dataclasses import replace
from datetime import date, time

import pytest

from domain.event import VendorCreated, VendorUpdated
from domain.money import Money
from domain.vendor import (
    Approval,
    Closure,
    Deposit,
    DepositKind,
    Policy,
    SeatGroup,
    Service,
    StayRules,
    TurnTime,
    VendorKind,
)
from storage.errors import EmailTaken, GuardRefused
from tests.conformance.stores import booking, cancelled, changing, house, placing, slot_at, words
from tests.fakes.houses import OPENED, hotel, vendor_id

RICH = replace(
    house(vendor_id(5)),
    description='Fish & "chips" \\ 日本',
    address="1 Quay",
    phone="+3545551234",
    cuisines=("fish", "vegan"),
    seats=(
        SeatGroup("T", "table", 1, 4, quantity=2, seat_nos=(1, 2)),
        SeatGroup(
            "Bar",
            "counter",
            1,
            1,
            price=Money(100, "EUR"),
            closures=(Closure(date(2026, 12, 1), date(2026, 12, 2), "wet paint"),),
            seat_nos=(9,),
        ),
    ),
    services=(Service((0, 6), time(18), time(1, 30), 15), Service((2,), time(12), time(14), 30)),
    turn_minutes=(TurnTime(2, 90), TurnTime(8, 120)),
    combinations=(("T", "Bar"),),
    covers_per_step=12,
    closures=(Closure(date(2026, 12, 25), date(2026, 12, 26)),),
    policy=Policy(60, Deposit(DepositKind.PERCENT, percent=20), 24, 50, 30, 15, Approval.MANUAL),
    next_seat_no=10,
)
INN = replace(
    hotel(vendor_id(6)),
    seats=(SeatGroup("R", "double", 1, 2, quantity=2, price=Money(9000, "EUR"), seat_nos=(1, 2)),),
    amenities=("pool",),
    stay=StayRules(2, 14, (6,), (5, 6)),
    check_in=time(14, 30),
    step_minutes=0,
    next_seat_no=3,
)


@pytest.mark.parametrize("vendor", [RICH, INN], ids=["restaurant", "hotel"])
async def test_a_vendor_comes_back_as_it_was(store, lease, vendor):
    await store.commit_vendor(lease, 1, VendorCreated(vendor, "a@example.org", "hash"))
    found = await store.load_vendors([vendor.vendor_id, vendor_id(77)])
    assert list(found) == [vendor.vendor_id]
    record = found[vendor.vendor_id]
    assert (record.vendor, list(record.words), dict(record.covers)) == (vendor, [], {})
    assert await store.committed(lease, 1)


async def test_two_vendors_cannot_share_an_address(store, lease, vendor):
    with pytest.raises(EmailTaken):
        await store.commit_vendor(lease, 2, VendorCreated(house(vendor_id(2)), "house@example.org", "hash"))
    assert await store.load_vendors([vendor_id(2)]) == {}
    assert not await store.committed(lease, 2)


async def test_a_vendor_is_created_once(store, lease, vendor):
    with pytest.raises(GuardRefused):
        await store.commit_vendor(lease, 2, VendorCreated(house(vendor), "other@example.org", "hash"))


async def test_an_update_follows_the_version_it_saw(store, lease, vendor):
    old = house(vendor)
    new = replace(old, version=2, name="Chez Nouveau", city="Akureyri")
    await store.commit_vendor(lease, 1, VendorUpdated(new, old))
    assert (await store.load_vendors([vendor]))[vendor].vendor == new
    with pytest.raises(GuardRefused):
        await store.commit_vendor(lease, 2, VendorUpdated(new, old))


async def test_taken_words_and_covers_come_with_the_vendor(store, lease):
    of = vendor_id(3)
    await store.commit_vendor(lease, 1, VendorCreated(house(of, pace=10), "p@example.org", "h"))
    one, two = booking(of, 1), booking(of, 2, seats=(2,))
    gone = booking(of, 3, seats=(3,))
    await store.commit(placing(lease, 2, one, two, gone))
    await store.commit(changing(lease, 3, cancelled(gone)))
    record = (await store.load_vendors([of]))[of]
    assert sorted(record.words) == sorted((c.seat_no, c.word, c.set) for b in (one, two) for c in words(b))
    assert dict(record.covers) == {one.first_slot: 4}


async def test_a_vendors_words_are_its_own(store, lease, vendor):
    """Ids that stand next to each other must not run into each other's range."""
    neighbours = [vendor_id(2), vendor_id(3)]
    for number, of in enumerate(neighbours):
        await store.commit_vendor(lease, number + 1, VendorCreated(house(of), f"n{number}@example.org", "h"))
    await store.commit(placing(lease, 10, booking(neighbours[0], 1)))
    assert not (await store.load_vendors([vendor]))[vendor].words
    assert not (await store.load_vendors([neighbours[1]]))[neighbours[1]].words


async def test_a_finer_step_rewrites_the_words_exactly(world, store, lease, vendor):
    old = house(vendor)
    one = booking(vendor, 1, first_slot=(slot_at() | 63) - 1)
    await store.commit(placing(lease, 1, one))
    new = replace(old, version=2, step_minutes=10)
    await store.commit_vendor(lease, 2, VendorUpdated(new, old, rescaled=True))
    record = (await store.load_vendors([vendor]))[vendor]
    expected = replace(one, first_slot=one.first_slot * 3, held_slot_count=9, step_minutes=10)
    assert sorted(record.words) == [(c.seat_no, c.word, c.set) for c in words(expected)]
    assert await world.problems() == []


async def test_a_seat_that_is_gone_keeps_the_rows_of_its_bookings(world, store, lease, vendor):
    old = house(vendor)
    await store.commit(placing(lease, 1, booking(vendor, 1, seats=(3,))))
    fewer = replace(old, version=2, seats=(replace(old.seats[0], quantity=2, seat_nos=(1, 2)),))
    await store.commit_vendor(lease, 2, VendorUpdated(fewer, old))
    assert await world.problems() == []


async def test_pages_of_vendors_follow_the_ids(world, store, lease):
    await world.seed(2)
    vendors = [vendor_id(number, bucket=2 * number) for number in range(1, 6)]
    elsewhere = vendor_id(1, bucket=3)
    for number, of in enumerate([*reversed(vendors), elsewhere]):
        await store.commit_vendor(lease, number + 1, VendorCreated(house(of), f"v{number}@example.org", "h"))
    mine = await store.buckets(0)
    expected = [of for of in sorted([*vendors, elsewhere], key=lambda of: of.int) if of.int >> 116 in mine]
    seen = []
    after = None
    while page := await store.load_vendor_page(0, after, 2):
        assert len(page) <= 2
        seen += [record.vendor.vendor_id for record in page]
        after = seen[-1]
    assert seen == expected


async def test_a_vendors_kind_is_kept(store, lease):
    await store.commit_vendor(lease, 1, VendorCreated(INN, "inn@example.org", "h"))
    assert (await store.load_vendors([INN.vendor_id]))[INN.vendor_id].vendor.kind is VendorKind.HOTEL
    assert (await store.load_vendors([INN.vendor_id]))[INN.vendor_id].vendor.created_at == OPENED
