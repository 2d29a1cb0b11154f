"""The HTTP server inside a shard's process, over a real socket."""

import asyncio
import gc
import socket

import pytest

from actors.express_server import ExpressServer, collect_rarely

pytestmark = pytest.mark.real_time


async def test_answers_over_a_real_socket():
    """Two requests in one packet, then one that closes: the answers come whole and in order."""

    async def app(scope, receive, send):
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    server = ExpressServer(app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    request = "GET {} HTTP/1.1\r\nhost: x\r\n{}\r\n"
    writer.write(
        (
            request.format("/one", "") + request.format("/two", "") + request.format("/end", "connection: close\r\n")
        ).encode()
    )
    answers = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    server.should_exit = True
    await serving
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.index(b"/one") < answers.index(b"/two") < answers.index(b"/end")
    assert b"server:" not in answers


@pytest.fixture
def collector():
    """As it was before, afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


async def test_what_lives_as_long_as_the_process_is_not_collected(collector):
    before = gc.get_freeze_count()
    collect_rarely()
    assert gc.get_freeze_count() > before
    assert gc.get_threshold()[0] >= 10_000
