"""What the commands log."""

import structlog

from broker.program.logs import log_to_stderr

FORGED = "\n2026-11-29T00:00:00Z [error] forged \x1b[31m"


def test_text_from_outside_stays_on_its_line(capsys):
    log_to_stderr()
    structlog.get_logger().info("event", name=FORGED)
    (line,) = capsys.readouterr().err.splitlines()
    assert "forged" in line
    assert "\x1b" not in line


def test_a_traceback_shows_no_variables_and_forges_no_event(capsys):
    log_to_stderr()
    secret = "-".join(["seed", "of", "somebody"])
    try:
        raise ValueError(f"{len(secret)}{FORGED}")
    except ValueError:
        structlog.get_logger().exception("unforeseen")
    event, *rest = capsys.readouterr().err.splitlines()
    assert "unforeseen" in event
    assert "Traceback" in rest[0]
    assert all(line.startswith("  ") for line in rest)
    assert not any(secret in line or "\x1b" in line for line in rest)
