"""A run's streams and consumers, field by field, against what the run needs.

A field that we say nothing about must be as a server makes it: off, or without a bound. The line
that mends a difference sends the whole configuration, as natscli takes it.

>>> wanted = {"name": "LOG", "deny_purge": True, "allow_rollup_hdrs": False}
>>> found = {"name": "LOG", "max_age": 60, "metadata": {"by": "hand"}}
>>> [str(each) for each in differences(found, wanted)]
['deny_purge is not set, wanted is true', 'max_age is 60, wanted is nothing']
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from broker.doctor.commands import Commands
from broker.doctor.facts import Configuration, ConsumerFacts, StreamFacts
from broker.doctor.finding import Finding, Level, critical, fine
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import config

CHECK: Final = "configuration"
_NO_MATTER: Final = frozenset({"metadata", "description", "placement", "first_seq"})
"""Labels, where it lies, and where one that was restored begins."""
_MADE_SO: Final[Mapping[str, object]] = {"replay_policy": "instant", "max_waiting": 512}
"""What a server puts into fields that nobody sets, where that is not nothing."""
_TUNING: Final = frozenset(
    {
        *("max_bytes", "max_msg_size", "max_msgs_per_subject", "discard_new_per_subject"),
        *("duplicate_window", "compression", "allow_direct", "ack_wait", "max_ack_pending"),
        "max_waiting",
    }
)
"""Another value makes the run slower, or less well guarded, and loses nothing."""
_FOR_EVER: Final = frozenset(
    {
        *("name", "storage", "retention", "mirror", "sealed", "persist_mode"),
        *("allow_msg_ttl", "allow_msg_schedules", "allow_msg_counter"),
    }
)
"""What no update changes, or takes back."""


class Difference(Struct, frozen=True):
    """One field."""

    field: str
    found: Any
    wanted: Any
    """None: nothing."""

    def __str__(self) -> str:
        is_ = "not set" if self.found is None else json.dumps(self.found)
        wanted = "nothing" if self.wanted is None else json.dumps(self.wanted)
        return f"{self.field} is {is_}, wanted is {wanted}"


def differences(found: Configuration, wanted: Configuration) -> list[Difference]:
    """All fields in which they differ, in the order of `wanted`; what it has not comes last."""
    stated = [
        Difference(field, found.get(field), value)
        for field, value in wanted.items()
        if _plain(found.get(field)) != _plain(value)
    ]
    unstated = [
        Difference(field, value, None)
        for field, value in found.items()
        if field not in wanted
        and field not in _NO_MATTER
        and _plain(value) not in (None, -1, _MADE_SO.get(field))
    ]
    return stated + unstated


def _plain(value: Any) -> Any:
    """A field that is off may be left out."""
    return value or None


def check_configuration(spec: StreamSpec, found: StreamFacts, commands: Commands) -> list[Finding]:
    """Judge a stream and its consumer."""
    # More replicas than were asked for do no harm, and a line that mends must not take them away.
    spec = replace(spec, num_replicas=max(spec.num_replicas, found.num_replicas))
    findings = [_stream(found, _builtins(config.stream_config(spec)), commands)]
    if spec.kind is StreamKind.QUEUE:
        findings += _consumers(spec, found.consumers, commands)
    return findings


def _builtins(value: Struct) -> Configuration:
    return msgspec.json.decode(msgspec.json.encode(value))


def _stream(found: StreamFacts, wanted: Configuration, commands: Commands) -> Finding:
    differing = differences(found.config, wanted)
    if any(each.field in _FOR_EVER for each in differing):
        fix = "learner open --name ANOTHER   # what differs cannot be changed in a stream"
    else:
        updated = _updated(found.config, wanted, differing)
        fix = commands.request(f"STREAM.UPDATE.{found.name}", updated)
    return _judged(found.name, differing, len(wanted), fix)


def _consumers(
    spec: StreamSpec, consumers: Sequence[ConsumerFacts], commands: Commands
) -> list[Finding]:
    wanted = _builtins(config.consumer_config(spec))
    path = f"{spec.name}.{spec.consumer}"
    others = [each.name for each in consumers if each.name != spec.consumer]
    findings = [
        critical(
            CHECK,
            f"{spec.name} {other}",
            "somebody else takes groups out of the queue",
            commands.request(f"CONSUMER.DELETE.{spec.name}.{other}"),
        )
        for other in others
    ]
    ours = next((each.config for each in consumers if each.name == spec.consumer), None)
    about = f"{spec.name} {spec.consumer}"
    if ours is None:
        created = {"stream_name": spec.name, "config": wanted, "action": "create"}
        fix = commands.request(f"CONSUMER.CREATE.{path}", created)
        return [*findings, critical(CHECK, about, "the queue has no consumer", fix)]
    differing = differences(ours, wanted)
    updated = _updated(ours, wanted, differing)
    request = {"stream_name": spec.name, "config": updated, "action": "update"}
    fix = commands.request(f"CONSUMER.CREATE.{path}", request)
    return [*findings, _judged(about, differing, len(wanted), fix)]


def _updated(
    found: Configuration, wanted: Configuration, differing: Sequence[Difference]
) -> Configuration:
    """What is there, with what is wanted; labels that the server has put there are its own."""
    gone = {"metadata", *(each.field for each in differing if each.wanted is None)}
    kept = {field: value for field, value in found.items() if field not in gone}
    return {**kept, **wanted}


def _judged(about: str, differing: Sequence[Difference], num_fields: int, fix: str) -> Finding:
    if not differing:
        return fine(CHECK, about, f"as the run needs it, in all of {num_fields} fields")
    tuning = all(each.field in _TUNING for each in differing)
    return Finding(
        check=CHECK,
        about=about,
        level=Level.WARNING if tuning else Level.CRITICAL,
        found="; ".join(map(str, differing)),
        fix=fix,
    )
