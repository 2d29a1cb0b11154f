import pytest

from serve_app.errors import Problem
from serve_app.headers import NEVER, VERSIONS_MAX, expected_versions, idempotency_key, wait_seconds


@pytest.mark.parametrize(
    ("raw", "versions"),
    [
        (b'"3"', (3,)),
        (b' "3" ', (3,)),
        (b"3", (3,)),
        (b"*", None),
        (b'"abc"', (NEVER,)),
        (b'W/"3"', (NEVER,)),
        (b'""', (NEVER,)),
        (b'"99999999999999999999"', (NEVER,)),
        (b'"1", "2"', (1, 2)),
        (b'"2","1" ,\t"2"', (1, 2)),
        (b'W/"1", "x,y", "7"', (7,)),
        (b'W/"1", "x"', (NEVER,)),
        (b', "4",, ', (4,)),
    ],
)
def test_if_match(raw, versions):
    assert expected_versions(raw) == versions


MORE_THAN_ALLOWED = b", ".join(b'"%d"' % number for number in range(VERSIONS_MAX + 1))


@pytest.mark.parametrize(
    "raw",
    [b"", b",", b"abc", b'"3', b'"1" "2"', b'"1", *', b'"1", x', b"-1", b'"\x00"', MORE_THAN_ALLOWED],
)
def test_if_match_malformed_is_named(raw):
    problem = expected_versions(raw)
    assert isinstance(problem, Problem)
    assert problem.errors[0].path == "If-Match"


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"wait=10", 10),
        (b"wait=0", 0),
        (b"wait=31", 30),
        (b"wait=999999", 30),
        (b"wait=9999999999", 30),
        (b"wait=" + b"9" * 5000, 30),
        (b"wait=" + b"0" * 50 + b"7", 7),
        (b"wait=000", 0),
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
