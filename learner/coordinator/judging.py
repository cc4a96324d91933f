"""From deliveries to judged messages: by the subject where that is enough, else by the workers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from broker import retry
from broker.interface import Delivery
from learner.coordinator import verdicts
from learner.coordinator.job import PackedLeases, WorkerJob, pack_leases
from learner.coordinator.judgement import Judgement
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import LogWriter
from learner.coordinator.rounds import Judged
from learner.coordinator.suspects import Suspects
from schemas.errors import Rejected
from schemas.lease import Lease
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason
from schemas.wire import sha256_hex

logger = structlog.get_logger()


class Judges(Protocol):
    """`learner.coordinator.workers.WorkerPool`, or a test's."""

    async def judge(self, jobs: Sequence[WorkerJob]) -> Sequence[Judgement | None]:
        """None: not judged, see `judge_alone`."""
        ...

    async def judge_alone(self, job: WorkerJob, *, stop_others: bool) -> Judgement: ...


class Judging:
    """Knows the run as it is at the moment; what counts is decided when a round is written."""

    def __init__(
        self, log: LogWriter, known: KnownPolicies, judges: Judges, suspects: Suspects
    ) -> None:
        self._log = log
        self._known = known
        self._judges = judges
        self._suspects = suspects

    async def judge(self, deliveries: Sequence[Delivery]) -> list[Judged]:
        """Judge messages side by side; those of suspects are set aside instead."""
        seen = await self._look(deliveries)
        judged = [one for one in seen if not self._is_open(one)]
        jobs = []
        for one in seen:
            if not self._is_open(one):
                continue
            if self._suspects.suspects(one.actor):
                await self._suspects.put(one.actor, one.delivery)
            else:
                jobs.append(one)
        leases = self._open_leases({one.actor for one in jobs})
        judgements = await self._judges.judge([_job(one, leases) for one in jobs])
        await self._know(_claimed(judgements))
        for one, judgement in zip(jobs, judgements, strict=True):
            if judgement is None:
                await self._suspects.put(one.actor, one.delivery)
            else:
                judged.append(self._finish(one, judgement))
        return judged

    async def judge_alone(self, delivery: Delivery) -> Judged:
        """Judge a message that had been set aside."""
        (one,) = await self._look([delivery])
        if not self._is_open(one):
            return one
        job = _job(one, self._open_leases({one.actor}))
        stop_others = not self._suspects.is_notorious(one.actor)
        judgement = await self._judges.judge_alone(job, stop_others=stop_others)
        await self._know(_claimed([judgement]))
        return self._finish(one, judgement)

    async def _look(self, deliveries: Sequence[Delivery]) -> list[Judged]:
        """What the subjects say, and whether that is enough to refuse."""
        seen = [self._read_subject(delivery) for delivery in deliveries]
        await self._know({verdicts.policy_of(one.subject) for one in seen if one.subject})
        return [self._refuse_by_subject(one) for one in seen]

    def _read_subject(self, delivery: Delivery) -> Judged:
        sha256 = sha256_hex(delivery.record.data)
        try:
            subject = verdicts.read_subject(self._log.state, delivery.record)
        except Rejected as error:
            why = (Outcome.REJECTED, error.reason, error.detail)
            return Judged(delivery=delivery, sha256=sha256, actor="unknown", refusal=why)
        return Judged(delivery=delivery, sha256=sha256, actor=subject.actor, subject=subject)

    def _refuse_by_subject(self, one: Judged) -> Judged:
        if one.subject is None:
            return one
        why = verdicts.subject_refusal(self._log.state, self._known, one.subject)
        return msgspec.structs.replace(one, refusal=why) if why else one

    def _is_open(self, one: Judged) -> bool:
        """True when the message itself has to be looked at."""
        record = one.delivery.record
        has_verdict = self._log.state.verdicts.get((record.stream, record.sequence)) == one.sha256
        return one.refusal is None and not has_verdict

    def _open_leases(self, actors: Collection[str]) -> dict[str, PackedLeases]:
        held: dict[str, list[Lease]] = defaultdict(list)
        for issued in self._log.state.open_leases.values():
            if issued.lease.actor in actors:
                held[issued.lease.actor].append(issued.lease)
        return {actor: pack_leases(leases) for actor, leases in held.items()}

    def _finish(self, one: Judged, judgement: Judgement) -> Judged:
        if judgement.reason is Reason.JUDGING_FAILED:
            logger.error(
                "judging-failed",
                actor=one.actor,
                sequence=one.sequence,
                error=judgement.detail,
                traceback=judgement.traceback,
            )
        assert one.subject is not None
        refusal = verdicts.refusal(self._log.state, self._known, one.subject, judgement)
        return msgspec.structs.replace(one, judgement=judgement, refusal=refusal)

    async def _know(self, named: Collection[PolicyId]) -> None:
        """A group may be faster than the announcement of its policy."""
        if any(self._known.manifest(policy) is None for policy in named):
            async for attempt in retry.until_available():
                with attempt:
                    await self._known.catch_up()


def _claimed(judgements: Iterable[Judgement | None]) -> set[PolicyId]:
    """All policies that decoded groups say they were made with."""
    claims = (judgement.claim for judgement in judgements if judgement is not None)
    return {policy for claim in claims if claim is not None for policy in claim.policies}


def _job(one: Judged, leases: Mapping[str, PackedLeases]) -> WorkerJob:
    assert one.subject is not None
    return WorkerJob(
        subject=one.subject, data=one.delivery.record.data, leases=leases.get(one.actor, {})
    )
