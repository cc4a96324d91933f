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

from broker.interface import Delivery
from learner.coordinator import verdicts
from learner.coordinator.case import Case
from learner.coordinator.finding import Finding
from learner.coordinator.job import PackedLeases, WorkerJob, pack_leases
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
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
        self, log: RunLog, known: KnownPolicies, workers: Workers, suspects: Suspects
    ) -> None:
        self._log = log
        self._known = known
        self._workers = workers
        self._suspects = suspects

    async def judge(self, deliveries: Sequence[Delivery]) -> list[Case]:
        """Judge messages side by side; those of suspects are set aside instead."""
        judged: list[Case] = []
        aside: list[Case] = []
        jobs: list[Case] = []
        for case in await self._look(deliveries):
            if not self._is_undecided(case):
                judged.append(case)
            else:
                (aside if self._suspects.suspects(case.actor) else jobs).append(case)
        leases = self._open_leases({case.actor for case in jobs})
        findings = await self._workers.examine([_job(case, leases) for case in jobs])
        await self._know(_claimed(findings))
        for case, finding in zip(jobs, findings, strict=True):
            if finding is None:
                aside.append(case)
            else:
                judged.append(self._finish(case, finding))
        return judged + self._set_aside(aside)

    def _set_aside(self, cases: Sequence[Case]) -> list[Case]:
        """Let these be judged alone; returns those that are refused instead."""
        refused: list[Case] = []
        for case in cases:
            if surplus := self._suspects.surplus(case.actor):
                refused.append(_unseen(case, surplus))
            else:
                self._suspects.put(case.actor, case.delivery)
        return refused

    async def judge_alone(self, delivery: Delivery) -> Case:
        """Judge a message that had been set aside."""
        (case,) = await self._look([delivery])
        if not self._is_undecided(case):
            return case
        if surplus := self._suspects.surplus(case.actor):
            return _unseen(case, surplus)
        job = _job(case, self._open_leases({case.actor}))
        stop_others = not self._suspects.is_notorious(case.actor)
        finding = await self._workers.examine_alone(job, stop_others=stop_others)
        await self._know(_claimed([finding]))
        return self._finish(case, finding)

    async def _look(self, deliveries: Sequence[Delivery]) -> list[Case]:
        """What the subjects say, and whether that is enough to refuse."""
        seen = [self._read_subject(delivery) for delivery in deliveries]
        await self._know({verdicts.policy_of(case.subject) for case in seen if case.subject})
        return [self._refuse_by_subject(case) for case in seen]

    def _read_subject(self, delivery: Delivery) -> Case:
        sha256 = sha256_hex(delivery.record.data)
        try:
            subject = verdicts.read_subject(self._log.state, delivery.record)
        except Rejected as error:
            why = (Outcome.REJECTED, error.reason, error.detail)
            return Case(delivery=delivery, sha256=sha256, actor="unknown", refusal=why)
        return Case(delivery=delivery, sha256=sha256, actor=subject.actor, subject=subject)

    def _refuse_by_subject(self, case: Case) -> Case:
        if case.subject is None:
            return case
        why = verdicts.subject_refusal(self._log.state, self._known, case.subject)
        return msgspec.structs.replace(case, refusal=why) if why else case

    def _is_undecided(self, case: Case) -> bool:
        """True when the message itself has to be looked at."""
        is_settled = self._log.state.is_settled(case.delivery.record, case.sha256)
        return case.refusal is None and not is_settled

    def _open_leases(self, actors: Collection[str]) -> dict[str, PackedLeases]:
        held: dict[str, list[Lease]] = defaultdict(list)
        for issued in self._log.state.open_leases.values():
            if issued.lease.actor in actors:
                held[issued.lease.actor].append(issued.lease)
        return {actor: pack_leases(leases) for actor, leases in held.items()}

    def _finish(self, case: Case, finding: Finding) -> Case:
        if finding.reason is Reason.JUDGING_FAILED:
            logger.error(
                "judging-failed",
                actor=case.actor,
                sequence=case.sequence,
                error=finding.detail,
                traceback=finding.traceback,
            )
        assert case.subject is not None
        refusal = verdicts.refusal(self._log.state, self._known, case.subject, finding)
        return msgspec.structs.replace(case, finding=finding, refusal=refusal)

    async def _know(self, named: Collection[PolicyId]) -> None:
        """A group may be faster than the announcement of its policy."""
        if any(self._known.manifest(policy) is None for policy in named):
            await self._known.catch_up()


def _claimed(findings: Iterable[Finding | None]) -> set[PolicyId]:
    """All policies that decoded groups say they were made with."""
    claims = (finding.claim for finding in findings if finding is not None)
    return {policy for claim in claims if claim is not None for policy in claim.policies}


def _job(case: Case, leases: Mapping[str, PackedLeases]) -> WorkerJob:
    assert case.subject is not None
    return WorkerJob(
        subject=case.subject, data=case.delivery.record.data, leases=leases.get(case.actor, {})
    )


def _unseen(case: Case, surplus: Reason) -> Case:
    detail = "not looked at: others of this actor hit the limit, and many more wait"
    return msgspec.structs.replace(case, refusal=(Outcome.REJECTED, surplus, detail))
