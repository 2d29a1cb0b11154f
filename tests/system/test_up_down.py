"""The command on the whole product: what `up` starts serves bookings, `down` leaves nothing, `up` finds it all again."""

import os
import signal
import socket

import httpx
import pytest

from holdfast import health
from holdfast.keeper import read_keeper_file
from holdfast.ports import is_taken
from holdfast.ray_head import kept_logs, ray_dir
from tests.system.guests_and_houses import book, dinner, guest, hotel, restaurant, two_nights
from tests.system.running import Running, free_settings, listening, wait_for

pytestmark = pytest.mark.cluster


def test_a_table_and_a_room_are_booked_on_both_ways_in(cluster: Running) -> None:
    with cluster.client() as client:
        ada, chez, inn = guest(client), restaurant(client), hotel(client)
        for base in (cluster.gateway, cluster.express):
            table = book(base, chez, ada, dinner())
            assert (table.status_code, table.json()["status"]) == (201, "CONFIRMED")
            room = book(base, inn, ada, two_nights())
            assert (room.status_code, room.json()["status"]) == (201, "CONFIRMED")
        listed = client.get(f"/bookings/user/{ada.account_id}", headers=ada.headers).json()["items"]
    assert len(listed) == 4
    verified = cluster.command("verify")
    assert verified.returncode == 0, verified.stdout
    assert "Nothing is wrong" in verified.stdout


def test_the_last_table_is_sold_once_whichever_way_in(cluster: Running) -> None:
    with cluster.client() as client:
        ada, chez = guest(client), restaurant(client, tables=2)
    answers = [book(base, chez, ada, dinner()) for base in (cluster.gateway, cluster.express) * 2]
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]


def test_a_key_used_on_one_way_in_is_known_on_the_other(cluster: Running) -> None:
    with cluster.client() as client:
        ada, chez = guest(client), restaurant(client)
    first, again = (
        book(base, chez, ada, dinner(), **{"Idempotency-Key": "once"}) for base in (cluster.express, cluster.gateway)
    )
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"


def test_up_when_it_is_up_says_so_and_changes_nothing(cluster: Running) -> None:
    before = {process.pid for process in cluster.processes()}
    again = cluster.command("up")
    assert again.returncode == 0
    assert "up already" in again.stdout
    assert before <= {process.pid for process in cluster.processes()}


def test_status_and_shards_show_what_runs(cluster: Running) -> None:
    status = cluster.command("status")
    assert status.returncode == 0, status.stdout
    assert "express lane" in status.stdout
    shards = cluster.command("shards")
    assert shards.returncode == 0
    assert f"127.0.0.1:{cluster.settings.express_port}" in shards.stdout


def test_nothing_of_ours_listens_beyond_loopback(cluster: Running) -> None:
    addresses = {address for process in cluster.processes() for address in listening(process.pid)}
    assert ("127.0.0.1", cluster.settings.gateway_port) in addresses
    assert {(host, port) for host, port in addresses if host not in {"127.0.0.1", "::ffff:127.0.0.1", "::1"}} == set()


def test_the_gateway_says_what_is_not_there_as_the_services_do(cluster: Running) -> None:
    with cluster.client() as client:
        nowhere = client.get("/nowhere/at/all")
    assert nowhere.status_code == 404
    assert nowhere.headers["Content-Type"] == "application/problem+json"
    assert nowhere.json()["code"] == "not_found"


def test_the_dashboard_asks_for_the_token(cluster: Running) -> None:
    url = f"http://127.0.0.1:{cluster.settings.ray_dashboard_port}/api/version"
    assert httpx.get(url, trust_env=False).status_code == 401
    token = (cluster.settings.secrets_dir / "ray_token").read_text().strip()
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code == 200


@pytest.mark.parametrize("server", ["valkey", "postgres"])
def test_a_killed_server_comes_back_and_booking_goes_on(cluster: Running, server: str) -> None:
    with cluster.client() as client:
        ada, chez = guest(client), restaurant(client, tables=4)
        assert book(cluster.express, chez, ada, dinner()).status_code == 201
        keeper = read_keeper_file(cluster.settings.data_dir)
        assert keeper is not None
        killed = keeper.servers[server]
        os.kill(killed, signal.SIGKILL)

        def back() -> bool:
            now = read_keeper_file(cluster.settings.data_dir)
            return now is not None and now.servers.get(server, killed) != killed

        wait_for(back, f"{server} to run again", seconds_max=10)
        for base in (cluster.gateway, cluster.express):
            wait_for(lambda base=base: book(base, chez, ada, dinner()).status_code == 201, "a booking", seconds_max=10)
        assert client.post("/user/login", json={"email": "nobody@example.com", "password": "x" * 9}).status_code == 401
    assert cluster.command("verify").returncode == 0


