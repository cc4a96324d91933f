"""The `actor` command: contribute to a run, see what this machine can do, know your id.

Heavy modules are imported inside the verbs, so that `--help` is instant.
"""

from pathlib import Path
from typing import Annotated

import typer

from broker.program.command import application, settings_from, show_settings, takes, writes_below
from schemas.run_card import RunCard, read_run_card
from schemas.settings import ActorSettings

Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every setting, and do nothing.")]
Card = Annotated[
    Path, typer.Argument(metavar="RUN_CARD", help="The run.json that the run's operator gives you.")
]

app = application(
    "Contribute rollouts to a run: check this machine, then start. A running actor shows by itself "
    "what it does. Settings follow a verb: @ file.toml --home DIR --max_leases 8."
)


@app.command(**takes(ActorSettings))
def start(
    context: typer.Context, run_card: Card, dry_run: DryRun = False, json: Json = False
) -> None:
    """Work for a run until Ctrl-C or SIGTERM: the first drains, the second stops at once.

    With --json, one document a line says what it does.
    """
    settings = settings_from(context, ActorSettings)
    writes_below(context, settings.home)
    card = read_run_card(run_card)
    if dry_run:
        show_settings(settings)
        return
    from actors.screens import open_screen
    from actors.start import run_actor

    raise typer.Exit(run_actor(card, settings, open_screen(json=json)))


@app.command(**takes(ActorSettings))
def check(
    context: typer.Context,
    run_card: Annotated[
        Path | None,
        typer.Option(
            "--run-card",
            metavar="FILE",
            help="Also check this run: its environment, and whether it can be reached.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what this machine can do; exit status 1 when it cannot contribute."""
    import asyncio

    from actors.check import check_machine, lines
    from broker.program import screen

    settings = settings_from(context, ActorSettings)
    card: RunCard | None = read_run_card(run_card) if run_card else None
    machine = asyncio.run(check_machine(settings, card))
    if json:
        screen.show_json(machine)
    else:
        for line in lines(machine):
            screen.show_line(line)
        if run_card and machine.can_contribute:
            home = "" if settings.home == ActorSettings().home else f" --home {settings.home}"
            screen.show_line(f"To begin: actor start {run_card}{home}")
    raise typer.Exit(0 if machine.can_contribute else 1)


@app.command("id", **takes(ActorSettings))
def id_(context: typer.Context, json: Json = False) -> None:
    """Print this actor's id, the public half of its key; makes the key if there is none."""
    from actors.identity import home_of, open_key
    from broker.program import screen

    actor = open_key(home_of(settings_from(context, ActorSettings))).public
    screen.show_json({"id": actor}) if json else screen.show_line(actor)
