"""The description of a service (OpenAPI 3.1), assembled from the operations that are served and nothing else."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from actors.outcome import Trouble
from domain.command import Role
from domain.rejection import Reason
from serve_app.errors import STATUS, TITLE, Code, EdgeCode
from serve_app.operation import ANYONE, Operation

_REF: Final = "#/components/schemas/{model}"
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_RETRY_STATUSES: Final = frozenset({429, 503})


def document(title: str, summary: str, operations: Sequence[Operation[Any, Any]]) -> dict[str, Any]:
    """The whole document; schemas that several operations share stand once, under components."""
    wanted = _wanted(operations)
    adapters = [(name, mode, TypeAdapter(model)) for (name, mode), model in wanted.items()]
    placed, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas: dict[str, Any] = {**definitions.get("$defs", {}), "Problem": _problem_schema()}
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, placed)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "summary": summary, "version": "1", "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From a login."}
            },
        },
    }


def codes_of(operation: Operation[Any, Any]) -> list[Code]:
    """Every refusal that the operation may give: the declared ones and those that follow from its shape."""
    codes: set[Code] = {EdgeCode.UNAUTHENTICATED, Reason.INVALID_REQUEST, EdgeCode.INTERNAL}
    codes |= {Trouble.DEPENDENCY_UNAVAILABLE}
    if operation.callers != ANYONE:
        codes.add(Reason.FORBIDDEN)
    if "{" in operation.path:
        codes.add(Reason.NOT_FOUND)
    if operation.body is not None:
        codes.add(EdgeCode.PAYLOAD_TOO_LARGE)
    if operation.takes_key:
        codes.add(Reason.IDEMPOTENCY_KEY_REUSED)
    if operation.takes_version:
        codes.add(Reason.VERSION_CONFLICT)
    codes |= set(operation.codes)
    return sorted(codes, key=lambda code: (STATUS[code], code.value))


def _wanted(operations: Iterable[Operation[Any, Any]]) -> dict[tuple[str, JsonSchemaMode], Any]:
    """Every model to describe, keyed by where it is used."""
    wanted: dict[tuple[str, JsonSchemaMode], Any] = {}
    for operation in operations:
        if operation.body is not None:
            wanted[_key(operation, "body"), "validation"] = operation.body
        if operation.answer is not None:
            wanted[_key(operation, "answer"), "serialization"] = operation.answer
    return wanted


def _key(operation: Operation[Any, Any], part: str) -> str:
    return f"{operation.method} {operation.path} {part}"


def _operation(
    operation: Operation[Any, Any], schemas: dict[tuple[str, JsonSchemaMode], dict[str, Any]]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "description": _who(operation),
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        schema = schemas[_key(operation, "body"), "validation"]
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {operation.body_media_type: {"schema": schema}},
        }
    if operation.callers != ANYONE:
        described["security"] = [{"token": []}]
    else:
        described["security"] = [{}, {"token": []}]
    return described


def _operation_id(operation: Operation[Any, Any]) -> str:
    words = operation.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
    return "_".join([operation.method.lower(), *words])


def _who(operation: Operation[Any, Any]) -> str:
    if None in operation.callers:
        return "Anyone may call this."
    roles = " or ".join(role.value for role in Role if role in operation.callers)
    return f"With a token of: {roles}."


def _parameters(operation: Operation[Any, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    name = operation.path.partition("{")[2].partition("}")[0]
    if name:
        schema = {"type": "string", "format": "uuid"} if operation.id_is_uuid else {"type": "string"}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        parameters += _query_parameters(operation.query)
    if operation.takes_key:
        key = {"type": "string", "minLength": 1, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": key})
    if operation.takes_version:
        parameters.append({"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}})
    if operation.takes_wait:
        wait = {"type": "string", "examples": ["wait=30"]}
        parameters.append({"name": "Prefer", "in": "header", "required": False, "schema": wait})
    return parameters


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=_REF)
    required = schema.get("required", [])
    shared = schema.get("$defs", {})
    parameters = []
    for name, given in schema["properties"].items():
        described = dict(given)
        if "$ref" in described:
            described = {**shared[described.pop("$ref").rpartition("/")[2]], **described}
        described.pop("title", None)
        parameters.append({"name": name, "in": "query", "required": name in required, "schema": described})
    return parameters


def _responses(
    operation: Operation[Any, Any], schemas: dict[tuple[str, JsonSchemaMode], dict[str, Any]]
) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary}
    if operation.answer is not None:
        schema = schemas[_key(operation, "answer"), "serialization"]
        success["content"] = {operation.media_type: {"schema": schema}}
    lines: dict[str, Any] = {}
    if operation.tagged:
        lines["ETag"] = {"description": "The version, in quotes.", "schema": {"type": "string"}}
    if operation.takes_key:
        words = "`true` where an earlier request under this key got this answer."
        lines["Idempotency-Replayed"] = {"description": words, "schema": {"type": "string", "const": "true"}}
    if lines:
        success["headers"] = lines
    responses = {str(operation.status): success}
    by_status: dict[int, list[Code]] = {}
    for code in codes_of(operation):
        by_status.setdefault(STATUS[code], []).append(code)
    for status, codes in by_status.items():
        responses[str(status)] = _refusal(status, codes)
    return responses


def _refusal(status: int, codes: Sequence[Code]) -> dict[str, Any]:
    which = {"properties": {"code": {"enum": [code.value for code in codes]}, "status": {"const": status}}}
    described: dict[str, Any] = {
        "description": "; ".join(f"`{code.value}`: {TITLE[code]}" for code in codes),
        "content": {"application/problem+json": {"schema": {"allOf": [_PROBLEM, which]}}},
    }
    if status in _RETRY_STATUSES:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        described["headers"] = {"Retry-After": seconds}
    return described


def _problem_schema() -> dict[str, Any]:
    item = {
        "type": "object",
        "required": ["path", "message"],
        "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "transient"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "enum": sorted(STATUS)},
            "transient": {"type": "boolean", "description": "Whether the same request may succeed later."},
            "errors": {"type": "array", "items": item},
            "bookings": {"type": "array", "items": {"type": "string", "format": "uuid"}},
            "booking_id": {"type": "string", "format": "uuid"},
        },
    }
