"""Opens a run: key, streams, initial policy, and the files that say so.

Everything is done in an order in which a kill at any instant leaves something that the next call
completes. A second call finds all of it, and changes nothing.
"""

from pathlib import Path

from broker import publication, retry
from broker.interface import Broker
from broker.signing import RunKey
from broker.store import Store
from broker.streams import run_streams
from broker.write_once import check_write_once
from environments.catalogue import open_environment
from environments.interface import Environment
from learner.opening import check_same_run, code_sha256, read_opening, write_opening
from learner.run_folder import RunFolder
from learner.trainer.digest import weights_digest
from learner.trainer.engine import TrainEngine
from learner.trainer.feed import first_event
from learner.trainer.world import World
from schemas.arrays import pack_f32, pack_u32
from schemas.errors import PolicyTaken, SettingsError, UserError
from schemas.ledger import RunOpened
from schemas.policy import PolicyId, Probe
from schemas.run_card import RunCard, write_run_card
from schemas.settings import LearnerSettings, run_settings

INITIAL = PolicyId(1, 0)


async def open_run(
    broker: Broker, store: Store, settings: LearnerSettings, initial: Path
) -> RunOpened:
    """Open the run with the policy in the folder `initial`; returns what the coordinator writes.

    Raises:
        UserError: the run is open already, with other settings, another policy or another key; or
            `initial` is no policy for its environment.
        StoreDenied: the storage has no conditional writes.
    """
    folder = RunFolder(settings)
    folder.path.mkdir(parents=True, exist_ok=True)
    for spec in run_streams(settings):
        await broker.ensure_stream(spec)
    opened = await first_event(broker, settings.name)
    if opened is not None:
        check_same_run(opened.settings, settings)
        if RunKey.load(folder.key).public != opened.run_key:
            raise UserError(f"{folder.key} is not the key that run {settings.name} began with")
    else:
        if folder.opening.exists():
            check_same_run(read_opening(folder.opening).settings, settings)
        await check_write_once(store)
        opened = await _begin(store, settings, folder, initial)
    write_opening(folder.opening, opened)
    write_run_card(
        folder.card,
        RunCard(run=settings.name, nats=settings.connection.nats, run_key=opened.run_key),
    )
    return opened


async def _begin(
    store: Store, settings: LearnerSettings, folder: RunFolder, initial: Path
) -> RunOpened:
    if not folder.key.exists():
        RunKey.generate().save(folder.key)
    key = RunKey.load(folder.key)
    environment = open_environment(settings.environment)
    return RunOpened(
        settings=run_settings(settings),
        environment=environment.ref,
        renderer=environment.renderer,
        vocabulary_size=environment.vocabulary_size,
        initial_policy=INITIAL,
        initial_manifest_sha256=await _publish(store, key, settings, environment, initial),
        run_key=key.public,
        code_sha256=code_sha256(),
    )


async def _publish(
    store: Store,
    key: RunKey,
    settings: LearnerSettings,
    environment: Environment,
    initial: Path,
) -> str:
    """Publish the initial policy without announcing it; the digest of its manifest."""
    if not (initial / "config.json").is_file():
        raise UserError(f"{initial} holds no policy to begin with: make one with `learner sft`")
    engine = TrainEngine(initial, settings.trainer, World(0, 1))
    vocabulary_size = engine.model.config.vocab_size
    if vocabulary_size != environment.vocabulary_size:
        raise SettingsError(
            f"the policy in {initial} has a vocabulary of {vocabulary_size}, environment "
            f"{environment.ref.id} one of {environment.vocabulary_size}"
        )
    token_ids = [token for turn in environment.reference(0) for token in turn.token_ids]
    tensors = engine.tensor_entries()
    probe = Probe(token_ids=pack_u32(token_ids), logprobs=pack_f32(engine.probe(token_ids)))
    try:
        async for attempt in retry.for_seconds(30.0):
            with attempt:
                return await publication.publish_anchor(
                    store,
                    key,
                    initial,
                    run=settings.name,
                    policy=INITIAL,
                    tensors=tensors,
                    weights_digest=weights_digest(tensors),
                    renderer=environment.renderer,
                    probe=probe,
                    previous_sha256=None,
                )
    except PolicyTaken:
        raise UserError(
            f"the bucket already holds another initial policy of run {settings.name}: "
            "begin a run under another `name`"
        ) from None
    raise AssertionError("the retry returns or raises")
