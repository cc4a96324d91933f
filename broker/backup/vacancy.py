"""Whether servers have room for a run: nothing of it may be there.

What a restore that was interrupted has left behind is no hindrance: records that are the backup's
in streams that are not those it was taken from, and objects that the backup names.
"""

import itertools

from broker import retry
from broker.backup.records import PATIENCE_S
from broker.backup.whole import Backup, KeptLog
from broker.interface import Broker
from broker.program.words import counted
from broker.store import Store
from broker.streams import run_streams
from schemas import names
from schemas.errors import UserError


async def check_vacant(broker: Broker, store: Store, backup: Backup) -> set[str]:
    """The keys of those of the backup's objects that are in the bucket already.

    Raises:
        UserError: something of the run is there that this restore would not bring.
    """
    await _check_streams(broker, backup)
    return await _keys_there(store, backup)


async def _check_streams(broker: Broker, backup: Backup) -> None:
    there = set(await retry.for_seconds(PATIENCE_S)(broker.streams))
    ends = {end.stream: end.last_sequence for end in backup.manifest.head.queues}
    for log in (backup.policies, backup.log):
        if log.end.stream in there and not await _is_beginning(broker, log):
            raise _occupied(backup.run)
    if backup.log.end.stream in there:
        state = await broker.state(backup.log.end.stream)
        if state.last_sequence == backup.log.closing.sequence:
            raise _occupied(backup.run)
    for spec in run_streams(backup.opened.settings):
        if spec.consumer and spec.name in there:
            state = await broker.state(spec.name)
            if state.num_messages or state.last_sequence != ends.get(spec.name, 0):
                raise _occupied(backup.run)


def _occupied(run: str) -> UserError:
    return UserError(
        f"the server has a run {run} already, and a restore never writes into one that is there: "
        "restore onto other servers (`broker up --servers DIR` starts some)"
    )


async def _is_beginning(broker: Broker, log: KeptLog) -> bool:
    """Whether the stream is another one than the backup's, and holds a beginning of its records."""
    state = await broker.state(log.end.stream)
    if state.created == log.end.created or state.last_sequence > log.closing.sequence:
        return False
    found = await broker.get(log.end.stream, state.last_sequence) if state.last_sequence else None
    if found is None:
        return state.last_sequence == 0
    records = itertools.chain(log.records(), [log.closing])
    kept = next(record for record in records if record.sequence == found.sequence)
    return (kept.subject, kept.data) == (found.subject, found.data)


async def _keys_there(store: Store, backup: Backup) -> set[str]:
    run = backup.run
    prefixes = (names.archive_prefix(run), names.policies_prefix(run), names.refused_prefix(run))
    there: set[str] = set()
    for prefix in prefixes:
        listed = await retry.for_seconds(PATIENCE_S)(store.list, prefix)
        there.update(info.key for info in listed)
    if foreign := there.difference(key for key, _ in backup.objects()):
        raise UserError(
            f"the bucket holds {counted(len(foreign), 'object')} of a run {run} that the backup "
            f"does not name, such as {min(foreign)}: restore into another bucket (the "
            "connection's `bucket`)"
        )
    return there
