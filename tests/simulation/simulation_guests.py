"""People who book, change their minds and repeat themselves, and who remember every word that they were told."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from actors.idempotency import scope_of
from actors.outcome import Done, Outcome, Trouble, Unavailable, VendorDone
from domain.booking import Booking, BookingStatus
from domain.command import AmendBooking, Once, PlaceHold, SetStatus
from domain.ids import VendorId, bucket_of
from domain.rejection import Reason, Rejection
from domain.vendor import Approval
from tests.fakes.houses import (
    EVENING,
    SYSTEM,
    amend,
    cancel,
    changing,
    confirm,
    guest,
    hold,
    manager,
    new_booking_id,
    opening,
    restaurant,
    vendor_id,
)
from tests.simulation.simulation_world import Lost, Untruth, World

BookingAsked = PlaceHold | AmendBooking | SetStatus


class Guest:
    """Sends commands until each is answered or given up, and checks each answer against the database's history."""

    def __init__(self, world: World, number: int, vendors: list[VendorId]) -> None:
        self.world = world
        self.rng = world.rng
        self.number = number
        self.caller = guest(number)
        self.vendors = vendors
        self.mine: list[Booking] = []
        self.sent: list[BookingAsked] = []
        self.succeeded: dict[bytes, tuple[BookingAsked, Booking]] = {}
        self.wished: list[Once | None] = []
        self.keys = 0

    async def evening(self, wishes: int) -> None:
        for _ in range(wishes):
            await asyncio.sleep(self.rng.expovariate(1 / 0.7))
            if self.mine and self.rng.random() < 0.15:
                # In a hurry: several people of one party, or of the house, want something of one booking at once.
                booking = self.rng.choice(self.mine)
                await asyncio.gather(*(self._get_done(self._change(booking)) for _ in range(self.rng.randint(2, 3))))
                continue
            command = self._wish()
            if isinstance(command, Booking):
                await self._look(command)
            else:
                await self._get_done(command)

    async def repeat_oneself(self) -> None:
        """In calm weather and to owners that remember nothing: what succeeded under a key is answered as at first."""
        for command, booking in list(self.succeeded.values())[-6:]:
            outcome = await self.world.send(command.booking_id, self._doubled(command), again=False)
            if outcome != Done(booking, replayed=True):
                self._untrue(f"{type(command).__name__} was repeated in calm weather and answered {outcome}")

    def _wish(self) -> BookingAsked | Booking:
        rng = self.rng
        chance = rng.random()
        if chance < 0.12 and self.sent:
            return rng.choice(self.sent)
        if chance < 0.17 and self.sent:
            return self._another_body(rng.choice(self.sent))
        if chance < 0.3 and self.mine:
            return rng.choice(self.mine)
        if chance < 0.65 or not self.mine:
            return self._hold()
        return self._change(rng.choice(self.mine))

    def _change(self, booking: Booking) -> BookingAsked:
        rng = self.rng
        key = self._key()
        match rng.randrange(4):
            case 0:
                return cancel(booking.booking_id, by=self.caller, key=key)
            case 1 if rng.random() < 0.4:
                # The deposit came, for the booking as whoever looks after payments last saw it.
                return SetStatus(booking.booking_id, SYSTEM, BookingStatus.CONFIRMED, booking.version)
            case 1:
                return confirm(booking.booking_id, booking.vendor_id, key=key)
            case 2:
                return amend(booking.booking_id, at=self._time(), by=self.caller, key=key)
            case _:
                status = rng.choice((BookingStatus.AVAILED, BookingStatus.NO_SHOW, BookingStatus.CANCELLED))
                once = None if key is None else Once(key, f"{status} {booking.booking_id}".encode())
                return SetStatus(booking.booking_id, manager(booking.vendor_id), status, once=once)

    def _hold(self) -> PlaceHold:
        # A key of its own or the one of an earlier wish at another vendor: keys are the vendor's and the caller's.
        key = "shared" if self.rng.random() < 0.05 else self._key()
        of = self.rng.choice(self.vendors)
        return hold(of, by=self.caller, at=self._time(), party=self.rng.randint(1, 4), key=key)

    def _another_body(self, command: BookingAsked) -> BookingAsked:
        if command.once is None:
            return command
        other = replace(command, once=Once(command.once.key, b"another body"))
        if isinstance(other, PlaceHold):
            other = replace(other, booking_id=new_booking_id(other.vendor_id))
        return other

    def _key(self) -> str | None:
        if self.rng.random() < 0.35:
            return None
        self.keys += 1
        return f"guest-{self.number}-{self.keys}"

    def _time(self):
        return EVENING + timedelta(minutes=30 * self.rng.randrange(-4, 5))

    async def _look(self, booking: Booking) -> None:
        """An acknowledged booking is there, in the form acknowledged or a later one."""
        acknowledged = self.world.acknowledged[booking.booking_id]
        try:
            found = await self.world.read(booking.booking_id)
        except Lost:
            return
        if found is None or found.version < acknowledged:
            self._untrue(f"booking {booking.booking_id} was read older than it had been acknowledged")

    async def _get_done(self, command: BookingAsked) -> None:
        """Repeat until there is an answer that is not `later`; a change without a key is sent once only."""
        self.sent.append(command)
        self.wished.append(command.once)
        first, heard_all, wrote = command, True, False
        again = False
        for _ in range(8):
            if self.rng.random() < self.world.weather.doubled and (again or _recognisable(command)):
                double = asyncio.ensure_future(self._send(self._doubled(command), again=True))
            else:
                double = None
            heard, outcome = await self._send(command, again=again)
            if double is not None:
                heard_double, other = await double
                heard = heard and heard_double
                wrote = wrote or isinstance(other, Done)
                again = True
            heard_all = heard_all and heard
            wrote = wrote or isinstance(outcome, Done)
            if isinstance(outcome, Done | Rejection) or not (_recognisable(command)):
                break
            again = again or not heard
            command = self._doubled(command)
            self.sent.append(command)
            await asyncio.sleep(self.rng.uniform(0.1, 2.0))
        if heard_all and not wrote:
            self._check_nothing_written(first)
            self._check_nothing_written(command)

    def _doubled(self, command: BookingAsked) -> BookingAsked:
        """The same request once more, which over HTTP gets a booking id of its own."""
        if isinstance(command, PlaceHold) and command.once is not None and self.rng.random() < 0.5:
            return replace(command, booking_id=new_booking_id(command.vendor_id))
        return command

    async def _send(self, command: BookingAsked, *, again: bool) -> tuple[bool, Outcome | None]:
        """Whether we know for sure what this send did, and the answer if there was one."""
        an_id = command.booking_id
        known = self._known(command)
        try:
            outcome = await self.world.send(an_id, command, again=again)
        except Lost:
            return False, None
        match outcome:
            case Done():
                self._check_done(command, outcome)
            case Rejection():
                self._check_refused(command, outcome, known, again=again)
            case Unavailable(trouble=Trouble.OUTCOME_UNKNOWN):
                return False, outcome
            case VendorDone():
                self._untrue("a vendor was the answer to a booking")
            case _:
                pass
        return True, outcome

    def _known(self, command: BookingAsked) -> bool:
        """Whether the command had succeeded before it was sent now."""
        database = self.world.database
        scope = self._scope(command)
        if scope is not None:
            answer = database.answers.get(scope)
            return answer is not None and answer.fingerprint == command.once.fingerprint
        return isinstance(command, PlaceHold) and command.booking_id in database.bookings

    def _check_done(self, command: BookingAsked, done: Done) -> None:
        booking = done.booking
        stored = self.world.database.bookings.get(booking.booking_id)
        if stored is None or stored.version < booking.version or booking not in self.world.forms(booking.booking_id):
            self._untrue(f"booking {booking.booking_id} version {booking.version} was acknowledged and is not there")
            return
        of = command.vendor_id if isinstance(command, PlaceHold) else booking.vendor_id
        if booking.vendor_id != of or booking.user_id != (
            command.user_id if isinstance(command, PlaceHold) else booking.user_id
        ):
            self._untrue("somebody else's booking was the answer")
        scope = self._scope(command)
        if scope is not None:
            answer = self.world.database.answers.get(scope)
            if answer is None or answer.booking != booking or answer.fingerprint != command.once.fingerprint:
                self._untrue("a key was answered with something else than its first success")
            else:
                self.succeeded[scope] = (command, booking)
        acknowledged = self.world.acknowledged
        acknowledged[booking.booking_id] = max(booking.version, acknowledged.get(booking.booking_id, 0))
        if booking.user_id == self.caller.account_id:
            self.mine = [b for b in self.mine if b.booking_id != booking.booking_id] + [booking]

    def _check_refused(self, command: BookingAsked, refusal: Rejection, known: bool, *, again: bool) -> None:
        scope = self._scope(command)
        if refusal.reason is Reason.IDEMPOTENCY_KEY_REUSED:
            answer = None if scope is None else self.world.database.answers.get(scope)
            if answer is None or answer.fingerprint == command.once.fingerprint:
                self._untrue("a key was said to be used for something else, and was not")
        elif known and (scope is not None or again):
            self._untrue(f"{type(command).__name__} had succeeded and was refused: {refusal.reason}")

    def _check_nothing_written(self, command: BookingAsked) -> None:
        """Every send was answered, and each answer said that nothing was changed."""
        scope = self._scope(command)
        if isinstance(command, PlaceHold) and command.booking_id in self.world.database.bookings:
            if self.sent.count(command) == 1:
                self._untrue("a hold was said not to be made, and was")
        elif scope is not None and self._known(command) and self.wished.count(command.once) == 1:
            self._untrue("a change was said not to be made, and was")

    def _scope(self, command: BookingAsked) -> bytes | None:
        if command.once is None:
            return None
        if isinstance(command, PlaceHold):
            return scope_of(command.caller, command.vendor_id, command.once)
        booking = self.world.database.bookings.get(command.booking_id)
        return None if booking is None else scope_of(command.caller, booking.vendor_id, command.once)

    def _untrue(self, what: str) -> None:
        self.world.untruths.append(f"guest {self.number}: {what}")


