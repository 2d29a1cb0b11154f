"""`holdfast payments`, on a database with and without payments."""

import asyncio
import csv
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from domain.booking import Booking, BookingStatus, Terms
from domain.event import VendorCreated
from domain.money import Money
from domain.payment import Capture, Payment, PaymentId, RefundState, capture, opened, refund_known
from domain.payment_steps import Write, new_payment, next_step
from holdfast import payments_command, status
from holdfast.cli import app
from holdfast.settings import Settings
from storage.directory import Directory
from storage.errors import StoreUnavailable
from storage.payment_provider import ProviderEntry
from storage.payment_store import Received
from storage.postgres import Database
from storage.postgres_inbox import PostgresInbox
from storage.postgres_payments import PostgresPayments
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, booking, house
from tests.databases import execute
from tests.fakes.houses import OPENED, vendor_id
from tests.fakes.provider import MemoryProvider
from tests.system.running import free_settings

V = vendor_id(1)
NOBODY = "00000000-0000-4000-8000-000000000000"
REFUSED = "refund 1 of 2000 was refused: [card] is closed"


@pytest.fixture
def on_database(database: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> str:
    settings = free_settings(tmp_path / "data", postgres_url=database)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    return database


async def run(*words: str) -> Result:
    """The command has a loop of its own, so it runs beside the test's."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["payments", *words])


async def ask(url: str, call: Callable[[Database], Awaitable[Any]]) -> Any:
    database = Database(url, "test", 1)
    try:
        return await call(database)
    finally:
        await database.close()


def hold(number: int = 1, *, deposit: Money | None = None) -> Booking:
    terms = Terms(deposit or Money(2000, "EUR"), 24, 50, deposit_version=1)
    return replace(booking(V, number, status=BookingStatus.BLOCKED), terms=terms)


async def asked_for(url: str, of: Booking) -> Payment:
    """Its checkout is open."""
    made = new_payment(of, (), "sandbox", OPENED)
    assert made is not None
    return await write(url, None, opened(made, 1, f"ch-{of.booking_id}", "https://pay.example.org/1"))


async def paid(url: str, of: Booking, *, fee_minor: int = 30) -> Payment:
    before = await asked_for(url, of)
    amount = before.charges[0].amount_minor
    return await write(url, before, capture(before, Capture(f"ca-{of.booking_id}", 1, amount, fee_minor)))


async def brought_in_line(url: str, before: Payment, ended: Booking) -> Payment:
    step = next_step(before, ended, current=True, now=OPENED)
    assert isinstance(step, Write)
    return await write(url, before, step.after, version=ended.version)


async def refused(url: str, number: int = 1) -> Payment:
    """Cancelled in time, and the provider will not give the money back."""
    held = hold(number)
    ended = replace(held, status=BookingStatus.CANCELLED, version=3)
    before = await brought_in_line(url, await paid(url, held), ended)
    after = await write(url, before, refund_known(before, 1, RefundState.REFUSED, "re_77"))
    await ask(url, lambda database: PostgresPayments(database).give_up(after, REFUSED))
    return after


async def write(url: str, before: Payment | None, after: Payment, *, version: int = 1) -> Payment:
    return await ask(url, lambda database: PostgresPayments(database).write(before, after, booking_version=version))


async def stored(url: str, payment_id: PaymentId) -> Payment:
    return await ask(url, lambda database: PostgresPayments(database).by_id(payment_id))


async def test_nothing_is_stuck(on_database: str) -> None:
    await paid(on_database, hold())
    result = await run("stuck")
    assert (result.exit_code, result.output) == (0, "Nothing is stuck.\n")


async def test_what_is_stuck_says_why_and_what_to_do(on_database: str) -> None:
    payment = await refused(on_database)
    result = await run("stuck")
    assert result.exit_code == 0
    for part in (payment.payment_id, payment.booking_id, V, "20.00 EUR", "0 s ago", REFUSED):
        assert str(part) in result.output
    assert f"holdfast payments retry {payment.payment_id}" in result.output
    assert f"settled {payment.payment_id} 1 --note" in result.output


async def test_a_checkout_that_cannot_be_opened_may_be_waived(on_database: str) -> None:
    made = new_payment(hold(), (), "sandbox", OPENED)
    assert made is not None
    stored = await write(on_database, None, made)
    await ask(on_database, lambda database: PostgresPayments(database).give_up(stored, "EUR is not allowed"))
    result = await run("stuck")
    assert "EUR is not allowed" in result.output
    assert "waives the deposit" in result.output


async def test_a_list_that_is_long_says_that_there_is_more(on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments_command, "_LISTED_MAX", 1)
    await refused(on_database, 1)
    await refused(on_database, 2)
    result = await run("stuck")
    assert "these are the longest 1" in result.output
    assert result.output.count("[card] is closed") == 1


async def test_stuck_messages_are_listed_and_tried_again(on_database: str) -> None:
    async def stick(database: Database) -> None:
        inbox = PostgresInbox(database)
        await inbox.put("stripe", "evt/1", b"{}")
        await inbox.failed(Received("stripe", "evt/1", b"{}"), try_at=None, error="no [charge] in it")

    await ask(on_database, stick)
    result = await run("stuck")
    assert "stripe/evt/1" in result.output
    assert "no [charge] in it" in result.output
    assert (await run("retry", "stripe/evt/1")).exit_code == 0
    assert (await run("stuck")).output == "Nothing is stuck.\n"
    assert len(await ask(on_database, lambda database: PostgresInbox(database).waiting(10))) == 1
    unknown = await run("retry", "stripe/evt/2")
    assert unknown.exit_code == 1
    assert "no message stripe/evt/2 waits" in unknown.output


async def test_one_is_shown_whole(on_database: str) -> None:
    payment = await refused(on_database)
    for asked_id in (payment.payment_id, payment.booking_id):
        result = await run("show", str(asked_id))
        assert result.exit_code == 0
        for part in (
            payment.user_id,
            "not among the current bookings",
            "20.00 EUR, asked for since version 1",
            "refund_pending",
            f"stuck since 0 s ago: {REFUSED}",
            f"ca-{payment.booking_id}",
            "0.30 EUR",
            "re_77",
            "capture",
            "fee",
        ):
            assert str(part) in result.output


async def test_every_payment_of_a_booking_is_shown(on_database: str) -> None:
    first = await paid(on_database, hold())
    amended = hold()
    amended = replace(amended, version=2, terms=replace(amended.terms, deposit=Money(900, "JPY"), deposit_version=2))
    second = new_payment(amended, (first,), "sandbox", OPENED)
    assert second is not None
    await write(on_database, None, second, version=2)
    result = await run("show", str(first.booking_id))
    assert "asked for since version 1, replaced by a later one" in result.output
    assert "900 JPY, asked for since version 2" in result.output
    assert re.search(r"\b1 +20.00 EUR +1 +paid\b", result.output)
    assert re.search(r"\b1 +900 JPY +2 +opening\b", result.output)
    only = await run("show", str(second.payment_id))
    assert str(first.payment_id) not in only.output


async def test_a_retry_asks_again_for_what_was_refused(on_database: str) -> None:
    payment = await refused(on_database)
    result = await run("retry", str(payment.payment_id))
    assert result.exit_code == 0
    assert "1 refund asked for again" in result.output
    assert (await stored(on_database, payment.payment_id)).refunds[0].state is RefundState.WANTED
    assert (await run("stuck")).output == "Nothing is stuck.\n"
    due = await ask(on_database, lambda database: PostgresPayments(database).due(datetime.now(UTC), 10))
    assert [one.payment_id for one in due] == [payment.payment_id]


async def test_a_retry_of_what_is_well_only_looks(on_database: str) -> None:
    payment = await paid(on_database, hold())
    result = await run("retry", str(payment.payment_id))
    assert result.output.endswith("will be looked at within seconds.\n")
    assert (await stored(on_database, payment.payment_id)).captures == payment.captures


async def test_a_refund_is_settled_by_hand_and_says_how(on_database: str) -> None:
    payment = await refused(on_database)
    result = await run("settled", str(payment.payment_id), "1", "--note", " bank transfer 4711 ")
    assert result.exit_code == 0
    assert "Refund 1 of 20.00 EUR" in result.output
    after = await stored(on_database, payment.payment_id)
    assert after.refunds[0].state is RefundState.DONE
    assert after.refunds[0].provider_ref == "by hand: bank transfer 4711 (was re_77)"
    assert "bank transfer 4711" in (await run("show", str(payment.payment_id))).output
    again = await run("settled", str(payment.payment_id), "1", "--note", "x")
    assert again.exit_code == 1
    assert "refund 1 is done" in again.output


async def test_nothing_is_booked_by_what_a_person_settles(on_database: str) -> None:
    payment = await refused(on_database)
    before = await run("balance", "--booking", str(payment.booking_id))
    await run("retry", str(payment.payment_id))
    await write(
        on_database, one := await stored(on_database, payment.payment_id), refund_known(one, 1, RefundState.REFUSED)
    )
    await run("settled", str(payment.payment_id), "1", "--note", "cash")
    assert (await run("balance", "--booking", str(payment.booking_id))).output == before.output


@pytest.mark.parametrize("note", ["", "  ", "a\nb", "x" * 501])
async def test_a_note_that_says_nothing_is_refused(on_database: str, note: str) -> None:
    payment = await refused(on_database)
    result = await run("settled", str(payment.payment_id), "1", "--note", note)
    assert result.exit_code == 1
    assert (await stored(on_database, payment.payment_id)).refunds[0].state is RefundState.REFUSED


async def test_a_refund_under_way_is_not_for_people_to_settle(on_database: str) -> None:
    ended = replace(hold(), status=BookingStatus.EXPIRED, version=2)
    payment = await brought_in_line(on_database, await paid(on_database, hold()), ended)
    result = await run("settled", str(payment.payment_id), "1", "--note", "cash")
    assert result.exit_code == 1
    assert "refund 1 is wanted" in result.output
    missing = await run("settled", str(payment.payment_id), "2", "--note", "cash")
    assert "has no refund 2" in missing.output


async def test_what_changes_meanwhile_is_not_overwritten(on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await refused(on_database)
    by_id = PostgresPayments.by_id

    async def old(self: PostgresPayments, payment_id: PaymentId) -> Payment | None:
        found = await by_id(self, payment_id)
        if found == payment:
            await self.write(found, refund_known(found, 1, RefundState.SENT), booking_version=3)
        return found

    monkeypatch.setattr(PostgresPayments, "by_id", old)
    result = await run("settled", str(payment.payment_id), "1", "--note", "cash")
    assert result.exit_code == 1
    assert "changed just now" in result.output


async def test_status_counts_what_waits(on_database: str) -> None:
    settings = Settings()
    [line] = await asyncio.to_thread(status._money, settings)
    assert (line.state, line.where, line.well) == ("none stuck", "0 due, 0 messages in the inbox", True)
    await refused(on_database, 1)
    await paid(on_database, hold(2))
    for event_id in ("1", "2"):
        await ask(on_database, lambda database, known=event_id: PostgresInbox(database).put("sandbox", known, b""))
    [line] = await asyncio.to_thread(status._money, settings)
    assert (line.state, line.where) == ("1 stuck: holdfast payments stuck", "1 due, 2 messages in the inbox")


def test_status_without_a_database_says_so(tmp_path) -> None:
    [line] = status._money(free_settings(tmp_path / "data"))
    assert (line.state, line.well) == ("unknown: no database", False)


async def test_verify_prints_what_became_of_the_money(on_database: str) -> None:
    kept = replace(hold(1), status=BookingStatus.NO_SHOW, version=2)
    await brought_in_line(on_database, await paid(on_database, hold(1)), kept)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["verify"])
    assert result.exit_code == 0, result.output
    assert "the ledger sums to zero in each currency" in result.output
    [line] = [line.split() for line in result.output.splitlines() if line.split()[:1] == ["EUR"]]
    assert line == ["EUR", "20.00", "0.00", "0.00", "20.00", "0.00", "0.00", "20.00", "19.70", "0.30"]


async def test_balances_of_a_vendor_and_of_a_booking(on_database: str) -> None:
    kept = replace(hold(1), status=BookingStatus.NO_SHOW, version=2)
    await brought_in_line(on_database, await paid(on_database, hold(1)), kept)
    await paid(on_database, hold(2, deposit=Money(1500, "KWD")))
    vendor = await run("balance", str(V))
    assert vendor.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in vendor.output.splitlines() if "." in line}
    assert lines == {
        "EUR": ["0.00", "20.00", "19.70", "0.30"],
        "KWD": ["1.500", "0.000", "1.470", "0.030"],
    }
    one = await run("balance", "--booking", str(kept.booking_id))
    assert "KWD" not in one.output
    assert (await run("balance", NOBODY)).output == "No money has moved.\n"


async def test_a_day_on_which_nothing_moved_is_the_same_on_both_sides(on_database: str) -> None:
    result = await run("reconcile")
    assert result.exit_code == 0
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert f"{yesterday}, sandbox: both say the same." in result.output


async def test_each_difference_is_named_and_fails(on_database: str) -> None:
    """We have money that the provider has never heard of."""
    payment = await paid(on_database, hold())
    today = datetime.now(UTC).date()
    result = await run("reconcile", "--day", str(today))
    assert result.exit_code == 1
    for part in (f"ca-{payment.booking_id}", "20.00 EUR", "money that the provider does not have", payment.payment_id):
        assert str(part) in result.output
    assert f"{today}, sandbox: 1 difference." in result.output
    assert (await run("reconcile", "--day", "2026-01-01")).exit_code == 0


async def test_a_provider_that_is_away_is_named(on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.payment_provider.payment_provider", lambda *_: away)
    away = MemoryProvider()
    away.away = True
    result = await run("reconcile", "--day", "2026-01-01")
    assert result.exit_code == 1
    assert "2026-01-01 could not be compared with memory" in result.output


async def test_money_that_could_not_be_asked_for_is_named(on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list shows money that we lack, and then the provider is away."""

    async def away(*_: object) -> None:
        raise StoreUnavailable("the provider is away")

    payment = await paid(on_database, hold())
    monkeypatch.setattr("holdfast.payment_provider.payment_provider", lambda *_: silent)
    silent = MemoryProvider()
    silent.name = payment.provider
    monkeypatch.setattr(silent, "look", away)
    came = datetime.now(UTC)
    known = payment.captures[0].reference
    silent.account = [
        ProviderEntry(reference, Money(2000, "EUR"), False, came, payment.payment_id) for reference in (known, "more")
    ]
    result = await run("reconcile", "--day", str(came.date()))
    assert result.exit_code == 1
    assert f"Payment {payment.payment_id} could not be brought up to date" in result.output


async def test_a_day_to_come_is_refused(on_database: str) -> None:
    result = await run("reconcile", "--day", str(datetime.now(UTC).date() + timedelta(days=1)))
    assert result.exit_code == 1
    assert "is yet to come" in result.output


@pytest.mark.parametrize("words", [(), (NOBODY, "--booking", NOBODY)])
async def test_a_balance_of_what_is_asked_back(on_database: str, words: tuple[str, ...]) -> None:
    result = await run("balance", *words)
    assert result.exit_code == 1
    assert "say which" in result.output


async def open_house(url: str, time_zone: str = "Europe/Berlin") -> None:
    async def seed(database: Database) -> None:
        await Directory(database).seed(1)
        await Directory(database).claim(0, ACTOR.actor_id)

    await ask(url, seed)
    store = PostgresShardStore(url)
    lease = await store.take(0, ACTOR)
    assert lease is not None
    await store.commit_vendor(lease, 1, VendorCreated(replace(house(V), time_zone=time_zone), "h@example.org", "h"))
    await store.close()


async def test_an_export_is_csv(on_database: str) -> None:
    await open_house(on_database)
    payment = await paid(on_database, hold())
    result = await run("export", str(V))
    assert result.exit_code == 0
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert [(row["what"], row["from_account"], row["to_account"], row["amount"], row["currency"]) for row in rows] == [
        ("capture", "guest", "provider", "20.00", "EUR"),
        ("fee", "provider", "fees", "0.30", "EUR"),
    ]
    assert {UUID(row["payment_id"]) for row in rows} == {payment.payment_id}
    assert datetime.fromisoformat(rows[0]["moved_at"]).utcoffset() == timedelta(0)


async def test_an_export_of_days_counts_them_at_the_vendors_clock(on_database: str) -> None:
    await open_house(on_database, "Pacific/Kiritimati")
    await paid(on_database, hold())
    await execute(on_database, "ALTER TABLE ledger_movement DISABLE TRIGGER USER")
    await execute(on_database, "UPDATE ledger_movement SET moved_at = '2026-11-22T10:00Z' WHERE kind = 'capture'")
    await execute(on_database, "UPDATE ledger_movement SET moved_at = '2026-11-23T09:59Z' WHERE kind = 'fee'")
    on_the_day = await run("export", str(V), "--from", "2026-11-23", "--to", "2026-11-23")
    assert len(on_the_day.stdout.splitlines()) == 3
    before = await run("export", str(V), "--to", "2026-11-22")
    after = await run("export", str(V), "--from", "2026-11-24")
    assert len(before.stdout.splitlines()) == len(after.stdout.splitlines()) == 1


async def test_a_long_export_has_one_head(on_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_house(on_database)
    for number in (1, 2):
        await paid(on_database, hold(number))
    whole = await run("export", str(V))
    for at_once in (1, 2, 3, 4, 5):
        monkeypatch.setattr(payments_command, "_EXPORTED_AT_ONCE", at_once)
        assert (await run("export", str(V))).stdout_bytes == whole.stdout_bytes
    assert whole.stdout_bytes.count(b"\r\n") == 5


async def test_an_export_of_nobody_says_so(on_database: str) -> None:
    result = await run("export", NOBODY)
    assert result.exit_code == 1
    assert f"there is no vendor {NOBODY}" in result.output
    turned = await run("export", str(V), "--from", "2026-11-24", "--to", "2026-11-23")
    assert turned.exit_code == 1
    assert "before the first" in turned.output


@pytest.mark.parametrize("words", [("show", NOBODY), ("retry", NOBODY), ("settled", NOBODY, "1", "--note", "cash")])
async def test_one_that_is_not_there_is_named(on_database: str, words: tuple[str, ...]) -> None:
    result = await run(*words)
    assert result.exit_code == 1
    assert f"there is no payment {NOBODY}" in " ".join(result.output.split())


@pytest.mark.parametrize(
    "words", [("show", "17"), ("export", "x"), ("balance", "--booking", "x"), ("reconcile", "--day", "x")]
)
async def test_what_cannot_be_is_refused(on_database: str, words: tuple[str, ...]) -> None:
    assert (await run(*words)).exit_code == 2


def test_without_a_database_it_says_so(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in free_settings(tmp_path / "data").as_environment().items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["payments", "stuck"])
    assert result.exit_code == 1
    assert "is Holdfast up?" in result.output