def test_a_killed_gateway_comes_back(cluster: Running) -> None:
    gateway = ("127.0.0.1", cluster.settings.gateway_port)
    (haproxy,) = [process.pid for process in cluster.processes() if gateway in listening(process.pid)]
    os.kill(haproxy, signal.SIGKILL)
    wait_for(lambda: set(health.ask(health.checks(cluster.settings)).values()) == {"ok"}, "the gateway", seconds_max=30)


def test_a_headers_trickle_is_cut_off_by_the_gateway(cluster: Running) -> None:
    with socket.create_connection(("127.0.0.1", cluster.settings.gateway_port), timeout=40) as slow:
        slow.sendall(b"GET /user/healthz HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_demo_is_played_and_is_the_same_again(cluster: Running) -> None:
    words = ("demo", "--vendors", "15", "--guests", "8", "--bookings", "120", "--seed", "3")
    first, again = cluster.command(*words), cluster.command(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert "409 no_availability" in first.stdout
    assert "200 EXPIRED" in first.stdout
    assert _answers(first.stdout) == _answers(again.stdout)


def _answers(printed: str) -> list[list[str]]:
    """The table of what was asked and answered, but for what depends on when somebody asks.

    Requests were sent again for want of an answer, and a payment is declined until the provider has told of the next try.
    """
    table = printed[printed.index("request") : printed.index("bookings in the end")]
    return [line.split() for line in table.splitlines() if "sent again" not in line and "402" not in line]


def test_a_taken_port_is_named_and_nothing_is_started(tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Running(free_settings(tmp_path_factory.mktemp("taken") / "data"))
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", other.settings.gateway_port))
        holder.listen()
        refused = other.command("up")
    assert refused.returncode == 1
    assert f"port {other.settings.gateway_port} (HOLDFAST_GATEWAY_PORT) is taken by" in refused.stderr
    assert f"(process {os.getpid()})" in refused.stderr
    assert other.processes() == []


def test_down_leaves_nothing_and_up_finds_the_data_and_mends_what_broke(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    other = Running(free_settings(tmp_path_factory.mktemp("twice") / "data", shards=2))
    try:
        first = other.command("up")
        assert first.returncode == 0, first.stdout + first.stderr
        with other.client() as client:
            ada, chez = guest(client), restaurant(client, tables=5)
            booking = book(other.express, chez, ada, dinner()).json()
        down = other.command("down")
        assert down.returncode == 0, down.stdout + down.stderr
        assert other.processes() == []
        assert "Holdfast is down" in down.stdout
        assert not ray_dir(other.settings).exists()
        assert list(kept_logs(other.settings).glob("session_*/raylet.out"))
        # HAProxy, replicas and agents are known by their ports too, should the search by mark have missed one.
        ports = [*other.settings.named_ports().values(), *other.settings.internal_ports()]
        assert [port for port in ports if is_taken("127.0.0.1", port)] == []
        again = other.command("up")
        assert again.returncode == 0, again.stdout + again.stderr
        with other.client() as client:
            path = f"/booking/{booking['booking_id']}"
            assert client.get(path, headers=ada.headers).json() == booking
        assert book(other.gateway, chez, ada, dinner()).status_code == 201
        for words in (["--shards", "1"], []):  # vendors that moved answer, and so do those that stayed
            moved = other.command("rebalance", *words)
            assert moved.returncode == 0, moved.stdout + moved.stderr
            assert book(other.gateway, chez, ada, dinner()).status_code == 201
        too_many = other.command("rebalance", "--shards", "3")
        assert "shard 2 does not answer" in too_many.stderr
        assert other.command("verify").returncode == 0
        keeper = read_keeper_file(other.settings.data_dir)
        assert keeper is not None
        os.kill(keeper.keeper.pid, signal.SIGKILL)
        assert other.command("status").returncode == 1
        repaired = other.command("up")
        assert repaired.returncode == 0, repaired.stdout + repaired.stderr
        assert httpx.get(f"{other.express}{path}", headers=ada.headers, trust_env=False).json() == booking
    finally:
        other.command("down")
    assert other.processes() == []
