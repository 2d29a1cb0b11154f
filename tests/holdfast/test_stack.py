import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from holdfast.ports import is_taken
from holdfast.stack import go, java
from holdfast.stack.cassandra import Cassandra
from holdfast.stack.elasticsearch import Elasticsearch
from holdfast.stack.java_server import DEPLOY, JavaServer, rendered
from holdfast.stack.kafka import Kafka
from holdfast.stack.records import Records
from holdfast.stack.server import NoAnswer, Server, StackError
from holdfast.stack.settings import StackSettings, variable
from holdfast.stack.stack import SERVERS, PortsTakenError, Stack
from tests.stack import RealServers

HOW_TO = DEPLOY.parent.parent / "docs" / "how-to" / "run-on-real-servers.md"
LISTENER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""
_started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("HOLDFAST_STACK_")]:
        monkeypatch.delenv(name)
    yield
    while _started:
        process = _started.pop()
        process.kill()
        process.wait()


class First(Server):
    """A server that lets everybody in."""

    name = "first"
    start_seconds_max = 20.0
    program = LISTENER

    @property
    def ports(self) -> dict[str, int]:
        return {"kafka_port": self.settings.kafka_port}

    @property
    def variables(self) -> dict[str, str]:
        return {f"HOLDFAST_{self.name.upper()}": "a b"}

    def launch(self, began: Callable[[int], None] = lambda _: None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            words = [sys.executable, "-c", self.program, str(*self.ports.values())]
            _started.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder))
        began(_started[-1].pid)

    def ask(self) -> str:
        try:
            socket.create_connection(("127.0.0.1", *self.ports.values()), timeout=3).close()
        except OSError as error:
            raise NoAnswer(str(error)) from error
        return "here"


class Second(First):
    name = "second"
    after = "first"

    @property
    def ports(self) -> dict[str, int]:
        return {"valkey_port": self.settings.valkey_port}


class Interrupted(First):
    """Somebody presses Ctrl-C while it is waited for."""

    name = "interrupted"

    def ask(self) -> str:
        raise KeyboardInterrupt


class Unrecorded(First):
    """Somebody presses Ctrl-C before its process is recorded."""

    name = "unrecorded"

    def launch(self, _began: Callable[[int], None] = lambda _: None) -> None:
        super().launch()
        raise KeyboardInterrupt


class Needless(Second):
    """Holdfast runs without it, and it cannot be had here."""

    name = "needless"
    needed = False

    def lacks(self) -> str:
        return "Go is missing"


class Broken(First):
    name = "broken"
    program = "import sys; sys.exit('no room on the disk')"


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> StackSettings:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return StackSettings(dir=tmp_path / "stack", kafka_port=free_port, valkey_port=other.getsockname()[1])


def _stack(settings: StackSettings, *kinds: type[Server]) -> Stack:
    return Stack(settings, kinds=kinds or (First, Second))


def test_ports_count_up_from_the_first_unless_they_are_given() -> None:
    settings = StackSettings(port_first=23000, postgres_port=5555)
    assert (settings.kafka_port, settings.kafka_controller_port, settings.postgres_port) == (23000, 23001, 5555)
    assert StackSettings().kafka_port == 19092


def test_two_servers_may_not_have_one_port() -> None:
    with pytest.raises(ValidationError, match="given to more than one server: 9142"):
        StackSettings(kafka_port=9142)


def test_every_setting_is_documented() -> None:
    page = HOW_TO.read_text("utf-8")
    assert [name for name in StackSettings.model_fields if f"`{variable(name)}`" not in page] == []


@pytest.mark.parametrize("kind", [Kafka, Cassandra, Elasticsearch])
def test_files_are_filled_in_with_the_ports_and_folders_of_this_stack(tmp_path: Path, kind: type[JavaServer]) -> None:
    server = kind(StackSettings(dir=tmp_path / "stack", port_first=23000))
    text = "\n".join(rendered(server.name, file, server.values) for file in server.files)
    assert "$" not in text.replace("dollar sign", "")
    assert [port for port in server.ports.values() if not re.search(rf"\b{port}\b", text)] == []
    assert str(tmp_path / "stack" / server.name) in text


