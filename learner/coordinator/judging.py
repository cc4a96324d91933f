"""From deliveries to cases: what is known of each message, and why it is to be refused, if so.

| from | to | by |
|---|---|---|
| delivery | case | its subject, which is often enough to refuse (`verdicts.subject_refusal`) |
| message | finding | a worker, which examines the bytes (`examination`) |
| finding | refusal, or none | the run as it is at the moment (`verdicts.refusal`) |
| cases of a round | verdicts | the run as it is when they are written (`rounds.decide`) |

The first three happen here, the last in `round_writer`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from broker import retry
from broker.interface import Delivery
from learner.coordinator import verdicts
from learner.coordinator.case import Case
from learner.coordinator.finding import Finding
from learner.coordinator.job import PackedLeases, WorkerJob, pack_leases
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import LogWriter
from learner.coordinator.suspects import Suspects
from schemas.errors import Rejected
from schemas.lease import Lease
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason
from schemas.wire import sha256_hex

logger = structlog.get_logger()


class Workers(Protocol):
    """`learner.coordinator.workers.WorkerPool`, or a test's."""

    async def examine(self, jobs: Sequence[WorkerJob]) -> Sequence[Finding | None]:
        """None: not examined, see `examine_alone`."""
        ...

    async def examine_alone(self, job: WorkerJob, *, stop_others: bool) -> Finding: ...


class Judging:
    """Judges messages by the run as it is at the moment."""

    def __init__(
        self, log: LogWriter, known: KnownPolicies, workers: Workers, suspects: Suspects
    ) -> None:
        self._log = log
        self._known = known
        self._workers = workers
        self._suspects = suspects

    async def judge(self, deliveries: Sequence[Delivery]) -> list[Case]:
        """Judge messages side by side; those of suspects are set aside instead."""
        seen = await self._look(deliveries)
        cases = [one for one in seen if not self._is_open(one)]
        jobs = []
        for one in seen:
            if not self._is_open(one):
                continue
            if self._suspects.suspects(one.actor):
                await self._suspects.put(one.actor, one.delivery)
            else:
                jobs.append(one)
        leases = self._open_leases({one.actor for one in jobs})
        findings = await self._workers.examine([_job(one, leases) for one in jobs])
        await self._know(_claimed(findings))
        for one, finding in zip(jobs, findings, strict=True):
            if finding is None:
                await self._suspects.put(one.actor, one.delivery)
            else:
                cases.append(self._finish(one, finding))
        return cases

    async def judge_alone(self, delivery: Delivery) -> Case:
        """Judge a message that had been set aside."""
        (one,) = await self._look([delivery])
        if not self._is_open(one):
            return one
        if surplus := self._suspects.surplus(one.actor):
            detail = "not looked at: others of this actor hit the limit, and many more wait"
            return msgspec.structs.replace(one, refusal=(Outcome.REJECTED, surplus, detail))
        job = _job(one, self._open_leases({one.actor}))
        stop_others = not self._suspects.is_notorious(one.actor)
        finding = await self._workers.examine_alone(job, stop_others=stop_others)
        await self._know(_claimed([finding]))
        return self._finish(one, finding)

    async def _look(self, deliveries: Sequence[Delivery]) -> list[Case]:
        """What the subjects say, and whether that is enough to refuse."""
        seen = [self._read_subject(delivery) for delivery in deliveries]
        await self._know({verdicts.policy_of(one.subject) for one in seen if one.subject})
        return [self._refuse_by_subject(one) for one in seen]

    def _read_subject(self, delivery: Delivery) -> Case:
        sha256 = sha256_hex(delivery.record.data)
        try:
            subject = verdicts.read_subject(self._log.state, delivery.record)
        except Rejected as error:
            why = (Outcome.REJECTED, error.reason, error.detail)
            return Case(delivery=delivery, sha256=sha256, actor="unknown", refusal=why)
        return Case(delivery=delivery, sha256=sha256, actor=subject.actor, subject=subject)

    def _refuse_by_subject(self, one: Case) -> Case:
        if one.subject is None:
            return one
        why = verdicts.subject_refusal(self._log.state, self._known, one.subject)
        return msgspec.structs.replace(one, refusal=why) if why else one

    def _is_open(self, one: Case) -> bool:
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

    def _finish(self, one: Case, finding: Finding) -> Case:
        if finding.reason is Reason.JUDGING_FAILED:
            logger.error(
                "judging-failed",
                actor=one.actor,
                sequence=one.sequence,
                error=finding.detail,
                traceback=finding.traceback,
            )
        assert one.subject is not None
        refusal = verdicts.refusal(self._log.state, self._known, one.subject, finding)
        return msgspec.structs.replace(one, finding=finding, refusal=refusal)

    async def _know(self, named: Collection[PolicyId]) -> None:
        """A group may be faster than the announcement of its policy."""
        if any(self._known.manifest(policy) is None for policy in named):
            async for attempt in retry.until_available():
                with attempt:
                    await self._known.catch_up()


def _claimed(findings: Iterable[Finding | None]) -> set[PolicyId]:
    """All policies that decoded groups say they were made with."""
    claims = (finding.claim for finding in findings if finding is not None)
    return {policy for claim in claims if claim is not None for policy in claim.policies}


def _job(one: Case, leases: Mapping[str, PackedLeases]) -> WorkerJob:
    assert one.subject is not None
    return WorkerJob(
        subject=one.subject, data=one.delivery.record.data, leases=leases.get(one.actor, {})
    )
