"""The sandbox's checkout page: plain HTML, a form, no script, and nobody logs in. Who has the address may pay."""

from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import urlsplit

from domain.currency import decimal_text
from serve_app import docs_page
from serve_app.answer import Answer
from storage.sandbox_checkout import CheckoutState, Choice, Fate, SandboxCheckout

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.25rem; } .amount { font-size: 2rem; font-weight: 700; margin: .5rem 0; } .small { color: #555; font-size: .9rem; }
button { font: inherit; padding: .6rem 1.2rem; margin: 0 .5rem .5rem 0; border: 1px solid #444; border-radius: .4rem; background: #fff; }
button.pay { background: #14532d; border-color: #14532d; color: #fff; } select { font: inherit; }
details { margin-top: 1.5rem; border-top: 1px solid #ccc; padding-top: 1rem; } code { overflow-wrap: anywhere; }
"""

_HEADERS: Final = docs_page.headers(_STYLE, forms_to="'self'")

_SAID: Final = {
    CheckoutState.OPEN: "This deposit is due now.",
    CheckoutState.DECLINED: "Your bank declined the payment. You may try again.",
    CheckoutState.PAID: "Paid. Thank you!",
    CheckoutState.CLOSED: "This checkout is closed: nothing is due any more.",
}
_FATES: Final = {
    Fate.NOW: "at once",
    Fate.LOST: "never: it gets lost",
    Fate.DOUBLED: "two times over",
    Fate.LATE: "late",
    Fate.OUT_OF_ORDER: "out of order, after a try that was declined",
}


def checkout_answer(checkout: SandboxCheckout) -> Answer:
    body = docs_page.page("Deposit", _body(checkout), _STYLE)
    return Answer(200, body, [*_HEADERS, (b"cache-control", b"no-store")])


def _body(checkout: SandboxCheckout) -> str:
    amount = f"{escape(decimal_text(checkout.amount.amount_minor, checkout.amount.currency))}"
    parts = [
        "<h1>Deposit for your booking</h1>",
        f'<p class="amount">{amount} {escape(checkout.amount.currency)}</p>',
        f'<p role="status" data-state="{checkout.state.value}">{escape(_SAID[checkout.state])}</p>',
        f'<p class="small">Booking <code>{escape(str(checkout.booking_id))}</code></p>',
    ]
    if checkout.captures > 1:
        parts.append(f"<p>The money came {checkout.captures} times. What is too much goes back.</p>")
    payable = checkout.state in (CheckoutState.OPEN, CheckoutState.DECLINED)
    if payable and checkout.closes_at is not None:
        parts.append(f'<p class="small">Open until {_instant(checkout.closes_at)}.</p>')
    parts.append(_form(checkout, payable=payable))
    if _leads_somewhere(checkout.returns_to):
        parts.append(f'<p><a href="{escape(checkout.returns_to)}">Back to where you came from</a></p>')
    parts.append('<p class="small">This is a sandbox: no money moves.</p>')
    return "".join(parts)


def _form(checkout: SandboxCheckout, *, payable: bool) -> str:
    usual = _button(Choice.PAY, "Pay", "pay") + _button(Choice.DECLINE, "Have it declined") if payable else ""
    options = "".join(f'<option value="{fate.value}">{escape(said)}</option>' for fate, said in _FATES.items())
    return (
        '<form method="post" autocomplete="off">'
        f'<input type="hidden" name="charge" value="{checkout.charge_number}">{usual}'
        "<details><summary>What can go wrong</summary>"
        f'<p><label>The house is told <select name="webhook">{options}</select></label></p>'
        f"{_button(Choice.PAY_TWICE, 'Pay two times over') if payable else ''}"
        f"{_button(Choice.PAY_LATE, 'Pay after it is closed')}</details></form>"
    )


def _button(choice: Choice, words: str, kind: str = "other") -> str:
    return f'<button class="{kind}" name="choice" value="{choice.value}">{escape(words)}</button>'


def _leads_somewhere(address: str) -> bool:
    """Whether it is a page, and nothing that a browser would run."""
    return urlsplit(address).scheme in ("http", "https")


def _instant(at: datetime) -> str:
    at = at.astimezone(UTC)
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{at:%Y-%m-%d %H:%M:%S} UTC</time>'
