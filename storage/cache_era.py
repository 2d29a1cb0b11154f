"""The cache's era: a value in Redis that every document names, and without which none is believed.

A new era makes all that was kept before unreadable at once, for everybody. It begins when a server comes up, because a
snapshot or a log that was cut short brings back old versions; when a process that notes writes starts, because its
predecessor may have died before it noted the last of them; and when a process owes more than it can remember.

A server is known by its run id, which it makes up when it starts. A connection does not outlive its server, so it is
enough to look once for each connection, before anything else is asked over it.
"""

import re
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

ERA: Final = "holdfast:era"
_SERVER: Final = "holdfast:server"

# An era is the server's time in microseconds, in 16 digits, and so can stand in for every owner's stamp.
NEW_ERA: Final = """
local time = redis.call('TIME')
local era = time[1] .. string.format('%06d', time[2])
redis.call('SET', KEYS[1], era)
return era
"""

_GREET: Final = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) == ARGV[1] and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1] .. string.format('%06d', time[2]))
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""


def cache_client(url: str, timeout_seconds: float) -> Redis:
    """A client as `VersionedCache` wants it: short timeouts, no retries, and a look at the server for each connection."""
    made: Redis = Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=_greet,
    )
    return made


async def _greet(connection: AbstractConnection) -> None:
    """Begin a new era if this is not the server that was there before. One that hides its id counts as new each time."""
    await connection.on_connect()
    about = await _asked(connection, "INFO", "server")
    run_id = re.search(rb"run_id:(\w+)", about if isinstance(about, bytes) else str(about).encode())
    await _asked(connection, "EVAL", _GREET, 2, ERA, _SERVER, run_id[1] if run_id else b"")


async def _asked(connection: AbstractConnection, *command: Any) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()
