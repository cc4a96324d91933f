"""The run's Ed25519 key: what it signs is the run's word, what it did not sign is noise.

Signatures are over raw bytes, with a first line that says what kind of thing they are, so that a
signature under one kind of manifest is worth nothing under another. They are checked before
anything is parsed.
"""

from pathlib import Path
from typing import Final, Self, TypeVar

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from broker.program.private_file import read_private, write_private
from schemas import wire
from schemas.errors import Rejected, SignatureInvalid, UserError
from schemas.policy import (
    PathManifest,
    PolicyAnnouncement,
    PolicyId,
    PolicyManifest,
    Signed,
    StepMetrics,
    announcement_text,
)

MAX_MANIFEST_BYTES: Final = 32 << 20
"""Largest signed manifest as an object: 100 000 tensors take half of it."""
_MAX_DECODED_BYTES: Final = 64 << 20
_DOMAINS: Final[dict[type, bytes]] = {
    PolicyManifest: b"tributary policy manifest\n",
    PathManifest: b"tributary path manifest\n",
}

T = TypeVar("T")
M = TypeVar("M", bound=PolicyManifest | PathManifest)


class RunKey:
    """The private half; only the learner has it."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public: str = self._key.verify_key.encode().hex()
        """The public half in hex, as in the run card."""

    @classmethod
    def generate(cls) -> Self:
        return cls(SigningKey.generate().encode())

    def save(self, path: Path) -> None:
        """Raises UserError when the file is already there or cannot be written."""
        write_private(path, self._key.encode().hex().encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError when the file is missing, readable by others, or holds no such key."""
        try:
            seed = bytes.fromhex(read_private(path).decode("ascii"))
        except ValueError:
            seed = b""
        if len(seed) != 32:
            raise UserError(f"{path} does not hold a run's key")
        return cls(seed)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data).signature


def verify(run_key: str, data: bytes, signature: bytes) -> None:
    """Check a signature against the public half of a run's key, in hex.

    Raises:
        SignatureInvalid
    """
    try:
        VerifyKey(bytes.fromhex(run_key)).verify(data, signature)
    except (BadSignatureError, ValueError):
        raise SignatureInvalid("not signed by the run's key") from None


def sign_manifest(key: RunKey, manifest: PolicyManifest | PathManifest) -> bytes:
    """The manifest as the bytes of one object, with its signature inside.

    Raises:
        Rejected: a field is out of bounds, so that no reader would take it.
    """
    payload = wire.encode_own(manifest)
    _decode(payload, type(manifest))
    return wire.encode_own(
        Signed(payload=payload, signature=key.sign(_DOMAINS[type(manifest)] + payload))
    )


def open_manifest(run_key: str, data: bytes, kind: type[M]) -> M:
    """Check an object's signature, and only then decode the manifest in it.

    Raises:
        SignatureInvalid: the run's key did not sign this as a manifest of this kind.
    """
    try:
        signed = _decode(data, Signed)
        verify(run_key, _DOMAINS[kind] + signed.payload, signed.signature)
        return _decode(signed.payload, kind)
    except Rejected as error:
        raise SignatureInvalid(f"not a signed {kind.__name__}: {error.detail}") from None


def _decode(data: bytes, kind: type[T]) -> T:
    return wire.decode(
        data, kind, max_wire_bytes=MAX_MANIFEST_BYTES, max_decoded_bytes=_MAX_DECODED_BYTES
    )


def sign_announcement(
    key: RunKey,
    *,
    run: str,
    policy: PolicyId,
    manifest_sha256: str,
    instance: str,
    metrics: StepMetrics = StepMetrics(),
) -> PolicyAnnouncement:
    """The word that a policy can be had."""
    return PolicyAnnouncement(
        run=run,
        policy=policy,
        manifest_sha256=manifest_sha256,
        signature=key.sign(announcement_text(run, policy, manifest_sha256)),
        instance=instance,
        metrics=metrics,
    )


def verify_announcement(run_key: str, announcement: PolicyAnnouncement) -> None:
    """Raises SignatureInvalid when the run's key did not sign it."""
    text = announcement_text(announcement.run, announcement.policy, announcement.manifest_sha256)
    verify(run_key, text, announcement.signature)
