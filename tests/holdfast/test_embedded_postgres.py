"""The embedded Postgres: durable, closed to the neighbours, back after every kind of death, also under root."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import pytest

from holdfast.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError, _folder_of, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory, module_port):
    made = EmbeddedPostgres(tmp_path_factory.mktemp("embedded"), module_port)
    made.start()
    yield made
    made.stop()


def ask(url, query):
    async def once():
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(once())


def test_what_it_acknowledges_is_on_disk(server):
    assert [ask(server.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
        "on"
    ] * 3


def test_it_listens_on_loopback_alone_and_asks_for_a_password(server):
    assert ask(server.url, "SHOW listen_addresses") == "127.0.0.1"
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(server.url.replace(server.url.split(":")[2].split("@")[0], "wrong"), "SELECT 1")


def test_the_application_is_no_superuser(server):
    assert ask(server.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_the_secret_is_readable_by_its_owner_alone(server):
    assert stat.S_IMODE((server._dir / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((server._dir / "cluster").stat().st_mode) == 0o700


def test_the_server_is_never_root(server):
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_what_was_committed_is_there_after_a_kill(server):
    ask(server.url, "CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS number")
    os.kill(server.pid, signal.SIGKILL)
    server._process.wait()
    assert not server.running
    assert server.pid is None
    server.start()
    assert ask(server.url, "SELECT number FROM kept") == 42


def test_stop_and_start_find_the_data_of_before(server):
    ask(server.url, "CREATE TABLE IF NOT EXISTS again AS SELECT 7 AS number")
    url = server.url
    server.stop()
    server.stop()
    assert server.pid is None
    server.start()
    assert server.url == url
    assert ask(server.url, "SELECT number FROM again") == 7


def test_a_server_left_over_by_a_killed_keeper_is_replaced(server):
    left_over = server.pid
    successor = EmbeddedPostgres(server._dir, server._port)
    successor.start()
    assert server._process.wait(20) is not None
    assert successor.pid != left_over
    assert ask(successor.url, "SELECT 1") == 1
    successor.stop()
    server.start()


def test_an_interrupted_start_leaves_no_server(server, monkeypatch):
    server.stop()
    began = []

    def interrupt(_server, _pid):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedPostgres, "_ready", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.start(began=began.append)
    assert len(began) == 1
    assert _folder_of(began[0]) is None
    assert not server.running
    server.start()


def test_a_port_in_use_is_told_with_the_servers_own_words(server, tmp_path):
    other = EmbeddedPostgres(tmp_path / "other", server._port)
    with pytest.raises(EmbeddedPostgresError, match="could not bind"):
        other.start(wait_seconds=0.1)
    assert not other.running


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_runs_it_too(request, module_port):
    """In a process of that user's own, with nothing but the standard library and the wheel's files."""
    nobody = pwd.getpwnam("nobody")
    python = Path("/usr/bin/python3")
    home = Path(tempfile.mkdtemp())
    request.addfinalizer(lambda: shutil.rmtree(home))
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    if not python.exists() or not can_read(nobody, packages):
        pytest.skip("that user can read neither a Python nor the packages")
    script = (
        "import os, sys; from pathlib import Path; from holdfast.embedded_postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path({str(home)!r}) / 'pg', {module_port + 1}); server.start()\n"
        "print(os.stat(f'/proc/{server.pid}').st_uid); server.stop()"
    )
    done = subprocess.run(
        [
            "setpriv",
            f"--reuid={nobody.pw_uid}",
            f"--regid={nobody.pw_gid}",
            "--clear-groups",
            str(python),
            "-B",
            "-c",
            script,
        ],
        env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stdout.strip() == str(nobody.pw_uid), done.stderr


def test_a_server_of_a_test_ends_with_it(server, tmp_path, module_port):
    """Also when the test's process is killed and can clean up nothing."""
    script = (
        "import os, sys; from pathlib import Path; from holdfast.embedded_postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path({str(tmp_path)!r}) / 'pg', {module_port + 2}, ends_with_us=True); server.start()\n"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as killed:
        pid = int(killed.stdout.readline())
        assert _folder_of(pid) == tmp_path / "pg" / "cluster"
        killed.kill()
    assert wait_until(lambda: _folder_of(pid) is None, time.monotonic() + 20)


def can_read(account, path):
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return subprocess.run([*become, "test", "-r", path], check=False).returncode == 0
