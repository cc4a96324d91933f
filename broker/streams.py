"""The streams of a run: one queue per shard, and two logs that have one writer each.

| stream | holds | written by |
|---|---|---|
| ROLLOUTS, one per shard | groups without a verdict | actors |
| LOG | the ledger and the batches | the coordinator |
| POLICIES | announcements and the trainer's other events | the trainer |
"""

from broker.interface import StreamKind, StreamSpec
from schemas import names
from schemas.settings import RunSettings

_ACK_WAIT_S = 15.0
"""So long what a killed coordinator had in hand stays away, and keeps leases from expiring. A round
of intake is shorter; what waits longer for its verdict gets `in_progress`."""
_DUPLICATE_WINDOW_S = 120.0
"""A resend inside it is not even stored; beyond it the lease is used up, and so it is refused as a
duplicate. The server keeps each message's id in memory meanwhile, and strangers choose ids."""
_SPARE_PER_SUBJECT = 4
"""Times the leases that an actor may have open: resends and late groups of earlier leases too."""


def run_streams(settings: RunSettings, *, num_replicas: int = 1) -> tuple[StreamSpec, ...]:
    """One queue per shard, and the two logs, in the order in which they are made: the audit takes a
    queue that is younger than LOG for one that was made again."""
    run = settings.name
    queues = tuple(_queue(settings, shard, num_replicas) for shard in settings.intake.shards)
    log = StreamSpec(
        name=names.log_stream(run),
        subjects=(names.ledger_subject(run), names.batches_filter(run)),
        kind=StreamKind.LOG,
        num_replicas=num_replicas,
    )
    policies = StreamSpec(
        name=names.policies_stream(run),
        subjects=(names.policy_subject(run), names.trainer_subject(run)),
        kind=StreamKind.LOG,
        num_replicas=num_replicas,
    )
    return (*queues, log, policies)


def _queue(settings: RunSettings, shard: str, num_replicas: int) -> StreamSpec:
    intake = settings.intake
    return StreamSpec(
        name=names.rollouts_stream(settings.name, shard),
        subjects=(names.rollouts_filter(settings.name, shard),),
        kind=StreamKind.QUEUE,
        max_bytes=intake.max_stream_bytes,
        max_message_bytes=intake.max_message_bytes,
        max_messages_per_subject=_SPARE_PER_SUBJECT * settings.leases.max_open_per_actor,
        consumer=names.intake_consumer(shard),
        # A round each that is pulled, judged, archived and entered: every loop of intake has work.
        # What waits between the loops, or is judged aside, takes the place of some of these.
        max_ack_pending=4 * intake.fetch_groups,
        ack_wait_s=_ACK_WAIT_S,
        duplicate_window_s=_DUPLICATE_WINDOW_S,
        num_replicas=num_replicas,
    )