def test_files_and_poms_name_no_address_but_loopback_and_the_name_of_mavens_schema() -> None:
    said = "\n".join(file.read_text("utf-8") for file in DEPLOY.glob("*/*"))
    named = set(re.findall(r"\w+://([\w.]+)", said))
    assert named == {"127.0.0.1", "maven.apache.org"}


def test_every_port_has_a_server_that_wants_it() -> None:
    settings = StackSettings()
    wanted = {name for kind in SERVERS for name in kind(settings).ports}
    assert wanted == {name for name in StackSettings.model_fields if name.endswith("_port")}


def test_up_starts_what_is_missing_and_leaves_the_rest(settings: StackSettings) -> None:
    assert _stack(settings).up(["first"]) == ["first"]
    assert _stack(settings).up() == ["second"]
    assert _stack(settings).up() == []
    assert [(health.name, health.said) for health in _stack(settings).look()] == [("first", "here"), ("second", "here")]


def test_what_cannot_be_had_and_need_not_be_is_left_out_with_a_word(settings: StackSettings) -> None:
    told: list[str] = []
    stack = Stack(settings, told.append, kinds=(First, Needless))
    assert stack.up() == ["first"]
    assert "needless is left out: Go is missing" in told
    assert [health.name for health in stack.look()] == ["first"]
    assert settings.env_file.exists()
    assert stack.up(["needless"]) == ["needless"]
    assert [health.name for health in stack.look()] == ["first", "needless"]


def test_the_environment_does_not_wait_for_what_is_not_needed(settings: StackSettings) -> None:
    """And does not name it before it was started."""
    stack = _stack(settings, First, Needless)
    stack.up(["first"])
    before = settings.env_file.read_text("utf-8")
    stack.up(["needless"])
    assert settings.env_file.read_text("utf-8") != before
    assert before.startswith("HOLDFAST_DATA_DIR=")


def test_a_server_brings_the_one_that_it_needs(settings: StackSettings) -> None:
    assert _stack(settings).up(["second"]) == ["first", "second"]


def test_down_ends_what_was_started_and_nothing_else(settings: StackSettings) -> None:
    _stack(settings, First).up()
    _read_along(settings, Second)
    assert _stack(settings).down() == ["first"]
    assert _started[0].wait(10) != 0
    assert _started[1].poll() is None
    assert _stack(settings).down() == []


def test_a_server_that_nobody_recorded_is_taken_over(settings: StackSettings) -> None:
    First(settings).launch()
    assert _stack(settings, First).up() == []
    (health,) = _stack(settings, First).look()
    assert (health.pid, health.said) == (_started[0].pid, "here")
    assert _started[0].poll() is None


def test_a_server_that_nobody_recorded_is_ended_by_down(settings: StackSettings) -> None:
    First(settings).launch()
    assert _stack(settings, First).look()[0].pid == _started[0].pid
    assert _stack(settings).down() == ["first"]
    assert _started[0].wait(10) != 0
    assert _stack(settings).up() == ["first", "second"]


def test_who_reads_along_in_a_servers_folder_is_not_the_server(settings: StackSettings) -> None:
    _read_along(settings, First)
    assert _stack(settings, First).up() == ["first"]
    assert _stack(settings, First).down() == ["first"]
    assert _started[0].poll() is None


@pytest.mark.parametrize("kind", [Interrupted, Unrecorded])
def test_an_interrupt_ends_what_was_being_started_and_nothing_else(settings: StackSettings, kind: type[First]) -> None:
    _stack(settings, Second, First).up(["first"])
    settings = settings.model_copy(update={"kafka_port": settings.valkey_port})
    with pytest.raises(KeyboardInterrupt):
        _stack(settings, kind).up()
    assert _started[1].wait(10) != 0
    assert _started[0].poll() is None
    assert _stack(settings, kind).down() == []


