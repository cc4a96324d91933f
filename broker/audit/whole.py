"""The whole audit: pure in `audit`, with its reading in `audit_run`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from broker.audit.archived import check_archive
from broker.audit.batches import check_chain, check_fresh, check_rows, staleness
from broker.audit.groups import check_groups, check_once, group_equation
from broker.audit.leases import check_leases, lease_equation
from broker.audit.messages import (
    check_messages,
    lost_at_restores,
    message_equations,
    stored_since,
)
from broker.audit.queues import check_queue
from broker.audit.report import POLICIES_UNREAD, AuditReport, Check, Violation
from broker.interface import Broker, StreamState
from broker.inventory import read_inventory
from broker.logbook import LogItem
from broker.look.read_on import LogFold
from broker.store import Store
from broker.tally import Tally, tally
from schemas import names

Gone = Mapping[str, frozenset[int]]
"""Stream -> sequences that it does not hold, from its first on."""


def audit(
    run: str,
    streams: Sequence[StreamState],
    items: Iterable[LogItem],
    *,
    after: Sequence[StreamState] = (),
    gone: Gone = MappingProxyType({}),
) -> AuditReport:
    """Check a run's whole log against the states of its streams, which were read before it, and
    those that changed when they were read again `after` it."""
    states = {state.name: state for state in streams}
    return _audit(run, states, states | {state.name: state for state in after}, tally(items), gone)


async def audit_run(
    broker: Broker, run: str, *, store: Store | None = None, known: LogFold[Tally] | None = None
) -> AuditReport:
    """Read the states, the log, the states again, and check them; with a store also the archive.

    Who audits again gives the same `known`, which then reads only what is new.

    Raises:
        UserError: there is no such run.
    """
    inventory = await read_inventory(broker)
    inventory.require(run)
    states = {name: await broker.state(name) for name in inventory.own(run)}
    known = known or LogFold(run, Tally)
    log_stream = names.log_stream(run)
    await known.up_to(broker, await broker.state(log_stream))
    gone = {
        name: frozenset(await _not_found(broker, state))
        for name, state in states.items()
        if name in inventory.queues(run)
    }
    # What has gone from a stream while we looked for it has its verdict in the log since.
    log = await known.up_to(broker, await broker.state(log_stream))
    after = {name: await broker.state(name) for name in states}
    report = _audit(run, states, after, log, gone)
    if store is None:
        return report
    found = await check_archive(store, run, log)
    return msgspec.structs.replace(
        report,
        holds=report.holds and not found,
        violations=(*report.violations, *found),
        num_groups_hashed=report.num_rows + len(log.waiting),
        not_checked=(POLICIES_UNREAD,),
    )


async def _not_found(broker: Broker, state: StreamState) -> set[int]:
    return await broker.missing(state.name, first=state.first_sequence, last=state.last_sequence)


def _audit(
    run: str,
    states: Mapping[str, StreamState],
    after: Mapping[str, StreamState],
    log: Tally,
    gone: Gone,
) -> AuditReport:
    shards = [states[name] for name in _shard_streams(log) if name in states]
    log_state = states.get(names.log_stream(run))
    log_created = log_state.created if log_state else math.inf
    max_staleness = log.opened.settings.leases.max_staleness if log.opened else None
    equations = [lease_equation(log)]
    violations = [*_check_log(run, log, states), *check_leases(log)]
    for state in shards:
        lost = gone.get(state.name, frozenset())
        equations += message_equations(log, state, after[state.name], lost)
        violations += check_messages(log, state, lost)
        violations += check_queue(log, state, after[state.name], log_created)
    equations.append(group_equation(log))
    violations += check_groups(log)
    violations += check_once(log)
    if max_staleness is not None:
        violations += check_fresh(log, max_staleness)
    violations += check_chain(log)
    violations += check_rows(log)
    broken = [
        Violation(check=equation.check, detail=f"{equation.about}: {equation}")
        for equation in equations
        if not equation.holds
    ]
    return AuditReport(
        run=run,
        holds=not broken and not violations,
        equations=tuple(equations),
        violations=(*broken, *violations),
        num_batches=len(log.batches),
        num_rows=log.rows.total(),
        stalest_row=max(
            (staleness(logged.batch.step, row.policy.version) for logged, row in log.placed_rows()),
            default=0,
        ),
        max_staleness=max_staleness,
        num_stored_since=sum(len(stored_since(log, state, after[state.name])) for state in shards),
        num_reused_sequences=sum(len(events) - 1 for events in log.judged.values())
        + len(log.judged.keys() & log.purged.by.keys()),
        num_lost_at_restores=sum(lost_at_restores(log, stream) for stream in log.not_restored)
        if log.not_restored
        else None,
    )


def _check_log(run: str, log: Tally, states: Mapping[str, StreamState]) -> Iterator[Violation]:
    for detail in (*log.faults, *_wrong_streams(run, log, states)):
        yield Violation(check=Check.LOG, detail=detail)


def _wrong_streams(run: str, log: Tally, states: Mapping[str, StreamState]) -> Iterator[str]:
    state = states.get(names.log_stream(run))
    if state is not None and state.last_sequence > log.last_sequence:
        yield f"LOG ended at {state.last_sequence}, and can be read to {log.last_sequence}"
    if log.opened is None:
        # An empty log is that of a run whose streams are there and which nobody has opened yet.
        if log.last_sequence > 0:
            yield "no entry of LOG opens the run"
        return
    if log.opened.settings.name != run:
        yield f"LOG opens the run {log.opened.settings.name}, not {run}"
    shards = _shard_streams(log)
    for name in (names.log_stream(run), *shards):
        if name not in states:
            yield f"there is no stream {name}"
    for name in sorted({stream for stream, _ in log.judged} - set(shards)):
        yield f"there are verdicts on {name}, which is no stream of the run"
    for name in sorted({purge.stream for purge in log.purged.begun.values()} - set(shards)):
        yield f"there are purges of {name}, which is no stream of the run"


def _shard_streams(log: Tally) -> list[str]:
    if log.opened is None:
        return []
    settings = log.opened.settings
    return [names.rollouts_stream(settings.name, shard) for shard in settings.intake.shards]
