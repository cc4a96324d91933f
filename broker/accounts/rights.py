"""Who may do what: the subjects that each role may publish to and hear. Pure.

| role | in the account | may |
|---|---|---|
| coordinator | CORE | read all streams of its run, write LOG, take messages from the queues |
| trainer | CORE | read LOG and POLICIES of its run, write POLICIES |
| observer | CORE | read the two logs and the states of the queues of a run |
| gate | CORE | answer who joins a run, and have a contributor's messages purged |
| admin | CORE | everything in it: the operator's own |
| contributor | one of his own | ask for leases and URLs, publish groups, hear verdicts |
| guest | JOIN | put one small request to the gate |
| system | SYS | change accounts, and ask the server about itself |

What is not allowed is refused by the server. A user's answers come to inboxes that bear his key,
and nobody else of his account may listen there.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from schemas import names

ANSWERS: Final = ("_INBOX.>", "_R_.>")
"""Where answers go: to users of the same account, and to those of others."""


class Role(StrEnum):
    """Who connects with credentials of the operator's making."""

    COORDINATOR = "coordinator"
    TRAINER = "trainer"
    OBSERVER = "observer"
    """Looks at one run."""
    GATE = "gate"
    """Lets contributors of one run in, and cuts off those who flood."""
    ADMIN = "admin"
    """The operator's, for all runs."""
    SYSTEM = "system"
    """The operator's, for accounts and for the server itself."""


class Rights(Struct, frozen=True, kw_only=True):
    """Subjects, with wildcards."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    """Beside the user's own inboxes."""


ALL: Final = Rights(publish=(">",), subscribe=(">",))


def coordinator(run: str, shards: Iterable[str]) -> Rights:
    """Of the one writer of LOG."""
    log, policies = names.log_stream(run), names.policies_stream(run)
    queues = [names.rollouts_stream(run, shard) for shard in shards]
    return Rights(
        publish=(
            *_reads(log, policies),
            *(subject for queue in queues for subject in _consumes(queue)),
            names.ledger_subject(run),
            names.batches_filter(run),
            names.verdicts_filter(run),
            names.heartbeat_subject(run, names.COORDINATOR),
            *_who(run),
            *ANSWERS,
        ),
        subscribe=(
            names.leases_filter(run),
            names.grants_filter(run),
            names.heartbeats_filter(run),
            names.purge_subject(run),
            names.let_in_subject(run),
            *_who(run),
        ),
    )


def trainer(run: str) -> Rights:
    """Of the one writer of POLICIES."""
    return Rights(
        publish=(
            *_reads(names.log_stream(run), names.policies_stream(run)),
            names.policy_subject(run),
            names.trainer_subject(run),
            names.heartbeat_subject(run, names.TRAINER),
            *_who(run),
            *ANSWERS,
        ),
        subscribe=(*_who(run),),
    )


def observer(run: str, shards: Iterable[str]) -> Rights:
    """Of who reads a run and changes nothing."""
    queues = [names.rollouts_stream(run, shard) for shard in shards]
    return Rights(
        publish=(
            *_reads(names.log_stream(run), names.policies_stream(run)),
            *(subject for queue in queues for subject in _sees(queue)),
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.LIST",
            *_who(run),
        ),
        subscribe=(names.heartbeats_filter(run), names.verdicts_filter(run)),
    )


def gate(run: str, shards: Iterable[str]) -> Rights:
    """Of who lets contributors in and cuts them off."""
    queues = [names.rollouts_stream(run, shard) for shard in shards]
    return Rights(
        publish=(
            *(f"$JS.API.STREAM.INFO.{queue}" for queue in queues),
            names.purge_subject(run),
            *ANSWERS,
        ),
        subscribe=(names.join_subject(run),),
    )


def contributor(run: str, shard: str, actor: str) -> Rights:
    """Of an actor, whose id is the public key of its account."""
    return Rights(
        publish=(
            names.lease_subject(run, actor),
            names.grant_subject(run, actor),
            names.heartbeat_subject(run, actor),
            names.rollouts_of_actor_filter(run, shard, actor),
        ),
        # The account is the boundary: what a leaf node of his passes on has inboxes of its own.
        subscribe=("_INBOX.>", names.policy_subject(run), names.verdict_subject(run, actor)),
    )


def guest(run: str) -> Rights:
    """Of who holds an invitation and nothing else."""
    return Rights(publish=(names.join_subject(run),), subscribe=())


def _sees(stream: str) -> tuple[str, ...]:
    """Looks at a stream and its messages, and takes none."""
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.LIST.{stream}",
        f"$JS.API.CONSUMER.INFO.{stream}.*",
    )


def _reads(*logs: str) -> tuple[str, ...]:
    """Follows logs, by passing consumers that ack nothing.

    Where a consumer delivers is for its maker to say, and the server (2.15) does not ask whether he
    may publish there. So a role that makes consumers is trusted not to: one that has fallen into
    wrong hands can have what it may read delivered to listeners, and a trainer his own messages
    stored in LOG, where readers pass them over and the audit names them. Contributors make none.
    """
    return tuple(
        subject
        for log in logs
        for subject in (
            *_sees(log),
            f"$JS.API.CONSUMER.CREATE.{log}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{log}.*",
        )
    )


def _consumes(queue: str) -> tuple[str, ...]:
    """Takes messages of a queue, and removes what has a verdict."""
    return (
        *_sees(queue),
        f"$JS.API.CONSUMER.MSG.NEXT.{queue}.*",
        f"$JS.API.CONSUMER.RESET.{queue}.*",
        f"$JS.API.STREAM.MSG.DELETE.{queue}",
        f"$JS.API.STREAM.PURGE.{queue}",
        f"$JS.ACK.{queue}.>",
    )


def _who(run: str) -> tuple[str, ...]:
    return tuple(names.who_subject(run, role) for role in (names.COORDINATOR, names.TRAINER))
