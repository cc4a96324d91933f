"""Signed manifests and announcements: what is believed, and what is not."""

import hashlib

import msgspec
import pytest

from broker.policies import signing
from broker.policies.policy_check import check_manifests
from schemas import arrays, wire
from schemas.errors import DigestMismatch, Rejected, SignatureInvalid
from schemas.policy import (
    FileEntry,
    PathManifest,
    PolicyId,
    PolicyKind,
    PolicyManifest,
    Probe,
    Signed,
    TensorEntry,
)

KEY = signing.RunKey(bytes(range(32)))
POLICY = PolicyId(1, 7)
CONFIG = FileEntry(name="config.json", size=2, sha256=hashlib.sha256(b"{}").hexdigest())
WEIGHTS = FileEntry(name="model.safetensors", size=1, sha256=hashlib.sha256(b"w").hexdigest())
MANIFEST = PolicyManifest(
    run="demo",
    policy=POLICY,
    kind=PolicyKind.FULL,
    weights_digest="ab" * 32,
    tensors=(TensorEntry(name="w", dtype="f32", shape=(2, 3), digest="0123456789abcdef"),),
    files=(CONFIG,),
    renderer="cd" * 32,
    probe=Probe(token_ids=arrays.pack_u32([1, 2, 3]), logprobs=arrays.pack_f32([-0.5, -1.5])),
    previous_sha256=None,
)
PATH = PathManifest(run="demo", policy=POLICY, weights_digest="ab" * 32, files=(CONFIG, WEIGHTS))
GOLDEN = bytes.fromhex(
    "545249420128b52ffd602e0071090082a77061796c6f6164c4d7545249420128b52ffd603400450600220e2e"
    "27a0276dff0fe6f2db2c74613739f6ebc92e2b09b9958d644a99f4c32f9394b4b965b2aa012f4d048c5273ee"
    "3351959a9c524efc7d7951be630e69b42ab1a247d437c42df3936643d6152d4f85880c181b77fc3b26167790"
    "7968f6dfdd943f395b6a62be96bfa2f69bfc228e2c335fcfea9a57b5d9e2942895fa39e9aee2c10af5223a00"
    "1ce1c5a7817120a1bc6f606b70a69b27a1117d79cf90b4e2e144579e1388ce42796ee01080681cb4b7400207"
    "64dc3d4d01634121040050821a37a06418e297e49ea97369676e6174757265c440ef81cd52d4d5e38b0f2f49"
    "7203b5e97f64a390397e4cb78bacf59e8c3c13fc6dd7fb73688d31a7440a6e9073aee12a70019a449212d276"
    "ad76927fe0fc1cac08"
)
"""`PATH` signed by `KEY` as schema version 1 wrote it: must be readable for as long as that is."""


def test_a_signed_manifest_opens():
    data = signing.sign_manifest(KEY, MANIFEST)
    assert signing.open_manifest(KEY.public, data, PolicyManifest) == MANIFEST
    assert signing.sign_manifest(KEY, MANIFEST) == data


def test_the_golden_bytes_still_open():
    assert signing.open_manifest(KEY.public, GOLDEN, PathManifest) == PATH


def test_another_key_is_refused():
    data = signing.sign_manifest(signing.RunKey.generate(), MANIFEST)
    with pytest.raises(SignatureInvalid):
        signing.open_manifest(KEY.public, data, PolicyManifest)


def test_every_flipped_byte_is_refused():
    data = signing.sign_manifest(KEY, PATH)
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1
        try:
            opened = signing.open_manifest(KEY.public, bytes(flipped), PathManifest)
        except SignatureInvalid:
            continue
        # Bits of the outer envelope that mean nothing may flip: what was signed is unharmed.
        assert opened == PATH


@pytest.mark.parametrize("length", [0, 4, 5, 40, -1])
def test_a_truncated_manifest_is_refused(length):
    with pytest.raises(SignatureInvalid):
        signing.open_manifest(KEY.public, signing.sign_manifest(KEY, PATH)[:length], PathManifest)


def test_a_signature_of_one_kind_is_worth_nothing_for_another():
    # Both kinds would decode these bytes if only their fields were looked at.
    payload = wire.encode(PATH)
    domain = b"tributary policy manifest\n"
    forged = wire.encode(Signed(payload=payload, signature=KEY.sign(domain + payload)))
    with pytest.raises(SignatureInvalid):
        signing.open_manifest(KEY.public, forged, PathManifest)
    bare = wire.encode(Signed(payload=payload, signature=KEY.sign(payload)))
    with pytest.raises(SignatureInvalid):
        signing.open_manifest(KEY.public, bare, PathManifest)


def test_nothing_is_parsed_before_its_signature_is_checked():
    bomb = wire.encode(Signed(payload=b"not even an envelope", signature=bytes(64)))
    with pytest.raises(SignatureInvalid, match="not signed by the run's key"):
        signing.open_manifest(KEY.public, bomb, PathManifest)


@pytest.mark.parametrize("name", ["../../.bashrc", "/etc/passwd", ".hidden", "a/b", "", "x\n"])
def test_a_file_name_that_leaves_the_folder_is_never_signed_and_never_opened(name):
    path = msgspec.structs.replace(PATH, files=(msgspec.structs.replace(CONFIG, name=name),))
    with pytest.raises(Rejected):
        signing.sign_manifest(KEY, path)
    payload = wire.encode(path)
    signature = KEY.sign(b"tributary path manifest\n" + payload)
    data = wire.encode(Signed(payload=payload, signature=signature))
    with pytest.raises(SignatureInvalid, match="name"):
        signing.open_manifest(KEY.public, data, PathManifest)


def test_fitting_manifests_pass():
    check_manifests(MANIFEST, PATH, run="demo", policy=POLICY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights_digest": "00" * 32}, "other weights"),
        ({"policy": PolicyId(1, 6)}, "1-6"),
        ({"run": "other"}, "run other"),
        ({"files": (WEIGHTS,)}, "other tokenizer"),
        ({"files": (CONFIG, WEIGHTS, WEIGHTS)}, "two files"),
    ],
)
def test_a_path_of_something_else_is_refused(change, words):
    path = msgspec.structs.replace(PATH, **change)
    with pytest.raises(DigestMismatch, match=words):
        check_manifests(MANIFEST, path, run="demo", policy=POLICY)


def announcement(**change):
    signed = signing.sign_announcement(
        KEY, run="demo", policy=POLICY, manifest_sha256="ab" * 32, instance="t1"
    )
    return msgspec.structs.replace(signed, **change)


def test_an_announcement_is_believed():
    signing.verify_announcement(KEY.public, announcement())


@pytest.mark.parametrize(
    "change",
    [
        {"run": "other"},
        {"policy": PolicyId(1, 8)},
        {"policy": PolicyId(11, 7)},
        {"manifest_sha256": "cd" * 32},
        {"signature": bytes(64)},
    ],
)
def test_a_changed_announcement_is_not(change):
    with pytest.raises(SignatureInvalid):
        signing.verify_announcement(KEY.public, announcement(**change))
