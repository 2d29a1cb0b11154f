"""The domain is pure: what it imports, what comes with it in a fresh process, and that it neither waits nor looks around."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "domain").glob("**/*.py"))

ALLOWED = {
    "array",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "domain",
    "enum",
    "functools",
    "itertools",
    "math",
    "numpy",
    "operator",
    "sys",
    "typing",
    "unicodedata",
    "uuid",
    "zoneinfo",
}
"""Everything the domain may name. A new one is a decision: can it wait, look at a clock, roll dice, log or do I/O?"""

IMPURE = {
    "actors",
    "aiokafka",
    "asyncio",
    "asyncpg",
    "bench",
    "cassandra",
    "consumers",
    "elasticsearch",
    "holdfast",
    "httpx",
    "logging",
    "multiprocessing",
    "orjson",
    "pydantic",
    "random",
    "ray",
    "redis",
    "secrets",
    "serve_app",
    "socket",
    "sqlite3",
    "starlette",
    "storage",
    "structlog",
    "subprocess",
    "threading",
    "urllib",
}
"""Roots that must not be in a process because of the domain; numpy and the standard library may bring some of their own."""

CLOCKS_AND_DICE = {
    "now",
    "utcnow",
    "today",
    "time_ns",
    "monotonic",
    "perf_counter",
    "uuid1",
    "uuid4",
    "getenv",
    "environ",
}
SIDE_EFFECTS = {"open", "print", "input", "eval", "exec", "__import__", "breakpoint"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_names_nothing_impure(path: Path) -> None:
    assert faults(ast.parse(path.read_text())) == []


def faults(tree: ast.AST) -> list[str]:
    found = [f"imports {name}" for name in imported(tree) if name.split(".")[0] not in ALLOWED]
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                found.append(f"line {node.lineno}: waits")
            case ast.Attribute(attr=attr) if attr in CLOCKS_AND_DICE:
                found.append(f"line {node.lineno}: asks for {attr}")
            case ast.Attribute(value=ast.Attribute(attr="random") | ast.Name(id="np"), attr="random"):
                found.append(f"line {node.lineno}: rolls dice")
            case ast.Call(func=ast.Name(id=name)) if name in SIDE_EFFECTS:
                found.append(f"line {node.lineno}: calls {name}")
            case ast.Global() | ast.Nonlocal():
                found.append(f"line {node.lineno}: keeps state outside a value")
            case _:
                pass
    return found


@pytest.mark.parametrize(
    "impure",
    [
        "import random",
        "from asyncio import sleep",
        "import numpy as np, time",
        "async def f(): pass",
        "from datetime import datetime\nx = datetime.now()",
        "x = uuid.uuid4()",
        "import numpy as np\nx = np.random.default_rng()",
        "print('x')",
        "def f():\n    open('x')",
        "import storage.errors",
        "def f():\n    import logging",
        "def f():\n    global x",
    ],
)
def test_the_test_sees_what_is_impure(impure: str) -> None:
    assert faults(ast.parse(impure))


def loaded_by(code: str) -> set[str]:
    """Roots of the modules in a fresh process after the code ran, without site packages' start-up hooks."""
    listing = f"import sys; sys.path[:0] = {[str(ROOT), *site_packages()]!r}\n{code}\nimport json\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", listing], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def test_what_comes_with_the_domain_in_a_fresh_process() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES if path.stem != "__init__"]
    assert "domain.decide" in names
    outside = (
        "import array, bisect, collections.abc, dataclasses, datetime, enum, functools, itertools, math, operator, typing, unicodedata, uuid, zoneinfo\n"
        "import numpy, numpy.typing"
    )
    brought_by_others = loaded_by(outside)
    with_domain = loaded_by("\n".join(f"import {name}" for name in names))
    assert "domain" in with_domain
    assert with_domain - brought_by_others <= {"domain"}
    assert (with_domain & IMPURE) <= (brought_by_others & IMPURE)


def test_the_fresh_process_would_show_an_impure_import() -> None:
    assert loaded_by("import logging, asyncio") >= {"logging", "asyncio"}
    assert not loaded_by("import zoneinfo, uuid, dataclasses") & {"asyncio", "logging", "random"}


def test_an_evening_is_decided_where_no_clock_network_or_dice_can_be_reached() -> None:
    """Once everything is imported, those modules are taken away; whoever reaches for one by the way gets ImportError."""
    code = f"""
sys.path.insert(0, {str(ROOT / "tests" / "domain")!r})
import json, numpy.linalg
from desk import Desk, day, restaurant, table
from domain.availability import AvailabilityQuery, availability
from domain.local_time import zone_offsets
zone_offsets("Pacific/Chatham")
for name in {sorted(IMPURE | {"time", "os", "io", "pathlib"})!r}:
    sys.modules[name] = None
desk = Desk(restaurant(table("A"), table("B"), time_zone="Pacific/Chatham"))
first = desk.booked("24T19:00")
second = desk.booked("24T19:00")
assert desk.hold("24T19:30").reason == "no_availability"
assert desk.amend(first, starts_at="24T21:00").version == 2
assert desk.mark(second, "CANCELLED").status == "CANCELLED"
assert len(availability(desk.state, AvailabilityQuery(day("24"), day("24")), now=desk.now)) == 21
for name in [name for name, module in sys.modules.items() if module is None]:
    del sys.modules[name]
"""
    assert "domain" in loaded_by(code)
