"""The screen, with somebody at the keys: textual's own pilot."""

import asyncio

import pytest
from textual.widgets import Static

from broker.program.words import size
from broker.streams import run_streams
from broker.top.app import TopApp
from broker.top.details import Details
from broker.top.live import Live
from broker.top.overview import Overview
from broker.top.sheet import Sheet
from broker.top.sort import Sort
from broker.top.view import Badge
from schemas import names
from schemas.heartbeat import Heartbeat, State
from schemas.policy import PolicyId
from schemas.verdict import Outcome, Reason
from schemas.wire import encode
from tests.support.runs import SyntheticRun

YES_NO = (True, False, False, False)
HOSTILE = "[bold red]\x1b[31m\u202e[link=http://a]b[/link]\nnext :bomb: [@click=app.quit]x[/]"


@pytest.fixture
async def run() -> SyntheticRun:
    """ALICE has two groups, BOB one, and CAROL one that was refused with hostile words."""
    run = SyntheticRun(num_steps=4)
    (queue, *_) = [spec for spec in run_streams(run.settings) if spec.consumer]
    await run.broker.ensure_stream(queue)
    await run.open()
    for actor in ("ALICE", "BOB", "ALICE"):
        await run.accept(actor, YES_NO)
    await run.refuse("CAROL", Outcome.REJECTED, Reason.TOKENS, detail=HOSTILE)
    await run.cut()
    return run


@pytest.fixture
async def live(run):
    live = Live(
        run.broker,
        run.settings.name,
        badges=lambda: {"BOB": Badge(HOSTILE, HOSTILE)},
        wall_clock=lambda: run.now,
    )
    following = asyncio.create_task(live.follow())
    async with asyncio.timeout(5):
        await live.until_known(timeout_s=0)
    yield live
    following.cancel()


def app_of(live: Live, sort: Sort = Sort.ACTOR) -> TopApp:
    return TopApp(live, sort=sort, reverse=False, every_s=3600)


def lines(app: TopApp) -> list[str]:
    """What the table of the screen shows, line by line."""
    sheet = app.screen.query_one(Sheet)
    return [sheet.render_line(y).text.strip() for y in range(sheet.size.height)]


def actors(app: TopApp) -> list[str]:
    return [line.split()[0] for line in lines(app)[1:] if line]


def text(app: TopApp, id: str) -> str:
    widget = app.screen.query_one(f"#{id}", Static)
    return "\n".join(widget.render_line(y).text.rstrip() for y in range(widget.size.height))


async def test_it_shows_the_run_and_its_actors(live):
    app = app_of(live)
    async with app.run_test(size=(200, 30)):
        assert "synthetic" in text(app, "title")
        assert "live" in text(app, "title")
        facts = text(app, "facts")
        assert "1 of 4, policy 1-0" in facts
        assert "nobody waits: the trainer works on step 1" in facts
        assert "coordinator silent; trainer silent" in facts
        heading, _, alice, carol = lines(app)[:4]
        assert heading.startswith("actor ▲")
        alice_said = live.view(Sort.ACTOR, containing="ALICE").actors[0]
        assert alice.split() == [
            *("ALICE", "silent"),
            *(f"{alice_said.rates.groups_per_min:.1f}", f"{alice_said.rates.tokens_per_s:.0f}"),
            *size(alice_said.num_bytes).split(),
            *("2", "0", "0", "0.0", "1.0", "s"),
        ]
        assert carol.endswith("tokens 1")


async def test_keys_sort_and_turn_round(live):
    app = app_of(live)
    async with app.run_test(size=(160, 30)) as pilot:
        assert actors(app) == ["\\x5bbold", "ALICE", "CAROL"]
        while "accepted ▼" not in lines(app)[0]:
            await pilot.press("s")
        assert actors(app) == ["ALICE", "\\x5bbold", "CAROL"]
        await pilot.press("r")
        assert "accepted ▲" in lines(app)[0]
        assert actors(app) == ["CAROL", "\\x5bbold", "ALICE"]
        await pilot.press("r", "right")
        assert "refused ▼" in lines(app)[0]
        assert actors(app)[0] == "CAROL"
        await pilot.press("left")
        assert "accepted ▼" in lines(app)[0]


