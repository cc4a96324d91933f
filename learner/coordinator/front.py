"""Answers lease requests: the shell around the lease desk.

    consumes   lease.<run>.<actor>
    produces   LeaseIssued, LeaseAbandoned; replies
    waits for  requests; capacity, for at most `hold_s` per request

Requests of about 10 ms share one ledger entry, since every entry is an fsync. An actor has one
request waiting at a time: a newer one takes its place.

A lease is given up in two ways. An actor that names it in a request ends it at once: it says itself
that no answer comes. What an earlier instance of the actor left behind ends by `endings`, when all
that was stored by then has been judged: its answer may be in the queue.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from msgspec import Struct

from learner.coordinator.bell import Bell
from learner.coordinator.desk import HandOut, hand_out
from learner.coordinator.endings import Endings
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from schemas import ledger
from schemas.errors import Rejected
from schemas.lease import Lease, LeaseReply, LeaseRequest, WaitReason
from schemas.names import last_token
from schemas.verdict import Reason
from schemas.wire import decode, encode

logger = structlog.get_logger()

_GATHER_S = 0.01
_MAX_REQUEST_BYTES = 64 << 10


class _Waiting(Struct, kw_only=True):
    request: LeaseRequest
    reply: "asyncio.Future[LeaseReply]"
    until: float
    """Monotonic seconds: when to answer even without a lease."""


class FrontDesk:
    """Keeps the requests that wait, and serves them in turn."""

    def __init__(
        self,
        log: RunLog,
        known: KnownPolicies,
        endings: Endings,
        stop_ids: tuple[int, ...],
        bell: Bell,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is in Unix seconds: leases end by it."""
        assert log.state.opened is not None
        self._settings = log.state.opened.settings
        self._log = log
        self._known = known
        self._endings = endings
        self._stop_ids = stop_ids
        self._clock = clock
        self._rung = bell.listen()
        self._waiting: dict[str, _Waiting] = {}
        self._given_back: set[int] = set()
        """Leases that their actors gave back."""

    async def answer(self, subject: str, data: bytes) -> bytes:
        """Handle one request; the reply may take `hold_s`."""
        actor = last_token(subject)
        try:
            return encode(await self._answer(self._read(data, actor)))
        except Rejected as refusal:
            return encode(LeaseReply(waiting_for=WaitReason.REFUSED, detail=f"{refusal}"[:500]))

    def _read(self, data: bytes, actor: str) -> LeaseRequest:
        request = decode(
            data,
            LeaseRequest,
            max_wire_bytes=_MAX_REQUEST_BYTES,
            max_decoded_bytes=_MAX_REQUEST_BYTES,
        )
        if (request.run, request.actor) != (self._settings.name, actor):
            raise Rejected(
                Reason.MISMATCH, f"the request names run {request.run}, actor {request.actor}"
            )
        return request

    async def _answer(self, request: LeaseRequest) -> LeaseReply:
        await self._abandon(request)
        # A round that is being written may be the answer to this very request, asked again.
        async with self._log.lock:
            earlier = self._earlier_leases(request)
            if earlier:
                return LeaseReply(leases=earlier, announcement=self._known.last, time=self._clock())
            waiting = self._queue(request)
        return await waiting

    async def _abandon(self, request: LeaseRequest) -> None:
        """Give back what the actor gives back, and what its earlier instance has left behind."""
        left_behind: list[int] = []
        for lease_id, issued in self._log.state.open_leases.items():
            if issued.lease.actor != request.actor:
                continue
            if lease_id in request.abandoned:
                self._given_back.add(lease_id)
            elif issued.instance != request.instance and lease_id not in request.spooled:
                left_behind.append(lease_id)
        await self._endings.mark(left_behind, ledger.LeaseAbandoned)

    def _earlier_leases(self, request: LeaseRequest) -> tuple[Lease, ...]:
        last = self._log.state.last_requests.get(request.actor)
        if last is None or last.request_id != request.request_id:
            return ()
        still_open = self._log.state.open_leases
        return tuple(still_open[lease].lease for lease in last.lease_ids if lease in still_open)

    def _queue(self, request: LeaseRequest) -> "asyncio.Future[LeaseReply]":
        same = self._waiting.get(request.actor)
        if same and same.request.request_id == request.request_id:
            return same.reply  # It is asked again while it waits.
        displaced = self._waiting.pop(request.actor, None)
        if displaced and not displaced.reply.done():
            displaced.reply.set_result(LeaseReply(waiting_for=WaitReason.DISPLACED))
        hold_s = self._settings.leases.hold_s if request.wanted else 0.0
        waiting = _Waiting(
            request=request,
            reply=asyncio.get_running_loop().create_future(),
            until=time.monotonic() + hold_s,
        )
        self._waiting[request.actor] = waiting
        self._rung.set()
        return waiting.reply

    async def run(self) -> None:
        """Serve the waiting requests after every change, for ever.

        Raises:
            Fenced: another coordinator has taken over.
        """
        while True:
            try:
                async with asyncio.timeout(self._patience_s()):
                    await self._rung.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(_GATHER_S)
            self._rung.clear()
            if self._waiting or self._given_back:
                await self.serve()

    def _patience_s(self) -> float | None:
        if not self._waiting:
            return None
        earliest = min(waiting.until for waiting in self._waiting.values())
        return max(0.0, earliest - time.monotonic())

    async def serve(self) -> None:
        """One round: hand out what there is, answer whom it reaches and whose time is up.

        Raises:
            Fenced: another coordinator has taken over.
        """
        async with self._log.lock:
            waiting = list(self._waiting.values())
            result = await self._hand_out([one.request for one in waiting])
        now = time.monotonic()
        for one, leases, reason in zip(waiting, result.leases, result.reasons, strict=True):
            # There may be capacity before its time is up, but a finished run has nothing to give.
            if leases or one.until <= now or reason is WaitReason.FINISHED:
                self._reply(one, leases, reason)

    async def _hand_out(self, requests: Sequence[LeaseRequest]) -> HandOut:
        """Decide, and write it down: who gets what, and what was given back."""
        state = self._log.state
        given_back = [
            ledger.LeaseAbandoned(lease_id=lease_id)
            for lease_id in self._given_back
            if lease_id in state.open_leases
        ]
        self._given_back.clear()
        result = hand_out(
            state,
            requests,
            announced=self._known.last.policy if self._known.last else None,
            now=self._clock(),
            stop_ids=self._stop_ids,
        )
        if events := [*given_back, *result.events]:
            await self._log.append(events)
        return result

    def _reply(self, waiting: _Waiting, leases: Sequence[Lease], reason: WaitReason) -> None:
        if not waiting.reply.done():
            reply = LeaseReply(
                leases=tuple(leases),
                announcement=self._known.last,
                time=self._clock(),
                waiting_for=reason,
            )
            waiting.reply.set_result(reply)
        if self._waiting.get(waiting.request.actor) is waiting:
            del self._waiting[waiting.request.actor]
