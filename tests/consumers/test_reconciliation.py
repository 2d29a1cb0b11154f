"""Reconciliation: each kind of difference between the provider's list and ours has its name, and lost money heals."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from consumers.process import ConsumerProcess
from consumers.reconciliation import DailyReconciliation, Reconciler
from consumers.rounds import Rounds
from domain.money import Money
from domain.payment import BY_HAND, RefundState
from storage.errors import StoreUnavailable
from storage.payment_provider import ProviderEntry, ProviderRefused
from storage.payment_store import ReferenceTaken
from storage.reconciliations import Sum
from tests.consumers.paying import DEPOSIT, Paying

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEXT_NIGHT = datetime(2026, 11, 24, 2, tzinfo=UTC)
NEVER = 3600.0


class Books:
    """What `storage.reconciliations` reads, from the payments in memory, all learnt at the same moment.

    What goes back was asked for at noon.
    """

    def __init__(self, paying) -> None:
        self.paying = paying
        self.learnt_at = NOON
        self.saved = {}

    def entries(self):
        for row in self.paying.store.rows.values():
            payment = row.payment
            for one in payment.captures:
                amount = Money(one.amount_minor, payment.currency)
                yield (
                    ProviderEntry(one.reference, amount, False, self.learnt_at, payment.payment_id, one.fee_minor),
                    True,
                )
            for one in payment.refunds:
                if one.provider_ref is not None:
                    amount = Money(one.amount_minor, payment.currency)
                    done = one.state is RefundState.DONE
                    yield ProviderEntry(one.provider_ref, amount, True, NOON, payment.payment_id), done

    async def our_entries(self, provider, since, until):
        learnt = since <= self.learnt_at < until
        return [entry for entry, done in self.entries() if done and learnt]

    async def our_entries_by_reference(self, provider, references):
        return [entry for entry, _ in self.entries() if entry.reference in references]

    async def of_day(self, day, provider):
        return self.saved.get((day, provider))

    async def save(self, made):
        self.saved[made.day, made.provider] = replace(made, made_at=self.paying.clock())
        return self.saved[made.day, made.provider]

    async def healed(self, made):
        if self.saved[made.day, made.provider].made_at == made.made_at:
            self.saved[made.day, made.provider] = made

    def differences(self, day=DAY):
        return [found.what for found in self.saved[day, "memory"].differences]


@pytest.fixture
def paying():
    return Paying()


@pytest.fixture
def books(paying):
    return Books(paying)


@pytest.fixture
def reconciler(paying, books):
    return Reconciler(paying.provider, books, paying.store)


@pytest.fixture
def daily(paying, reconciler):
    return DailyReconciliation(reconciler, paying.clock, every_seconds=NEVER)


@pytest.fixture
async def lost(paying):
    """Paid too late on DAY, and the message is lost; the night after is over."""
    [held] = await paid_late(paying, 1)
    return held


async def paid_late(paying, bookings):
    held = [await paying.hold() for _ in range(bookings)]
    await paying.wait(700)
    for one in held:
        await paying.pay(one, told=False)
    paying.clock.now = NEXT_NIGHT
    return held


@pytest.fixture
async def refunded(paying):
    """Paid and given back."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.mark(held, "AVAILED")
    await paying.work()
    return held


def told(made):
    return [(found.what, found.ours_minor, found.theirs_minor) for found in made.differences]


async def test_both_say_the_same(reconciler, refunded, books):
    made = await reconciler.reconcile(DAY)
    assert made.differences == ()
    assert made.ours == made.theirs == (Sum("EUR", DEPOSIT, DEPOSIT),)


@pytest.mark.parametrize("days", [1, 3, 6])
async def test_what_is_theirs_of_one_day_may_be_ours_of_a_later(reconciler, refunded, books, days):
    """As a refund that takes days, and money that an outage kept from us."""
    books.learnt_at = NOON + timedelta(days=days)
    made = await reconciler.reconcile(DAY)
    assert made.differences == ()
    assert made.ours == made.theirs
    made = await reconciler.reconcile(DAY + timedelta(days=days))
    assert (made.differences, made.ours, made.theirs) == ((), (), ())


@pytest.mark.parametrize("days", [1, 3, 60])
async def test_money_that_we_learnt_of_much_later_is_asked_for_by_its_charge(paying, reconciler, books, days):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    books.learnt_at = NOON + timedelta(days=days)
    made = await reconciler.reconcile(DAY + timedelta(days=days))
    assert (made.differences, made.ours, made.theirs) == ((), (), ())


