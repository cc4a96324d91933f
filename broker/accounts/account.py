"""What is claimed of the accounts: the three that are always there, and each contributor's. Pure.

The core account exports its subjects once, for all who come: where an actor's id stands in a
subject, the server lets nobody import it but the account that bears this key.
"""

from typing import Final

from broker.accounts.claims import UNLIMITED, AccountClaims, AccountLimits, Export, Import
from schemas.types import MAX_WIRE_BYTES

_SERVICE: Final = "service"
_STREAM: Final = "stream"

EXPORTS: Final = (
    Export(name="rollouts", subject="rollouts.*.*.*.*", type=_SERVICE, account_token_position=5),
    Export(name="lease", subject="lease.*.*", type=_SERVICE, account_token_position=3),
    Export(name="grant", subject="grant.*.*", type=_SERVICE, account_token_position=3),
    Export(name="heartbeat", subject="heartbeat.*.*", type=_SERVICE, account_token_position=3),
    Export(name="verdict", subject="verdict.*.*", type=_STREAM, account_token_position=3),
    Export(name="policy", subject="policy.*", type=_STREAM),
    Export(name="join", subject="join.*", type=_SERVICE),
)
_PAYLOAD_BYTES: Final = MAX_WIRE_BYTES + 4096
"""A group and its headers."""
CONTRIBUTOR_LIMITS: Final = AccountLimits(
    subs=64, conn=4, leaf=1, payload=_PAYLOAD_BYTES, exports=0, imports=len(EXPORTS)
)
"""A server (2.15) counts subscriptions for each connection; a limit on `data` it ignores."""
_JOIN: Final = AccountLimits(subs=2048, conn=512, leaf=0, payload=4096, exports=0, imports=1)


def core_account(signer: str) -> AccountClaims:
    """Holds the streams."""
    limits = AccountLimits(mem_storage=UNLIMITED, disk_storage=UNLIMITED)
    return AccountClaims(signing_keys=(signer,), limits=limits, exports=EXPORTS)


def system_account(signer: str) -> AccountClaims:
    """The server's own."""
    return AccountClaims(signing_keys=(signer,), limits=AccountLimits())


def join_account(signer: str, core: str) -> AccountClaims:
    """May ask to be let in, and nothing else."""
    join = Import(name="join", subject="join.*", type=_SERVICE, account=core)
    return AccountClaims(signing_keys=(signer,), limits=_JOIN, imports=(join,))


def contributor_account(signer: str, core: str, actor: str) -> AccountClaims:
    """Everything that bears the actor's id, and the announcements."""
    subjects = {
        "rollouts": f"rollouts.*.*.*.{actor}",
        "lease": f"lease.*.{actor}",
        "grant": f"grant.*.{actor}",
        "heartbeat": f"heartbeat.*.{actor}",
        "verdict": f"verdict.*.{actor}",
        "policy": "policy.*",
    }
    imports = tuple(
        Import(name=export.name, subject=subjects[export.name], type=export.type, account=core)
        for export in EXPORTS
        if export.name in subjects
    )
    return AccountClaims(signing_keys=(signer,), limits=CONTRIBUTOR_LIMITS, imports=imports)


def revoked_account(signer: str, now: float) -> AccountClaims:
    """Nothing any more, for nobody who was let in before `now` (Unix seconds).

    It stays with the server: an account that is only deleted comes back with a server of the
    cluster that was away.
    """
    return AccountClaims(
        signing_keys=(signer,), limits=CONTRIBUTOR_LIMITS, revocations={"*": int(now) + 1}
    )
