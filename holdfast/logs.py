"""What every process of Holdfast writes to its log: one line of JSON per event, on the process's own standard error.

A traceback names files, lines and the exception. It never shows the frames' variables, which hold passwords, tokens
and whole requests, and which take long to print while the loop waits.
"""

import logging
import sys
from typing import Final, TextIO

import structlog

PACKAGES: Final = ("actors", "consumers", "domain", "holdfast", "serve_app", "storage")
LEVEL: Final = logging.INFO
QUIET: Final = ("aiokafka",)
"""Drivers that say ten times a second that their server is away. The adapters raise it, and whoever waits says it once."""

_ALIKE: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
_RENDERING: Final[tuple[structlog.typing.Processor, ...]] = (
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    structlog.processors.format_exc_info,
    structlog.processors.JSONRenderer(),
)


def to_stderr() -> None:
    """Set this process's logging up; call it first, and as often as you like."""
    # Ray Serve puts a logger of its own in place of sys.stderr, which would hide what is not a warning.
    to(sys.__stderr__ or sys.stderr)


def to(stream: TextIO) -> None:
    """Both ways of logging, ours by structlog and by the standard library, to this stream alone."""
    structlog.configure(
        processors=[*_ALIKE, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVEL),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream)
    # The foreign ones carry their arguments within the message, so that nothing is rendered twice.
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=_RENDERING, foreign_pre_chain=_ALIKE, use_get_message=True)
    )
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(LEVEL)
        logger.propagate = False
    for driver in QUIET:
        logging.getLogger(driver).setLevel(logging.CRITICAL)
