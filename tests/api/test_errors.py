import json

import pytest

from actors.outcome import Trouble, Unavailable
from domain.rejection import Reason, Rejection
from serve_app.errors import STATUS, TITLE, EdgeCode, Problem, problem_of, problem_of_store, rendered, transient
from storage.errors import OutcomeUnknown, StoreError, StoreUnavailable

CONTRACT = {
    "invalid_request": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "bad_signature": 400,
    "email_taken": 409,
    "would_strand_bookings": 409,
    "no_availability": 409,
    "outside_opening_hours": 409,
    "outside_booking_window": 409,
    "party_too_large": 409,
    "stay_not_allowed": 409,
    "hold_expired": 409,
    "illegal_transition": 409,
    "past_cancellation_deadline": 409,
    "idempotency_key_reused": 409,
    "version_conflict": 412,
    "payment_declined": 402,
    "payload_too_large": 413,
    "rate_limited": 429,
    "overloaded": 503,
    "dependency_unavailable": 503,
    "shard_moving": 503,
    "outcome_unknown": 503,
    "internal": 500,
}


def test_the_table_is_the_contract_letter_for_letter():
    assert dict(STATUS) == CONTRACT
    assert set(TITLE) == set(CONTRACT)


@pytest.mark.parametrize("code", [*Reason, *Trouble, *EdgeCode])
def test_every_code_has_a_row_and_renders_every_member(code):
    status, body, headers = rendered(Problem(code, "Why it was refused."))
    content = json.loads(body)

    assert status == content["status"] == CONTRACT[code.value]
    assert {"type", "title", "status", "detail", "code", "transient"} <= set(content)
    assert content["code"] == code.value
    assert (b"content-type", b"application/problem+json") in headers
    assert (b"retry-after" in dict(headers)) == (status in {429, 503})
    assert ("errors" in content) == (status == 422)
    assert ("bookings" in content) == (code is Reason.WOULD_STRAND_BOOKINGS)


def test_only_what_may_pass_by_itself_is_transient():
    passing = {code.value for code in [*Reason, *Trouble, *EdgeCode] if transient(code)}
    assert passing == {"no_availability", "rate_limited", *(trouble.value for trouble in Trouble)}


def test_a_refusal_of_shape_names_its_field():
    problem = problem_of(Rejection(Reason.INVALID_REQUEST, "No such type", path="seat_type"))
    assert json.loads(rendered(problem)[1])["errors"] == [{"path": "seat_type", "message": "No such type"}]


def test_a_shard_on_the_move_says_when_to_come_back():
    headers = dict(rendered(problem_of(Unavailable(Trouble.SHARD_MOVING, "Soon.", retry_after_seconds=3)))[2])
    assert headers[b"retry-after"] == b"3"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable(), "dependency_unavailable"),
        (StoreError(), "dependency_unavailable"),
        (OutcomeUnknown(), "outcome_unknown"),
    ],
)
def test_a_store_that_fails_is_a_503(error, code):
    assert problem_of_store(error).code.value == code
    assert problem_of_store(error).status == 503
