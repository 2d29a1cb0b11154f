"""The operator service: who owns which shard, moving one, and the audit. Every route needs an operator's token."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

from pydantic import StringConstraints

from actors.outcome import Trouble
from serve_app.answer import json_answer
from serve_app.auth import Tokens
from serve_app.errors import invalid, not_found
from serve_app.fields import NO_NUL, Shown, Strict
from serve_app.operation import ONLY_OPERATORS, Call, Operation, Result
from serve_app.ports import AuditFigure, Operations
from serve_app.service import About, Service

PREFIX: Final = "/operator"
ABOUT: Final = About("operator", PREFIX, "Holdfast: operators", "Shards and their owners, moves, and the audit.")

_SHARD_DIGITS_MAX: Final = 6


class MoveBody(Strict):
    """Without a node the supervisor chooses one."""

    to_node: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)] | None = None


class ShardShown(Shown):
    """What only the live owner knows is null while nobody answers; `batch_commands` is the mean of recent batches."""

    shard_id: int
    owner: str | None
    epoch: int
    node: str | None
    pid: int | None
    buckets: int
    express_address: str | None
    bookings: int | None
    batch_commands: float | None
    queue: int | None
    commit_p50_ms: float | None
    commit_p99_ms: float | None


class ShardsShown(Shown):
    items: list[ShardShown]


class FigureShown(Shown):
    name: str
    counted: int
    faults: int
    judged: bool
    examples: list[str]


class AuditShown(Shown):
    ok: bool
    figures: list[FigureShown]


@dataclass(frozen=True, slots=True)
class OperatorDeps:
    operations: Operations
    tokens: Tokens
    trust_forwarded: bool = False


def operator_app(deps: OperatorDeps) -> Service:
    """The ASGI application of every /operator route."""
    return Service(ABOUT, OperatorDesk(deps).operations(), deps.tokens, trust_forwarded=deps.trust_forwarded)


class OperatorDesk:
    def __init__(self, deps: OperatorDeps) -> None:
        self._operations = deps.operations

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation("GET", f"{PREFIX}/shards", "Every shard", ONLY_OPERATORS, self.shards, answer=ShardsShown),
            Operation(
                "POST",
                f"{PREFIX}/shards/{{shard_id}}/move",
                "Give a shard a new owner",
                ONLY_OPERATORS,
                self.move,
                body=MoveBody,
                body_optional=True,
                answer=ShardShown,
                status=202,
                id_is_uuid=False,
                codes=(Trouble.SHARD_MOVING,),
            ),
            Operation("POST", f"{PREFIX}/verify", "Run the audit", ONLY_OPERATORS, self.verify, answer=AuditShown),
        ]

    async def shards(self, _call: Call[None, None]) -> Result:
        return json_answer({"items": [asdict(report) for report in await self._operations.shards()]})

    async def move(self, call: Call[MoveBody | None, None]) -> Result:
        digits = call.segment
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _SHARD_DIGITS_MAX):
            return not_found("There is no such shard.")
        to_node = None if call.body is None else call.body.to_node
        try:
            report = await self._operations.move(int(digits), to_node)
        except LookupError:
            return invalid("to_node", "There is no such node")
        return not_found("There is no such shard.") if report is None else json_answer(asdict(report), status=202)

    async def verify(self, _call: Call[None, None]) -> Result:
        return json_answer(audit_content(await self._operations.verify()))


def audit_content(figures: Sequence[AuditFigure]) -> dict[str, Any]:
    return {
        "ok": not any(figure.judged and figure.faults for figure in figures),
        "figures": [asdict(figure) for figure in figures],
    }
