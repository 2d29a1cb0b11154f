"""Java 17 and Maven: found, installed by apt where that may be done, and used to fetch jars."""

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from holdfast.stack.server import StackError

PACKAGES: Final = ("openjdk-17-jre-headless", "maven")
_VERSION: Final = 17
_PATIENT: Final = ("-Dmaven.wagon.http.retryHandler.count=5", "-Daether.connector.http.retryHandler.count=5")
"""A jar that does not come at the first try is asked for again: the older and the newer Maven's name for it."""

_JVM_FOLDER: Final = Path("/usr/lib/jvm")

Tell = Callable[[str], None]


class JavaMissing(StackError):
    """There is no Java 17 or no Maven, and they cannot be installed from here."""


def make_sure(tell: Tell = lambda _: None) -> None:
    """Have Java 17 and Maven, installed by apt if we are root. Raises JavaMissing, saying what to install."""
    missing = _missing()
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise JavaMissing(f"{missing} is missing; on Debian or Ubuntu: sudo apt install {' '.join(PACKAGES)}")
    tell(f"{missing} is missing: installing {' and '.join(PACKAGES)} by apt")
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        _run_apt(words, missing)
    home.cache_clear()
    if _missing():
        raise JavaMissing(f"{_missing()} is still missing after apt installed {' and '.join(PACKAGES)}")


@cache
def home() -> Path | None:
    """The folder of a Java 17: JAVA_HOME, else the `java` on the path, else one where distributions put it."""
    return next((folder for folder in _candidates() if _is_right(folder)), None)


def binary() -> Path:
    found = home()
    if found is None:
        raise JavaMissing(f"Java {_VERSION} is missing")
    return found / "bin" / "java"


def environment() -> dict[str, str]:
    """Ours, with that Java in it, and without options that a developer set for other Java programs."""
    found = binary().parent.parent
    ours = {name: value for name, value in os.environ.items() if name not in {"JAVA_TOOL_OPTIONS", "CLASSPATH"}}
    return ours | {"JAVA_HOME": str(found)}


def fetch(pom: Path, folder: Path) -> None:
    """What the pom names, copied into `folder`, zips unpacked. Does nothing when that very pom was fetched before."""
    mark = folder / "fetched"
    wanted = sha256(pom.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text("ascii") == wanted:
        return
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["mvn", "-q", "-B", *_PATIENT, "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"],  # noqa: S607
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise StackError(f"Maven could not fetch what {pom} names:\n" + "\n".join(said[-15:]))
    for archive in fresh.glob("*.zip"):
        _unpack(archive, fresh)
        archive.unlink()
    (fresh / "fetched").write_text(wanted, "ascii")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _missing() -> str:
    lacking = [] if home() else [f"Java {_VERSION}"]
    if shutil.which("mvn") is None:
        lacking.append("Maven")
    return " and ".join(lacking)


def _candidates() -> Iterator[Path]:
    if "JAVA_HOME" in os.environ:
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path is not None:
        yield Path(on_path).resolve().parent.parent
    if _JVM_FOLDER.is_dir():
        yield from sorted(_JVM_FOLDER.iterdir())


def _is_right(folder: Path) -> bool:
    """Cassandra runs on Java 11 and 17 only, the others on 17 and later."""
    program = folder / "bin" / "java"
    if not program.exists():
        return False
    done = subprocess.run([program, "-version"], capture_output=True, check=False)  # noqa: S603 - a Java of this machine
    found = re.search(rb'version "(\d+)', done.stderr)
    return found is not None and int(found[1]) == _VERSION


def _run_apt(words: list[str], missing: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["apt-get", "-q", *words],  # noqa: S607
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-10:])
        raise JavaMissing(f"{missing} is missing, and `apt-get {' '.join(words)}` failed:\n{said}")


def _unpack(archive: Path, folder: Path) -> None:
    """With the permissions that the archive names, which zipfile alone forgets."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            path = Path(opened.extract(member, folder))
            mode = member.external_attr >> 16 & 0o777
            if mode and path.is_file():
                path.chmod(mode)
