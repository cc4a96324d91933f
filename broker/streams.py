"""The streams of a run: one queue per shard, and the two logs."""

from broker.interface import StreamKind, StreamSpec
from schemas import names
from schemas.settings import RunSettings


def run_streams(settings: RunSettings) -> tuple[StreamSpec, ...]:
    """All streams that a run needs, as `Broker.ensure_stream` wants them."""
    run, intake = settings.name, settings.intake
    queues = (
        StreamSpec(
            name=names.rollouts_stream(run, shard),
            subjects=(names.rollouts_filter(run, shard),),
            kind=StreamKind.QUEUE,
            max_bytes=intake.max_stream_bytes,
            max_message_bytes=intake.max_message_bytes,
            consumer=names.intake_consumer(shard),
            # One round is in hand while the next one is pulled; what is not acked in time comes on
            # top of both.
            max_ack_pending=3 * intake.fetch_groups,
        )
        for shard in intake.shards
    )
    log = StreamSpec(
        name=names.log_stream(run),
        subjects=(names.ledger_subject(run), names.batches_filter(run)),
        kind=StreamKind.LOG,
    )
    policies = StreamSpec(
        name=names.policies_stream(run),
        subjects=(names.policy_subject(run), names.trainer_subject(run)),
        kind=StreamKind.LOG,
    )
    return (*queues, log, policies)
