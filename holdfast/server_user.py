"""Under root, servers that refuse root run as another system user.

That user may be unable to enter root's folders; then the server keeps the one capability to search and read (never to
write) past folder permissions, rather than that we open those folders to everybody.
"""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Final

_USERS: Final = ("postgres", "nobody")


class ServerUserError(RuntimeError):
    """There is nobody to run the server as, or whom there is cannot reach its folder."""


def become_server_user(folder: Path, program: Path) -> list[str]:
    """The words to put before a command so that `program` runs as the owner of `folder`, who is not root."""
    account = _account(folder)
    if account is None:
        return []
    become = _becoming(account)
    if _works([*become, "test", "-x", str(program), "-a", "-w", str(folder)]):
        return become
    for capability in ("+dac_read_search", "+dac_override"):  # containers often grant only the wider one
        reach = [*become, f"--inh-caps={capability}", f"--ambient-caps={capability}"]
        if _works([*reach, "true"]):
            return reach
    raise ServerUserError(f"the user {account.pw_name} cannot reach {folder}")


def server_user_enters(folder: Path) -> bool:
    """Whether the server user gets into root's folder by its permissions alone. Raises ServerUserError."""
    account = _account(folder)
    if account is None:
        return True
    return _works([*_becoming(account), "test", "-x", str(folder)])


def give_to_server_user(folder: Path) -> None:
    """Make the folder, not what is in it, the server user's. Raises ServerUserError."""
    account = _account(folder)
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)


def _becoming(account: pwd.struct_passwd) -> list[str]:
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def _account(folder: Path) -> pwd.struct_passwd | None:
    """Whom to run as: the folder's owner unless that is root; None for an ordinary user, who runs it himself."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid
    if owner != 0:
        return pwd.getpwuid(owner)
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerUserError("there is no user `postgres` or `nobody` to run it as")


def _works(command: list[str]) -> bool:
    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - our own arguments
    return done.returncode == 0
