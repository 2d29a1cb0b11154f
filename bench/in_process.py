"""The express lane without Ray: the booking app, a direct client, one shard and Postgres in a single process.

What the shard's actor serves, minus the actor, so that a profiler sees all of it:
`EXPRESS_DSN=... EXPRESS_SECRET=... py-spy record -- python -m bench.in_process PORT`. Needs a migrated database whose
directory has one shard; `take_all` makes it so.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import uvloop

from actors.direct_client import DirectClient
from actors.express_server import ExpressServer, collect_rarely
from actors.limits import ShardLimits
from actors.outcome import VendorDone
from actors.shard import Shard
from bench.workload import vendor_body
from domain.command import CreateVendor, Role
from domain.ids import VendorId, vendor_id_from
from holdfast.chance import Chance
from serve_app.auth import SigningKeys, Tokens
from serve_app.booking import BookingDeps, booking_app
from serve_app.service import Service
from serve_app.vendor_models import CreateVendorBody, vendor_of
from storage.postgres_shard_store import PostgresShardStore
from storage.shard_store import Owner

_EVER = datetime(2000, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class EveryToken:
    """Accounts of which none ever changed its password."""

    async def tokens_valid_from(self, role: Role, account_id: UUID) -> datetime | None:  # noqa: ARG002 (a protocol)
        return _EVER


def tokens_of(secret: str) -> Tokens:
    """Issues and checks tokens as the product does."""
    keys = SigningKeys("bench", {"bench": secret.encode()})
    return Tokens(keys, EveryToken(), utc_now, ttl_seconds=12 * 3600)


async def take_all(dsn: str) -> Owner:
    """Make one shard of all buckets, if there is none, and name a new owner for it."""
    owner = Owner(f"in-process-{uuid4()}", "here", os.getpid())
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("INSERT INTO shard (shard_id) VALUES (0) ON CONFLICT DO NOTHING")
        await connection.execute(
            "INSERT INTO bucket (bucket, shard_id) SELECT n, 0 FROM generate_series(0, 4095) AS n ON CONFLICT DO NOTHING"
        )
        await connection.execute("UPDATE shard SET actor_id = $1 WHERE shard_id = 0", owner.actor_id)
    finally:
        await connection.close()
    return owner


@asynccontextmanager
async def shard_of(dsn: str, limits: ShardLimits | None = None) -> AsyncIterator[Shard]:
    """Shard 0 of a database, taken over from whoever had it."""
    shard = Shard(0, PostgresShardStore(dsn), await take_all(dsn), utc_now, limits or ShardLimits())
    if not await shard.start():
        raise RuntimeError("the directory named somebody else meanwhile")
    try:
        yield shard
    finally:
        await shard.stop()


async def create_vendors(shard: Shard, count: int) -> list[VendorId]:
    """The workload's vendors, by the shard's own command; nobody can log in as one of them."""
    vendor_ids: list[VendorId] = []
    for number in range(count):
        body = CreateVendorBody.model_validate_json(json.dumps(vendor_body(number)))
        vendor_id = vendor_id_from(secrets.randbits(128))
        outcome = await shard.ask(CreateVendor(vendor_of(body, vendor_id, utc_now()), body.email, "no password"))
        if not isinstance(outcome, VendorDone):
            raise TypeError(f"the shard refused a vendor of the benchmark: {outcome}")
        vendor_ids.append(vendor_id)
    return vendor_ids


def express_app(shard: Shard, secret: str) -> Service:
    """The booking app over the shard itself."""
    return booking_app(BookingDeps(DirectClient([shard]), tokens_of(secret), Chance()))


async def serve(dsn: str, secret: str, port: int) -> None:
    """Until it is told to stop."""
    async with shard_of(dsn) as shard:
        server = ExpressServer(express_app(shard, secret), host="127.0.0.1", port=port)
        collect_rarely()
        await server.serve()


def main() -> None:
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        uvloop.run(serve(os.environ["EXPRESS_DSN"], os.environ["EXPRESS_SECRET"], int(sys.argv[1])))


if __name__ == "__main__":
    main()
