"""Where log lines of the three commands go: to standard error, each on one line, sanitised."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from broker.program.sanitise import sanitise


def log_to_stderr(level: int = logging.INFO) -> None:
    """Set up structlog for this process: events below the level are left out."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            sanitise_values,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up for each logger, because standard error may be replaced.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def sanitise_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A structlog processor: text from outside cannot forge a line or reach the terminal."""
    return {
        name: sanitise(value) if isinstance(value, str) else value for name, value in event.items()
    }
