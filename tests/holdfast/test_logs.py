"""What gets into a process's log, and what never does."""

import io
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import structlog

from domain.command import Role
from holdfast import logs
from serve_app.auth import SigningKeys, Tokens
from serve_app.login import LoginBody
from serve_app.operation import ANYONE, Operation
from serve_app.service import About, Service

NOBODY = UUID(int=0)


@pytest.fixture
def written():
    """The lines written by then, with this process's logging put back afterwards."""
    loggers = [logging.getLogger(package) for package in logs.PACKAGES]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    stream = io.StringIO()
    logs.to(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


class Validity:
    async def tokens_valid_from(self, role, account_id):
        return datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_handler_that_raises_shows_no_password_token_or_body(written):
    async def fail(call):
        password = call.body.password
        raise RuntimeError("the handler broke" if password else "")

    tokens = Tokens(SigningKeys("k", {"k": b"k" * 32}), Validity(), lambda: datetime.now(UTC))
    token = tokens.issue(Role.OPERATOR, NOBODY)
    operations = [Operation("POST", "/thing/login", "Log in", ANYONE, fail, body=LoginBody, answer=dict)]
    app = Service(About("thing", "/thing", "Things", "Things."), operations, tokens)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post(
            "/thing/login",
            json={"email": "ada@example.org", "password": "correct horse"},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert response.status_code == 500
    (line,) = written()
    assert (line["event"], line["level"], line["path"]) == ("request_failed", "error", "/thing/login")
    assert line["reference"] in response.json()["detail"]
    assert "RuntimeError: the handler broke" in line["exception"]
    for secret in ("correct horse", token, "ada@example.org", "Bearer"):
        assert secret not in json.dumps(line)


def test_a_model_that_refuses_does_not_repeat_what_it_was_given():
    with pytest.raises(ValueError, match="password") as caught:
        LoginBody.model_validate({"email": "a@b.c", "password": ["correct horse"]})
    assert "correct horse" not in str(caught.value)


@pytest.mark.parametrize("package", logs.PACKAGES)
def test_both_ways_of_logging_are_written_alike(written, package):
    logging.getLogger(f"{package}.part").warning("shard %d: %s", 3, "fenced")
    structlog.get_logger(f"{package}.part").warning("fenced", shard=3)
    logging.getLogger(f"{package}.part").debug("too much")
    structlog.get_logger(f"{package}.part").debug("too much")
    foreign, own = written()
    assert foreign["event"] == "shard 3: fenced"
    assert own["event"] == "fenced"
    assert own["shard"] == 3
    for line in (foreign, own):
        assert (line["level"], line["logger"]) == ("warning", f"{package}.part")
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_a_traceback_of_the_standard_logger_has_no_variables(written):
    def break_down(secret):
        return 1 // (len(secret) - 9)

    secret = "hunter" + "2" * 3
    try:
        break_down(secret)
    except ZeroDivisionError:
        logging.getLogger("actors.shard").exception("an invariant broke")
    (line,) = written()
    assert "ZeroDivisionError" in line["exception"]
    assert secret not in json.dumps(line)


def test_setting_it_up_twice_writes_each_line_once(capfd):
    # Without capture of the stream itself: it is the process's own, which Ray sends to the worker's file.
    before = logging.getLogger("actors").handlers
    try:
        logs.to_stderr()
        logs.to_stderr()
        logging.getLogger("actors.shard").info("here")
    finally:
        structlog.reset_defaults()
        for package in logs.PACKAGES:
            logger = logging.getLogger(package)
            logger.handlers, logger.propagate = before, True
            logger.setLevel(logging.NOTSET)
    assert [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()] == ["here"]


@pytest.mark.parametrize("of", ["holdfast.deployments", "holdfast.wiring", "holdfast.keeper", "holdfast.cli"])
def test_every_kind_of_process_sets_it_up(of):
    """Replicas, shards and the supervisor, the keeper, the command: each has its composition root here."""
    source = Path(__file__).parents[2] / f"{of.replace('.', '/')}.py"
    assert "    logs.to_stderr()\n" in source.read_text("utf-8")
