"""Which of a run's queues an actor publishes to: told by its id alone.

An actor keeps to one queue, so that what it floods is its own neighbourhood. Where the operator
makes the ids, he makes one that falls where he wants it (see `broker.accounts.roster`), and nothing
has to be told to anybody: the lease and the server's permission say the same.
"""

import hashlib
from collections.abc import Sequence


def shard_of(actor: str, shards: Sequence[str]) -> str:
    """The queue of an actor.

    >>> shard_of("ALICE", ("s0",)), shard_of("ALICE", ("s0", "s1", "s2"))
    ('s0', 's1')
    """
    digest = hashlib.sha256(f"0 {actor} 0".encode()).digest()
    return shards[(int.from_bytes(digest[:8], "big") >> 32) % len(shards)]
