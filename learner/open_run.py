"""Opens a run: key, streams, initial policy, and the files that say so.

Everything is done in an order in which a kill at any instant leaves something that the next call
completes. A second call finds all of it, and changes nothing.
"""

from pathlib import Path

from broker.accounts.access import make_run_credentials
from broker.accounts.rights import Role
from broker.interface import Broker
from broker.logbook import first_event
from broker.login import login
from broker.objects.s3 import S3Store
from broker.objects.write_once import check_write_once
from broker.policies.signing import RunKey
from broker.program.endpoint import told
from broker.program.version import code_sha256
from broker.store import Store
from broker.streams import run_streams
from environments.catalogue import open_environment
from environments.fit import check_fit
from learner.opening_file import read_opening, write_opening
from learner.run_folder import RunFolder
from learner.same_run import check_same_run
from schemas.batch import most_rows
from schemas.errors import ServerMissing, SettingsError, StoreUnavailable, UserError
from schemas.ledger import RunOpened
from schemas.names import log_stream, policy_manifest_key
from schemas.policy import PolicyId
from schemas.run_card import RunCard, write_run_card
from schemas.settings import LearnerSettings, run_settings


async def open_over_network(settings: LearnerSettings, initial: Path) -> RunOpened:
    """Open the run on the servers that the settings name; see `open_run`.

    Raises:
        UserError: as `open_run`, or a server does not answer.
    """
    connection = settings.connection
    make_run_credentials(connection.accounts, settings.name, settings.intake.shards)
    broker = await login(connection, Role.ADMIN, name="learner open")
    store = S3Store.open(connection)
    try:
        await store.ensure_bucket()
        return await open_run(broker, store, settings, initial)
    except StoreUnavailable as error:
        sentence = told("object storage", connection.s3, error)
        raise ServerMissing(sentence, nobody_at=connection.s3) from None
    finally:
        await store.close()
        await broker.close()


async def is_open_over_network(settings: LearnerSettings) -> bool:
    """See `is_open`.

    Raises:
        UserError: a server does not answer.
    """
    broker = await login(settings.connection, Role.ADMIN, name="learner open")
    try:
        return await is_open(broker, settings.name)
    finally:
        await broker.close()


async def is_open(broker: Broker, run: str) -> bool:
    """Whether the run's log says how it was opened, so that no policy need be made for it: the
    folder of a run that was restored from a backup may hold nothing but its key."""
    if log_stream(run) not in await broker.streams():
        return False
    return await first_event(broker, run) is not None


async def open_run(
    broker: Broker, store: Store, settings: LearnerSettings, initial: Path
) -> RunOpened:
    """Open the run with the policy in the folder `initial`; returns what the coordinator writes.

    Raises:
        UserError: the run is open already, with other settings, another policy or another key; or
            `initial` is no policy for its environment.
        SettingsError: what the environment needs does not fit into a completion or the model, or a
            batch not into a message.
        StoreDenied: the storage has no conditional writes.
    """
    check_fit(settings)
    _check_batches(settings, broker)
    folder = RunFolder(settings)
    folder.path.mkdir(parents=True, exist_ok=True)
    for spec in run_streams(settings, num_replicas=settings.connection.num_replicas):
        await broker.ensure_stream(spec)
    opened = await first_event(broker, settings.name)
    if opened is not None:
        check_same_run(opened.settings, settings)
        if RunKey.load(folder.key).public != opened.run_key:
            raise UserError(f"{folder.key} is not the key that run {settings.name} began with")
    else:
        await check_write_once(store)
        opened = await _opened_before(store, settings, folder, initial)
        opened = opened or await _begin(store, settings, folder, initial)
    write_opening(folder.opening, opened)
    write_run_card(
        folder.card,
        RunCard(
            run=settings.name,
            nats=settings.connection.nats,
            run_key=opened.run_key,
            environment=opened.environment,
        ),
    )
    return opened


def _check_batches(settings: LearnerSettings, broker: Broker) -> None:
    """A batch is one message: whether it fits is known when it is cut, and must be known before."""
    group_size, num_groups = settings.sampling.group_size, settings.batch.num_groups
    if num_groups > (most := most_rows(broker.max_message_bytes, group_size)):
        raise SettingsError(
            f"batch.num_groups is {num_groups}, but a batch is one message, and this server takes "
            f"{broker.max_message_bytes} bytes in one (its max_payload): only {most} groups "
            f"surely fit where sampling.group_size is {group_size}"
        )


async def _opened_before(
    store: Store, settings: LearnerSettings, folder: RunFolder, initial: Path
) -> RunOpened | None:
    """What an earlier call has opened with a policy that is not at hand any more, if it is there.

    Where the policy is at hand it is published once more, which changes nothing if it is the same.
    """
    if not folder.opening.exists():
        return None
    opened = read_opening(folder.opening)
    check_same_run(opened.settings, settings)
    manifest = policy_manifest_key(settings.name, opened.initial_policy)
    if _is_there(initial) or await store.head(manifest) is None:
        return None
    return opened


def _is_there(folder: Path) -> bool:
    return folder.exists()


async def _begin(
    store: Store, settings: LearnerSettings, folder: RunFolder, initial: Path
) -> RunOpened:
    # torch is only loaded for a run that is not open yet.
    from learner.trainer.initial import publish_initial

    if not folder.key.exists():
        RunKey.generate().save(folder.key)
    key = RunKey.load(folder.key)
    environment = open_environment(settings.environment)
    return RunOpened(
        settings=run_settings(settings),
        environment=environment.ref,
        renderer=environment.renderer,
        vocabulary_size=environment.vocabulary_size,
        initial_policy=PolicyId(1, 0),
        initial_manifest_sha256=await publish_initial(store, key, settings, environment, initial),
        run_key=key.public,
        code_sha256=code_sha256(),
    )
