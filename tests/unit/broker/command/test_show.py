"""`broker show`: one group, found, and laid out so that nothing of a stranger's text acts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.look.group import GroupShown, Stretch
from broker.look.group_page import page
from broker.look.show import show as find
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.program.sanitise import sanitise
from environments import characters
from environments.renderer import identity
from environments.spelling import speller
from schemas.arrays import pack_f32, pack_u32
from schemas.errors import UserError
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.wire import decode, encode
from tests.support import hand_built

HOSTILE = "\x1b[31m[link=http://a]x[/link]\u202e\n:bomb:\x9b2J\r\u2028y"


def spell(token_id: int) -> str:
    return characters.decode((token_id,))


async def show(broker, text: str, store=None) -> GroupShown:
    open_store = MemoryStore if store is None else lambda: store
    return await find(broker, "demo", text, open_store=open_store, find_speller=lambda _: spell)


def test_a_renderer_that_is_not_here_spells_nothing() -> None:
    assert speller("d" * 64) is None
    known = speller(identity())
    assert known is not None
    assert "".join(map(known, (1, 23, 5))) == "<begin>r<reply>"


@pytest.mark.parametrize("text", ["7", "lease-7", "s0:9"])
async def test_a_group_in_a_batch(broker, store, text: str) -> None:
    shown = await show(broker, text, store)
    assert (shown.id, shown.actor, shown.place, shown.missing) == ("s0:9", "ALICE", "archive", "")
    assert (shown.lease_id, shown.environment, shown.task, shown.seed) == (7, "reverse", 1007, 7)
    assert (shown.verdict, shown.step, shown.row, shown.staleness) == ("accepted", 2, 0, 0)
    assert (shown.policy, shown.engine) == (PolicyId(1, 1), "torch 2.13")
    assert shown.prompt == Stretch(sampled=False, token_ids=(5, 6), text="<reply>a")
    first, second = shown.rollouts
    assert first.stretches == (Stretch(sampled=True, token_ids=(14, 2), text="i<stop>"),)
    assert (first.reward, first.advantage, first.claimed_reward) == (1.0, 0.5, 1.0)
    assert (second.reward, second.advantage, second.finish) == (0.0, -0.5, "stop")
    assert (first.logprobs, first.num_tokens, first.num_sampled) == ((-0.5, -0.25), 4, 2)


async def test_the_accepted_one_of_a_lease_is_shown_and_the_others_named(broker, store) -> None:
    shown = await show(broker, "0", store)
    assert (shown.id, shown.others) == ("s0:1", ("s0:6 (duplicate)",))
    other = await show(broker, "s0:6", store)
    assert other.others == ("s0:1 (accepted)",)
    assert other.missing == "the bytes of s0:6 were not kept: it was duplicate, not rejected"


async def test_a_message_that_waits_is_in_the_queue(broker) -> None:
    shown = await show(broker, "s0:13")
    assert (shown.verdict, shown.place, shown.lease_id) == ("unjudged", "queue", 9)
    assert (shown.task, len(shown.rollouts), shown.rollouts[0].reward) == (1009, 2, None)


async def test_what_the_log_says_is_shown_without_the_bytes(broker) -> None:
    shown = await show(broker, "7")
    assert shown.missing.startswith("what the log says of s0:9 is not in object storage: there is")
    assert (shown.rollouts, shown.rewards, shown.advantages) == ((), (1.0, 0.0), (0.5, -0.5))
    lines = page(shown, 80)
    assert "  verdict      accepted, row 1 of the batch of step 2 with staleness 0" in lines
    assert "  rewards      1 0" in lines
    assert "  advantages   +0.5 -0.5" in lines
    store = MemoryStore()
    store.away = True
    away = await show(broker, "7", store)
    assert away.missing == "object storage cannot be read: the object storage is away"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("9", "lease 9 is open: no answer to it is judged yet; `broker peek demo --actor BOB`"),
        ("6", "lease 6 was abandoned: no message that names it was judged"),
        ("11", "nothing in run demo has the id 11; it has leases 0 to 10"),
        ("s0:14", "has the id s0:14; the last judged message of s0 is 12"),
        ("s1:1", "nothing in run demo has the id s1:1; its shards are s0"),
        ("abc", "'abc' is no id"),
    ],
)
async def test_what_is_not_there_is_one_sentence(broker, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        await show(broker, text)


async def test_a_kept_sample_that_does_not_decode(store) -> None:
    broker = MemoryBroker(MemoryServer())
    await hand_built.fill(broker, hand_built.with_samples(7))
    await Archive(store, "demo").keep_refused(hand_built.MESSAGES[6][1])
    shown = await show(broker, "s0:7", store)
    assert (shown.place, shown.rollouts, shown.lease_id) == ("sample", (), None)
    lines = page(shown, 80)
    assert r"  verdict      rejected(envelope): broken \x1b[31m" in lines
    assert lines[-1] == "  begins       54524942 01206e6f 74206120 6672616d 65201b5b 33316d"


async def of_turns(group_size: int = 2) -> GroupShown:
    """An accepted group of rollouts of two turns, whose tokens 3 are hostile text."""
    spans = (
        VersionSpan(num_tokens=2, policy=PolicyId(1, 0)),
        VersionSpan(num_tokens=1, policy=PolicyId(1, 1)),
    )
    rollout = Rollout(
        token_ids=pack_u32([1, 6, 3, 7, 8, 3, 9]),
        loss_mask=bytes([0, 0, 1, 1, 0, 0, 1]),
        logprobs=pack_f32([-0.5, -0.25, -3.0]),
        spans=spans,
        finish=Finish.LENGTH,
        claimed_reward=0.75,
    )
    group = decode(hand_built.group(7, 1), RolloutGroup)
    hostile = replace(group.profile, version="\x1b]0;t\x07[b]:bomb:\n")
    data = encode(replace(group, profile=hostile, rollouts=(rollout,) * group_size))
    broker, store = MemoryBroker(MemoryServer()), MemoryStore()
    await hand_built.fill(broker)
    await broker.publish("rollouts.demo.s0.1-1.ALICE", data)
    return await find(
        broker,
        "demo",
        "s0:14",
        open_store=lambda: store,
        find_speller=lambda _: lambda token_id: HOSTILE if token_id == 3 else spell(token_id),
    )


async def test_hostile_text_is_harmless_below_each_other() -> None:
    lines = page(await of_turns(), 60)
    block = [
        "rollout 0",
        "  reward claims 0.75; finish length; tokens 7, 3 sampled;",
        "  policy 1-0 for 2, 1-1 for 1; logprob mean -1.25;",
        "  logprob min -3",
        "  logprobs     -0.50 -0.25 -3.00",
        r"  | \x1b[31m\x5blink=http://a]x\x5b/link]\u202e",
        r"  | \x3abomb:\x9b2J\r\u2028yb",
        r"  > c\x1b[31m\x5blink=http://a]x\x5b/link]\u202e",
        r"  > \x3abomb:\x9b2J\r\u2028y",
        "  | d",
    ]
    start = lines.index("rollout 0")
    assert lines[start : start + len(block)] == block
    policy = lines.index("  policy       1-1, sampled by torch")
    assert lines[policy + 1] == r"               \x1b]0;t\x07\x5bb]\x3abomb:\n"
    assert lines[start - 3 : start - 1] == ["prompt", "  > <begin>a"]


async def test_hostile_text_is_harmless_side_by_side() -> None:
    lines = page(await of_turns(), 130)
    start = next(index for index, line in enumerate(lines) if line.startswith("  rollout"))
    column = 57
    assert lines[start] == f"  {'rollout':<13}{'0':<{column}}1"
    (text,) = (index for index, line in enumerate(lines) if line.startswith("  text"))
    cell = r"| \x1b[31m\x5blink=http://a]x\x5b/link]\u202e"
    assert lines[text] == f"  {'text':<13}{cell:<{column}}{cell}"
    cell = r"| \x3abomb:\x9b2J\r\u2028yb"
    assert lines[text + 1] == f"  {'':<13}{cell:<{column}}{cell}"


async def test_many_rollouts_stand_in_bands() -> None:
    lines = page(await of_turns(8), 130)
    heads = [line.split()[1:] for line in lines if line.startswith("  rollout")]
    assert heads == [["0", "1", "2", "3"], ["4", "5", "6", "7"]]
    assert max(map(len, lines)) <= 130


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("\x1b[\n\u202e:a你🙂\u0301")), max_size=200),
    st.sampled_from([20, 80, 120, 200]),
)
async def test_any_text_can_be_laid_out(text: str, width: int) -> None:
    shown = await of_turns()
    stretches = (Stretch(sampled=True, token_ids=(3,), text=text),)
    rollout = replace(shown.rollouts[0], stretches=stretches)
    for line in page(replace(shown, rollouts=(rollout, rollout)), width):
        assert line.isprintable()
        assert sanitise(line, max_length=9999) == line


async def test_a_long_text_is_cut_in_the_middle() -> None:
    shown = await of_turns()
    text = "\n".join(f"line {number}" for number in range(1000))
    stretches = (Stretch(sampled=True, token_ids=(3,), text=text),)
    rollout = replace(shown.rollouts[0], stretches=stretches)
    lines = page(replace(shown, rollouts=(rollout,)), 80)
    assert lines[-1] == "  | line 999"
    assert "  … 977 lines, see --json …" in lines
    assert "  | line 14" in lines


async def test_ids_are_shown_where_the_renderer_is_not_at_hand(broker, store) -> None:
    shown = await find(broker, "demo", "7", open_store=lambda: store, find_speller=lambda _: None)
    lines = page(shown, 80)
    assert "  > 5 6" in lines
    assert "  | 14 2" in lines
