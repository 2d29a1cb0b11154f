"""What every consumer process runs: something that works until it is told to stop, and says how it fares."""

from dataclasses import dataclass
from typing import Final, Protocol

CONSUMERS: Final = ("relay", "search_indexer", "archiver", "notifier", "payments")
"""Each has a process of its own, and reads under its own name what the log has for it."""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """`state` is for people: "reading", "paused: ..." (a store is away), "stopped: ..." (waits for an operator), "left".

    `handled` counts what took effect since the process started, `parked` what waits for an operator. `lag` is how many
    messages the consumer has yet to take (the relay: events yet to be published), None while unknown.
    """

    name: str
    state: str
    handled: int = 0
    parked: int = 0
    lag: int | None = None
    last_error: str = ""


class Consumer(Protocol):
    @property
    def state(self) -> ConsumerState: ...

    async def run(self) -> None:
        """Work until `stop`. Raises what no store and no message is to blame for: the process should start anew."""
        ...

    def stop(self) -> None:
        """Finish what is in hand and let `run` return, at once where it only waits."""
        ...
