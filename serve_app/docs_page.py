"""A service's description as a plain page for people: made on the server, with no script and nothing from elsewhere."""

import base64
import hashlib
from html import escape
from typing import Any, Final

import orjson

from serve_app.answer import Header

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; font-size: 1.15rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; } pre { background: #f5f5f2; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
.method { display: inline-block; min-width: 4rem; font-weight: 700; }
"""


def headers(style: str = _STYLE, *, forms_to: str = "'none'") -> list[Header]:
    """For every page made here: nothing from elsewhere, no script, in nobody's frame; its forms go to `forms_to` alone."""
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; base-uri 'none'; form-action {forms_to}; "
        "frame-ancestors 'none'"
    )
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]


def page(title: str, body: str, style: str = _STYLE) -> bytes:
    """A whole HTML page; `body` is HTML already escaped."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>'.encode()
    )


def render(document: dict[str, Any]) -> bytes:
    info = document["info"]
    parts = [f"<h1>{escape(info['title'])}</h1><p>{escape(info['summary'])}</p>"]
    parts.append('<p>The same for machines: <a href="openapi.json">openapi.json</a></p>')
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation))
    parts.append("<h2>Shapes</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f'<h3 id="{escape(name)}">{escape(name)}</h3>{_json(schema)}')
    return page(info["title"], "".join(parts))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>',
        f"<p>{escape(operation['summary'])}. {escape(operation['description'])}</p>",
    ]
    if operation["parameters"]:
        rows = "".join(_parameter(parameter) for parameter in operation["parameters"])
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th>Takes</th></tr>{rows}</table>")
    if "requestBody" in operation:
        for media_type, content in operation["requestBody"]["content"].items():
            parts.append(f"<p>Takes {escape(media_type)}</p>{_json(content['schema'])}")
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}{_shape(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    parts.append(f"<table><tr><th>Status</th><th>Meaning</th></tr>{rows}</table>")
    return "".join(parts)


def _parameter(parameter: dict[str, Any]) -> str:
    needed = "" if parameter["required"] else " (optional)"
    shape = orjson.dumps(parameter["schema"]).decode()
    cells = (
        f"<code>{escape(parameter['name'])}</code>{needed}",
        escape(parameter["in"]),
        f"<code>{escape(shape)}</code>",
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _shape(answer: dict[str, Any]) -> str:
    reference = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    name = escape(reference.rpartition("/")[2])
    return f': <a href="#{name}">{name}</a>' if name else ""


def _json(schema: Any) -> str:
    return f"<pre>{escape(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())}</pre>"
