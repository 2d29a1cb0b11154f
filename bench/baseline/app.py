"""The ordinary way to build the same thing, as the yardstick: FastAPI, pydantic, PyJWT, asyncpg and row locks.

One transaction per booking over the product's own schema: the vendor's seats are locked with `SELECT ... FOR UPDATE`,
a seat is chosen, and the booking, its words, its idempotency key and its outbox row are written, with the same
durability as the product. It does the whole job of POST /booking/vendor/:id for restaurants, and nothing else.

Run by `python -m bench`; by hand: BASELINE_DSN=... BASELINE_SECRET=... uvicorn bench.baseline.app:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import asyncpg
import jwt
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse

from bench.baseline.book import Ask, book
from bench.baseline.models import BookingIn, BookingOut
from bench.baseline.rules import Refused

_POOL_CONNECTIONS = 20


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    connections = int(os.environ.get("BASELINE_CONNECTIONS", str(_POOL_CONNECTIONS)))
    async with asyncpg.create_pool(os.environ["BASELINE_DSN"], min_size=connections, max_size=connections) as pool:
        app.state.pool = pool
        app.state.secret = os.environ["BASELINE_SECRET"]
        yield


app = FastAPI(lifespan=_lifespan)


def _guest(request: Request, authorization: Annotated[str, Header()]) -> UUID:
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer":
        raise Refused(401, "unauthenticated")
    try:
        claims = jwt.decode(
            token,
            request.app.state.secret,
            algorithms=["HS256"],
            issuer="baseline",
            options={"require": ["exp", "iss", "sub"]},
        )
    except jwt.InvalidTokenError as error:
        raise Refused(401, "unauthenticated") from error
    if claims.get("role") != "user":
        raise Refused(403, "forbidden")
    return UUID(claims["sub"])


@app.exception_handler(Refused)
async def _refused(_request: Request, refused: Refused) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": refused.code, "status": refused.status, "code": refused.code},
        refused.status,
        media_type="application/problem+json",
    )


@app.get("/healthz")
async def _healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/booking/vendor/{vendor_id}", status_code=201)
async def _book(  # noqa: PLR0917 (FastAPI passes them by name)
    vendor_id: UUID,
    wanted: BookingIn,
    request: Request,
    response: Response,
    user_id: Annotated[UUID, Depends(_guest)],
    idempotency_key: Annotated[str, Header(min_length=1, max_length=255)],
) -> BookingOut:
    pool: asyncpg.Pool[asyncpg.Record] = request.app.state.pool
    async with pool.acquire() as connection, connection.transaction():
        booking, replayed = await book(connection, Ask(vendor_id, user_id, wanted, idempotency_key), datetime.now(UTC))
    response.headers["ETag"] = f'"{booking.version}"'
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return booking