def test_a_server_that_fails_to_answer_keeps_running_to_be_looked_at(settings: StackSettings) -> None:
    class Mute(First):
        start_seconds_max = 0.0

        def ask(self) -> str:
            raise NoAnswer("not a word")

    with pytest.raises(StackError, match="not a word"):
        _stack(settings, Mute).up()
    assert _started[0].poll() is None
    assert _stack(settings, Mute).down() == ["first"]


def test_a_number_that_another_process_has_by_now_is_not_signalled(settings: StackSettings) -> None:
    _read_along(settings, First)
    Records(settings.dir / "run").remember("first", _started[0].pid)
    record = settings.dir / "run" / "first.json"
    record.write_text(re.sub(r'"started": \d+', '"started": 1', record.read_text("utf-8")), "utf-8")
    assert _stack(settings, First).down() == []
    assert _started[0].poll() is None


@pytest.mark.parametrize("torn", ["", '{"pid": 1', "[]", '{"number": 1}', "\x00\x00"])
def test_a_torn_record_is_none_and_the_server_is_found_all_the_same(settings: StackSettings, torn: str) -> None:
    _stack(settings, First).up()
    (settings.dir / "run" / "first.json").write_text(torn, "utf-8")
    assert _stack(settings, First).look()[0].pid == _started[0].pid
    assert _stack(settings, First).up() == []
    (settings.dir / "run" / "first.json").write_text(torn, "utf-8")
    assert _stack(settings, First).down() == ["first"]
    assert _started[0].wait(10) != 0


def test_a_strangers_answer_is_not_the_servers(settings: StackSettings) -> None:
    """Somebody takes the port between the look at it and the start."""

    class Late(Broken):
        def launch(self, began: Callable[[int], None] = lambda _: None) -> None:
            _started.append(subprocess.Popen([sys.executable, "-c", LISTENER, str(*self.ports.values())]))
            while not is_taken("127.0.0.1", *self.ports.values()):
                assert _started[0].poll() is None
            super().launch(began)
            _started[1].wait()

    with pytest.raises(StackError, match="somebody else answers on its port"):
        _stack(settings, Late).up()


def test_a_killed_server_takes_its_children_along(settings: StackSettings) -> None:
    class Parent(First):
        program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LISTENER!r}, sys.argv[1]])"

    stack = _stack(settings, Parent)
    stack.up()
    assert stack.kill("first")
    with pytest.raises(NoAnswer):
        Parent(settings).ask()
    assert not stack.kill("first")


def test_a_taken_port_is_named_with_its_setting_and_the_one_who_wants_it(settings: StackSettings) -> None:
    with socket.create_server(("127.0.0.1", settings.valkey_port)), pytest.raises(PortsTakenError) as refused:
        _stack(settings).up()
    assert re.search(
        rf"second cannot start: port {settings.valkey_port} \(HOLDFAST_STACK_VALKEY_PORT\)"
        rf" is taken by py\S+ \(process {os.getpid()}\)",
        str(refused.value),
    )
    assert _started == []


def test_a_server_that_ends_at_once_is_shown_with_its_last_words(settings: StackSettings) -> None:
    with pytest.raises(StackError, match=r"(?s)broken does not answer.*no room on the disk"):
        _stack(settings, Broken).up()


def test_a_server_of_another_name_is_refused(settings: StackSettings) -> None:
    with pytest.raises(StackError, match="there is no server oracle; there are first, second"):
        _stack(settings).up(["oracle"])


