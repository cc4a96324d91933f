"""Groups in, verdicts out: one loop per shard.

    consumes   deliveries of one shard's queue
    produces   archive segment, ledger entry, ack, word to the actor; in this order
    waits for  messages, the judging workers, object storage, the log

A round is what one pull brought. Nothing leaves the queue without a verdict in the ledger: a crash
before the entry means that the messages come again (the segment is garbage then), a crash after it
that they come again and are only acked. While object storage or the log is away, the messages in
hand are kept in hand and nothing is acked.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from broker import retry
from broker.archive import Archive
from broker.interface import Broker, Delivery
from learner.coordinator import verdicts
from learner.coordinator.bell import Bell
from learner.coordinator.job import WorkerJob
from learner.coordinator.judge import Judgement
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import LogWriter
from learner.coordinator.rounds import Judged, decide, word
from schemas import names
from schemas.errors import BrokerUnavailable, Rejected
from schemas.lease import Lease
from schemas.verdict import Outcome, Verdict
from schemas.wire import encode, sha256_hex

logger = structlog.get_logger()

_PULL_TIMEOUT_S = 5.0
_MAX_ROUND_BYTES = 32 << 20
"""A slow reader is cut by the server at 64 MB outstanding."""
_IN_PROGRESS_EVERY_S = 5.0
"""A third of the queue's ack wait."""


