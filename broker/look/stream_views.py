"""Streams, their subjects and their consumers as tables and lines."""

import time

from broker.interface import StreamKind, StreamSpec
from broker.look.consumers import ConsumerView
from broker.look.info import StreamInfo
from broker.look.listing import StreamView
from broker.look.short_keys import short_keys
from broker.look.subjects import SubjectView
from broker.program.screen import Column, show_line, show_table
from broker.program.words import age, counted, since, size, utc


def show_info(info: StreamInfo) -> None:
    """One fact on each line."""
    stream, now = info.stream, time.time()
    whose = f", of run {stream.run}" if stream.run else ""
    show_line(f"{stream.name}: {stream.meaning}{whose}")
    for fact, value in (*_contents(info, now), *_setup(info.spec, own=stream.run is not None)):
        show_line(f"  {fact:<12}{value}")
    if info.consumers:
        show_line()
        show_consumers(list(info.consumers))


def _contents(info: StreamInfo, now: float) -> list[tuple[str, str]]:
    stream = info.stream
    bound = f" of {size(stream.max_bytes)}" if stream.max_bytes >= 0 else ", unbounded"
    first, last = stream.first_sequence, stream.last_sequence
    facts = [
        ("made", f"{utc(info.created)}, {since(info.created, now=now)} ago"),
        ("holds", f"{counted(stream.num_messages, 'message')}, {size(stream.num_bytes)}{bound}"),
        ("subjects", f"{info.num_subjects:,}"),
        (
            "sequences",
            f"{first} to {last}" if stream.num_messages else f"none; the last was {last}",
        ),
    ]
    if stream.first_time is not None:
        facts.append(("oldest", _moment(stream.first_time, now)))
    if stream.last_time is not None:
        facts.append(("newest", _moment(stream.last_time, now)))
    if stream.lag_groups is not None:
        facts.append(("lag", lag_words(stream)))
    return [*facts, ("consumers", str(stream.num_consumers))]


def _moment(moment: float, now: float) -> str:
    return f"{utc(moment)}, {since(moment, now=now)} ago"


def lag_words(stream: StreamView) -> str:
    """How far a queue lags; nothing for a log."""
    if stream.lag_groups is None:
        return ""
    groups = counted(stream.lag_groups, "group")
    if stream.lag_versions is None:
        return groups
    return f"{groups}, {counted(stream.lag_versions, 'version')}"


def _setup(spec: StreamSpec, *, own: bool) -> list[tuple[str, str]]:
    facts = [("stores", ", ".join(spec.subjects) or "what another stream does")]
    if own and spec.kind is StreamKind.QUEUE:
        facts.append(("kept", "until its verdict; what has no room is refused, never dropped"))
    elif own:
        facts.append(("kept", "for ever; nothing can be purged or deleted"))
    if spec.max_message_bytes >= 0:
        facts.append(("message", f"at most {size(spec.max_message_bytes)}"))
    if spec.max_messages_per_subject >= 0:
        facts.append(("subject", f"at most {counted(spec.max_messages_per_subject, 'message')}"))
    if spec.duplicate_window_s:
        facts.append(("resends", f"within {age(spec.duplicate_window_s)} are not stored again"))
    if spec.num_replicas > 1:
        facts.append(("copies", f"on {spec.num_replicas} servers"))
    return facts


def show_consumers(consumers: list[ConsumerView]) -> None:
    names = ("unprocessed", "ack pending", "redelivered", "delivered to", "ack floor")
    right = (*names, "lag", "versions behind")
    show_table(
        "Consumers",
        [Column("stream"), Column("consumer"), *(Column(name, right=True) for name in right)],
        [
            [
                view.stream,
                view.consumer,
                view.num_unprocessed,
                f"{view.num_ack_pending} of {view.max_ack_pending}",
                view.num_redelivered,
                view.delivered_to,
                view.ack_floor,
                counted(view.lag_groups, "group"),
                "" if view.lag_versions is None else view.lag_versions,
            ]
            for view in consumers
        ],
    )


def show_subjects(subjects: list[SubjectView]) -> None:
    if not subjects:
        show_line("No message is there: what is judged has left the queue. Logs: --stream LOG.")
        return
    right = [Column(name, right=True) for name in ("messages", "policy", "versions behind")]
    show_table(
        "Subjects",
        [Column("subject"), *right, Column("actor"), Column("stream")],
        [
            [
                view.subject,
                view.num_messages,
                view.policy or "",
                "" if view.behind is None else view.behind,
                short_keys(view.actor or ""),
                view.stream,
            ]
            for view in subjects
        ],
    )
