"""A Stripe in memory, behind httpx: Checkout Sessions, intents, charges and refunds, idempotency keys, lists by pages.

Only as much of it as the provider asks for, by https://docs.stripe.com/api; stripe-mock judges the shapes, this one remembers.
"""

import json
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import httpx

Form = dict[str, str]
Document = dict[str, Any]

PAGE_MAX = 2
"""So that whoever lists things has to turn pages."""
_HALF_HOUR_SECONDS = 1800
_DAY_SECONDS = 86400


class Refused(Exception):
    def __init__(self, status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error"):
        self.status, self.error = status, {"type": kind, "code": code, "message": message}


class FakeStripe:
    """`asked` are the requests so far, `events` what it has to tell. A fault in `faults` is used up by one request."""

    def __init__(self, api_key: str, clock: Callable[[], datetime]) -> None:
        self._api_key = api_key
        self._clock = clock
        self.events: list[Document] = []
        self._ids = count(1)
        self._answers: dict[str, tuple[str, Form, httpx.Response]] = {}
        self.sessions: dict[str, Document] = {}
        self.intents: dict[str, Document] = {}
        self.charges: dict[str, Document] = {}
        self.refunds: dict[str, Document] = {}
        self.asked: list[tuple[str, str, Form, str | None]] = []
        self.faults: list[Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]] = []
        self.refund_status = "succeeded"
        self.fee: Document | None = None
        """Of every charge, as a balance transaction has it; none while Stripe does not know it."""

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._take)

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]

    def forget_keys(self) -> None:
        """As Stripe does after a day."""
        self._answers.clear()

    def pay(self, session_id: str) -> None:
        """A guest pays, where the page still takes money."""
        session = self.sessions[session_id]
        if session["status"] == "open":
            session |= {"status": "complete", "payment_status": "paid", "url": None}
            self.money_comes(session_id)

    def money_comes(self, session_id: str) -> None:
        intent = self._intent_of(session_id)
        charge_id = f"ch_{next(self._ids)}"
        self.charges[charge_id] = {
            "id": charge_id,
            "object": "charge",
            "status": "succeeded",
            "captured": True,
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "currency": intent["currency"],
            "created": self._now(),
            "metadata": intent["metadata"],
            "payment_intent": intent["id"],
            "balance_transaction": self.fee,
        }
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge_id}
        intent["last_payment_error"] = None
        self._tell("payment_intent.succeeded", intent)

    def decline(self, session_id: str) -> None:
        if self.sessions[session_id]["status"] == "open":
            intent = self._intent_of(session_id)
            intent["last_payment_error"] = {"type": "card_error", "code": "card_declined"}
            self._tell("payment_intent.payment_failed", intent)

    def fail_refund(self, refund_id: str) -> None:
        """A bank sends it back, which may be days after Stripe said that it succeeded."""
        self.refunds[refund_id] |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self._tell("refund.failed", self.refunds[refund_id])

    def start_slowly(self, session_id: str) -> None:
        """A guest has done their part, and the bank takes days."""
        self._intent_of(session_id)["status"] = "processing"
        self.sessions[session_id] |= {"status": "complete", "url": None}

    def _tell(self, kind: str, about: Document) -> None:
        event_id = f"evt_{next(self._ids)}"
        self.events.append({"id": event_id, "object": "event", "type": kind, "data": {"object": dict(about)}})

    def _now(self) -> int:
        return int(self._clock().timestamp())

    def _take(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode() or request.url.query.decode()))
        key = request.headers.get("idempotency-key")
        self.asked.append((request.method, request.url.path, form, key))
        if self.faults:
            return self.faults.pop(0)(request, lambda: self._answer(request, form, key))
        return self._answer(request, form, key)

    def _answer(self, request: httpx.Request, form: Form, key: str | None) -> httpx.Response:
        path = request.url.path
        if key in self._answers:
            first_path, first_form, answer = self._answers[key]
            if (first_path, first_form) != (path, form):
                return _error(Refused(400, "Keys are for the same parameters", kind="idempotency_error"))
            return httpx.Response(answer.status_code, content=answer.content)
        shown = request.headers["authorization"].removeprefix("Bearer ")
        if shown != self._api_key:
            return _error(Refused(401, f"Invalid API Key provided: {shown}"))
        try:
            answer = httpx.Response(200, json=self._do(request.method, path.removeprefix("/v1/").split("/"), form))
        except Refused as refused:
            return _error(refused)
        if key is not None:
            self._answers[key] = (path, form, answer)
        return answer

    def _do(self, method: str, path: list[str], form: Form) -> Document:
        match method, path:
            case "POST", ["checkout", "sessions"]:
                return self._create_session(form)
            case "GET", ["checkout", "sessions", session_id]:
                return self._shown(_known(self.sessions, session_id), form)
            case "POST", ["checkout", "sessions", session_id, "expire"]:
                return self._shown(self._expire(_known(self.sessions, session_id)), form)
            case "POST", ["refunds"]:
                return self._create_refund(form)
            case "GET", ["refunds", refund_id]:
                return _known(self.refunds, refund_id)
            case "GET", ["refunds"]:
                found = self._listed(self.refunds, form)
                whole = [one | {"charge": self.charges[one["charge"]]} for one in found["data"]]
                return found | {"data": whole if "expand[0]" in form else found["data"]}
            case "GET", ["charges"]:
                return self._listed(self.charges, form)
        raise Refused(404, f"Unrecognized request URL ({method}: {path})")

    def _create_session(self, form: Form) -> Document:
        lives_seconds = int(form["expires_at"]) - self._now() if "expires_at" in form else _DAY_SECONDS
        if lives_seconds < _HALF_HOUR_SECONDS:
            raise Refused(400, "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.")
        if lives_seconds > _DAY_SECONDS:
            raise Refused(400, "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.")
        session_id = f"cs_test_{next(self._ids)}"
        self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "amount_total": int(form["line_items[0][price_data][unit_amount]"]),
            "currency": form["line_items[0][price_data][currency]"],
            "metadata": _metadata(form, "payment_intent_data[metadata]"),
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
        }
        return dict(self.sessions[session_id])

    def _expire(self, session: Document) -> Document:
        if session["status"] != "open":
            raise Refused(400, f'Only Checkout Sessions with a status in ["open"] can be expired: {session["status"]}')
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self.intents[session["payment_intent"]]["status"] = "canceled"
        return session

    def _create_refund(self, form: Form) -> Document:
        intent = _known(self.intents, form["payment_intent"])
        given = sum(
            one["amount"]
            for one in self.refunds.values()
            if one["payment_intent"] == intent["id"] and one["status"] not in ("failed", "canceled")
        )
        if given + int(form["amount"]) > intent["amount_received"]:
            raise Refused(400, "Charge has already been refunded.", code="charge_already_refunded")
        refund_id = f"re_{next(self._ids)}"
        self.refunds[refund_id] = {
            "id": refund_id,
            "object": "refund",
            "status": self.refund_status,
            "amount": int(form["amount"]),
            "currency": intent["currency"],
            "created": self._now(),
            "metadata": _metadata(form, "metadata"),
            "payment_intent": intent["id"],
            "charge": intent["latest_charge"],
        }
        return dict(self.refunds[refund_id])

    def _listed(self, kept: dict[str, Document], form: Form) -> Document:
        found = [
            one
            for one in reversed(kept.values())
            if form.get("payment_intent") in (None, one["payment_intent"])
            and int(form.get("created[gte]", 0)) <= one["created"] < int(form.get("created[lt]", 2**40))
        ]
        after = form.get("starting_after")
        if after:
            found = found[[one["id"] for one in found].index(after) + 1 :]
        return {"object": "list", "data": found[:PAGE_MAX], "has_more": len(found) > PAGE_MAX}

    def _intent_of(self, session_id: str) -> Document:
        session = self.sessions[session_id]
        if session["payment_intent"] is None:
            intent_id = f"pi_{next(self._ids)}"
            session["payment_intent"] = intent_id
            self.intents[intent_id] = {
                "id": intent_id,
                "object": "payment_intent",
                "status": "requires_payment_method",
                "amount": session["amount_total"],
                "amount_received": 0,
                "currency": session["currency"],
                "metadata": session["metadata"],
                "last_payment_error": None,
                "latest_charge": None,
            }
        return self.intents[session["payment_intent"]]

    def _shown(self, session: Document, form: Form) -> Document:
        if session["payment_intent"] is None or "expand[0]" not in form:
            return dict(session)
        intent = dict(self.intents[session["payment_intent"]])
        intent["latest_charge"] = self.charges.get(intent["latest_charge"])
        return session | {"payment_intent": intent}


def _known(kept: dict[str, Document], name: str) -> Document:
    if name not in kept:
        raise Refused(404, f"No such object: '{name}'", code="resource_missing")
    return kept[name]


def _metadata(form: Form, name: str) -> dict[str, str]:
    return {key[len(name) + 1 : -1]: value for key, value in form.items() if key.startswith(f"{name}[")}


def _error(refused: Refused) -> httpx.Response:
    return httpx.Response(
        refused.status, headers={"request-id": "req_1"}, content=json.dumps({"error": refused.error}).encode()
    )
