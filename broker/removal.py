"""Has the coordinator remove messages from the queues unjudged, and says what goes.

Only the coordinator may remove anything, because LOG has to tell of it. So what would go is asked
of it too; the sizes are looked up here, on the subjects that are shown.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec import Struct

from broker.interface import Broker
from schemas import names, purge, wire
from schemas.errors import NoResponders, Rejected, UserError

_TIMEOUT_S: Final = 120.0
"""Much longer than any purge took; the coordinator goes on with it in any case."""

R = TypeVar("R", purge.PurgeReply, purge.LetInReply)


class SubjectView(Struct, frozen=True, kw_only=True):
    """Messages on one subject."""

    subject: str
    num_messages: int
    num_bytes: int
    """As if each were as large as the last one."""


class QueueView(Struct, frozen=True, kw_only=True):
    """What goes from one queue."""

    shard: str
    through: int
    """The last sequence that may go."""
    num_messages: int
    num_bytes: int
    """An estimate, from the subjects that are shown; 0 once they are gone."""
    num_subjects: int
    subjects: tuple[SubjectView, ...]
    """Those with the most messages; none once they are gone."""


class Removal(Struct, frozen=True, kw_only=True):
    """What would go, or what has gone; `broker purge --json` prints it."""

    run: str
    reason: purge.PurgeReason
    done: bool
    """False: nothing has gone."""
    num_messages: int
    """Of a look: some may have their verdict before they are removed. Of what is done: those that
    have none."""
    num_bytes: int
    """Of a look: about so many."""
    queues: tuple[QueueView, ...]


async def look(broker: Broker, request: purge.PurgeRequest) -> Removal:
    """What the request would remove.

    Raises:
        UserError: nobody coordinates the run, or the coordinator refuses the request.
    """
    reply = await _ask_purge(broker, request, dry_run=True)
    queues = [await _view(broker, request.run, queue) for queue in reply.queues]
    return _removal(request, queues, done=False)


async def remove(broker: Broker, request: purge.PurgeRequest, looked: Removal) -> Removal:
    """Remove it, and nothing that came behind the look; returns when LOG tells of it.

    Raises:
        UserError: as `look`.
    """
    marks = [purge.QueueMark(shard=each.shard, through=each.through) for each in looked.queues]
    reply = await _ask_purge(broker, request, dry_run=False, marks=marks)
    return _removal(request, [_gone(queue) for queue in reply.queues], done=True)


async def let_in(broker: Broker, run: str, actor: str) -> None:
    """Let an actor work again.

    Raises:
        UserError: nobody coordinates the run, or the actor is not cut off.
    """
    request = purge.LetInRequest(run=run, actor=actor)
    await _ask(broker, run, names.let_in_subject(run), wire.encode(request), purge.LetInReply)


async def _ask_purge(
    broker: Broker,
    request: purge.PurgeRequest,
    *,
    dry_run: bool,
    marks: Sequence[purge.QueueMark] = (),
) -> purge.PurgeReply:
    asked = purge.PurgeRequest(
        run=request.run,
        reason=request.reason,
        actor=request.actor,
        shard=request.shard,
        policy=request.policy,
        marks=tuple(marks),
        dry_run=dry_run,
    )
    subject = names.purge_subject(request.run)
    return await _ask(broker, request.run, subject, wire.encode(asked), purge.PurgeReply)


async def _ask(broker: Broker, run: str, subject: str, data: bytes, kind: type[R]) -> R:
    try:
        answer = await broker.request(subject, data, timeout_s=_TIMEOUT_S)
        reply = wire.decode(answer, kind)
    except NoResponders:
        raise UserError(
            f"nobody coordinates run {run}, and only its coordinator removes messages or lets "
            "anybody in: start it with `learner coordinator`"
        ) from None
    except Rejected as refusal:
        raise UserError(f"the coordinator's answer cannot be read: {refusal.detail}") from None
    if reply.detail:
        raise UserError(f"the coordinator refuses: {reply.detail}")
    return reply


async def _view(broker: Broker, run: str, queue: purge.QueuePurge) -> QueueView:
    stream = names.rollouts_stream(run, queue.shard)
    shown: list[SubjectView] = []
    for each in queue.subjects:
        last = await broker.last(stream, each.subject)
        size = len(last.data) if last else 0
        shown.append(
            SubjectView(
                subject=each.subject,
                num_messages=each.num_messages,
                num_bytes=size * each.num_messages,
            )
        )
    num_shown = sum(each.num_messages for each in shown)
    num_bytes = sum(each.num_bytes for each in shown)
    return QueueView(
        shard=queue.shard,
        through=queue.through,
        num_messages=queue.num_messages,
        num_bytes=num_bytes * queue.num_messages // max(1, num_shown),
        num_subjects=queue.num_subjects,
        subjects=tuple(shown),
    )


def _gone(queue: purge.QueuePurge) -> QueueView:
    return QueueView(
        shard=queue.shard,
        through=queue.through,
        num_messages=queue.num_messages,
        num_bytes=0,
        num_subjects=0,
        subjects=(),
    )


def _removal(request: purge.PurgeRequest, queues: Sequence[QueueView], *, done: bool) -> Removal:
    return Removal(
        run=request.run,
        reason=request.reason,
        done=done,
        num_messages=sum(queue.num_messages for queue in queues),
        num_bytes=sum(queue.num_bytes for queue in queues),
        queues=tuple(queues),
    )
