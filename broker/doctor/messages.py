"""Do the run's messages fit, and does the server refuse what it does not understand?"""

from typing import Final

from broker.doctor.facts import Greeting
from broker.doctor.finding import Finding, critical, fine, unknown
from broker.program import words
from schemas.batch import most_rows
from schemas.settings import RunSettings

_PAYLOAD: Final = "max_payload"
_STRICT: Final = "strict requests"


def check_payload(server: Greeting, settings: RunSettings) -> Finding:
    """A group is one message, and so is a batch."""
    limit, largest = server.max_message_bytes, settings.intake.max_message_bytes
    found = f"the server takes {words.size(limit)} in one message"
    fix = f"max_payload: {(largest >> 20) + 1}MB   # in nats.conf, then nats-server --signal reload"
    if limit < largest:
        need = f"intake.max_message_bytes is {words.size(largest)}"
        return critical(_PAYLOAD, settings.name, f"{found}, and {need}", fix)
    if (most := most_rows(limit, settings.sampling.group_size)) < settings.batch.num_groups:
        need = f"a batch of {settings.batch.num_groups} groups fits for sure only up to {most}"
        return critical(_PAYLOAD, settings.name, f"{found}: {need}", fix)
    return fine(_PAYLOAD, settings.name, f"{found}; a group has {words.size(largest)} at most")


def check_strict(server: Greeting) -> Finding:
    """An answer that a forged reply subject sends to JetStream must not pass for a request."""
    if server.strict is None:
        why = "JetStream does not answer"
        return unknown(_STRICT, server.name, why, "jetstream { store_dir: DIR }   # in nats.conf")
    if server.strict:
        return fine(_STRICT, server.name, "requests with unknown fields are refused")
    return critical(
        _STRICT,
        server.name,
        "JetStream takes requests with unknown fields: a reply subject can be made a request",
        f"strict: true   # in jetstream {{ }} of nats.conf, then start {server.name} again",
    )
