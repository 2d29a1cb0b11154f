"""What the gateway answers by itself, in the shape of every other problem, as files that HAProxy reads."""

from pathlib import Path
from typing import Final

from actors.outcome import Trouble
from serve_app.errors import Problem, not_found, rendered

_AWAY: Final = Problem(Trouble.DEPENDENCY_UNAVAILABLE, "The service is starting, or was lost and starts again.")
_LOST: Final = Problem(
    Trouble.OUTCOME_UNKNOWN, "The service was lost while it had this in hand; look before you repeat it."
)
_REASONS: Final = {404: "Not Found", 503: "Service Unavailable"}


def write_problems(folder: Path) -> None:
    """One file for each status that HAProxy makes: nobody there (503), an answer that never came (502, 504), 404."""
    for status, problem in ((502, _LOST), (503, _AWAY), (504, _LOST)):
        (folder / f"{status}.http").write_bytes(_whole_answer(problem))
    _, body, _ = rendered(not_found())
    (folder / "404.json").write_bytes(body)


def _whole_answer(problem: Problem) -> bytes:
    status, body, headers = rendered(problem)
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}".encode()]
    lines += [name.title() + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", body])
