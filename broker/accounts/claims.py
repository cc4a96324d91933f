"""What is claimed of an operator, an account and a user; field names are those of nats-io's jwt.

Limits are -1 where there is none. An account without limits for JetStream has none of it.
"""

from typing import Final

from msgspec import Struct

UNLIMITED: Final = -1


class OperatorClaims(Struct, kw_only=True, frozen=True):
    system_account: str
    type: str = "operator"
    version: int = 2


class Export(Struct, kw_only=True, frozen=True):
    """Subjects of this account that others may import."""

    name: str
    subject: str
    type: str
    """`service`: others publish there. `stream`: others hear it."""
    account_token_position: int = 0
    """Which token must be the importing account's own key, counted from 1; 0: none."""


class Import(Struct, kw_only=True, frozen=True):
    """Subjects of another account that are this account's, too."""

    name: str
    subject: str
    type: str
    account: str
    """Public key of the account that exports them."""


class AccountLimits(Struct, kw_only=True, frozen=True):
    subs: int = UNLIMITED
    conn: int = UNLIMITED
    leaf: int = UNLIMITED
    payload: int = UNLIMITED
    data: int = UNLIMITED
    imports: int = UNLIMITED
    exports: int = UNLIMITED
    wildcards: bool = True
    mem_storage: int = 0
    disk_storage: int = 0
    streams: int = UNLIMITED
    consumer: int = UNLIMITED


class AccountClaims(Struct, kw_only=True, frozen=True):
    signing_keys: tuple[str, ...]
    """Public keys that sign its users."""
    limits: AccountLimits
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    revocations: dict[str, int] = {}
    """By public key of a user, or `*` for all: tokens signed until then (Unix seconds) are void."""
    type: str = "account"
    version: int = 2


class Subjects(Struct, kw_only=True, frozen=True):
    """What is in `allow` and not in `deny`; an empty `allow` is everything."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class UserClaims(Struct, kw_only=True, frozen=True):
    issuer_account: str
    """The account whose signing key signs this."""
    pub: Subjects
    sub: Subjects
    subs: int = UNLIMITED
    data: int = UNLIMITED
    payload: int = UNLIMITED
    type: str = "user"
    version: int = 2
