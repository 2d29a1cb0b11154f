"""Head and body of an answer leave in one write, and nothing is ever kept back."""

import asyncio

import pytest

from actors.one_write import JoiningTransport

pytestmark = pytest.mark.real_time


class Wire:
    def __init__(self) -> None:
        self.written = []
        self.closed = False

    def write(self, data):
        self.written.append(data)

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return name


@pytest.fixture
async def wire():
    return Wire()


async def test_two_pieces_of_one_turn_leave_together(wire):
    transport = JoiningTransport(wire, asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b"body")
    assert wire.written == [b"headbody"]
    await asyncio.sleep(0)
    assert wire.written == [b"headbody"]


async def test_a_lone_piece_leaves_with_the_turn(wire):
    transport = JoiningTransport(wire, asyncio.get_running_loop())
    transport.write(b"head")
    assert wire.written == []
    await asyncio.sleep(0)
    assert wire.written == [b"head"]
    transport.write(b"")
    await asyncio.sleep(0)
    assert wire.written == [b"head"]


async def test_what_is_kept_leaves_before_the_connection_closes(wire):
    transport = JoiningTransport(wire, asyncio.get_running_loop())
    transport.write(b"last")
    transport.close()
    assert wire.written == [b"last"]
    assert wire.closed
    assert transport.is_closing()


async def test_everything_else_is_the_transports_own(wire):
    transport = JoiningTransport(wire, asyncio.get_running_loop())
    assert transport.get_extra_info("peername") == "peername"
