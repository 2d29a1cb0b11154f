"""What waits in the payments' tables, for whoever watches over them: how much, and what one payment waits for."""

from dataclasses import dataclass
from datetime import datetime

from domain.payment import PaymentId
from storage.postgres import ReadsRows


@dataclass(frozen=True, slots=True)
class PaymentLevels:
    """`due` payments are to be looked at by now, `stuck` ones by a person; so with `messages`, of which a person has some."""

    due: int
    stuck: int
    messages: int
    messages_stuck: int


@dataclass(frozen=True, slots=True)
class Attention:
    """When a payment is looked at next (`look_at`, None: only news can change it), and what hindered the last looks.

    `since` and `reason` stand where only a person can go on.
    """

    look_at: datetime | None
    tries: int
    error: str | None
    since: datetime | None
    reason: str | None
    over: bool


class PaymentWatch:
    """Reads only; each method may raise StoreUnavailable."""

    def __init__(self, database: ReadsRows) -> None:
        self._database = database

    async def levels(self) -> PaymentLevels:
        [row] = await self._database.rows("payment_levels")
        return PaymentLevels(**row)

    async def attention(self, payment_id: PaymentId) -> Attention | None:
        row = await self._database.row("payment_attention", payment_id)
        return None if row is None else Attention(**row)
