"""Finishes the HAProxy configuration that Ray Serve writes, on its way to HAProxy.

Serve binds two status pages to all interfaces, says nothing of the client's address, sends a datagram to a syslog that
nobody runs with each request, waits for ever for a request's headers, and answers in plain text, with 500, what is a 503
of ours. None of that is a setting, but the path of HAProxy is. So that path names a two-line script, on one machine and on
each of a cluster, which runs this file: it rewrites the configuration that the command line names, then becomes HAProxy. It
knows only the standard library, so it starts quickly.
"""

import os
import re
import sys
from itertools import pairwise
from pathlib import Path


def finish(text: str, host: str, problems_dir: Path) -> str:
    """The configuration with those things put right, and the gateway itself on `host`, wherever Serve put it.

    Serve has one host setting for the gateway and its replicas. `problems_dir` holds the answers: see `gateway_problems`.
    """
    text = re.sub(r"^(\s*bind )(?:\*)?:(\d+)", r"\g<1>127.0.0.1:\2", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*log \S+ local0 info\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*errorfile .*\n", "", text, flags=re.MULTILINE)
    answers = "".join(f"    errorfile {file.stem} {_word(file)}\n" for file in sorted(problems_dir.glob("*.http")))
    nowhere = _word(problems_dir / "404.json")
    text = re.sub(
        r"^(\s*)http-request return status 404 .*$",
        lambda found: f"{found[1]}http-request return status 404 content-type application/problem+json file {nowhere}",
        text,
        flags=re.MULTILINE,
    )
    # A client that sends its headers byte by byte holds a connection no longer than this.
    text = re.sub(
        r"^(defaults\n\s*mode http\n)(?!.*http-request)",
        r"\g<1>    timeout http-request 15s\n",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"^defaults\n\s*mode http\n\s*timeout http-request .*\n",
        lambda found: found[0] + answers,
        text,
        flags=re.MULTILINE,
    )
    # Whatever a client says of itself in that header is not believed.
    return re.sub(
        r"^(frontend http_frontend\n\s*bind )\S+:(\d+)\n(?:.* x-forwarded-for .*\n)?",
        rf"\g<1>{host}:\2\n    http-request set-header x-forwarded-for %[src]\n",
        text,
        flags=re.MULTILINE,
    )


def _word(path: Path) -> str:
    """As HAProxy reads it from a line, whatever signs are in it."""
    return re.sub(r"([\s\"'\\#$])", r"\\\1", str(path))


def main(arguments: list[str]) -> None:
    """`arguments`: the gateway's host, the folder of the answers, the real HAProxy, and what it is started with."""
    host, problems_dir, haproxy, *rest = arguments
    for flag, value in pairwise(rest):
        if flag == "-f":
            path = Path(value)
            path.write_text(finish(path.read_text("utf-8"), host, Path(problems_dir)), "utf-8")
    os.execv(haproxy, [haproxy, *rest])  # noqa: S606 - the very binary that Serve asked for


if __name__ == "__main__":
    main(sys.argv[1:])
