"""The `learner` command: make the initial policy, open a run, run it, and check it again.

Heavy modules are imported inside the verbs, so that `--help` is instant.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from broker.addresses import SERVERS_DIRECTORY, find_connection
from broker.program.command import (
    Servers,
    application,
    settings_from,
    show_settings,
    takes,
    writes_below,
)
from schemas.errors import ServerMissing
from schemas.settings import Connection, LearnerSettings

if TYPE_CHECKING:
    from learner.trainer.replay_legs import Compared

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every setting, and do nothing.")]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Replace a coordinator or trainer that is there and does not answer.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
Initial = Annotated[
    Path | None,
    typer.Option(
        "--initial",
        metavar="DIR",
        help="Hugging Face folder of the policy to begin with, in place of one from `learner sft`.",
    ),
]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the run.")]

app = application(
    "Learn from what actors publish; `learner run --name first` does all of it. "
    "Settings follow a verb: @ file.toml --trainer.num_steps 100."
)


@app.command(**takes(LearnerSettings))
def run(
    context: typer.Context,
    dry_run: DryRun = False,
    take_over: TakeOver = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Open a run unless it is open, and run coordinator and trainer to its last step.

    The policy to begin with is made first, see `learner sft`.
    If that misses its target, nothing is opened; repeat the command to begin with it.

    Ctrl-C or SIGTERM lets them end what they have in hand; the second kills them.
    """
    from learner.launch import launch

    settings = _settings(context, dry_run, servers)
    outcome = launch(settings, take_over=take_over, say=typer.echo)
    if outcome.sentence:
        typer.echo(f"learner run: {outcome.sentence}", err=outcome.exit_status != 0)
    raise typer.Exit(outcome.exit_status)


@app.command(**takes(LearnerSettings))
def sft(
    context: typer.Context, dry_run: DryRun = False, servers: Servers = SERVERS_DIRECTORY
) -> None:
    """Make the policy that a run begins with, by supervised fine-tuning, unless there is one.

    It ends when sampled answers reach sft.target_reward.
    Exit status 1: sft.max_steps came first; the policy is kept, and used if you go on.
    """
    from learner.initial_policy import make_initial_policy

    make_initial_policy(_settings(context, dry_run, servers), typer.echo)


