import pytest

from serve_app.errors import Problem
from serve_app.headers import NEVER, expected_version, idempotency_key, wait_seconds


@pytest.mark.parametrize(
    ("raw", "version"),
    [
        (b'"3"', 3),
        (b' "3" ', 3),
        (b"3", 3),
        (b"*", None),
        (b'"abc"', NEVER),
        (b'W/"3"', NEVER),
        (b'""', NEVER),
        (b'"99999999999999999999"', NEVER),
    ],
)
def test_if_match(raw, version):
    assert expected_version(raw) == version


@pytest.mark.parametrize("raw", [b"", b"abc", b'"3', b'"1", "2"', b"-1", b'"\x00"'])
def test_if_match_malformed_is_named(raw):
    problem = expected_version(raw)
    assert isinstance(problem, Problem)
    assert problem.errors[0].path == "If-Match"


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"wait=10", 10),
        (b"wait=0", 0),
        (b"wait=31", 30),
        (b"wait=999999", 30),
        (b"respond-async, wait=5", 5),
        (b"Wait = 7; foo", 7),
        (b"wait=-1", 0),
        (b"wait=soon", 0),
        (b"await=5", 0),
        (b"", 0),
    ],
)
def test_prefer_wait(raw, seconds):
    assert wait_seconds(raw) == seconds


def test_idempotency_key_takes_1_to_255_characters():
    assert idempotency_key(b"k") == "k"
    assert idempotency_key(b"k" * 255) == "k" * 255
    for raw in (b"", b"k" * 256):
        problem = idempotency_key(raw)
        assert isinstance(problem, Problem)
        assert (problem.status, problem.errors[0].path) == (422, "Idempotency-Key")
