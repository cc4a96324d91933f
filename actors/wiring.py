"""Puts an actor together: the one place that knows all of its parts."""

import uuid
from pathlib import Path

from msgspec import Struct

from actors.daemon import Daemon
from actors.engine import Engine
from actors.fulfilment import Fulfilment
from actors.groups import Groups
from actors.heartbeats import Heartbeats
from actors.lease_client import LeaseClient
from actors.leases import Leases
from actors.policies import CheckProbe, Fetch, Policies
from actors.report import Reports
from actors.spool import Spool
from actors.status import Status
from actors.terms import Terms
from actors.verdicts import Verdicts
from broker.interface import Broker
from schemas.run_card import RunCard
from schemas.settings import ActorSettings


class Outside(Struct, frozen=True, kw_only=True):
    """What an actor works with and did not make itself."""

    broker: Broker
    fetch: Fetch
    engine: Engine
    check_probe: CheckProbe


def wire_daemon(
    card: RunCard,
    settings: ActorSettings,
    actor: str,
    home: Path,
    outside: Outside,
    groups: Groups,
    status: Status,
) -> Daemon:
    """A daemon that is ready to run."""
    run, broker, instance = card.run, outside.broker, uuid.uuid4().hex
    spool = _spool(card, settings, home, status)
    policies = _policies(card, outside, status)
    client = LeaseClient(
        broker,
        run=run,
        actor=actor,
        instance=instance,
        profile=outside.engine.profile,
        spooled=spool.inherited,
        status=status,
    )
    verdicts = Verdicts(broker, run, actor, client.give_back, status.changes)
    leases = Leases(
        client=client,
        terms=Terms(run, actor, outside.engine.profile),
        policies=policies,
        spool=spool,
        verdicts=verdicts,
        status=status,
        max_leases=settings.max_leases,
    )
    fulfilment = Fulfilment(
        groups=groups,
        policies=policies,
        leases=leases,
        spool=spool,
        broker=broker,
        verdicts=verdicts,
        status=status,
    )
    return Daemon(
        leases=leases,
        policies=policies,
        fulfilment=fulfilment,
        spool=spool,
        verdicts=verdicts,
        heartbeats=_heartbeats(broker, settings, run, actor, instance, status),
        reports=Reports(run, actor, status, verdicts),
        status=status,
        drain_s=settings.drain_s,
    )


def _spool(card: RunCard, settings: ActorSettings, home: Path, status: Status) -> Spool:
    # By key as well as by name: another run of the same name has its own leases.
    folder = home / "spool" / f"{card.run}-{card.run_key[:16]}"
    return Spool(folder, settings.spool_mib << 20, status.changes)


def _policies(card: RunCard, outside: Outside, status: Status) -> Policies:
    return Policies(
        broker=outside.broker,
        run=card.run,
        run_key=card.run_key,
        engine=outside.engine,
        fetch=outside.fetch,
        check_probe=outside.check_probe,
        status=status,
    )


def _heartbeats(
    broker: Broker, settings: ActorSettings, run: str, actor: str, instance: str, status: Status
) -> Heartbeats:
    return Heartbeats(
        broker,
        run=run,
        actor=actor,
        instance=instance,
        status=status,
        every_s=settings.heartbeat_s,
    )
