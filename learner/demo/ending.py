"""The end of the demo: checks in processes of their own, the report, and a summary in words."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Final

from broker.login import OPERATOR, login
from broker.objects.s3 import S3Store
from broker.program.process import last_line
from broker.tally import verdict_name
from learner.demo import cast
from learner.demo.performance import Performance
from learner.demo.phases import Phase
from learner.demo.players import run_to_end
from learner.demo.promises import CheckResult, Evidence, check
from learner.demo.screen import Screen
from learner.demo.stage import Stage
from learner.events import Checked, read_events
from learner.report.build import build_report, read_story
from learner.report.story import Story

_COMPARED: Final = re.compile(r"compared (\d+) of (\d+) versions")


async def end(stage: Stage, performance: Performance, screen: Screen) -> tuple[Checked, ...]:
    """Audit, train again, check the promises, and write the report."""
    run, settings_file = stage.settings.name, str(stage.folder.settings)
    auditing = cast.broker("audit", run, "--deep", "--settings", settings_file)
    replaying = cast.learner("replay", run, "--verify", "@", settings_file)
    audit, replay = await asyncio.gather(
        _check(stage, screen, Phase.AUDIT, auditing), _check(stage, screen, Phase.REPLAY, replaying)
    )
    broker = await login(stage.settings.connection, *OPERATOR, run=run, name="demo")
    store = S3Store.open(stage.settings.connection)
    try:
        story = await read_story(broker, run, read_events(stage.folder.events))
        checks = check(evidence(story, performance, audit=audit, replay=replay))
        for one in checks:
            stage.events.write(one)
        story.events = read_events(stage.folder.events)
        document = await build_report(story, store)
        stage.folder.report.write_text(document, encoding="utf-8")
    finally:
        await broker.close()
        await store.close()
    return checks


def evidence(
    story: Story, performance: Performance, *, audit: CheckResult, replay: CheckResult
) -> Evidence:
    """Put together what the checks rest on."""
    liars = [actor for actor in story.actors if story.is_liar(actor)]
    verdicts = [verdict_name(event) for event in story.verdicts if event.actor in liars]
    num_accepted = verdicts.count("accepted")
    return Evidence(
        steps=story.steps,
        num_steps=story.opened.settings.trainer.num_steps,
        trained_on=story.opened.environment.train_on,
        audit=audit,
        replay=replay,
        liar_rows=sum(row.actor in liars for _, row in story.tally.placed_rows()),
        liar_accepted=num_accepted,
        liar_refused=len(verdicts) - num_accepted,
        planned_kills=performance.planned,
        came_back=performance.came_back,
        died=performance.died,
    )


def summary(stage: Stage, checks: Sequence[Checked]) -> Iterator[str]:
    """The checks in words, one line each."""
    for one in checks:
        yield f"{'  ok  ' if one.holds else 'FAILED'}  {one.text}"
    yield f"        Every step: {stage.folder.metrics}"
    yield f"        Pictures:   {stage.folder.report}"


async def _check(stage: Stage, screen: Screen, phase: Phase, command: Sequence[str]) -> CheckResult:
    log = stage.log(phase)

    def show(line: str) -> None:
        if found := _COMPARED.search(line):
            done, total = int(found[1]), int(found[2])
            screen.progress(phase, done / total, found[0])

    screen.progress(phase, None, "under way")
    status = await run_to_end(command, log, show)
    result = CheckResult(status=status, last_words=last_line(log))
    screen.progress(phase, 1.0, "holds" if status == 0 else result.last_words)
    return result
