"""One server for all API tests: in this process over the real stores, or one that runs (HOLDFAST_TEST_BASE_URL)."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from domain.ids import BookingId
from storage.bookings import BookingReads
from tests.api.driving import SERVICES, Account, Api, Description
from tests.api.in_process import Clock, Server, served

Departed = Callable[..., Awaitable[None]]

BASE_URL = os.environ.get("HOLDFAST_TEST_BASE_URL", "")
OPERATOR_TOKEN = os.environ.get("HOLDFAST_TEST_OPERATOR_TOKEN", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The server lives as long as the session, so the tests that use it run in the session's loop."""
    for item in items:
        if "api" in getattr(item, "fixturenames", ()) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def shared_clock() -> Clock:
    return Clock()


@pytest.fixture
def clock(shared_clock: Clock) -> Clock:
    """Time that can be turned forward; a server of its own has none, so those tests are left out there."""
    if BASE_URL:
        pytest.skip("the time of a running server cannot be turned")
    return shared_clock


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def description() -> Description:
    return Description()


@pytest.fixture(scope="session")
def backends(request: pytest.FixtureRequest) -> tuple[Any, Any] | None:
    """Postgres and Valkey of our own, unless the server brings its own."""
    if BASE_URL:
        return None
    return request.getfixturevalue("postgres"), request.getfixturevalue("valkey_server")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(backends: tuple[Any, Any] | None, shared_clock: Clock) -> AsyncIterator[Server | None]:
    if backends is None:
        yield None
        return
    async with served(*backends, shared_clock) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(server: Server | None, description: Description, shared_clock: Clock) -> AsyncIterator[Api]:
    hooks = {"response": [description.check]}
    if server is None:
        async with httpx.AsyncClient(base_url=BASE_URL, event_hooks=hooks, timeout=60) as http:
            yield await _described(Api(http, lambda: OPERATOR_TOKEN, lambda: datetime.now(UTC)), description)
        return
    async with httpx.AsyncClient(transport=server.transport, base_url="http://test", event_hooks=hooks) as http:
        yield await _described(Api(http, server.operator_token, shared_clock, server.issue), description)


@pytest_asyncio.fixture(loop_scope="session")
async def guest(api: Api) -> Account:
    """A guest whom nobody knows yet."""
    return await api.user()


async def _described(api: Api, description: Description) -> Api:
    hooks, api.http.event_hooks = api.http.event_hooks, {}
    for prefix in SERVICES:
        description.add(prefix, (await api.http.get(f"{prefix}/openapi.json")).json())
    api.http.event_hooks = hooks
    return api


@pytest.fixture
def departed(server: Server | None) -> Departed:
    """Lets a booking leave for the archive, as the archiver does it; a server of its own has its own."""
    if server is None:
        pytest.skip("what a running server archives, and when, is its own business")

    async def depart(shown: dict[str, Any], *, deleted: bool = True) -> None:
        booking_id = BookingId(UUID(shown["booking_id"]))
        booking = await BookingReads(server.database).by_id(booking_id)
        assert booking is not None
        await server.archive.store([booking])
        if deleted:
            await server.forget(booking_id)

    return depart
