"""What a consumer with a loop of its own is told and asked: to stop, and how it fares."""

import asyncio

from consumers.consumer import ConsumerState


class Worker:
    """The `stop` and the `state` of a `Consumer`, both from the loop that it runs in.

    Who inherits waits for `_stopping`, and keeps `_said` (see `ConsumerState.state`) and `_handled`, what took effect.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopping = asyncio.Event()
        self._said = "starting"
        self._handled = 0
        self._last_error = ""

    @property
    def state(self) -> ConsumerState:
        return ConsumerState(self._name, self._said, self._handled, last_error=self._last_error)

    def stop(self) -> None:
        self._stopping.set()

    def _note(self, error: Exception) -> None:
        self._last_error = f"{type(error).__name__}: {error}"
