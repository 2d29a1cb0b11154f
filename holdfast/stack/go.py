"""Go: found, and used to build programs that exist as Go modules only."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from holdfast.stack.server import StackError

_VERSION: Final = (1, 22)
_USUAL: Final = Path("/usr/local/go/bin/go")


class GoMissing(StackError):
    """There is no Go of the right version here. It is not installed by apt: Debian's may be too old."""


def make_sure() -> Path:
    """The `go` on the path, else the one where its own package puts it. Raises GoMissing, saying what to install."""
    for program in _candidates():
        if _is_right(program):
            return program
    raise GoMissing(
        f"Go {_VERSION[0]}.{_VERSION[1]} or newer is missing: install it as go.dev/doc/install says, "
        "or by your distribution's package, and have `go` on the path"
    )


def build(module: str, version: str, folder: Path) -> Path:
    """The program of a module, built in `folder` unless it is there. What is fetched is checked by Go's checksum database.

    Raises GoMissing, or another StackError with what Go said.
    """
    program = folder / module.rsplit("/", 1)[-1]
    if program.exists():
        return program
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    done = subprocess.run(  # noqa: S603 - our own arguments
        [make_sure(), "install", "-trimpath", f"{module}@{version}"],
        env=os.environ | {"GOBIN": str(fresh), "GO111MODULE": "on", "CGO_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise StackError(f"Go could not build {module}@{version}:\n" + "\n".join(said[-15:]))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return program


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("go")
    if on_path is not None:
        yield Path(on_path)
    if _USUAL.exists():
        yield _USUAL


def _is_right(program: Path) -> bool:
    done = subprocess.run([program, "version"], capture_output=True, check=False)  # noqa: S603 - a Go of this machine
    found = re.search(rb"\bgo(\d+)\.(\d+)", done.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _VERSION
