"""Removes messages from the queues without a look at each, and cuts actors off.

    consumes   purge.<run>, let-in.<run>
    produces   ActorCutOff, LeaseAbandoned, PurgeBegun, MessagesPurged, ActorLetIn; replies
    waits for  requests, the queue, the log

A purge is two events with the removal between them. `PurgeBegun` says what is going to go; then the
queue removes it; then the sequences that are gone and have no verdict are what went, and
`MessagesPurged` tells them. Killed in between, the next coordinator removes again, and tells. The
intake goes on meanwhile: what it had in hand gets its verdict, or is told as purged and gets none,
whichever is in the ledger first.
"""

import asyncio
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import structlog

from broker import retry
from broker.interface import Broker, StreamState
from learner.coordinator.bell import Bell
from learner.coordinator.log import RunLog
from learner.coordinator.sequences import Sequences
from schemas import ledger, names
from schemas.errors import Rejected
from schemas.purge import (
    MAX_SHOWN_SUBJECTS,
    LetInReply,
    LetInRequest,
    PurgeReason,
    PurgeReply,
    PurgeRequest,
    QueuePurge,
    SubjectCount,
)
from schemas.settings import RunSettings
from schemas.verdict import Reason
from schemas.wire import decode, encode

logger = structlog.get_logger()

_MAX_REQUEST_BYTES = 256 << 10

T = TypeVar("T", PurgeRequest, LetInRequest)


class _Selection(NamedTuple):
    """What is asked for, in one queue."""

    shard: str
    stream: str
    pattern: str
    mark: int | None
    """The last sequence that may go; None: the queue's last."""


