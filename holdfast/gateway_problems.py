"""What the gateway answers by itself, in the shape of every other problem, as files that HAProxy reads.

HAProxy 2.8 takes them for a request that it has passed on, or has begun to. One whose head it cannot read (a raw `ö` in the
address, headers beyond its buffer, a head that never ends) it refuses in its own HTML, whatever `errorfile` says: its
issue 3032, mended in later versions.
"""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

from actors.outcome import Trouble
from serve_app.errors import EdgeCode, Problem, invalid, not_found, rendered

_AWAY: Final = Problem(Trouble.DEPENDENCY_UNAVAILABLE, "The service is starting, or was lost and starts again.")
_LOST: Final = Problem(
    Trouble.OUTCOME_UNKNOWN, "The service was lost while it had this in hand; look before you repeat it."
)
_UNREADABLE: Final = invalid("", "The request could not be read, or did not come whole in time.")
_ANSWERS: Final[Mapping[int, Problem]] = MappingProxyType(
    {
        400: _UNREADABLE,
        408: _UNREADABLE,
        413: Problem(EdgeCode.PAYLOAD_TOO_LARGE, "The gateway takes no body as large as this."),
        422: _UNREADABLE,
        500: Problem(EdgeCode.INTERNAL, "The gateway failed while it had this in hand; look before you repeat it."),
        501: invalid("", "The request asks for something that the gateway does not do."),
        502: _LOST,
        503: _AWAY,
        504: _LOST,
    }
)
"""What is said for each status that HAProxy makes of its own accord. The answer's status is that of its code."""


def write_problems(folder: Path) -> None:
    """A file for each of them, and the body of what stands for an address that nobody serves."""
    for status, problem in _ANSWERS.items():
        (folder / f"{status}.http").write_bytes(_whole_answer(problem))
    _, body, _ = rendered(not_found())
    (folder / "404.json").write_bytes(body)


def _whole_answer(problem: Problem) -> bytes:
    status, body, headers = rendered(problem)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name.title() + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])
