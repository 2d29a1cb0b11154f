"""The composition root of the consumer processes: one factory for each, called in the loop of the actor that runs it.

It loads what consumers need and nothing of the services, so that four processes more cost little memory.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from actors.client import ShardClient
from actors.consumer_host import ConsumerConfig
from actors.shard_host import utc_now
from consumers.consumer import CONSUMERS, Consumer, ConsumerState
from consumers.event import Handler
from consumers.event_schema import decode
from consumers.process import ConsumerProcess, Report
from consumers.relay import Relay
from consumers.runtime import ConsumerRuntime, RuntimeLimits
from holdfast import logs
from holdfast.health import public_url
from holdfast.metrics import consumer_levels, payment_levels
from holdfast.settings import Settings
from holdfast.store_urls import postgres_url, redis_url
from storage.consumer_states import ConsumerStates
from storage.event_log_url import event_reader, event_writer
from storage.outbox import Outbox
from storage.parked import ParkedMessages
from storage.payment_watch import PaymentWatch
from storage.postgres import Database
from storage.shard_store import Owner

_CONNECTIONS: Final = 4

_LETTERS_PER_CONNECTION: Final = 20
"""A mail server takes its time over each, and a batch must have its effect within the runtime's limit."""

_TOLD_LATE_MAX: Final = timedelta(days=90)
"""Beyond the life of an event in the log. Who was parked for longer than that is not written to any more."""

_CLOCKS_APART_MAX: Final = timedelta(days=1)
"""A note of a letter is kept so much longer than its event may be told, because shards and Postgres have clocks of their own."""

_NICENESS: Final = {"relay": 5, "search_indexer": 5, "payments": 2}
"""The search shows a change within two seconds, so those two stand back less; a guest waits for a paid table to be confirmed."""

_DESK_CONNECTIONS: Final = 8
_CACHE_SECONDS: Final = 0.25


class ConsumerParts:
    """What the factories take their parts from. Lives in one event loop; `close` ends what was made."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.postgres_url = postgres_url(settings)
        self.database = Database(self.postgres_url, f"holdfast {name}", _CONNECTIONS)
        self._closers: list[Callable[[], Awaitable[None]]] = [self.database.close]

    def close_later(self, close: Callable[[], Awaitable[None]]) -> None:
        self._closers.append(close)

    async def close(self) -> None:
        for close in reversed(self._closers):
            await close()

    def runtime(self, name: str, handler: Handler, *, batch_messages_max: int | None = None) -> ConsumerRuntime:
        """The runtime of a group of that name over the handler. It closes its reader itself."""
        settings = self.settings
        limits = RuntimeLimits(parked_max=settings.parked_max)
        if batch_messages_max is not None:
            limits = replace(limits, batch_messages_max=batch_messages_max)
        reader = event_reader(settings.event_log_url, self.postgres_url, name, handler.topics)
        return ConsumerRuntime(name, reader, handler, ParkedMessages(self.database), decode=decode, limits=limits)


class RelayConsumer:
    """The relay, which reads the outbox and so has no group, seen as one of the consumers."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._left = False

    @property
    def state(self) -> ConsumerState:
        lag = self._relay.lag
        said = "paused: the event log or the database is away" if self._relay.away else "reading"
        return ConsumerState("relay", "left" if self._left else said, lag=None if lag is None else lag.rows)

    async def run(self) -> None:
        try:
            await self._relay.run()
        finally:
            self._left = True

    def stop(self) -> None:
        self._relay.stop()


def _relay(parts: ConsumerParts) -> list[Consumer]:
    settings = parts.settings
    writer = event_writer(settings.event_log_url, parts.postgres_url)
    parts.close_later(writer.close)
    keep = timedelta(days=settings.event_days)
    return [RelayConsumer(Relay(Outbox(parts.database), writer, utc_now, keep=keep, lag_seconds=2.0))]


