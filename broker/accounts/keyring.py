"""The operator's keys: one signs accounts, one signs their users. Nobody else has them.

    operator.nk     signs accounts: its public half is all that a server trusts
    signer.nk       signs users; every account says that it does
    accounts.json   the public keys of the three accounts that are there from the first day

The keys of the accounts themselves sign nothing: they are made for their public halves, which are
names, and forgotten.
"""

from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from broker.accounts import claims, jwt
from broker.accounts.credentials import Credentials, inboxes
from broker.accounts.folder_lock import locked
from broker.accounts.nkey import Kind, Nkey
from broker.accounts.rights import Rights
from schemas.atomic_file import write_atomically
from schemas.errors import UserError

_OPERATOR: Final = "operator.nk"
_SIGNER: Final = "signer.nk"
_ACCOUNTS: Final = "accounts.json"
_LOCK: Final = ".keys.lock"


class Accounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Public keys."""

    system: str
    """The server's own: who is in it may change accounts."""
    core: str
    """Holds all streams; the learner's side and the operator are in it."""
    join: str
    """Where who was invited, and nobody yet, asks to be let in."""


class Keyring:
    """Signs accounts and users."""

    def __init__(self, operator: Nkey, signer: Nkey, accounts: Accounts) -> None:
        self._operator = operator
        self._signer = signer
        self.accounts = accounts

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The keyring of a folder; what it lacks is made.

        Raises:
            UserError: the folder cannot be written, or a file in it is damaged or others can read.
        """
        if not is_keyring(folder):
            try:
                with locked(folder / _LOCK):
                    _make(folder)
            except OSError as error:
                raise UserError(f"cannot make {folder}: {error.strerror}") from None
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises UserError when there is none, it is damaged, or others can read it."""
        path = folder / _ACCOUNTS
        try:
            accounts = msgspec.json.decode(path.read_bytes(), type=Accounts)
        except FileNotFoundError:
            raise UserError(f"{folder} does not hold an operator's keys") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise UserError(f"cannot read {path}: {error}") from None
        operator = Nkey.load(folder / _OPERATOR, Kind.OPERATOR)
        return cls(operator, Nkey.load(folder / _SIGNER, Kind.ACCOUNT), accounts)

    @property
    def signer(self) -> str:
        """Public key that signs users."""
        return self._signer.public

    def operator_token(self) -> str:
        """What a server trusts."""
        about = claims.OperatorClaims(system_account=self.accounts.system)
        return jwt.sign(self._operator, self._operator.public, about, name="tributary")

    def account_token(self, account: str, about: claims.AccountClaims, name: str) -> str:
        """What a server knows about an account."""
        return jwt.sign(self._operator, account, about, name=name)

    def user_token(
        self,
        account: str,
        user: str,
        rights: Rights,
        *,
        name: str,
        expires: float = 0,
        payload: int = claims.UNLIMITED,
    ) -> str:
        """What a user of an account may do; `user` is his public key, `expires` Unix seconds."""
        about = claims.UserClaims(
            issuer_account=account,
            pub=claims.Subjects(allow=rights.publish),
            sub=claims.Subjects(allow=(f"{inboxes(user)}.>", *rights.subscribe)),
            payload=payload,
        )
        return jwt.sign(self._signer, user, about, name=name, expires=expires)

    def new_user(
        self, account: str, rights: Rights, *, name: str, expires: float = 0
    ) -> Credentials:
        """Credentials with a key made here, for who works on the operator's side."""
        key = Nkey.generate(Kind.USER)
        token = self.user_token(account, key.public, rights, name=name, expires=expires)
        return Credentials(token=token, seed=key.seed)


def is_keyring(folder: Path) -> bool:
    """Whether the folder has an operator's keys; on other machines there are credentials alone."""
    return (folder / _ACCOUNTS).exists()


def _make(folder: Path) -> None:
    """Make what a keyring lacks, while no other process does."""
    if is_keyring(folder):
        return
    # The keys first: accounts.json says that all is there.
    for name, kind in ((_OPERATOR, Kind.OPERATOR), (_SIGNER, Kind.ACCOUNT)):
        if not (folder / name).exists():
            Nkey.generate(kind).save(folder / name)
    system, core, join = (new_account() for _ in range(3))
    accounts = Accounts(system=system, core=core, join=join)
    text = msgspec.json.format(msgspec.json.encode(accounts)) + b"\n"
    write_atomically(folder / _ACCOUNTS, text)


def new_account() -> str:
    """The public key of an account whose own key nobody has."""
    return Nkey.generate(Kind.ACCOUNT).public
