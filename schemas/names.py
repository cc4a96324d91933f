"""Every subject, stream name and object key, built and parsed in one place.

A token is one dot-separated part of a subject. Tokens are checked when a name is built and when it
is parsed, so that no id can smuggle in a separator or a wildcard.

>>> rollouts_subject("demo", "s0", (1, 7), "ALICE")
'rollouts.demo.s0.1-7.ALICE'
>>> parse_rollouts_subject("rollouts.demo.s0.1-7.ALICE")
RolloutsSubject(run='demo', shard='s0', incarnation=1, version=7, actor='ALICE')
"""

import re
from typing import NamedTuple

from schemas.errors import Rejected
from schemas.types import TOKEN_PATTERN
from schemas.verdict import Reason

_TOKEN = re.compile(TOKEN_PATTERN)
_SEGMENT_KEY = re.compile(r"^archive/[^/]+/([1-9][0-9]{0,15})/([0-9a-f]{64})\Z")
_VERSION = re.compile(r"^(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})\Z")

COORDINATOR = "coordinator"
TRAINER = "trainer"


def token(text: str) -> str:
    """Return `text` if it is a valid token.

    Raises:
        ValueError: it is empty, longer than 64 characters, or has a character outside A-Za-z0-9_-.
    """
    if not _TOKEN.match(text):
        raise ValueError(f"{text[:80]!r} is not a name: 1 to 64 of A-Z a-z 0-9 _ -")
    return text


class RolloutsSubject(NamedTuple):
    """What the subject of a rollout group says, all of it chosen by the sender.

    The actor is, too: a server binds it only where each contributor has an account of his own,
    which promise 6 of the README waits for.
    """

    run: str
    shard: str
    incarnation: int
    version: int
    actor: str


def rollouts_subject(run: str, shard: str, policy: tuple[int, int], actor: str) -> str:
    """Subject of a group: `policy` is (incarnation, oldest version that sampled any token)."""
    incarnation, version = policy
    return f"rollouts.{token(run)}.{token(shard)}.{incarnation}-{version}.{token(actor)}"


def parse_rollouts_subject(subject: str) -> RolloutsSubject:
    """Parse the subject of a group.

    Raises:
        Rejected: with Reason.SUBJECT, when it is not `rollouts.<run>.<shard>.<i>-<v>.<actor>`.
    """
    parts = subject.split(".")
    if len(parts) != 5 or parts[0] != "rollouts":
        raise Rejected(Reason.SUBJECT, "not rollouts.<run>.<shard>.<incarnation>-<version>.<actor>")
    _, run, shard, policy, actor = parts
    matched = _VERSION.match(policy)
    if not matched or not all(_TOKEN.match(part) for part in (run, shard, actor)):
        raise Rejected(Reason.SUBJECT, "a part of the subject is not a valid name or version")
    return RolloutsSubject(run, shard, int(matched[1]), int(matched[2]), actor)


def rollouts_filter(run: str, shard: str) -> str:
    """All groups of one shard."""
    return f"rollouts.{token(run)}.{token(shard)}.*.*"


def rollouts_of_actor_filter(run: str, shard: str, actor: str) -> str:
    """Groups that one actor has published to a shard, of all versions."""
    return f"rollouts.{token(run)}.{token(shard)}.*.{token(actor)}"


def selection_filter(
    run: str, shard: str, *, policy: tuple[int, int] | None = None, actor: str | None = None
) -> str:
    """Groups of one shard, of one policy or all, of one actor or all.

    >>> selection_filter("demo", "s0", actor="ALICE"), selection_filter("demo", "s0", policy=(1, 7))
    ('rollouts.demo.s0.*.ALICE', 'rollouts.demo.s0.1-7.*')
    """
    made_with = f"{policy[0]}-{policy[1]}" if policy else "*"
    return f"rollouts.{token(run)}.{token(shard)}.{made_with}.{token(actor) if actor else '*'}"


def ledger_subject(run: str) -> str:
    return f"ledger.{token(run)}"


def batch_subject(run: str, step: int) -> str:
    return f"batches.{token(run)}.{step}"


def batches_filter(run: str) -> str:
    return f"batches.{token(run)}.*"


def policy_subject(run: str) -> str:
    """Announcements of policies, read by actors too."""
    return f"policy.{token(run)}"


def trainer_subject(run: str) -> str:
    """The trainer's events other than announcements."""
    return f"trainer.{token(run)}"


