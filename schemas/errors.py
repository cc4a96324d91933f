"""The error tree.

TributaryError
  UserError            something the person at the keyboard can mend; exit status 2, no traceback
    SettingsError      a setting is unknown, malformed or out of bounds
    RoleTaken          another process already is this run's coordinator or trainer
    ServerMissing      a server binary or a server is not there
    BackupDamaged      a backup is not as it was written
  Rejected             bytes from outside are not what they should be; carries the reason
  BrokerError          the message broker
    BrokerUnavailable  no answer in time: retry
    QueueFull          the unconsumed backlog is full: wait and retry the same bytes
    PermissionDenied   the server refuses this subject: never retried
    NotLetIn           the server does not want this user any more: never retried
    MessageTooLarge    the message is above its reader's, the stream's or the server's limit
    NoResponders       nobody serves the subject of a request
    Fenced             another writer holds this log: stop at once
    LogDamaged         a log has lost a record that it had stored
  StoreError           object storage
    ObjectMissing      no object under this key
    ObjectExists       a write-once key is already taken
    StoreDenied        the storage refuses us or has no such bucket: never retried
    StoreUnavailable   no answer in time: retry
  PolicyError          a policy cannot be trusted or used
    SignatureInvalid   not signed by the run's key
    DigestMismatch     bytes are not what the manifest says
    RollbackRefused    older than a policy already seen
    PolicyTaken        something else is published under the name of this policy
    ProbeMismatch      the engine computes other log-probabilities than the trainer did
    PolicyUnloadable   its folder is no model that the engine knows, or is broken
"""

from schemas.verdict import Reason


class TributaryError(Exception):
    """Base of all errors that Tributary raises on purpose."""

    exit_status = 1


class UserError(TributaryError):
    """Raised for what the user can mend; the message is one sentence that says how."""

    exit_status = 2


class SettingsError(UserError):
    """Raised when a setting is unknown, malformed or out of bounds."""


class RoleTaken(UserError):
    """Raised at start when another process already holds the role (coordinator, trainer)."""

    def __init__(self, role: str, holder: str, advice: str) -> None:
        super().__init__(f"the role of {role} in this run is held by {holder}; {advice}")
        self.role = role
        self.holder = holder


class ServerMissing(UserError):
    """Raised when a server program is not installed or a server does not answer at start."""

    def __init__(self, sentence: str, *, nobody_at: str = "", refuses: bool = False) -> None:
        super().__init__(sentence)
        self.nobody_at = nobody_at
        """The URL, where nothing listens there; whoever knows how to start it may say so."""
        self.refuses = refuses
        """True: it is there, and does not let this user in."""


class BackupDamaged(UserError):
    """Raised when a file of a backup is missing, cut short or changed; nothing was restored."""


class Rejected(TributaryError):
    """Raised by every decoder and check of outside bytes, and the only error that they raise."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BrokerError(TributaryError):
    """Base of what can go wrong between us and the message broker."""


class BrokerUnavailable(BrokerError):
    """Raised when the broker gave no answer in time; the operation may have happened: retry it."""


class QueueFull(BrokerError):
    """Raised when a stream's backlog is at its bound (err_code 10077); nothing was stored."""


class PermissionDenied(BrokerError):
    """Raised when the server refuses a subject to this user; a retry cannot help."""

    def __init__(self, subject: str, *, to: str = "publish to") -> None:
        super().__init__(f"the server does not let this user {to} {subject}")
        self.subject = subject


class NotLetIn(BrokerError):
    """Raised when the server throws this user out, or knows him no more; a retry cannot help."""


class MessageTooLarge(BrokerError):
    """Raised when a message is above the limit of its reader, the server or the stream; nothing was
    sent."""


class NoResponders(BrokerError):
    """Raised at once when nobody serves the subject of a request."""


class Fenced(BrokerError):
    """Raised when a log holds an entry that this writer did not write: it has been replaced."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(
            f"{stream} does not end at sequence {expected} as this process left it: "
            "another writer has taken over, this process must stop"
        )
        self.stream = stream
        self.expected = expected


class LogDamaged(BrokerError):
    """Raised when a record of a log cannot be read, though it was stored: a disk has changed it."""

    def __init__(self, stream: str, sequence: int) -> None:
        super().__init__(
            f"{stream} has lost its record {sequence}: the disk of its server has changed it. "
            "Nothing can go on from a log with a gap; restore the run from a backup"
        )
        self.stream = stream
        self.sequence = sequence


class StoreError(TributaryError):
    """Base of what can go wrong between us and object storage."""


class ObjectMissing(StoreError):
    """Raised when there is no object under the key."""


class ObjectExists(StoreError):
    """Raised when a write-once key already holds an object."""


class StoreDenied(StoreError):
    """Raised when object storage refuses our credentials, our bucket or our kind of request."""

    exit_status = 2


class StoreUnavailable(StoreError):
    """Raised when object storage gave no usable answer in time: retry."""


class PolicyError(TributaryError):
    """Base of the reasons not to use a policy."""


class SignatureInvalid(PolicyError):
    """Raised when a manifest or an announcement is not signed by the run's key."""


class DigestMismatch(PolicyError):
    """Raised when bytes are not those that the manifest names."""


class RollbackRefused(PolicyError):
    """Raised when an announced policy is older than one already seen."""


class PolicyTaken(PolicyError):
    """Raised when a policy's manifest is already written, and is not the one to be published."""


class ProbeMismatch(PolicyError):
    """Raised when the engine's log-probabilities of the probe are too far from the trainer's."""


class PolicyUnloadable(PolicyError):
    """Raised when a policy's folder is not one of a model that the engine knows, or broken."""