async def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(live):
    app = app_of(live)
    async with app.run_test(size=(160, 30)) as pilot:
        column = lines(app)[0].index("refused") + 2
        await pilot.click(Sheet, offset=(column, 0))
        assert actors(app)[0] == "CAROL"
        column = lines(app)[0].index("refused") + 2
        await pilot.click(Sheet, offset=(column, 0))
        assert "refused ▲" in lines(app)[0]
        assert actors(app)[-1] == "CAROL"


async def test_a_word_filters_rows(live):
    app = app_of(live)
    async with app.run_test(size=(160, 30)) as pilot:
        await pilot.press("slash", *"tokens")
        assert actors(app) == ["CAROL"]
        await pilot.press("enter", "s")  # The keys are the table's again.
        assert actors(app) == ["CAROL"]
        await pilot.press("escape")
        assert len(actors(app)) == 3


async def test_the_cursor_stays_on_its_actor(run, live):
    app = app_of(live, Sort.ACCEPTED)
    async with app.run_test(size=(160, 30)) as pilot:
        sheet = app.screen.query_one(Sheet)
        await pilot.press("end")
        assert sheet.cursor == "CAROL"
        for _ in range(3):
            await run.accept("CAROL", YES_NO)
        async with asyncio.timeout(5):
            await live.until(lambda: len(live.judged("CAROL")) == 4)
        assert isinstance(app.screen, Overview)
        app.screen.look()
        assert actors(app)[0] == "CAROL"
        assert sheet.cursor == "CAROL"
        await pilot.press("down")
        assert sheet.cursor == "ALICE"


async def test_enter_shows_the_verdicts_of_an_actor(live):
    app = app_of(live, Sort.REFUSED)
    async with app.run_test(size=(200, 30)) as pilot:
        await pilot.press("enter")
        assert isinstance(app.screen, Details)
        who = text(app, "who")
        assert "CAROL" in who
        assert "0 accepted, 0 B; 1 refused (100%)" in who
        assert "rejected(tokens)" in lines(app)[1]
        assert "\\x1b[31m" in lines(app)[1]
        await pilot.press("escape")
        assert isinstance(app.screen, Overview)


async def test_hostile_words_are_shown_and_do_nothing(run, live):
    name = run.settings.name
    said = Heartbeat(
        run=name,
        who="ALICE",
        instance="i",
        state=State.CANNOT_CONTRIBUTE,
        policy=PolicyId(1, 0),
        waiting_for=HOSTILE,
    )
    coordinator = Heartbeat(
        run=name,
        who="coordinator",
        instance="i",
        state=State.WAITING_FOR_GROUPS,
        waiting_for=HOSTILE,
    )
    trainer = Heartbeat(run=name, who="trainer", instance="i", state=State.WAITING_FOR_BATCH)
    for word in (said, coordinator, trainer):
        await run.broker.notify(names.heartbeat_subject(name, word.who), encode(word))
    async with asyncio.timeout(5):
        await live.until(lambda: live.view(Sort.ACTOR).head.trainer.state)
    app = app_of(live)
    async with app.run_test(size=(300, 30)) as pilot:
        shown = "\n".join([*lines(app), text(app, "facts"), text(app, "title")])
        assert not set("\x1b\u202e") & set(shown)
        assert shown.count("\\x5bbold") == 4  # A name, a tier, a state, what a daemon says.
        assert "\\nnext" in shown
        assert "[bold red]" not in shown.replace("\\x5b", "")
        await pilot.click(Sheet, offset=(4, 1))
        assert app.is_running
        picture = app.export_screenshot()
        assert "http://a" not in picture or "<a " not in picture


async def test_a_server_that_is_away_is_said(run, live):
    app = app_of(live)
    async with app.run_test(size=(120, 30)):
        run.broker._server.stop()
        assert isinstance(app.screen, Overview)
        app.screen.look()
        assert "the server is away" in text(app, "title")
        assert len(actors(app)) == 3


async def test_two_hundred_actors_scroll(run, live):
    for number in range(200):
        await run.accept(f"A{number:03}", YES_NO)
    async with asyncio.timeout(20):
        await live.until(lambda: len(live.view(Sort.ACTOR).actors) == 203)
    app = app_of(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        assert actors(app)[-1] == "CAROL"
        assert "actor" in lines(app)[0]
        await pilot.press("home")
        await pilot.pause()
        assert actors(app)[0] == "\\x5bbold"


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_keys_that_end_it(live, key):
    app = app_of(live)
    async with app.run_test() as pilot:
        await pilot.press(key)
    assert app.return_code == 0