@app.command("open", **takes(LearnerSettings))
def open_(
    context: typer.Context,
    initial: Initial = None,
    dry_run: DryRun = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Open a run: key, streams, initial policy, and the card that actors need. Can be repeated.

    Without --initial, the policy to begin with is made first, see `learner sft`.
    If that misses its target, nothing is opened; repeat the command to begin with it.
    """
    import asyncio

    from broker.look.health import require_health
    from learner.initial_policy import make_initial_policy
    from learner.open_run import is_open_over_network, open_over_network
    from learner.run_folder import RunFolder, how_to_contribute

    settings = _settings(context, dry_run, servers)
    folder = RunFolder(settings)
    if initial is None and not folder.opening.exists():
        asyncio.run(require_health(settings.connection, servers))
        if not asyncio.run(is_open_over_network(settings)):
            make_initial_policy(settings, typer.echo)
    asyncio.run(open_over_network(settings, initial or folder.initial))
    typer.echo(f"run {settings.name} is open; to contribute: {how_to_contribute(settings)}")


@app.command(**takes(LearnerSettings))
def coordinator(
    context: typer.Context,
    dry_run: DryRun = False,
    take_over: TakeOver = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Run the coordinator of an open run, until SIGTERM or Ctrl-C."""
    import asyncio

    from learner.coordinator.service import serve
    from learner.opening_file import read_opening
    from learner.run_folder import RunFolder
    from learner.same_run import check_same_run

    settings = _settings(context, dry_run, servers)
    opened = read_opening(RunFolder(settings).opening)
    check_same_run(opened.settings, settings)
    asyncio.run(serve(settings, opened, take_over=take_over))


@app.command(**takes(LearnerSettings))
def trainer(
    context: typer.Context,
    dry_run: DryRun = False,
    take_over: TakeOver = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Run the trainer of an open run to its last step, all ranks of this machine."""
    from learner.run_folder import RunFolder
    from learner.same_run import keep_settings

    settings = _settings(context, dry_run, servers)
    path = RunFolder(settings).settings
    keep_settings(settings)

    from learner.trainer.agent import be_agent

    be_agent(
        "learner.trainer.rank",
        [str(path), *(["--take-over"] if take_over else [])],
        num_ranks=settings.trainer.num_ranks,
        num_threads=settings.trainer.num_threads,
    )


@app.command(**takes(LearnerSettings))
def replay(
    context: typer.Context,
    name: Name,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", show_default=False, help="Changes nothing: every replay compares."
        ),
    ] = True,
    from_step: Annotated[
        int,
        typer.Option(
            "--from", metavar="STEP", min=0, help="Begin with the last checkpoint up to STEP."
        ),
    ] = 0,
    json: Json = False,
    dry_run: DryRun = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Train a run again from its logs, and compare; exit status 1 names the first difference."""
    import asyncio

    from broker.program import screen
    from learner import replaying

    settings = _settings(context, dry_run, servers, name=name)
    report = asyncio.run(
        replaying.replay(settings, from_step=from_step, on_compared=_show_compared())
    )
    screen.show_json(report) if json else screen.show_line(report.sentence)
    raise typer.Exit(0 if report.holds else 1)


@app.command(**takes(LearnerSettings))
def demo(context: typer.Context, dry_run: DryRun = False) -> None:
    """Show the whole loop on this machine: actors, a liar, kills; exit status 0 if all held.

    Say which run it is: `learner demo @ examples/demo.toml`.

    Ctrl-C or SIGTERM ends all of it in order; the second kills.
    """
    from learner.demo.show import run_demo

    raise typer.Exit(run_demo(_settings(context, dry_run, None)))


@app.command(**takes(LearnerSettings))
def metrics(
    context: typer.Context,
    name: Name,
    json: Json = False,
    dry_run: DryRun = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Write one line of JSON for each step of a run, from its logs, into its folder."""
    import asyncio

    from learner.metrics_file import write_metrics

    settings = _settings(context, dry_run, servers, name=name)
    _show_path("every step is in", asyncio.run(write_metrics(settings)), json=json)


@app.command(**takes(LearnerSettings))
def report(
    context: typer.Context,
    name: Name,
    json: Json = False,
    dry_run: DryRun = False,
    servers: Servers = SERVERS_DIRECTORY,
) -> None:
    """Write the pictures of a run, from its logs and archive, as one HTML file in its folder."""
    import asyncio

    from learner.report.build import write_report

    settings = _settings(context, dry_run, servers, name=name)
    _show_path("the report is", asyncio.run(write_report(settings)), json=json)


def _settings(
    context: typer.Context, dry_run: bool, servers: Path | None, *, name: str = ""
) -> LearnerSettings:
    """The resolved settings; with `--dry-run` they are printed, and that is all.

    `name` is that of the run, where it is no setting: of such a run the log knows the settings.
    What they leave open of the connection is that of the servers started in `servers`.
    """
    from environments.fit import check_fit

    if name:
        context.args += ["--name", name]
    settings = settings_from(context, LearnerSettings)
    if not name:
        check_fit(settings)
    writes_below(context, settings.directory)
    if servers is not None:
        connection = _connection(context, servers)
        settings = msgspec.structs.replace(settings, connection=connection)
    if dry_run:
        show_settings(settings)
        raise typer.Exit
    return settings


def _connection(context: typer.Context, servers: Path) -> Connection:
    try:
        return find_connection(context.args, directory=servers, option="--connection.nats")
    except ServerMissing:
        if servers != SERVERS_DIRECTORY:
            raise
        # Nothing is said and nothing started, but somebody else may serve at the defaults.
        return Connection()


def _show_path(words: str, path: Path, *, json: bool) -> None:
    from broker.program import screen

    screen.show_json({"path": str(path)}) if json else screen.show_line(f"{words} {path}")


def _show_compared() -> "Callable[[Compared, int], None]":
    """Says how many versions are compared: to people in one place, else on a line each."""
    numbers = itertools.count(1)

    def show(compared: "Compared", total: int) -> None:
        # What is written over again begins with a return to the start of the line.
        start, end = ("\r", " ") if sys.stderr.isatty() else ("", "\n")
        sys.stderr.write(f"{start}compared {next(numbers)} of {total} versions{end}")

    return show