class Manager:
    """Opens the houses, and now and then changes one while guests are booking."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def open(self, count: int) -> list[VendorId]:
        vendors = []
        for number in range(1, count + 1):
            of = vendor_id(number, bucket=number % 4)
            deposit = self.world.rng.choice((0, 500))
            house = restaurant(of, tables=self.world.rng.randint(1, 3), deposit=deposit, hold_ttl_seconds=20)
            approval = self.world.rng.choice((Approval.AUTOMATIC, Approval.AUTOMATIC, Approval.MANUAL))
            house = replace(house, policy=replace(house.policy, approval=approval))
            await self._until_done(of, opening(house))
            vendors.append(of)
        return vendors

    async def fuss(self, vendors: list[VendorId]) -> None:
        while True:
            await asyncio.sleep(self.world.rng.expovariate(1 / 10))
            of = self.world.rng.choice(vendors)
            try:
                await self.world.send(of, changing(of, name=f"Name {self.world.rng.random()}"), again=False)
            except Lost:
                continue

    async def _until_done(self, of: VendorId, command) -> None:
        again = False
        while True:
            try:
                outcome = await self.world.send(of, command, again=again)
            except Lost:
                again = True
                await asyncio.sleep(0.5)
                continue
            if isinstance(outcome, VendorDone):
                return
            if isinstance(outcome, Rejection):
                raise Untruth(f"vendor in bucket {bucket_of(of)} was refused: {outcome}")
            again = again or outcome.trouble is Trouble.OUTCOME_UNKNOWN
            await asyncio.sleep(0.5)


def _recognisable(command: BookingAsked) -> bool:
    return isinstance(command, PlaceHold) or command.once is not None