def _search_indexer(parts: ConsumerParts) -> list[Consumer]:
    from consumers.search_indexer import SearchIndexer
    from storage.search_index_url import search_index_at

    index = search_index_at(parts.settings.search_url, parts.postgres_url)
    parts.close_later(index.close)
    return [parts.runtime("search_indexer", SearchIndexer(index))]


def _archiver(parts: ConsumerParts) -> list[Consumer]:
    """What ended goes into the archive, and beside it, leaves the current tables when its time is over."""
    from consumers.archiver import Archiver
    from consumers.departure import Departure
    from storage.archive_url import archive_at
    from storage.departures import Departures

    archive = archive_at(parts.settings.archive_url, parts.postgres_url)
    parts.close_later(archive.close)
    departures = Departures(parts.postgres_url)
    parts.close_later(departures.close)
    grace = timedelta(hours=parts.settings.archive_after_hours)
    return [parts.runtime("archiver", Archiver(archive)), Departure(departures, archive, utc_now, grace)]


def _notifier(parts: ConsumerParts) -> list[Consumer]:
    from consumers.notifier import Notifier, NotifierDeps
    from consumers.second_post import SecondPost
    from storage.accounts import Accounts
    from storage.mail import mailer_of
    from storage.notifications import NotificationLog
    from storage.vendors import VendorReads

    settings = parts.settings
    folder = settings.data_dir / "mail"
    # A file takes no time worth sharing: several at once would only take more of the processor and disk that bookings need.
    connections = settings.smtp_connections if settings.smtp_url else 1
    # The second post has a connection of its own, so that letters that nobody wants to take keep no other waiting.
    mailer, late_mailer = mailer_of(settings.smtp_url, folder, connections), mailer_of(settings.smtp_url, folder)
    parts.close_later(mailer.close)
    parts.close_later(late_mailer.close)
    log = NotificationLog(parts.database)
    told_within = timedelta(days=settings.event_days) + _TOLD_LATE_MAX
    deps = NotifierDeps(
        mailer,
        log,
        Accounts(parts.database),
        VendorReads(parts.database),
        settings.mail_from,
        utc_now,
        told_within,
        letters_at_once=connections,
    )
    batch_messages_max = _LETTERS_PER_CONNECTION * connections
    runtime = parts.runtime("notifier", Notifier(deps), batch_messages_max=batch_messages_max)
    return [runtime, SecondPost(late_mailer, log, keep=told_within + _CLOCKS_APART_MAX)]


