import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.ports import is_taken, taken_ports
from tests.system.running import free_settings


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held


def test_a_port_that_somebody_listens_on_is_taken(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert is_taken("127.0.0.1", port)
    listener.close()
    assert not is_taken("127.0.0.1", port)


def test_a_port_with_only_old_connections_is_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
        listener.close()
        assert not is_taken("127.0.0.1", port)


def test_taken_ports_are_named_with_their_setting_and_holder(listener: socket.socket, tmp_path: Path) -> None:
    port = listener.getsockname()[1]
    settings = free_settings(tmp_path).model_copy(update={"express_port": port})
    (found,) = taken_ports(settings)
    assert (found.port, found.setting) == (port, "HOLDFAST_EXPRESS_PORT")
    assert str(found).endswith(f"(process {os.getpid()})")


def test_free_ports_are_nobodys(tmp_path: Path) -> None:
    assert taken_ports(free_settings(tmp_path)) == []