def lease_subject(run: str, actor: str) -> str:
    return f"lease.{token(run)}.{token(actor)}"


def grant_subject(run: str, actor: str) -> str:
    return f"grant.{token(run)}.{token(actor)}"


def leases_filter(run: str) -> str:
    """Lease requests of all actors."""
    return f"lease.{token(run)}.*"


def grants_filter(run: str) -> str:
    """Grant requests of all actors."""
    return f"grant.{token(run)}.*"


def verdict_subject(run: str, actor: str) -> str:
    return f"verdict.{token(run)}.{token(actor)}"


def verdicts_filter(run: str) -> str:
    """Verdicts on everybody's groups."""
    return f"verdict.{token(run)}.*"


def join_subject(run: str) -> str:
    """Where who was invited asks to be let in."""
    return f"join.{token(run)}"


def purge_subject(run: str) -> str:
    """Where the coordinator is asked to remove messages from a queue."""
    return f"purge.{token(run)}"


def heartbeat_subject(run: str, who: str) -> str:
    return f"heartbeat.{token(run)}.{token(who)}"


def heartbeats_filter(run: str) -> str:
    """Heartbeats of everybody."""
    return f"heartbeat.{token(run)}.*"


def who_subject(run: str, role: str) -> str:
    return f"who.{token(run)}.{token(role)}"


def let_in_subject(run: str) -> str:
    """Where it is asked to let in again whom it cut off."""
    return f"let-in.{token(run)}"


def last_token(subject: str) -> str:
    """The id at the end of a subject: the actor of a lease, grant or heartbeat."""
    return subject.rsplit(".", 1)[-1]


def rollouts_stream(run: str, shard: str) -> str:
    return f"{rollouts_stream_prefix(run)}{token(shard)}"


def rollouts_stream_prefix(run: str) -> str:
    """What all queues of a run begin with. Those of another run may, too: `demo` and `demo_2`."""
    return f"ROLLOUTS_{token(run)}_"


def log_stream(run: str) -> str:
    return f"LOG_{token(run)}"


def run_of_log_stream(stream: str) -> str | None:
    """The run whose log this stream is; None when it is no log.

    >>> run_of_log_stream(log_stream("demo")), run_of_log_stream("ROLLOUTS_demo_s0")
    ('demo', None)
    """
    kind, _, run = stream.partition("_")
    return run if kind == "LOG" and _TOKEN.match(run) else None


def policies_stream(run: str) -> str:
    return f"POLICIES_{token(run)}"


def intake_consumer(shard: str) -> str:
    """The one durable consumer of a shard."""
    return f"intake_{token(shard)}"


def segment_key(run: str, segment: str) -> str:
    """Archive segment, by its name `<term>-<sha256>`."""
    term, _, sha256 = segment.partition("-")
    return f"archive/{token(run)}/{token(term)}/{token(sha256)}"


def parse_segment_key(key: str) -> tuple[int, str] | None:
    """The term of the coordinator that wrote a segment, and the segment's name.

    >>> parse_segment_key(segment_key("demo", "7-" + "0" * 64)) == (7, "7-" + "0" * 64)
    True
    """
    matched = _SEGMENT_KEY.match(key)
    return (int(matched[1]), f"{matched[1]}-{matched[2]}") if matched else None


def archive_prefix(run: str) -> str:
    return f"archive/{token(run)}/"


def refused_key(run: str, sha256: str) -> str:
    """A kept sample of refused bytes."""
    return f"refused/{token(run)}/{token(sha256)}"


def refused_prefix(run: str) -> str:
    return f"refused/{token(run)}/"


def policies_prefix(run: str) -> str:
    """Everything an actor may be granted a URL for."""
    return f"policies/{token(run)}/"


def blob_key(run: str, sha256: str) -> str:
    """A file of a policy, named by the digest of its bytes: equal files are stored once."""
    return f"policies/{token(run)}/blobs/{token(sha256)}"


def policy_manifest_key(run: str, policy: tuple[int, int]) -> str:
    """The manifest that says what a policy is; `policy` is (incarnation, version)."""
    return f"policies/{token(run)}/{policy[0]}-{policy[1]}/policy"


def path_manifest_key(run: str, policy: tuple[int, int]) -> str:
    """The manifest that says how to get a policy: as its anchor."""
    return f"policies/{token(run)}/{policy[0]}-{policy[1]}/anchor"


def scratch_key(name: str) -> str:
    """An object that is written to try the storage out, and removed again."""
    return f"scratch/{token(name)}"
