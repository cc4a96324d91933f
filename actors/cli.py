"""The `actor` command: contribute to a run, see what this machine can do, know your id.

Heavy modules are imported inside the verbs, so that `--help` is instant.
"""

from typing import Annotated

import typer

from broker.program.command import application, settings_from, show_settings, takes, writes_below
from schemas.settings import ActorSettings

Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every setting, and do nothing.")]
WhichRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Name of a run that was joined, if there are several; or a run card, where the run's "
        "servers ask nobody who he is.",
    ),
]

app = application(
    "Contribute rollouts to a run: check this machine, then start. A running actor shows by itself "
    "what it does. Settings follow a verb: @ file.toml --home DIR --max_leases 8."
)


@app.command(**takes(ActorSettings))
def start(
    context: typer.Context, run: WhichRun = "", dry_run: DryRun = False, json: Json = False
) -> None:
    """Work for a run until Ctrl-C or SIGTERM: the first drains, the second stops at once.

    With --json, one document a line says what it does.
    """
    settings = settings_from(context, ActorSettings)
    writes_below(context, settings.home)
    from actors.identity import home_of
    from actors.membership import find_membership

    membership = find_membership(home_of(settings), run)
    if dry_run:
        show_settings(settings)
        return
    from actors.screens import open_screen
    from actors.start import run_actor

    raise typer.Exit(run_actor(membership, settings, open_screen(json=json)))


@app.command(**takes(ActorSettings))
def join(
    context: typer.Context,
    link: Annotated[
        str, typer.Argument(help="The link that the run's operator sent you, or a file with it.")
    ],
    json: Json = False,
) -> None:
    """Join a run: makes a key on this machine, and has the operator's gate let it in."""
    import asyncio

    from actors.identity import home_of
    from actors.joining import join as join_run
    from broker.accounts.invitation import read_invitation
    from broker.program import screen

    settings = settings_from(context, ActorSettings)
    writes_below(context, settings.home)
    membership = asyncio.run(join_run(read_invitation(link), home_of(settings)))
    run = membership.card.run
    if json:
        screen.show_json({"run": run, "actor": membership.actor})
        return
    screen.show_line(f"Joined run {run} as {membership.actor}.")
    home = "" if settings.home == ActorSettings().home else f" --home {settings.home}"
    screen.show_line(f"To begin: actor start {run}{home}")


@app.command(**takes(ActorSettings))
def leave(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Name of the run.")],
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also remove all that was stored for it.")
    ] = False,
    json: Json = False,
) -> None:
    """Leave a run: forgets the key, so that nobody works for it from here any more."""
    from actors.identity import home_of
    from actors.leaving import leave as leave_run
    from broker.program import screen

    settings = settings_from(context, ActorSettings)
    writes_below(context, settings.home)
    home = home_of(settings)
    removed = leave_run(home, run, delete_data=delete_data)
    if json:
        screen.show_json({"run": run, "removed": [str(path) for path in removed]})
        return
    screen.show_line(f"Left run {run}. Removed: {', '.join(str(path) for path in removed)}")


@app.command(**takes(ActorSettings))
def check(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Also check this run, which was joined, or its card: its environment, and whether "
            "it can be reached.",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Say what this machine can do; exit status 1 when it cannot contribute."""
    import asyncio

    from actors.check import check_machine, lines
    from actors.identity import home_of
    from actors.membership import find_membership
    from broker.program import screen

    settings = settings_from(context, ActorSettings)
    membership = find_membership(home_of(settings), run) if run else None
    machine = asyncio.run(check_machine(settings, membership))
    if json:
        screen.show_json(machine)
    else:
        for line in lines(machine):
            screen.show_line(line)
        if run and machine.can_contribute:
            home = "" if settings.home == ActorSettings().home else f" --home {settings.home}"
            screen.show_line(f"To begin: actor start {run}{home}")
    raise typer.Exit(0 if machine.can_contribute else 1)


@app.command("id", **takes(ActorSettings))
def id_(context: typer.Context, json: Json = False) -> None:
    """Print this actor's id, the public half of its key; makes the key if there is none."""
    from actors.identity import home_of, open_key
    from broker.program import screen

    actor = open_key(home_of(settings_from(context, ActorSettings))).public
    screen.show_json({"id": actor}) if json else screen.show_line(actor)