def _payments(parts: ConsumerParts) -> list[Consumer]:
    """The payment desk, with who tells it of bookings, who finds what nobody told of, and who compares the books."""
    from consumers.payment_desk import NAME, PaymentDesk
    from consumers.payment_look import LookDeps, PaymentLook
    from consumers.payment_messages import PaymentMessages
    from consumers.payment_sweeper import PaymentSweeper
    from consumers.payments import PaymentEvents
    from consumers.reconciliation import DailyReconciliation, Reconciler
    from consumers.refund_news import RefundNews
    from holdfast.payment_provider import payment_provider, sandbox_courier
    from storage.archive_url import archive_at
    from storage.booking_cache import BookingCache
    from storage.cache import VersionedCache
    from storage.cache_era import cache_client
    from storage.errands import Errands
    from storage.postgres_inbox import PostgresInbox
    from storage.postgres_payments import PostgresPayments
    from storage.postgres_wakeups import PostgresWakeups
    from storage.reconciliations import Reconciliations
    from storage.sandbox_provider import SandboxProvider

    settings, url = parts.settings, parts.postgres_url
    database = Database(url, f"holdfast {NAME}", _DESK_CONNECTIONS)
    parts.close_later(database.close)
    provider = payment_provider(settings, url)
    parts.close_later(provider.aclose)
    archive = archive_at(settings.archive_url, url)
    parts.close_later(archive.close)
    redis = cache_client(redis_url(settings), _CACHE_SECONDS)
    parts.close_later(redis.aclose)
    cache = VersionedCache(redis)
    parts.close_later(cache.close)
    cache.begin()

    store, inbox = PostgresPayments(database), PostgresInbox(database)
    errands = Errands(provider, returns_to=public_url(settings))
    writer = event_writer(settings.event_log_url, url)
    parts.close_later(writer.close)
    news, notes = RefundNews(writer, utc_now), BookingCache(cache, utc_now)
    deps = LookDeps(store, errands, _shards(settings, database), archive, notes, news, utc_now)
    desk = PaymentDesk(
        store,
        inbox,
        PaymentMessages(store, inbox, provider, utc_now),
        PaymentLook(deps, sweep=timedelta(seconds=settings.payment_sweep_seconds)),
        clock=utc_now,
        wakeups=lambda wake: PostgresWakeups(url, f"holdfast {NAME}", {"payments": wake}),
    )
    keep = timedelta(days=settings.webhook_days)
    sweeper = PaymentSweeper(store, inbox, desk, utc_now, every_seconds=settings.payment_sweep_seconds, keep=keep)
    daily = DailyReconciliation(Reconciler(provider, Reconciliations(database), store), utc_now)
    made: list[Consumer] = [parts.runtime("payments", PaymentEvents(store)), desk, sweeper, daily]
    if isinstance(provider, SandboxProvider):
        made.append(sandbox_courier(settings, provider, database, url))
    return made


def _shards(settings: Settings, database: Database) -> ShardClient:
    """As the services have them: commands by Ray calls, bookings from the primary."""
    from actors.addressing import BucketMap
    from actors.ray_client import RayCalls
    from actors.remote_client import RemoteClient
    from actors.remote_lane import RemoteLimits
    from storage.bookings import BookingReads
    from storage.directory import Directory

    return RemoteClient(
        RayCalls(patience_seconds=settings.take_over_wait_seconds),
        BucketMap(Directory(database).bucket_shards),
        BookingReads(database).by_id,
        RemoteLimits(wait_seconds=settings.take_over_wait_seconds),
    )


_FACTORIES: Final[dict[str, Callable[[ConsumerParts], list[Consumer]]]] = {
    "relay": _relay,
    "search_indexer": _search_indexer,
    "archiver": _archiver,
    "notifier": _notifier,
    "payments": _payments,
}


def consumers_here(settings: Settings) -> list[str]:
    """Those that the settings have run."""
    chosen = settings.consumers.split()
    return [name for name in CONSUMERS if name in chosen]


def consumer_configs(settings: Settings) -> list[ConsumerConfig]:
    """One process for each. They stand back behind booking: a letter may be a second late, a table may not."""
    return [
        ConsumerConfig(name, "holdfast.consumers:make_consumer", niceness=_NICENESS.get(name, 10))
        for name in consumers_here(settings)
    ]


async def make_consumer(config: ConsumerConfig, owner: Owner) -> ConsumerProcess:
    logs.to_stderr()
    return consumer_process(Settings(), config.name, owner)


def consumer_process(settings: Settings, name: str, owner: Owner) -> ConsumerProcess:
    """The process of that name, not yet running. Raises KeyError for a name that there is not."""
    parts = ConsumerParts(settings, name)
    return ConsumerProcess(_FACTORIES[name](parts), _report(parts.database, owner), parts.close)


def _report(database: Database, owner: Owner) -> Report:
    states, watch = ConsumerStates(database), PaymentWatch(database)

    async def report(state: ConsumerState) -> None:
        consumer_levels(state.name, lag=state.lag, parked=state.parked)
        await states.say(
            state.name,
            state.state,
            handled=state.handled,
            lag=state.lag,
            last_error=state.last_error,
            node=owner.node,
            pid=owner.pid,
        )
        if state.name == "payments":
            payment_levels(await watch.levels())

    return report