@pytest.mark.parametrize(("by_hand", "days"), [(True, 1), (False, 31)])
async def test_no_day_lists_the_providers_whole_account(
    paying, reconciler, refunded, books, by_hand, days, monkeypatch
):
    """For a refund that a person settled after months nobody looks there, for one of a bank's no further than a month back."""
    payment = paying.payment(refunded)
    if by_hand:
        settled = replace(payment.refunds[0], provider_ref=f"{BY_HAND}transfer 4711")
        paying.store.rows[payment.payment_id].payment = replace(payment, refunds=(settled,))
    books.learnt_at = NOON + timedelta(days=90)
    entries, since_then = paying.provider.entries, []

    def noted(since, until):
        since_then.append(since)
        return entries(since, until)

    monkeypatch.setattr(paying.provider, "entries", noted)
    late = DAY + timedelta(days=90)
    made = await reconciler.reconcile(late)
    assert min(since_then) == datetime(late.year, late.month, late.day, tzinfo=UTC) - timedelta(days=days)
    assert [found.what for found in made.differences] == ["a refund that the provider does not know"]


async def test_a_charge_that_the_provider_will_not_speak_of_holds_up_no_other(paying, reconciler, books, monkeypatch):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    first = paying.payment(held).charges[0]
    await paying.pay(held, 2, told=False)
    look = paying.provider.look

    async def some(asked):
        if asked.number == first.number:
            raise ProviderRefused("it says nothing of this one")
        return await look(asked)

    monkeypatch.setattr(paying.provider, "look", some)
    made = await reconciler.reconcile(DAY)
    assert (books.differences(), made.unhealed) == (["money that we do not have"], [])
    assert paying.payment(held).net_minor == 2 * DEPOSIT


async def test_money_found_later_must_be_the_same(paying, reconciler, refunded, books):
    """What the provider shows of it, with its charge or in its list, is another sum."""
    [charge] = paying.provider.charges.values()
    charge.captures[0] = replace(charge.captures[0], amount_minor=DEPOSIT + 1)
    [refund] = [entry for entry in paying.provider.account if entry.refund]
    paying.provider.account = [replace(refund, amount=Money(DEPOSIT - 1, "EUR"))]
    books.learnt_at = NOON + timedelta(days=3)
    assert told(await reconciler.reconcile(DAY + timedelta(days=3))) == [
        ("another amount", DEPOSIT, DEPOSIT + 1),
        ("another amount", DEPOSIT, DEPOSIT - 1),
    ]


async def test_what_the_provider_refuses_to_show_it_does_not_have(paying, reconciler, refunded, books):
    books.learnt_at = NOON + timedelta(days=3)
    paying.provider.account = [entry for entry in paying.provider.account if entry.refund]
    paying.provider.refuses.add("look")
    made = await reconciler.reconcile(DAY + timedelta(days=3))
    assert told(made) == [("money that the provider does not have", DEPOSIT, None)]


async def test_nothing_is_asked_of_the_provider_to_be_done(paying, reconciler, refunded, books):
    """A refund that it does not know is not made by asking for it."""
    paying.provider.account.clear()
    paying.provider.calls.clear()
    await reconciler.reconcile(DAY)
    assert set(paying.provider.calls) == {"entries", "look"}


async def test_money_that_we_know_nothing_of_is_named_and_healed(paying, reconciler):
    held = await paying.hold()
    await paying.wait(700)
    assert paying.row(held).over
    await paying.pay(held, told=False)
    made = await reconciler.reconcile(DAY)
    assert told(made) == [("money that we do not have", None, DEPOSIT)]
    assert made.differences[0].payment_id == paying.payment(held).payment_id
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert (await reconciler.reconcile(DAY)).differences == ()


async def test_money_of_a_payment_that_is_not_ours_is_named(paying, reconciler, refunded):
    stranger = replace(paying.provider.account[0], reference="x", payment_id=None)
    paying.provider.account.append(stranger)
    assert told(await reconciler.reconcile(DAY)) == [("money that we do not have", None, DEPOSIT)]


async def test_what_the_provider_does_not_have(paying, reconciler, refunded):
    paying.provider.account.clear()
    paying.provider.charges.clear()
    made = await reconciler.reconcile(DAY)
    assert told(made) == [
        ("money that the provider does not have", DEPOSIT, None),
        ("a refund that the provider does not know", DEPOSIT, None),
    ]
    assert made.theirs == ()


