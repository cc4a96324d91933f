"""What the archive holds is what was accepted."""

from broker.audit import Check, audit_run
from schemas.names import segment_key
from tests.support import hand_built
from tests.support.corrupted import said


async def test_changed_and_missing_bytes_in_the_archive_are_named(broker, store) -> None:
    first, second = hand_built.contents()[3].rows
    data = await store.get(segment_key("demo", first.segment))
    await store.put(segment_key("demo", first.segment), data[:-1] + b"x")
    await store.delete(segment_key("demo", second.segment))
    report = await audit_run(broker, "demo", store=store)
    assert not report.holds
    found = said(report, Check.ARCHIVE).splitlines()
    assert len(found) == 2
    assert found[0].startswith("step 1, lease 0: ")
    assert found[1].startswith("step 1, lease 1: ")


async def test_a_group_that_may_still_be_trained_on_is_looked_at_too(broker, store) -> None:
    waiting = hand_built.accepted(12, 10, 2)
    await store.delete(segment_key("demo", waiting.segment))
    report = await audit_run(broker, "demo", store=store)
    assert said(report, Check.ARCHIVE).startswith("waiting, lease 10: there is no object")
