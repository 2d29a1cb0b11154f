"""One batch: everything it means to write is written, or nothing is."""

from dataclasses import replace

import pytest

from domain.booking import BookingStatus
from storage.errors import GuardRefused
from storage.shard_store import Answer, Batch, WordChange
from tests.conformance.stores import booking, cancelled, changing, confirmed, ids, moved, placing, words
from tests.fakes.houses import vendor_id

TOP_BIT = (1 << 29) * 64 + 63


async def words_of(store, vendor):
    record = (await store.load_vendors([vendor]))[vendor]
    return sorted(record.words)


async def test_a_booking_comes_back_as_it_was(store, lease, vendor):
    first = booking(vendor, 1, status=BookingStatus.BLOCKED, seats=(1, 2))
    await store.commit(placing(lease, 1, first))
    assert await store.load_bookings(ids([first])) == {first.booking_id: first}
    assert await words_of(store, vendor) == sorted((c.seat_no, c.word, c.set) for c in words(first))


async def test_bookings_of_one_word_share_a_batch(world, store, lease, vendor):
    start = booking(vendor, 1).first_slot
    many = [booking(vendor, n, first_slot=start + 3 * n) for n in range(4)]
    await store.commit(placing(lease, 1, *many))
    assert sum(mask.bit_count() for _, _, mask in await words_of(store, vendor)) == 12
    assert await world.problems() == []


async def test_one_bit_for_two_holds_of_a_batch_is_refused(store, lease, vendor):
    one, two = booking(vendor, 1), booking(vendor, 2, slots=1)
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 1, one, two))
    assert await store.load_bookings(ids([one, two])) == {}
    assert await words_of(store, vendor) == []


async def test_one_bit_given_back_by_two_bookings_is_refused(store, lease, vendor):
    one, two = booking(vendor, 1), booking(vendor, 2, first_slot=booking(vendor, 1).first_slot + 3)
    await store.commit(placing(lease, 1, one, two))
    batch = changing(lease, 2, cancelled(one), cancelled(two))
    batch.words += words(one, clear=True)
    with pytest.raises(GuardRefused):
        await store.commit(batch)
    assert (await store.load_bookings(ids([one])))[one.booking_id] == one


async def test_a_taken_slot_is_refused(store, lease, vendor):
    one, two = booking(vendor, 1), booking(vendor, 2)
    await store.commit(placing(lease, 1, one))
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, two))
    assert await store.load_bookings(ids([two])) == {}


async def test_of_two_seats_one_taken_none_is_kept(world, store, lease, vendor):
    await store.commit(placing(lease, 1, booking(vendor, 1, seats=(2,))))
    before = await words_of(store, vendor)
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, booking(vendor, 2, seats=(1, 2, 3))))
    assert await words_of(store, vendor) == before
    assert await world.problems() == []


async def test_of_two_words_one_taken_none_is_kept(store, lease, vendor):
    start = (booking(vendor, 1).first_slot | 63) - 1
    await store.commit(placing(lease, 1, booking(vendor, 1, first_slot=start + 2, slots=1)))
    before = await words_of(store, vendor)
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, booking(vendor, 2, first_slot=start, slots=3)))
    assert await words_of(store, vendor) == before


async def test_a_slot_given_back_is_sold_again(world, store, lease, vendor):
    one, two = booking(vendor, 1), booking(vendor, 2)
    await store.commit(placing(lease, 1, one))
    await store.commit(changing(lease, 2, cancelled(one)))
    await store.commit(placing(lease, 3, two))
    assert await world.problems() == []


async def test_bits_that_nobody_took_cannot_be_given_back(store, lease, vendor):
    one = booking(vendor, 1)
    await store.commit(placing(lease, 1, one))
    more = replace(one, held_slot_count=4)
    batch = changing(lease, 2, cancelled(one))
    batch.words = words(more, clear=True)
    with pytest.raises(GuardRefused):
        await store.commit(batch)


async def test_nothing_can_be_given_back_of_a_word_without_row(store, lease, vendor):
    with pytest.raises(GuardRefused):
        await store.commit(Batch(lease, 1, words=[WordChange(vendor, 3, 5, clear=1, set=2)]))
    assert await words_of(store, vendor) == []


async def test_an_amendment_may_overlap_its_own_slots(world, store, lease, vendor):
    one = booking(vendor, 1)
    await store.commit(placing(lease, 1, one))
    event = moved(one, 1)
    await store.commit(changing(lease, 2, event))
    assert (await store.load_bookings(ids([one])))[one.booking_id] == event.booking
    assert await world.problems() == []


