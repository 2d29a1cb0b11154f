"""The page at the root: which services there are and where each is described."""

from collections.abc import Sequence
from html import escape
from typing import Final

from serve_app import docs_page
from serve_app.answer import Answer
from serve_app.auth import Tokens
from serve_app.operation import ANYONE, Call, Operation, Result
from serve_app.service import About, Service

ABOUT: Final = About("pages", "", "Holdfast", "Reservations for hotels and restaurants that are never sold twice.")


def pages_app(services: Sequence[About], tokens: Tokens) -> Service:
    """The ASGI application of the root `/`."""
    page = docs_page.page(ABOUT.title, _links(services))

    async def front(_call: Call[None, None]) -> Result:
        return Answer(200, page, docs_page.headers())

    operations: list[Operation[None, None]] = [
        Operation("GET", "/", "The services", ANYONE, front, answer=str, media_type="text/html"),
    ]
    return Service(ABOUT, operations, tokens)


def _links(services: Sequence[About]) -> str:
    rows = "".join(
        f'<tr><td><a href="{escape(service.prefix)}/docs">{escape(service.title)}</a></td>'
        f'<td>{escape(service.summary)}</td><td><a href="{escape(service.prefix)}/openapi.json">openapi.json</a></td></tr>'
        for service in services
    )
    return f"<h1>{escape(ABOUT.title)}</h1><p>{escape(ABOUT.summary)}</p><table>{rows}</table>"
