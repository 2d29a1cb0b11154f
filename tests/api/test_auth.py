import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from domain.command import Caller, Role
from serve_app.auth import AUDIENCE, ISSUER, TOKEN_TYPE, SigningKeys, Tokens

SECRET = b"s" * 32
USER = uuid4()
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


class Accounts:
    """Counts how often it is asked."""

    def __init__(self):
        self.valid_from = {USER: datetime(2026, 1, 1, tzinfo=UTC)}
        self.asked = 0

    async def tokens_valid_from(self, role, account_id):
        self.asked += 1
        return self.valid_from.get(account_id)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(accounts, clock):
    return Tokens(
        SigningKeys("now", {"now": SECRET, "before": b"o" * 32}), accounts, clock, ttl_seconds=3600, kept_max=3
    )


def bearer(token):
    return b"Bearer " + (token if isinstance(token, bytes) else token.encode())


def forged(secret=SECRET, headers=None, algorithm="HS256", **claims):
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(USER),
        "role": "user",
        "iat": START.timestamp(),
        "exp": START.timestamp() + 60,
        **claims,
    }
    return jwt.encode(
        {name: value for name, value in whole.items() if value is not None},
        secret,
        algorithm=algorithm,
        headers={"kid": "now", "typ": TOKEN_TYPE, **(headers or {})},
    )


async def test_a_token_says_whose_it_is(tokens):
    header = bearer(tokens.issue(Role.USER, USER))
    assert tokens.known(header) is None
    assert await tokens.caller(header) == Caller(Role.USER, USER)
    assert tokens.known(header) == Caller(Role.USER, USER)
    assert await tokens.caller(header.replace(b"Bearer", b"bearer")) == Caller(Role.USER, USER)


async def test_an_older_key_is_still_accepted(tokens):
    assert await tokens.caller(bearer(forged(b"o" * 32, {"kid": "before"}))) is not None


@pytest.mark.parametrize(
    "token",
    [
        forged(b"x" * 32),
        forged(headers={"kid": "never"}),
        forged(headers={"typ": "JWT"}),
        forged(algorithm="HS512", secret=b"s" * 64),
        forged(iss="somebody"),
        forged(aud="else"),
        forged(exp=None),
        forged(iat=None),
        forged(sub=None),
        forged(role="system"),
        forged(role="root"),
        forged(sub="not-an-id"),
        forged(exp=START.timestamp()),
        forged(exp=True),
        forged(exp=1e300),
        forged(iat=START.timestamp() + 3600, exp=START.timestamp() + 7200),
        "",
        "a.b.c",
        "ä.b.c",
        "x" * 3000,
    ],
)
async def test_whatever_is_wrong_with_a_token_it_is_nobodys(tokens, token):
    assert await tokens.caller(bearer(token)) is None


async def test_an_unsigned_token_is_nobodys(tokens):
    def part(content):
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    claims = jwt.decode(forged(), options={"verify_signature": False})
    token = part({"alg": "none", "kid": "now", "typ": TOKEN_TYPE}) + b"." + part(claims) + b"."
    assert await tokens.caller(bearer(token)) is None


async def test_any_changed_character_spoils_a_token(tokens):
    token = tokens.issue(Role.USER, USER)
    for place in range(0, len(token) - 1, 7):
        bent = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert await tokens.caller(bearer(bent)) is None


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer ", b"Basic abc"])
async def test_another_scheme_is_nobodys(tokens, header):
    assert await tokens.caller(header) is None


async def test_a_token_ends(tokens, clock):
    header = bearer(tokens.issue(Role.USER, USER))
    assert await tokens.caller(header) is not None
    clock.now += timedelta(seconds=3600)
    assert tokens.known(header) is None
    assert await tokens.caller(header) is None


async def test_the_account_is_asked_at_most_every_30_seconds(tokens, accounts, clock):
    header = bearer(tokens.issue(Role.USER, USER))
    for _ in range(10):
        assert tokens.known(header) or await tokens.caller(header)
    assert accounts.asked == 1
    clock.now += timedelta(seconds=30)
    assert tokens.known(header) is None
    assert await tokens.caller(header) is not None
    assert accounts.asked == 2


async def test_a_new_password_ends_older_tokens_within_a_minute(tokens, accounts, clock):
    old = bearer(tokens.issue(Role.USER, USER))
    assert await tokens.caller(old) is not None
    clock.now += timedelta(seconds=1)
    accounts.valid_from[USER] = clock.now
    new = bearer(tokens.issue(Role.USER, USER))
    clock.now += timedelta(seconds=30)
    assert await tokens.caller(old) is None
    assert await tokens.caller(new) is not None


async def test_a_token_made_in_the_microsecond_of_the_change_is_new(tokens, accounts, clock):
    clock.now = START.replace(microsecond=999_999)
    accounts.valid_from[USER] = clock.now
    assert await tokens.caller(bearer(tokens.issue(Role.USER, USER))) is not None


async def test_a_token_of_an_account_that_is_not_there_is_nobodys(tokens):
    assert await tokens.caller(bearer(tokens.issue(Role.USER, uuid4()))) is None


async def test_an_operator_has_no_account_to_ask(tokens, accounts):
    assert (await tokens.caller(bearer(tokens.issue(Role.OPERATOR, uuid4())))).role is Role.OPERATOR
    assert accounts.asked == 0


async def test_the_map_of_verified_tokens_is_bounded(tokens, clock):
    headers = []
    for _ in range(5):
        clock.now += timedelta(microseconds=1)
        headers.append(bearer(tokens.issue(Role.USER, USER)))
        assert await tokens.caller(headers[-1]) is not None
    assert [tokens.known(header) is not None for header in headers] == [False, False, True, True, True]
