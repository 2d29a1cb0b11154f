"""A house that asks for deposits, its payment desk, and everything around the two in memory, to be broken at any point."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from inspect import iscoroutinefunction

from actors.outcome import Done
from consumers.event import BookingHappened
from consumers.payment_look import LookDeps, PaymentLook
from consumers.payment_messages import PaymentMessages
from consumers.payments import PaymentEvents
from consumers.refund_news import late_refunds
from domain.booking import BookingStatus
from domain.ledger import Account
from domain.payment import PAYABLE, current_of, status_of
from domain.rejection import Rejection
from domain.vendor import Approval, Deposit, DepositKind, Policy
from storage.checkouts import Checkouts
from storage.errands import Errands
from storage.errors import StoreUnavailable
from storage.event_log import Topic
from tests.domain.desk import Desk, restaurant, table
from tests.fakes.payments import MemoryInbox, MemoryPayments
from tests.fakes.provider import MemoryProvider
from tests.fakes.stopped_clock import StoppedClock

SWEEP = timedelta(seconds=5)
HOLD_SECONDS = 600
DEPOSIT = 2000
TOPICS = {
    BookingStatus.CONFIRMED: Topic.NEW_BOOKING,
    BookingStatus.CANCELLED: Topic.BOOKING_CANCELLED,
    BookingStatus.AVAILED: Topic.BOOKING_AVAILED,
    BookingStatus.NO_SHOW: Topic.BOOKING_NO_SHOW,
    BookingStatus.EXPIRED: Topic.BOOKING_EXPIRED,
}


class Crash(BaseException):
    """The process is killed: nobody catches it."""


class Trips:
    """Kills the process at the call of that number, before it has its effect or after."""

    def __init__(self, at: int = 0, *, after: bool = False) -> None:
        self.left = at
        self.after = after

    async def over(self, call: Callable[[], Awaitable[object]]) -> object:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Crash
        result = await call()
        if self.left == 0:
            raise Crash
        return result


class Fragile:
    """Every call of what is behind it may be the last."""

    def __init__(self, target, trips: Trips) -> None:
        self._target = target
        self._trips = trips

    def __getattr__(self, name):
        found = getattr(self._target, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*args, **kwargs):
            return await self._trips.over(lambda: found(*args, **kwargs))

        return call


class Shard:
    """The shard of the house. `answers` are given instead of its own, an exception of the kind is raised."""

    def __init__(self, house: Desk, clock) -> None:
        self.house = house
        self.clock = clock
        self.answers = []
        self.asked = []
        self.archive = {}

    async def ask(self, command):
        self.asked.append(command)
        if self.answers:
            return self.answers.pop(0)
        self.house.now = self.clock()
        outcome = self.house.change(command)
        return outcome if isinstance(outcome, Rejection) else Done(outcome)

    async def booking(self, booking_id):
        return self.house.bookings.get(booking_id)

    async def by_id(self, booking_id):
        return self.archive.get(booking_id)


class Notes:
    def __init__(self) -> None:
        self.noted = []
        self.doubted = []

    async def note(self, booking, *, replayed=False):
        self.noted.append((booking, replayed) if replayed else booking)

    async def doubt(self, booking_id):
        self.doubted.append(booking_id)


class News:
    """Told of each refund that a guest does not expect, maybe more than once."""

    def __init__(self) -> None:
        self.told = []

    async def tell(self, payment, booking, *, current):
        self.told += [(payment.number, one.number) for one in late_refunds(payment, booking, current=current)]


class Paying:
    """`start` puts another process in the desk's place. `told` is called where Postgres would notify."""

    def __init__(self, *, policy: Policy | None = None, clock=None, told: Callable[[], None] = lambda: None) -> None:
        self.clock = clock or StoppedClock()
        deposit = Deposit(DepositKind.PER_PERSON, DEPOSIT // 2)
        policy = policy or Policy(deposit=deposit, hold_ttl_seconds=HOLD_SECONDS, keep_on_late_cancel_percent=50)
        self.house = Desk(restaurant(*(table(f"T{number}", 8) for number in range(1, 61)), policy=policy), self.clock())
        self.provider = MemoryProvider(self.clock)
        self.shard = Shard(self.house, self.clock)
        self.store = MemoryPayments(self.clock, bookings=self.house.bookings.values, told=told)
        self.inbox = MemoryInbox(self.clock, told=told)
        self.notes = Notes()
        self.news = News()
        self.trips = Trips()
        self.start()

    def start(self, trips: Trips | None = None) -> None:
        """A fresh process."""
        self.trips = trips or Trips()

        def fragile(target):
            return Fragile(target, self.trips)

        provider, store, shard = fragile(self.provider), fragile(self.store), fragile(self.shard)
        errands = Errands(provider, returns_to="https://holdfast.example/")
        deps = LookDeps(store, errands, shard, shard, fragile(self.notes), fragile(self.news), self.clock)
        self.looks = PaymentLook(deps, sweep=SWEEP)
        self.messages = PaymentMessages(store, fragile(self.inbox), provider, self.clock)
        self.checkouts = Checkouts(store, provider, shard.booking, self.clock, return_url="https://holdfast.example/")
        self.events = PaymentEvents(store)

    # What guests and the house do.

    async def hold(self, party: int = 2, **more):
        """As the booking service does it."""
        booking = self.house.booked("24T19:00", party, **more)
        await self.checkouts.arrange(booking)
        return booking

    async def mark(self, booking, status, *, tell: bool = True, **more):
        """The service arranges, and an event tells the desk."""
        changed = self.house.mark(self.now(booking), status, **more)
        assert not isinstance(changed, Rejection), changed
        await self.checkouts.arrange(changed)
        if tell:
            await self.tell(changed)
        return changed

    async def amend(self, booking, **fields):
        changed = self.house.amend(self.now(booking), **fields)
        assert not isinstance(changed, Rejection), changed
        await self.checkouts.arrange(changed)
        return changed

    async def tell(self, booking):
        topic = TOPICS[booking.status]
        await self.events.handle([BookingHappened(f"{booking.booking_id}-{booking.version}", topic, booking)])

    async def pay(self, booking, number: int = 1, *, times: int = 1, told: bool = True):
        event_ids = self.provider.pay(self.payment(booking).payment_id, number, times=times)
        if told:
            await self.deliver(*event_ids)
        return event_ids

    async def deliver(self, *event_ids):
        for event_id in event_ids:
            await self.inbox.put(self.provider.name, event_id, self.provider.messages[event_id])

    # Time.

    async def wait(self, seconds: float, *, tell: bool = True):
        """Time goes by in small steps: the shard lets holds expire, and the desk does what is due."""
        until = self.clock.now + timedelta(seconds=seconds)
        await self.work()
        while self.clock.now < until:
            moments = [row.look_at for row in self.store.rows.values() if row.look_at is not None]
            moments += [letter.try_at for letter in self.inbox.letters.values() if letter.try_at is not None]
            step = min((moment for moment in moments if moment > self.clock.now), default=until)
            self.clock.now = min(until, max(step, self.clock.now + timedelta(seconds=0.5)))
            await self.expire(tell=tell)
            await self.work()

    async def expire(self, *, tell: bool = True):
        self.house.now = self.clock.now
        for booking in list(self.house.bookings.values()):
            ended = self.house.expire(booking) if booking.status is BookingStatus.BLOCKED else None
            if ended is not None and not isinstance(ended, Rejection) and tell:
                await self.tell(ended)

    async def work(self):
        """Whatever the desk has to do now, to its end."""
        self.house.now = self.clock.now
        for _ in range(200):
            messages = await self.inbox.waiting(10)
            for message in messages:
                booking_id = await self.messages.take(message)
                if booking_id is not None:
                    with suppress(StoreUnavailable):
                        await self.looks.look(booking_id)
            due = await self.store.due(self.clock(), 10)
            for one in due:
                await self.looks.look(one.booking_id, one.tries)
            if not messages and not due:
                return
        raise AssertionError("the desk does not come to rest")

    # How things stand.

    def now(self, booking):
        return self.house.bookings[booking.booking_id]

    def status(self, booking):
        return self.now(booking).status.value

    def payments(self, booking):
        rows = [row for row in self.store.rows.values() if row.payment.booking_id == booking.booking_id]
        return tuple(sorted((row.payment for row in rows), key=lambda payment: payment.number))

    def payment(self, booking):
        return current_of(self.payments(booking))

    def row(self, booking):
        return self.store.rows[self.payment(booking).payment_id]

    def shown(self, booking):
        return status_of(self.payment(booking), self.now(booking), current=True).value

    def moved(self, booking):
        """The ledger's rows of a booking."""
        told = [one.movement for one in self.store.ledger if one.booking_id == booking.booking_id]
        return [(one.kind.value, one.amount_minor) for one in told]

    def money_is_where_it_belongs(self):
        """What came and is not back is the guest's or the house's, and the provider says the same."""
        totals = dict.fromkeys(Account, 0)
        for booked in self.store.ledger:
            totals[booked.movement.source] -= booked.movement.amount_minor
            totals[booked.movement.target] += booked.movement.amount_minor
        assert sum(totals.values()) == 0
        payments = [row.payment for row in self.store.rows.values()]
        assert sum(payment.captured_minor for payment in payments) == self.provider.captured_minor()
        assert sum(payment.refunded_minor for payment in payments) == self.provider.refunded_minor()
        assert totals[Account.PROVIDER] + totals[Account.FEES] == sum(payment.net_minor for payment in payments)
        for booking in self.house.bookings.values():
            self._seat_and_money(booking)

    def _seat_and_money(self, booking):
        deposit = booking.terms.deposit
        net = sum(payment.net_minor for payment in self.payments(booking))
        if booking.status is BookingStatus.CONFIRMED and deposit is not None and not booking.deposit_waived:
            asked = sum(charge.amount_minor for charge in self.payment(booking).charges if charge.state in PAYABLE)
            assert net + asked == deposit.amount_minor, (booking.status, net, asked)
        elif not booking.live:
            assert net == sum(payment.kept_minor for payment in self.payments(booking)), (booking.status, net)


def by_hand() -> Policy:
    deposit = Deposit(DepositKind.PER_PERSON, DEPOSIT // 2)
    return replace(Policy(), deposit=deposit, hold_ttl_seconds=HOLD_SECONDS, approval=Approval.MANUAL)