class Intake:
    """Judges one shard."""

    def __init__(
        self,
        broker: Broker,
        archive: Archive,
        log: LogWriter,
        known: KnownPolicies,
        judge: Callable[[WorkerJob], Awaitable[Judgement]],
        shard: str,
        bell: Bell,
    ) -> None:
        assert log.state.opened is not None
        self._settings = log.state.opened.settings
        self._broker = broker
        self._archive = archive
        self._log = log
        self._known = known
        self._judge_message = judge
        self._stream = names.rollouts_stream(self._settings.name, shard)
        self._consumer = names.intake_consumer(shard)
        self._bell = bell
        """Rung after each round: there may be capacity, or a batch to cut."""
        self._in_hand: dict[int, Delivery] = {}

    async def run(self) -> None:
        """Judge for ever: one round is pulled while the one before it is judged, and judged while
        the one before that is written."""
        pulling = asyncio.create_task(self.pull())
        writing = asyncio.create_task(self._write([]))
        try:
            while True:
                deliveries = await pulling
                pulling = asyncio.create_task(self.pull())
                judged = await self._judge_all(deliveries)
                await writing
                writing = asyncio.create_task(self._write(judged))
        finally:
            pulling.cancel()
            writing.cancel()

    async def pull(
        self, *, max_messages: int | None = None, timeout_s: float = _PULL_TIMEOUT_S
    ) -> list[Delivery]:
        """Take messages in hand; what is in hand already is left out."""
        async for attempt in retry.until_available():
            with attempt:
                deliveries = await self._broker.pull(
                    self._stream,
                    self._consumer,
                    max_messages=max_messages or self._settings.intake.fetch_groups,
                    max_bytes=_MAX_ROUND_BYTES,
                    timeout_s=timeout_s,
                )
                return [delivery for delivery in deliveries if self._take_in_hand(delivery)]
        raise AssertionError("the retry has no limit")

    def _take_in_hand(self, delivery: Delivery) -> bool:
        """False for a redelivery of what is being judged already; its newer ack handle is kept."""
        sequence = delivery.record.sequence
        is_new = sequence not in self._in_hand
        self._in_hand[sequence] = delivery
        return is_new

    async def keep_in_hand(self) -> None:
        """Restart the ack wait of what is in hand, for ever."""
        while True:
            await asyncio.sleep(_IN_PROGRESS_EVERY_S)
            with contextlib.suppress(BrokerUnavailable):  # Then it comes again, and is recognised.
                for delivery in list(self._in_hand.values()):
                    await delivery.in_progress()

    async def round(self, deliveries: Sequence[Delivery]) -> None:
        """Judge and write one round by itself."""
        await self._write(await self._judge_all(deliveries))

    async def _judge_all(self, deliveries: Sequence[Delivery]) -> list[Judged]:
        leases: dict[str, list[Lease]] = defaultdict(list)
        for issued in self._log.state.open_leases.values():
            leases[issued.lease.actor].append(issued.lease)
        return list(await asyncio.gather(*(self._judge(each, leases) for each in deliveries)))

    async def _write(self, judged: list[Judged]) -> None:
        """Segment, ledger entry, acks, word to the actors."""
        if not judged:
            return
        segment, offsets = await self._write_segment([one for one in judged if one.hopeful])
        samples = await self._keep_samples(judged)
        async with self._log.lock:
            # Leases may have ended since they were judged: this is the decision that counts.
            state = self._log.state
            events = decide(judged, state, self._known, segment, offsets, samples)
            if events:
                await self._log.append(events)
        self._bell.ring()
        await self._acknowledge([one.sequence for one in judged])
        for event in events:
            await self._tell(word(event))

    async def _judge(self, delivery: Delivery, leases: Mapping[str, Sequence[Lease]]) -> Judged:
        """`leases` are the open ones by their holder."""
        record, state = delivery.record, self._log.state
        sha256 = sha256_hex(record.data)
        try:
            subject = verdicts.read_subject(state, record)
        except Rejected as error:
            why = (Outcome.REJECTED, error.reason, error.detail)
            return Judged(delivery=delivery, sha256=sha256, actor="unknown", refusal=why)
        stale = verdicts.staleness_refusal(state, subject)
        if stale or state.verdicts.get((self._stream, record.sequence)) == sha256:
            return Judged(
                delivery=delivery,
                sha256=sha256,
                actor=subject.actor,
                subject=subject,
                refusal=stale,
            )
        held = tuple(leases.get(subject.actor, ()))
        job = WorkerJob(subject=subject, data=record.data, leases=held)
        judgement = await self._judge_message(job)
        await self._know_policy(judgement)
        return Judged(
            delivery=delivery,
            sha256=sha256,
            actor=subject.actor,
            subject=subject,
            judgement=judgement,
            refusal=verdicts.refusal(state, self._known, subject, judgement),
        )

    async def _know_policy(self, judgement: Judgement) -> None:
        """A group may be faster than the announcement of its policy."""
        claim = judgement.claim
        if claim is not None and self._known.manifest(claim.newest_policy) is None:
            async for attempt in retry.until_available():
                with attempt:
                    await self._known.catch_up()

    async def _write_segment(self, hopeful: list[Judged]) -> tuple[str, dict[int, int]]:
        """Archive the groups; returns the segment and each one's offset by sequence."""
        if not hopeful:
            return "", {}
        async for attempt in retry.until_available():
            with attempt:
                segment = await self._archive.write([one.delivery.record.data for one in hopeful])
                places = zip(hopeful, segment.slices, strict=True)
                return segment.sha256, {one.sequence: offset for one, (offset, _) in places}
        raise AssertionError("the retry has no limit")

    async def _keep_samples(self, judged: Sequence[Judged]) -> set[int]:
        """Keep the bytes of the first few refused messages per actor and reason; which ones."""
        limit = self._settings.intake.refused_samples
        kept: dict[tuple[str, str], int] = {}
        sequences: set[int] = set()
        for one in judged:
            if one.refusal is None or one.refusal[0] is not Outcome.REJECTED:
                continue
            key = (one.actor, one.refusal[1])
            kept.setdefault(key, self._log.state.num_samples[key])
            if kept[key] < limit:
                kept[key] += 1
                sequences.add(one.sequence)
                async for attempt in retry.until_available():
                    with attempt:
                        await self._archive.keep_refused(one.delivery.record.data)
        return sequences

    async def _acknowledge(self, sequences: Sequence[int]) -> None:
        async for attempt in retry.until_available():
            with attempt:
                # A second ack of one that went through changes nothing.
                await asyncio.gather(*(self._in_hand[sequence].ack() for sequence in sequences))
        for sequence in sequences:
            del self._in_hand[sequence]

    async def _tell(self, verdict: Verdict) -> None:
        logger.debug("verdict", actor=verdict.actor, outcome=verdict.outcome, reason=verdict.reason)
        subject = names.verdict_subject(self._settings.name, verdict.actor)
        await self._broker.notify(subject, encode(verdict))
