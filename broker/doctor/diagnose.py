"""One question to everything that a run rests on: NATS, its streams, the storage, the key files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from broker.accounts.rights import Role
from broker.doctor import disk, durability, keys, messages, objects, server
from broker.doctor.commands import Commands, start
from broker.doctor.facts import ServerFacts
from broker.doctor.finding import Diagnosis, Finding, critical, diagnosis, unknown
from broker.doctor.link import open_link
from broker.doctor.read_greeting import read_greeting, with_clock
from broker.doctor.read_keys import read_keys
from broker.doctor.read_monitoring import read_by_monitoring
from broker.doctor.read_own import read_own
from broker.doctor.read_store import read_store
from broker.doctor.read_streams import read_streams
from broker.doctor.read_system import read_by_system_account
from broker.doctor.run import check_run
from broker.inventory import read_inventory
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from broker.logbook import first_event
from broker.login import OPERATOR
from broker.objects.s3 import S3Store
from broker.program.endpoint import shown, told
from schemas.errors import BrokerError, ServerMissing, StoreDenied, StoreUnavailable, UserError
from schemas.settings import Connection

_OPENING: Final = "opening"
_STORE: Final = "object storage"
_HOW_TO_REACH: Final = (
    "chmod 600 FILE   # that connection.s3_credentials names; is it the right one?"
)


async def diagnose(
    connection: Connection, *, run: str, directory: Path, runs: Path, monitor: str = ""
) -> Diagnosis:
    """Look at the servers, at one run or all, and at the key files; nothing is changed.

    `directory` is that of `broker up`, `runs` the folder of runs, `monitor` the URL of a
    nats-server's monitoring port.

    Raises:
        UserError: there is no such run, no server monitors at the URL, or a file is damaged.
    """
    findings = [keys.check_key(file) for file in read_keys(connection, directory, runs)]
    try:
        async with open_link(connection, *OPERATOR, run=run, name="broker doctor") as link:
            servers = await read_servers(connection, directory, monitor)
            findings += await check_nats(link, servers, run, Commands(connection, runs))
    except ServerMissing as error:
        fix = start(connection.nats, directory)
        findings.append(critical(server.CHECK, shown(connection.nats), str(error), fix))
    except BrokerError as error:
        found = told("NATS", connection.nats, error)
        fix = "jetstream { store_dir: DIR }   # in nats.conf, if it is not there"
        findings.append(critical(server.CHECK, shown(connection.nats), found, fix))
    return diagnosis([*findings, *await _of_storage(connection, directory)])


async def read_servers(connection: Connection, directory: Path, monitor: str) -> list[ServerFacts]:
    """What servers say to their operator; empty when there is no way to ask them.

    Raises:
        UserError: no server monitors at the URL.
        BrokerError: no server answers.
    """
    if monitor:
        return [await read_by_monitoring(monitor)]
    own = {each.name: each for each in await read_own(directory, connection.nats)}
    if not connection.accounts:
        return [*own.values()]
    try:
        async with open_link(connection, Role.SYSTEM, name="broker doctor") as link:
            told = await read_by_system_account(link, connection.nats)
    except UserError:  # Only the operator has these credentials.
        return [*own.values()]
    folders = {name: each.our_folder for name, each in own.items()}
    return [replace(each, our_folder=folders.get(each.name, "")) for each in told]


async def check_nats(
    link: NatsConnection,
    servers: Sequence[ServerFacts],
    run: str,
    commands: Commands,
) -> list[Finding]:
    """Judge the servers, and the streams of one run or all.

    Raises:
        UserError: there is no such run.
        BrokerError: JetStream does not answer.
    """
    broker = NatsBroker(link)
    inventory = await read_inventory(broker)
    if run:
        inventory.require(run)
    streams = await read_streams(link, inventory.streams)
    looked_at = (run,) if run else inventory.runs
    own = [streams[name] for each in looked_at for name in inventory.own(each) if name in streams]
    greeting = with_clock(await read_greeting(link), streams.values())
    findings = server.check_servers(greeting, servers)
    findings += durability.check_sync(servers, own)
    findings += disk.check_disk(servers, list(streams.values()))
    findings += disk.check_account(greeting, list(streams.values()))
    for each in looked_at:
        opened = await first_event(broker, each)
        if opened is None:
            fix = f"learner open --name {each}   # with its other settings"
            findings.append(unknown(_OPENING, each, "nobody has opened this run yet", fix))
            continue
        findings.append(messages.check_payload(greeting, opened.settings))
        findings += check_run(opened.settings, streams, commands)
    return findings


async def _of_storage(connection: Connection, directory: Path) -> list[Finding]:
    url = shown(connection.s3 or "AWS")
    try:
        store = S3Store.open(connection)
    except (UserError, StoreDenied) as error:
        return [critical(_STORE, url, str(error), _HOW_TO_REACH)]
    try:
        return objects.check_store(url, await read_store(store))
    except StoreUnavailable as error:
        return [critical(_STORE, url, str(error), start(url, directory))]
    except StoreDenied as error:
        if "NoSuchBucket" in str(error):
            fix = "learner open   # makes it"
            return [unknown(_STORE, url, f"there is no bucket {connection.bucket} yet", fix)]
        return [critical(_STORE, url, str(error), _HOW_TO_REACH)]
    finally:
        await store.close()
