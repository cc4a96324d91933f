"""What docs/messages.md says is enough: messages made from it without our Structs are taken."""

import hashlib
import inspect
import re

import msgspec
import pytest
import zstandard

from broker.policies.signing import RunKey, open_manifest, verify_announcement
from docs.generate_messages import ACTOR, OBJECTS, OUTPUT, SUBJECTS
from schemas import lease, ledger, names, rollout, wire
from schemas.errors import Rejected
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PathManifest, PolicyAnnouncement, PolicyId, PolicyManifest, Signed
from schemas.verdict import Reason
from tests.support.examples import ANNOUNCEMENT, EXAMPLES

PAGE = OUTPUT.read_text(encoding="utf-8")
KEY = RunKey(bytes(32))
MANIFEST, PATH_MANIFEST = (
    next(message for message in EXAMPLES if isinstance(message, kind))
    for kind in (PolicyManifest, PathManifest)
)


@pytest.fixture(scope="module")
def example() -> dict:
    """What the page's Python makes."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    made: dict = {}
    exec(code, made)
    return made


def opened(data: bytes) -> dict:
    """A message of ours as an actor in another language reads it."""
    assert data[:5] == b"TRIB\x01"
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data[5:]))


def test_the_examples_of_the_page_are_taken(example: dict) -> None:
    asked = wire.decode(example["lease_request"], lease.LeaseRequest)
    assert (asked.actor, asked.wanted, asked.held) == (ACTOR, 4, PolicyId(1, 7))
    group = wire.decode(example["rollout_group"], rollout.RolloutGroup)
    assert group.policy == group.rollouts[1].spans[0].policy == PolicyId(1, 7)
    for one in group.rollouts:
        rollout.check_shape(one, 64)
    granted = wire.decode(example["grant_request"], lease.GrantRequest)
    assert granted.keys == (names.policy_manifest_key("demo", (1, 7)),)
    assert wire.decode(example["heartbeat"], Heartbeat).state is State.GENERATING


def test_a_policy_as_a_map_is_refused(example: dict) -> None:
    document = opened(example["rollout_group"])
    policy = {"incarnation": 1, "version": 7}
    with pytest.raises(Rejected, match=r"Expected `array`, got `object` - at `\$\.policy`") as told:
        wire.decode(example["message"]({**document, "policy": policy}), rollout.RolloutGroup)
    assert told.value.reason is Reason.SCHEMA


def test_a_struct_as_an_array_is_refused(example: dict) -> None:
    values = list(opened(example["lease_request"]).values())
    with pytest.raises(Rejected, match="Expected `object`, got `array`"):
        wire.decode(example["message"](values), lease.LeaseRequest)


def test_a_frame_that_does_not_say_its_size_is_refused(example: dict) -> None:
    writer = zstandard.ZstdCompressor().compressobj()
    document = msgspec.msgpack.encode(opened(example["heartbeat"]))
    frame = writer.compress(document) + writer.flush()
    with pytest.raises(Rejected) as told:
        wire.decode(b"TRIB\x01" + frame, Heartbeat)
    assert told.value.reason is Reason.OVERSIZE


def test_a_window_above_the_bound_is_refused(example: dict) -> None:
    (bound,) = re.findall(r"\| the window that the header declares \| (\d+) \|", PAGE)
    document = msgspec.msgpack.encode(opened(example["heartbeat"])) + bytes(2 * int(bound))
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compress(document)
    assert zstandard.get_frame_parameters(frame).window_size > int(bound)
    with pytest.raises(Rejected, match=f"zstd window above {bound} bytes"):
        wire.decode(b"TRIB\x01" + frame, Heartbeat, max_decoded_bytes=1 << 30)


def test_one_of_several_kinds_says_which(example: dict) -> None:
    event = {"type": "LeaseExpired", "lease_id": 3}
    data = example["message"]({"instance": "1", "events": [event]})
    assert wire.decode(data, ledger.LedgerEntry).events == (ledger.LeaseExpired(lease_id=3),)
    assert '"type": "LeaseExpired"' in PAGE.partition("### LeaseExpired\n")[2].partition("\n#")[0]
    del event["type"]
    with pytest.raises(Rejected, match="missing required field `type`"):
        wire.decode(example["message"]({"instance": "1", "events": [event]}), ledger.LedgerEntry)


def test_an_actor_reads_what_it_is_sent_as_the_page_says() -> None:
    reply = opened(wire.encode(lease.LeaseReply(announcement=ANNOUNCEMENT)))
    assert reply["announcement"]["policy"] == list(ANNOUNCEMENT.policy)
    assert reply["leases"] == []


def test_what_the_page_says_is_signed_is_signed(example: dict) -> None:
    (text,) = re.findall(r"covers these bytes .*?\n\n((?:    .*\n)+)", PAGE)
    lines = text.replace("    ", "")
    sha256 = lines.splitlines()[-1]
    announcement = {
        "run": "demo",
        "policy": [1, 7],
        "manifest_sha256": sha256,
        "signature": KEY.sign(lines.encode()),
        "instance": "1",
    }
    found = wire.decode(example["message"](announcement), PolicyAnnouncement)
    verify_announcement(KEY.public, found)


@pytest.mark.parametrize(
    ("name", "manifest"), [("policy", MANIFEST), ("anchor", PATH_MANIFEST)], ids=["policy", "path"]
)
def test_a_manifest_is_signed_as_the_page_says(example: dict, name: str, manifest) -> None:
    (line,) = re.findall(rf"\| `{name}` \| `(.*?)` \|", PAGE)
    payload = example["message"](opened(wire.encode(manifest)))
    signature = KEY.sign(f"{line}\n".encode() + payload)
    data = example["message"]({"payload": payload, "signature": signature})
    assert set(opened(data)) == set(Signed.__struct_fields__)
    assert open_manifest(KEY.public, data, type(manifest)) == manifest


def test_the_seed_of_a_member_is_the_one_on_the_page() -> None:
    (text,) = re.findall(r'sha256\("(.*?)"\), first 8 bytes, little-endian, >> 1', PAGE)
    assert text == r"tributary seed\n<lease's seed>\n<m>\n"
    digest = hashlib.sha256(b"tributary seed\n7\n0\n").digest()
    seed = int.from_bytes(digest[:8], "little") >> 1
    assert f"member 0 of a lease with seed 7 has {seed}." in PAGE


def test_every_subject_stream_and_key_is_on_the_page() -> None:
    """Save keys that are gone again at once, and what only parses or filters."""
    kinds = ("_subject", "_stream", "_key")
    built = {
        value
        for name, value in inspect.getmembers(names, inspect.isfunction)
        if name.endswith(kinds) and not name.startswith(("parse_", "run_of_"))
    }
    rows = (*SUBJECTS, *OBJECTS)
    assert {row.build for row in rows} == built - {names.scratch_key}
    assert all(f"| `{row.example}` |" in PAGE for row in rows)