class Purging:
    """Purges one behind the other."""

    def __init__(self, broker: Broker, log: RunLog, bell: Bell) -> None:
        assert log.state.opened is not None
        self._settings: RunSettings = log.state.opened.settings
        self._broker = broker
        self._log = log
        self._bell = bell
        self._turn = asyncio.Lock()

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Handle one request for a purge; the reply comes when all of it is done."""
        try:
            request = self._read(data, PurgeRequest)
            if request.reason is PurgeReason.CUT_OFF and request.actor is None:
                raise Rejected(Reason.SCHEMA, "who is to be cut off is not named")
            selections = list(self._selections(request))
            if request.dry_run:
                queues = [await self._look(one) for one in selections]
            else:
                queues = await self._purge(request, selections)
            return encode(PurgeReply(queues=tuple(queues)))
        except Rejected as refusal:
            return encode(PurgeReply(detail=refusal.detail[:500]))

    async def let_in(self, _subject: str, data: bytes) -> bytes:
        """Handle one request to let an actor in again."""
        try:
            await self._let_in(self._read(data, LetInRequest).actor)
            return encode(LetInReply())
        except Rejected as refusal:
            return encode(LetInReply(detail=refusal.detail[:500]))

    async def finish(self) -> None:
        """Do what was begun and not finished, by the coordinator before this one as a rule.

        Raises:
            Fenced: another coordinator has taken over.
        """
        for begun in list(self._log.state.purges.unfinished.values()):
            await self._finish(begun)

    def _read(self, data: bytes, kind: type[T]) -> T:
        request = decode(
            data, kind, max_wire_bytes=_MAX_REQUEST_BYTES, max_decoded_bytes=_MAX_REQUEST_BYTES
        )
        if request.run != self._settings.name:
            raise Rejected(Reason.MISMATCH, f"the request names run {request.run}")
        return request

    def _selections(self, request: PurgeRequest) -> Iterator[_Selection]:
        """The queues that a request is about. Raises Rejected when there is no such queue."""
        shards = self._settings.intake.shards
        marks = {mark.shard: mark.through for mark in request.marks}
        for shard in {request.shard, *marks} - {None}:
            if shard not in shards:
                known = ", ".join(shards)
                raise Rejected(Reason.SCHEMA, f"there is no shard {shard}; there is {known}")
        for shard in shards:
            if request.shard in (None, shard) and (not marks or shard in marks):
                run = self._settings.name
                yield _Selection(
                    shard,
                    names.rollouts_stream(run, shard),
                    names.selection_filter(run, shard, policy=request.policy, actor=request.actor),
                    marks.get(shard),
                )

    async def _look(self, selection: _Selection) -> QueuePurge:
        """What would go."""
        through = (await self._state(selection.stream)).last_sequence
        counts = await self._subjects(selection)
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHOWN_SUBJECTS]
        return QueuePurge(
            shard=selection.shard,
            through=through,
            num_messages=sum(counts.values()),
            num_subjects=len(counts),
            subjects=tuple(SubjectCount(subject=s, num_messages=count) for s, count in most),
        )

    async def _purge(self, request: PurgeRequest, selections: list[_Selection]) -> list[QueuePurge]:
        async with self._turn:
            await self.finish()
            if request.reason is PurgeReason.CUT_OFF and request.actor is not None:
                await self._cut_off(request.actor)
            return [await self._purge_queue(one, request.reason) for one in selections]

    async def _cut_off(self, actor: str) -> None:
        """From here on nothing of this actor is accepted, and it has no work."""
        async with self._log.lock:
            state = self._log.state
            if state.is_cut_off(actor):
                return
            ends = [
                ledger.LeaseAbandoned(lease_id=lease_id)
                for lease_id, issued in state.open_leases.items()
                if issued.lease.actor == actor
            ]
            cut = ledger.ActorCutOff(actor=actor, change=state.changes[actor])
            await self._log.append([cut, *ends])
        self._bell.ring()
        logger.warning("actor-cut-off", actor=actor, num_leases=len(ends))

    async def _let_in(self, actor: str) -> None:
        async with self._log.lock:
            state = self._log.state
            if not state.is_cut_off(actor):
                raise Rejected(Reason.SCHEMA, f"{actor} is not cut off")
            await self._log.append([ledger.ActorLetIn(actor=actor, change=state.changes[actor])])
        self._bell.ring()
        logger.info("actor-let-in", actor=actor)

    async def _purge_queue(self, selection: _Selection, reason: PurgeReason) -> QueuePurge:
        """Remove what is there by now, a stretch of the queue at a time."""
        state = await self._state(selection.stream)
        mark = state.last_sequence if selection.mark is None else selection.mark
        through = min(mark, state.last_sequence)
        # Counted behind the last sequence that goes: so it is at least as many.
        at_most = sum((await self._subjects(selection)).values())
        num_purged = 0
        for first in range(state.first_sequence, through + 1, ledger.MAX_PURGED_AT_ONCE):
            if num_purged >= at_most:
                break
            async with self._log.lock:
                begun = ledger.PurgeBegun(
                    purge=self._log.state.purges.num_begun,
                    stream=selection.stream,
                    subject=selection.pattern,
                    first=first,
                    through=min(first + ledger.MAX_PURGED_AT_ONCE - 1, through),
                    num_messages=at_most,
                    reason=reason,
                )
                await self._log.append([begun])
            num_purged += await self._finish(begun)
        return QueuePurge(shard=selection.shard, through=through, num_messages=num_purged)

    async def _finish(self, begun: ledger.PurgeBegun) -> int:
        """Remove what a purge is about, and tell it; returns how many messages it took."""
        await retry.until_available()(
            self._broker.purge, begun.stream, before=begun.through + 1, pattern=begun.subject
        )
        missing = await retry.until_available()(
            self._broker.missing, begun.stream, first=begun.first, last=begun.through
        )
        async with self._log.lock:
            state = self._log.state
            judged = state.judged.get(begun.stream, Sequences())
            purged = state.purges.told(begun, missing, judged)
            await self._log.append([purged])
        self._bell.ring()
        logger.info(
            "purged",
            stream=begun.stream,
            subject=begun.subject,
            num_messages=purged.num_messages,
            reason=begun.reason,
        )
        return purged.num_messages

    async def _state(self, stream: str) -> StreamState:
        return await retry.until_available()(self._broker.state, stream)

    async def _subjects(self, selection: _Selection) -> dict[str, int]:
        return await retry.until_available()(
            self._broker.subjects, selection.stream, selection.pattern
        )
