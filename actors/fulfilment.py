"""One lease from start to finish: policy, rollouts, disk, queue.

What happens to the lease when something comes between: before its group is on disk it is given
back; from then on the group is published, by this process or by the next one.
"""

import asyncio
from contextlib import ExitStack

from actors.groups import Groups
from actors.leases import HeldLease, Leases
from actors.policies import Policies
from actors.spool import Spool, Spooled
from actors.status import Status
from actors.verdicts import Verdicts
from broker.interface import Broker
from broker.publisher import Publisher
from schemas import wire
from schemas.errors import MessageTooLarge
from schemas.heartbeat import State
from schemas.lease import Lease
from schemas.names import rollouts_subject
from schemas.rollout import RolloutGroup


class Fulfilment:
    """Fulfils leases, several at a time."""

    def __init__(
        self,
        *,
        groups: Groups,
        policies: Policies,
        leases: Leases,
        spool: Spool,
        broker: Broker,
        verdicts: Verdicts,
        status: Status,
    ) -> None:
        self._groups = groups
        self._policies = policies
        self._leases = leases
        self._spool = spool
        self._publisher = Publisher(broker, on_full=self._say_full)
        self._queue_full = ExitStack()
        self._verdicts = verdicts
        self._status = status
        self._not_begun: set[asyncio.Task[None]] = set()

    async def fulfil(self, held: HeldLease) -> None:
        """Make the group and publish it, or give the lease up and count why."""
        lease, deadline = held.lease, asyncio.timeout_at(held.expires)
        try:
            async with deadline:
                group = await self._make(held)
        except TimeoutError:
            if not deadline.expired():
                raise
            self._verdicts.count_loss("deadline", f"lease {lease.lease_id} was not done in time")
            self._leases.done(lease.lease_id)
            return
        except asyncio.CancelledError:
            self._leases.give_back(lease.lease_id)
            raise
        try:
            spooled = _spooled(lease, group)
        except MessageTooLarge as error:
            self._give_up_too_large(lease.lease_id, error)
            return
        with self._status.doing(State.PUBLISHING):
            await self._spool.put(spooled)
            await self._publish(spooled)

    async def deliver(self, spooled: Spooled) -> None:
        """Publish a group that an earlier process has left in the spool."""
        with self._status.doing(State.PUBLISHING):
            await self._publish(spooled)

    async def _publish(self, spooled: Spooled) -> None:
        """Publish a group, take it out of the spool when the broker has it, and end its lease."""
        lease_id = spooled.lease_id
        self._verdicts.expect(wire.sha256_hex(spooled.data), lease_id)
        try:
            await self._publisher.publish(spooled.subject, spooled.data)
        except MessageTooLarge as error:
            self._give_up_too_large(lease_id, error)
        else:
            self._status.groups_published += 1
            self._leases.done(lease_id)
        self._spool.remove(spooled)

    def _give_up_too_large(self, lease_id: int, error: MessageTooLarge) -> None:
        """No message can carry the group: the coordinator is told by the lease."""
        self._verdicts.count_loss("too-large", f"the group of lease {lease_id}: {error}")
        self._leases.give_back(lease_id)

    def cancel_not_begun(self) -> None:
        """Give back the leases that still wait for a policy or for room on the disk."""
        for task in self._not_begun:
            task.cancel()

    async def _make(self, held: HeldLease) -> RolloutGroup:
        task = asyncio.current_task()
        assert task is not None
        self._not_begun.add(task)
        try:
            await self._spool.room()
            async with self._policies.serving(held.lease.least_policy) as served:
                self._not_begun.discard(task)
                with self._status.doing(State.GENERATING):
                    return await self._groups.make(held.lease, held.environment, served)
        finally:
            self._not_begun.discard(task)

    def _say_full(self, full: bool) -> None:
        """The publisher finds the queue full, or no longer full."""
        self._queue_full.close()
        if full:
            self._queue_full.enter_context(self._status.doing(State.QUEUE_FULL))


def _spooled(lease: Lease, group: RolloutGroup) -> Spooled:
    subject = rollouts_subject(group.run, lease.shard, group.policy, group.actor)
    return Spooled(lease_id=lease.lease_id, subject=subject, data=wire.encode(group))
