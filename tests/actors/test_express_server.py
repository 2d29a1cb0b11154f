"""The HTTP server inside a shard's process, over a real socket."""

import asyncio
import gc
import socket

import pytest

from actors.express_server import ExpressServer, collect_rarely
from actors.slow_clients import SlowClients

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


async def empty(scope, receive, send):
    """Reads the body to its end, and answers."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(b"", 0), (b"POST / HT", 0), (HEAD, 0), (HEAD + b"ab", 0), (HEAD + b"abcd" + HEAD + b"ab", 1)],
    ids=["silence", "half a head", "no body", "half a body", "half of a second request"],
)
async def test_who_never_finishes_a_request_is_let_go(sent, answers):
    listener = socket.create_server(("127.0.0.1", 0))
    server = ExpressServer(empty, request_seconds_max=0.2)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    server.should_exit = True
    await serving
    assert received.count(b"HTTP/1.1 204") == answers


class Cycle:
    def __init__(self, *, more_body=False, response_started=False, response_complete=False):
        self.more_body = more_body
        self.response_started = response_started
        self.response_complete = response_complete


class Connection:
    def __init__(self, cycle):
        self.cycle = cycle
        self.transport = self
        self.closed = False

    def close(self):
        self.closed = True


def test_a_request_that_is_answered_takes_the_time_it_takes():
    now = [0.0]
    waited_for = Connection(Cycle(more_body=False))
    answering = Connection(Cycle(more_body=True, response_started=True))
    busy = Connection(Cycle(response_complete=True))
    slow_clients = SlowClients([waited_for, answering, busy], patience_seconds=20, clock=lambda: now[0])
    for _ in range(10):
        slow_clients.look()
        now[0] += 15
        busy.cycle = Cycle(response_complete=True)  # another request came and was answered
    assert not any(connection.closed for connection in (waited_for, answering, busy))


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
