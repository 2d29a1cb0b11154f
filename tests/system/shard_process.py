"""A shard's process without Ray, that can stop itself (SIGSTOP) at one step of a batch: `python -m tests.system.shard_process`.

It is the process that a shard's actor is, with the same host, store and booking app; only who starts it differs. It
says how it left by its exit code: LEFT_FOR_GOOD where Ray would not start it again, LEFT_TO_RETURN where it would.
"""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from secrets import randbits

import uvloop

from actors.direct_client import DirectClient
from actors.limits import ShardLimits
from actors.shard_host import ShardConfig, ShardHost
from serve_app.auth import SigningKeys, Tokens
from serve_app.booking import BookingDeps, booking_app
from storage.directory import Directory
from storage.postgres import Database
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Owner

LEFT_FOR_GOOD, LEFT_TO_RETURN = 40, 41
KEYS = SigningKeys("k", {"k": bytes(32)})

BEFORE_READING = "before it reads what the batch needs"
BEFORE_WRITING = "decided, its statement not sent"
AFTER_WRITING = "committed, nobody answered"
NEVER = "never by itself"


class EveryAccount:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2000, 1, 1, tzinfo=UTC)


def utc_now():
    return datetime.now(UTC)


def tokens():
    return Tokens(KEYS, EveryAccount(), utc_now)


class StoppingStore(PostgresShardStore):
    """Stops the whole process once, at its step, for the booking of that many guests."""

    def __init__(self, url, step, party_size):
        super().__init__(url)
        self.step = step
        self.party_size = party_size

    def stop_at(self, step):
        if step == self.step:
            self.step = NEVER
            os.kill(os.getpid(), signal.SIGSTOP)

    async def load_vendor_page(self, shard_id, after, limit):
        return []  # nothing is swept in, so that a house is read for the batch that needs it

    async def load_vendors(self, vendor_ids):
        self.stop_at(BEFORE_READING)
        return await super().load_vendors(vendor_ids)

    async def commit(self, batch):
        fatal = any(booking.party_size == self.party_size for booking in batch.placed)
        if fatal:
            self.stop_at(BEFORE_WRITING)
        await super().commit(batch)
        if fatal:
            self.stop_at(AFTER_WRITING)


class Parts:
    def __init__(self, options):
        self.store = StoppingStore(options["url"], options["step"], int(options["party_size"]))
        self.directory = Directory(Database(options["url"], "test", 2))

    async def express_app(self, shard):
        return booking_app(BookingDeps(DirectClient([shard]), tokens(), lambda: randbits(128)))

    async def announce(self, lease, address):
        await self.directory.set_address(lease, address)

    async def close(self):
        await self.store.close()


async def make_parts(config, _owner):
    return Parts(config.options)


def leave(*, for_good):
    os._exit(LEFT_FOR_GOOD if for_good else LEFT_TO_RETURN)


async def main(actor_id, port, options):
    config = ShardConfig(
        shard_id=0,
        make_parts="tests.system.shard_process:make_parts",
        limits=ShardLimits(),
        express_port=port,
        port_wait_seconds=30.0,
        options=options,
    )
    await ShardHost(config, Owner(actor_id, "node", os.getpid()), leave).run()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    uvloop.run(main(given["actor_id"], given["port"], given["options"]))
