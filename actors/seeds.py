"""Seeds of completions: what chance a rollout has follows from its lease."""

import hashlib


def member_seed(lease_seed: int, member: int) -> int:
    """63-bit seed of a group's member.

    The turns of one rollout share a seed: their noise differs because their positions do.
    """
    digest = hashlib.sha256(f"tributary seed\n{lease_seed}\n{member}\n".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
