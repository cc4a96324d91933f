"""Writes a round: segment, ledger entry, acks, word to the actors; in this order.

    archive   cases -> segment in object storage
    enter     segment -> verdicts in the ledger; then acks and word

A crash before the entry means that the messages come again (the segment is garbage then), a crash
after it that they come again and are only acked. While object storage or the log is away, nothing
is acked.
"""

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import NamedTuple, TypeVar

import structlog

from broker import retry
from broker.interface import Broker
from broker.objects.archive import Archive
from learner.coordinator.bell import Bell
from learner.coordinator.case import Case
from learner.coordinator.hand import Hand
from learner.coordinator.known import KnownPolicies
from learner.coordinator.log import RunLog
from learner.coordinator.rounds import decide, to_archive, word
from schemas import names
from schemas.errors import BrokerUnavailable, StoreUnavailable
from schemas.verdict import Outcome, Verdict
from schemas.wire import encode

logger = structlog.get_logger()

T = TypeVar("T")

MAX_SAMPLES = 1000
"""Refused messages kept in one run: whoever may invent names is many actors."""


class Archived(NamedTuple):
    """A round whose segment is written."""

    cases: Sequence[Case]
    segment: str
    offsets: Mapping[int, int]
    """Of its groups in the segment, by sequence."""
    samples: Set[int]
    """Sequences of the refused messages that were kept."""


class RoundWriter:
    """Makes verdicts last, and lets the messages go."""

    def __init__(
        self,
        broker: Broker,
        archive: Archive,
        log: RunLog,
        known: KnownPolicies,
        hand: Hand,
        bell: Bell,
    ) -> None:
        assert log.state.opened is not None
        self._settings = log.state.opened.settings
        self._broker = broker
        self._archive = archive
        self._log = log
        self._known = known
        self._hand = hand
        self._bell = bell
        """Rung after each round: there may be capacity, or a batch to cut."""
        self.store_is_away = False
        """A round is waiting for object storage."""

    async def write(self, cases: Sequence[Case]) -> None:
        """Write one round by itself.

        Raises:
            StoreDenied, Fenced: as `archive` and `enter`.
        """
        await self.enter(await self.archive(cases))

    async def archive(self, cases: Sequence[Case]) -> Archived:
        """Put into object storage what may be accepted, and some of what is refused.

        Raises:
            StoreDenied: it refuses us; while it only is away, it is waited for.
        """
        segment, offsets = await self._write_segment(to_archive(cases))
        samples = await self._keep_samples(cases)
        return Archived(cases, segment, offsets, samples)

    async def enter(self, archived: Archived) -> None:
        """Write the verdicts, and let the messages go.

        Raises:
            Fenced: another coordinator has taken over.
        """
        if not archived.cases:
            return
        async with self._log.lock:
            # Leases may have ended since they were judged: this is the decision that counts.
            events = decide(self._log.state, self._known, *archived)
            if events:
                await self._log.append(events)
        self._bell.ring()
        await self._hand.release([one.delivery.record for one in archived.cases])
        for event in events:
            await self._tell(word(event))

    async def _write_segment(self, groups: Sequence[Case]) -> tuple[str, dict[int, int]]:
        """Archive the groups; returns the segment's name and each one's offset by sequence."""
        if not groups:
            return "", {}
        messages = [one.delivery.record.data for one in groups]
        write = functools.partial(self._archive.write, messages, term=self._log.term)
        segment = await self._stored(write)
        places = zip(groups, segment.slices, strict=True)
        return segment.name, {one.sequence: offset for one, (offset, _) in places}

    async def _keep_samples(self, cases: Sequence[Case]) -> set[int]:
        """Keep the bytes of the first few refused messages per actor and reason; which ones."""
        limit = self._settings.intake.refused_samples
        room = MAX_SAMPLES - self._log.state.num_samples.total()
        kept: dict[tuple[str, str], int] = {}
        sequences: set[int] = set()
        for one in cases:
            if one.refusal is None or one.refusal[0] is not Outcome.REJECTED:
                continue
            key = (one.actor, one.refusal[1])
            kept.setdefault(key, self._log.state.num_samples[key])
            if kept[key] < limit and len(sequences) < room:
                kept[key] += 1
                sequences.add(one.sequence)
                data = one.delivery.record.data
                await self._stored(functools.partial(self._archive.keep_refused, data))
        return sequences

    async def _stored(self, write: Callable[[], Awaitable[T]]) -> T:
        """What the write returns, once object storage takes it."""

        async def write_once() -> T:
            try:
                return await write()
            except StoreUnavailable:
                self.store_is_away = True
                raise

        try:
            return await retry.until_available()(write_once)
        finally:
            self.store_is_away = False

    async def _tell(self, verdict: Verdict) -> None:
        logger.debug("verdict", actor=verdict.actor, outcome=verdict.outcome, reason=verdict.reason)
        subject = names.verdict_subject(self._settings.name, verdict.actor)
        with contextlib.suppress(BrokerUnavailable):  # `broker why` has it too.
            await self._broker.notify(subject, encode(verdict))
