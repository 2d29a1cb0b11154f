"""The second post: letters that a receiver's server put off, tried again ever less often for two days.

Each is taken by itself, so that what was told meanwhile is known, and leased, so that a second post beside this one takes
another. Whatever is wrong with one letter, the others go on.

In each round it also looks through some of the notes of letters, and drops those that are older than anything that the
notifier would tell, so that no guest can be told twice for want of a note.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final
from uuid import UUID

from consumers.rounds import Rounds
from storage.errors import StoreUnavailable
from storage.mail import MailDeferred, Mailer, MailRefused
from storage.notifications import Deferred, NotificationLog

_log = logging.getLogger(__name__)

NAME: Final = "second_post"
TRIES_MAX: Final = 17
"""By then two days have gone by."""

_WAIT_FIRST: Final = timedelta(minutes=5)
_WAIT_LAST: Final = timedelta(hours=4)
_SEND_SECONDS_MAX: Final = 120.0
_LEASE: Final = timedelta(minutes=5)
"""Longer than one sending may take."""

_FIRST: Final = UUID(int=0)
"""Before every booking."""


def wait_after(tries: int) -> timedelta:
    """How long to wait after so many tries before this one: five minutes at first, twice as long each time, four hours at most."""
    doublings: int = 2 ** min(tries, 10)
    return min(_WAIT_FIRST * doublings, _WAIT_LAST)


class SecondPost(Rounds):
    """`run` once, in one task; `stop` and `state` from the same loop. `keep` is how long it is known what was told."""

    def __init__(self, mailer: Mailer, log: NotificationLog, *, keep: timedelta, every_seconds: float = 30.0) -> None:
        super().__init__(NAME, every_seconds)
        self._mailer = mailer
        self._notifications = log
        self._keep = keep
        self._looked_through = _FIRST

    async def _round(self) -> None:
        await self.deliver()
        await self.tidy()

    async def tidy(self) -> None:
        """Go on where the last round ended, from the beginning once all were looked through. Raises StoreUnavailable."""
        self._looked_through = await self._notifications.forget(self._looked_through, self._keep) or _FIRST

    async def deliver(self) -> int:
        """Try those that are due until told to stop, and say how many. Raises StoreUnavailable."""
        tried = 0
        while not self._stopping.is_set() and (one := await self._notifications.take_due(_LEASE)) is not None:
            await self._try(one)
            tried += 1
            self._handled += 1
        return tried

    async def _try(self, one: Deferred) -> None:
        if one.superseded:
            await self._notifications.give_up(one.event, "the guest was told of something newer meanwhile")
            return
        try:
            async with asyncio.timeout(_SEND_SECONDS_MAX):
                await self._mailer.send(one.letter)
        except StoreUnavailable:
            raise
        except MailDeferred as error:
            await self._put_off(one, error)
        except MailRefused as error:
            await self._give_up(one, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, this letter alone is to blame
            _log.exception("booking %s version %d cannot be told of now", one.event.booking_id, one.event.version)
            self._last_error = f"{type(error).__name__}: {error}"
            await self._put_off(one, error)
        else:
            await self._notifications.sent(one.event)

    async def _put_off(self, one: Deferred, error: Exception) -> None:
        if one.tries < TRIES_MAX:
            await self._notifications.defer(one.event, one.letter, str(error), wait_after(one.tries))
        else:
            await self._give_up(one, error)

    async def _give_up(self, one: Deferred, error: Exception) -> None:
        _log.warning("booking %s version %d cannot be told of: %s", one.event.booking_id, one.event.version, error)
        await self._notifications.give_up(one.event, str(error))
