"""Where log lines of the three commands go: to standard error, each on one line, sanitised.

Only what nobody has foreseen adds the lines of its traceback.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import ExcInfo

from broker.program.sanitise import sanitise


def log_to_stderr(level: int = logging.INFO) -> None:
    """Set up structlog for this process: events below the level are left out."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            sanitise_values,
            structlog.processors.ExceptionRenderer(_traceback),
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


def _traceback(exc_info: ExcInfo) -> str:
    # Without the values of variables: keys are among them, and what strangers have sent. Indented,
    # so that no line of it can be taken for an event.
    lines = "".join(traceback.format_exception(*exc_info)).splitlines()
    return "\n".join(f"  {sanitise(line)}" for line in lines)
