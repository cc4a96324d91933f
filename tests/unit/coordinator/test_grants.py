"""What an actor is granted, and what asking costs the coordinator."""

import pytest

from broker.memory import MemoryStore
from learner.coordinator.grants import Grants
from schemas import names
from schemas.lease import GrantReply, GrantRequest
from schemas.wire import decode, encode

BLOB = "policies/test/blobs/abc"


class CountingStore(MemoryStore):
    """Counts signatures: each is CPU time."""

    num_signed = 0

    def presign_get(self, key: str, *, lifetime_s: float) -> str:
        self.num_signed += 1
        return super().presign_get(key, lifetime_s=lifetime_s)


async def ask(grants: Grants, *keys: str, actor: str = "ALICE", run: str = "test") -> GrantReply:
    request = GrantRequest(run=run, actor=actor, keys=keys)
    answer = await grants.answer(names.grant_subject("test", "ALICE"), encode(request))
    return decode(answer, GrantReply)


async def test_all_keys_are_granted_in_their_order():
    reply = await ask(Grants(MemoryStore(), "test"), BLOB, f"{BLOB}d")
    assert reply.urls == (f"memory://{BLOB}", f"memory://{BLOB}d")


@pytest.mark.parametrize(
    ("keys", "changes", "says"),
    [
        ((BLOB, "archive/test/segment"), {}, "archive/test/segment is not an object of a policy"),
        (("policies/other/blobs/abc",), {}, "not an object of a policy"),
        (("policies/test/../../archive",), {}, "not an object of a policy"),
        ((BLOB, BLOB), {}, "names a key twice"),
        ((BLOB,), {"actor": "BOB"}, "another run or actor"),
        ((BLOB,), {"run": "other"}, "another run or actor"),
    ],
)
async def test_one_key_too_many_and_none_is_granted(keys, changes, says):
    reply = await ask(Grants(MemoryStore(), "test"), *keys, **changes)
    assert reply.urls == ()
    assert says in reply.detail


async def test_a_key_that_everybody_asks_for_is_signed_once():
    store = CountingStore()
    grants = Grants(store, "test")
    for _ in range(50):
        await ask(grants, BLOB)
    assert store.num_signed == 1


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learner.coordinator.grants._MAX_KEPT", 3)
    grants = Grants(MemoryStore(), "test")
    for number in range(10):
        await ask(grants, BLOB, f"{BLOB}{number}")
    assert list(grants._kept) == [f"{BLOB}8", BLOB, f"{BLOB}9"]


async def test_an_old_url_is_not_given_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("learner.coordinator.grants._GIVEN_FOR_S", -1.0)
    store = CountingStore()
    grants = Grants(store, "test")
    await ask(grants, BLOB)
    await ask(grants, BLOB)
    assert store.num_signed == 2