async def test_a_refund_that_we_do_not_know(paying, reconciler, refunded):
    payment = paying.payment(refunded)
    row = paying.store.rows[payment.payment_id]
    row.payment = replace(payment, refunds=())
    assert told(await reconciler.reconcile(DAY)) == [("a refund that we do not know", None, DEPOSIT)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"amount": Money(DEPOSIT + 1, "EUR")}, "another amount"),
        ({"amount": Money(DEPOSIT, "USD")}, "another currency: EUR with us, USD there"),
        ({"fee_minor": 7}, "another fee: 0 with us, 7 there"),
    ],
)
async def test_what_each_has_in_another_way(paying, reconciler, refunded, change, what):
    paying.provider.account[0] = replace(paying.provider.account[0], **change)
    assert [found.what for found in (await reconciler.reconcile(DAY)).differences] == [what]


async def test_a_fee_that_we_do_not_know_is_named_and_learnt(paying, reconciler):
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    [charge] = paying.provider.charges.values()
    charge.captures[0] = replace(charge.captures[0], fee_minor=7)
    paying.provider.account[0] = replace(paying.provider.account[0], fee_minor=7)
    made = await reconciler.reconcile(DAY)
    assert [found.what for found in made.differences] == ["another fee: 0 with us, 7 there"]
    assert paying.payment(held).captures[0].fee_minor == 7
    assert (await reconciler.reconcile(DAY)).differences == ()


async def test_each_day_once_and_those_that_were_missed(paying, daily, books):
    assert await daily.catch_up() == 7
    assert max(day for day, _ in books.saved) == DAY - timedelta(days=1)
    assert await daily.catch_up() == 0
    paying.clock.now = datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
    assert await daily.catch_up() == 0  # what is on its way has yet to come
    paying.clock.now = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
    assert await daily.catch_up() == 1
    assert daily.state.handled == 8


@pytest.mark.parametrize("looked_at", [NOON, datetime(2026, 11, 24, 0, 59, 59, tzinfo=UTC)])
async def test_a_day_compared_before_it_was_over_is_compared_again(paying, reconciler, daily, books, looked_at):
    held = await paying.hold()
    await paying.wait(700)
    told_at, paying.clock.now = paying.clock.now, looked_at
    await reconciler.reconcile(DAY)
    assert books.differences() == []
    paying.clock.now = told_at
    await paying.pay(held, told=False)
    paying.clock.now = NEXT_NIGHT
    await daily.catch_up()
    assert books.differences() == ["money that we do not have"]
    await paying.work()
    assert paying.shown(held) == "refunded"
    assert await daily.catch_up() == 0


async def test_what_could_not_be_asked_for_is_asked_for_again(paying, daily, books, lost, monkeypatch):
    async def away(_asked):
        raise StoreUnavailable("away for a moment")

    with monkeypatch.context() as patched:
        patched.setattr(paying.provider, "look", away)
        with pytest.raises(StoreUnavailable, match=f"{DAY}: .* payment {paying.payment(lost).payment_id}"):
            await daily.catch_up()
        assert len(books.saved) == 7
    assert paying.shown(lost) == "void"
    assert await daily.catch_up() == 1
    await paying.work()
    assert paying.shown(lost) == "refunded"
    assert books.differences() == ["money that we do not have"]  # as it was found
    assert await daily.catch_up() == 0


async def test_a_crash_before_it_was_asked_for_does_no_harm(paying, daily, books, lost, monkeypatch):
    async def killed(*_given, **_named):
        raise KeyboardInterrupt

    for target, name in ((paying.provider, "look"), (paying.store, "write"), (books, "healed")):
        with monkeypatch.context() as patched:
            patched.setattr(target, name, killed)
            with pytest.raises(KeyboardInterrupt):
                await daily.catch_up()
    await daily.catch_up()
    await paying.work()
    assert paying.shown(lost) == "refunded"
    assert books.differences() == ["money that we do not have"]