def test_the_environment_is_for_its_owner_alone_and_a_shell_reads_it(settings: StackSettings) -> None:
    _stack(settings).up()
    assert stat.S_IMODE(settings.env_file.stat().st_mode) == 0o600
    read = subprocess.run(
        ["sh", "-c", f". {settings.env_file}; echo $HOLDFAST_FIRST-$HOLDFAST_SECOND"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == "a b-a b\n"


def test_missing_java_is_named_where_it_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "home", lambda: None)
    monkeypatch.setattr("holdfast.stack.java.os.geteuid", lambda: 1000)
    with pytest.raises(java.JavaMissing, match=r"Java 17 is missing; .* apt install openjdk-17-jre-headless maven"):
        java.make_sure()


def test_another_java_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    for version, right in (("1.8.0_402", False), ("17.0.15", True), ("21.0.2", False)):
        _program(tmp_path / version / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")
        assert java._is_right(tmp_path / version) is right
    assert not java._is_right(tmp_path / "none")


def test_missing_go_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(go, "_USUAL", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(go.GoMissing, match=r"Go 1\.22 or newer is missing"):
        go.make_sure()


def test_an_older_go_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    for version, right in (("1.19.8", False), ("1.22.1", True), ("1.26.8", True), ("2.0", True)):
        _program(tmp_path / version / "go", f"echo go version go{version} linux/amd64")
        assert go._is_right(tmp_path / version / "go") is right


def test_a_go_program_is_built_once_and_what_go_said_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    _program(
        tmp_path / "bin" / "go", f'[ "$1" = version ] && exec echo go1.22; echo "$@" >> {calls}; touch $GOBIN/tool'
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for _ in range(2):
        assert go.build("example.com/a/tool", "v1", tmp_path / "lib" / "v1").exists()
    assert calls.read_text() == "install -trimpath example.com/a/tool@v1\n"
    _program(tmp_path / "bin" / "go", '[ "$1" = version ] && exec echo go1.22; echo no such module; exit 1')
    with pytest.raises(StackError, match="no such module"):
        go.build("example.com/a/tool", "v2", tmp_path / "lib" / "v2")
    assert not (tmp_path / "lib" / "v2").exists()


def test_what_a_pom_names_is_fetched_once_and_anew_when_the_pom_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    _program(tmp_path / "bin" / "mvn", f'echo call >> {calls}; for word; do :; done; touch "${{word#*=}}/a.jar"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(java, "environment", lambda: dict(os.environ))
    pom = tmp_path / "pom.xml"
    for text in ("one", "one", "two"):
        pom.write_text(text)
        java.fetch(pom, tmp_path / "lib")
        assert (tmp_path / "lib" / "a.jar").exists()
    assert calls.read_text() == "call\ncall\n"


def test_what_maven_said_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin" / "mvn", "echo no such artifact; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(java, "environment", lambda: dict(os.environ))
    (tmp_path / "pom.xml").write_text("")
    with pytest.raises(StackError, match="no such artifact"):
        java.fetch(tmp_path / "pom.xml", tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


def test_a_test_without_java_skips_with_that_reason_and_fails_where_servers_are_required(
    monkeypatch: pytest.MonkeyPatch, settings: StackSettings
) -> None:
    def refuse() -> None:
        raise java.JavaMissing("Java 17 is missing")

    monkeypatch.setattr(java, "make_sure", refuse)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Java 17 is missing"):
        RealServers(settings).start("kafka")
    for name in ("CI", "HOLDFAST_STACK_REQUIRED"):
        monkeypatch.setenv(name, "1")
        with pytest.raises(java.JavaMissing):
            RealServers(settings).start("kafka")
        monkeypatch.delenv(name)


def _read_along(settings: StackSettings, kind: type[Server]) -> None:
    """What a person's shell does in the server's folder, or an editor."""
    server = kind(settings)
    server.folder.mkdir(parents=True, exist_ok=True)
    server.log.touch()
    words = [
        sys.executable,
        "-c",
        f"import signal; log = open({str(server.log)!r}); print('up', flush=True); signal.pause()",
    ]
    reader = subprocess.Popen(words, cwd=server.folder, stdout=subprocess.PIPE)
    _started.append(reader)
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"up\n"
    reader.stdout.close()


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