async def test_an_amendment_onto_another_booking_keeps_the_old_slots(world, store, lease, vendor):
    one = booking(vendor, 1)
    two = booking(vendor, 2, first_slot=one.first_slot + 3)
    await store.commit(placing(lease, 1, one, two))
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 2, moved(one, 1)))
    assert await world.problems() == []


async def test_all_sixty_four_bits_go_there_and_back(store, lease, vendor):
    rows = [WordChange(vendor, 1, 7 << 20, 0, 1 << 63), WordChange(vendor, 2, 7 << 20, 0, (1 << 64) - 1)]
    await store.commit(Batch(lease, 1, words=rows))
    assert await words_of(store, vendor) == [(1, 7 << 20, 1 << 63), (2, 7 << 20, (1 << 64) - 1)]
    with pytest.raises(GuardRefused):
        await store.commit(Batch(lease, 2, words=[WordChange(vendor, 1, 7 << 20, 0, 1 << 63)]))
    await store.commit(Batch(lease, 3, words=[WordChange(vendor, 2, 7 << 20, (1 << 64) - 1, 1 << 63)]))
    assert (2, 7 << 20, 1 << 63) in await words_of(store, vendor)


async def test_more_than_sixty_four_bits_are_a_bug(store, lease, vendor):
    with pytest.raises(ValueError, match="64 bits"):
        await store.commit(Batch(lease, 1, words=[WordChange(vendor, 1, 7, 0, 1 << 64)]))


async def test_a_booking_changes_from_the_version_before_alone(store, lease, vendor):
    one = booking(vendor, 1, status=BookingStatus.BLOCKED)
    await store.commit(placing(lease, 1, one))
    event = confirmed(one)
    await store.commit(changing(lease, 2, event))
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 3, event))
    skipping = confirmed(replace(event.booking, version=7))
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 4, skipping))
    assert (await store.load_bookings(ids([one])))[one.booking_id] == event.booking


async def test_a_booking_that_is_not_there_cannot_change(store, lease, vendor):
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 1, confirmed(booking(vendor, 1))))


async def test_a_booking_changes_once_in_a_batch(store, lease, vendor):
    one = booking(vendor, 1, status=BookingStatus.BLOCKED)
    await store.commit(placing(lease, 1, one))
    with pytest.raises(GuardRefused):
        await store.commit(changing(lease, 2, confirmed(one), confirmed(one)))


async def test_an_id_is_given_to_one_booking(store, lease, vendor):
    one = booking(vendor, 1)
    await store.commit(placing(lease, 1, one))
    again = replace(booking(vendor, 2, seats=(3,)), booking_id=one.booking_id)
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, again))
    assert (await store.load_bookings(ids([one])))[one.booking_id] == one
    assert len(await words_of(store, vendor)) == 1


async def test_a_booking_needs_its_vendor(store, lease):
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 1, booking(vendor_id(99), 1)))


async def test_an_answer_is_remembered_as_it_was(store, lease, vendor):
    one = booking(vendor, 1)
    batch = placing(lease, 1, one)
    batch.answers.append(Answer(b"s" * 16, b"fingerprint", one))
    await store.commit(batch)
    await store.commit(changing(lease, 2, cancelled(one)))
    assert await store.load_answers([b"s" * 16, b"t" * 16]) == {b"s" * 16: Answer(b"s" * 16, b"fingerprint", one)}


async def test_a_scope_is_answered_once(store, lease, vendor):
    one, two = booking(vendor, 1), booking(vendor, 2, seats=(2,))
    for seq, booked in ((1, one), (2, two)):
        batch = placing(lease, seq, booked)
        batch.answers.append(Answer(b"s" * 16, b"f", booked))
        if booked is one:
            await store.commit(batch)
        else:
            with pytest.raises(GuardRefused):
                await store.commit(batch)
    assert await store.load_bookings(ids([two])) == {}
    assert (await store.load_answers([b"s" * 16]))[b"s" * 16].booking == one


async def test_a_batch_number_is_used_once(store, lease, vendor):
    await store.commit(placing(lease, 1, booking(vendor, 1)))
    two = booking(vendor, 2, seats=(2,))
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 1, two))
    assert await store.load_bookings(ids([two])) == {}


async def test_the_innocent_go_down_with_the_guilty_and_may_come_again(world, store, lease, vendor):
    await store.commit(placing(lease, 1, booking(vendor, 1)))
    guilty, innocent = booking(vendor, 2), booking(vendor, 3, seats=(3,))
    with pytest.raises(GuardRefused):
        await store.commit(placing(lease, 2, innocent, guilty))
    await store.commit(placing(lease, 3, innocent))
    assert list(await store.load_bookings(ids([guilty, innocent]))) == [innocent.booking_id]
    assert await world.problems() == []