@pytest.mark.parametrize("error", [ReferenceTaken("another has it"), StoreUnavailable("away")])
async def test_one_that_cannot_be_healed_does_not_hold_up_another(paying, daily, books, monkeypatch, error):
    lost, other = await paid_late(paying, 2)
    write = paying.store.write

    async def refused(before, after, **more):
        if after.booking_id == lost.booking_id:
            raise error
        return await write(before, after, **more)

    with monkeypatch.context() as patched:
        patched.setattr(paying.store, "write", refused)
        with pytest.raises(StoreUnavailable, match=f"payment {paying.payment(lost).payment_id}$"):
            await daily.catch_up()
    await paying.work()
    assert (paying.shown(lost), paying.shown(other)) == ("void", "refunded")
    await daily.catch_up()
    await paying.work()
    assert paying.shown(lost) == "refunded"
    assert books.differences() == ["money that we do not have"] * 2


@pytest.mark.parametrize("refuses", [set(), {"look"}])
async def test_the_desk_looks_at_what_it_cannot_heal(paying, reconciler, refunded, refuses):
    """A refund that we do not know, and a provider that says nothing of the charge: both may be for a person."""
    payment = paying.payment(refunded)
    row = paying.store.rows[payment.payment_id]
    row.payment, row.look_at = replace(payment, refunds=()), None
    paying.provider.refuses = refuses
    await reconciler.reconcile(DAY)
    assert paying.row(refunded).look_at == paying.clock()


async def test_it_stops_between_two_days(daily, books, monkeypatch):
    save = books.save

    async def last(made):
        daily.stop()
        return await save(made)

    monkeypatch.setattr(books, "save", last)
    await asyncio.wait_for(daily.run(), 10)
    assert len(books.saved) == 1


async def test_a_day_that_fails_holds_up_no_other(paying, daily, books, monkeypatch):
    entries, bad = paying.provider.entries, DAY - timedelta(days=3)

    def some(since, until):
        if since.date() == bad:
            raise StoreUnavailable("an answer that makes no sense")
        return entries(since, until)

    with monkeypatch.context() as patched:
        patched.setattr(paying.provider, "entries", some)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=f"{bad}: StoreUnavailable: an answer that makes no sense"):
                await daily.catch_up()
        assert {day for day, _ in books.saved} == {DAY - timedelta(days=days) for days in (1, 2, 4, 5, 6, 7)}
    assert await daily.catch_up() == 1
    assert daily.state.handled == 7


async def test_a_provider_that_refuses_its_list_ends_nobody_else(paying, daily, books):
    """The round says so; the others of the process go on, and it is tried again."""
    paying.provider.refuses.add("entries")
    process = ConsumerProcess([daily, Bystander(process_stops := asyncio.Event())], _nobody, _nothing)
    running = asyncio.create_task(process.run())
    await asyncio.wait_for(process_stops.wait(), 10)
    assert not running.done()
    assert "ProviderRefused" in daily.state.state
    days = ", ".join(str(DAY - timedelta(days=back)) for back in range(7, 0, -1))
    assert daily.state.last_error.startswith(f"StoreUnavailable: not reconciled: {days}: ProviderRefused: ")
    process.stop()
    await running
    paying.provider.refuses.clear()
    assert await DailyReconciliation(daily._reconciler, paying.clock).catch_up() == 7


class Bystander(Rounds):
    """Another consumer of the process. `seen` once it went round a few times."""

    def __init__(self, seen) -> None:
        super().__init__("bystander", 0.0)
        self.seen = seen
        self.rounds = 0

    async def _round(self):
        self.rounds += 1
        if self.rounds == 20:
            self.seen.set()


async def _nobody(_state):
    pass


async def _nothing():
    pass


@pytest.mark.parametrize("learnt_by", ["message", "look", "reconciliation"])
async def test_money_has_the_same_cause_whoever_learns_of_it(paying, reconciler, learnt_by):
    """A difference that version 3 asked for, paid when the booking was at its fourth."""
    held = await paying.hold()
    await paying.pay(held)
    await paying.work()
    await paying.amend(held, party_size=4)
    await paying.work()
    await paying.amend(held, notes="late")
    await paying.work()
    await paying.pay(held, 2, told=learnt_by == "message")
    if learnt_by == "reconciliation":
        await reconciler.reconcile(DAY)
    await paying.wait(3700 if learnt_by == "look" else 0)
    assert (paying.now(held).version, paying.payment(held).net_minor) == (4, 2 * DEPOSIT)
    booked = [(one.movement.kind.value, one.booking_version) for one in paying.store.ledger]
    assert booked == [("capture", 1), ("capture", 3)]
