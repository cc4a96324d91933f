"""The policy that a run begins with: into object storage once, and out of it at every start."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from broker import retry
from broker.policies import publication
from broker.policies.signing import RunKey
from broker.store import Store
from environments.fit import longest_rollout
from environments.interface import Environment
from learner.trainer.digest import weights_digest
from learner.trainer.engine import TrainEngine
from learner.trainer.world import World
from schemas import names, wire
from schemas.arrays import pack_f32, pack_u32
from schemas.errors import DigestMismatch, PolicyTaken, SettingsError, UserError
from schemas.ledger import RunOpened
from schemas.policy import PolicyId, PolicyManifest, Probe
from schemas.settings import RunSettings, TrainerSettings

_PUBLISH_S = 60.0
"""How long a storage that does not answer is asked again while somebody waits at the keyboard."""


async def fetch_initial(
    store: Store,
    opened: RunOpened,
    folder: Path,
    asking: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> PolicyManifest:
    """Download the initial policy into a folder; what is in it already is replaced.

    A storage that is away is waited for; `asking()` is entered around each try.

    Raises:
        SignatureInvalid, DigestMismatch, ObjectMissing
    """

    async def fetch_once() -> PolicyManifest:
        with asking():
            return await _fetch(store, opened, folder)

    return await retry.until_available()(fetch_once)


async def _fetch(store: Store, opened: RunOpened, folder: Path) -> PolicyManifest:
    run, policy = opened.settings.name, opened.initial_policy
    data = await store.get(names.policy_manifest_key(run, policy))
    if wire.sha256_hex(data) != opened.initial_manifest_sha256:
        raise DigestMismatch("the initial policy is not the one that the run was opened with")
    manifest, path_manifest = await publication.read_policy(store, run, policy, opened.run_key)
    shutil.rmtree(folder, ignore_errors=True)
    await publication.read_files(store, path_manifest, folder)
    return manifest


async def publish_initial(
    store: Store, key: RunKey, settings: RunSettings, environment: Environment, folder: Path
) -> str:
    """Publish the policy in a folder as (1, 0), unannounced; returns the digest of its manifest.

    Raises:
        UserError: it is no policy for the environment, or the bucket holds another one already.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no policy to begin with: make one with `learner sft`")
    engine = TrainEngine(folder, TrainerSettings(), World(0, 1))
    _check_given(engine, environment, settings.sampling.max_new_tokens, folder)
    token_ids = [token for turn in environment.reference(0) for token in turn.token_ids]
    tensors = engine.tensor_entries()
    logprobs = _probe(engine, token_ids, folder)
    probe = Probe(token_ids=pack_u32(token_ids), logprobs=pack_f32(logprobs))
    try:
        return await retry.for_seconds(_PUBLISH_S)(
            publication.publish_anchor,
            store,
            key,
            folder,
            run=settings.name,
            policy=PolicyId(1, 0),
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


def _probe(engine: TrainEngine, token_ids: Sequence[int], folder: Path) -> Sequence[float]:
    """Some configurations that can be loaded cannot be computed: more experts per token than
    experts, for instance."""
    try:
        return engine.probe(token_ids)
    except (RuntimeError, ValueError, IndexError) as error:
        problem = str(error).partition("\n")[0][:300]
        raise UserError(f"the policy in {folder} cannot be computed: {problem}") from error


def _check_given(
    engine: TrainEngine, environment: Environment, max_new_tokens: int, folder: Path
) -> None:
    """Whether the policy in a folder speaks the environment's tokens, and far enough."""
    config, name = engine.model.config, environment.ref.id
    if config.vocab_size != environment.vocabulary_size:
        raise SettingsError(
            f"the policy in {folder} has a vocabulary of {config.vocab_size}, environment "
            f"{name} one of {environment.vocabulary_size}"
        )
    if (needed := longest_rollout(environment, max_new_tokens)) > config.max_position_embeddings:
        raise SettingsError(
            f"the policy in {folder} has {config.max_position_embeddings} positions, and a rollout "
            f"of environment {name} takes up to {needed} tokens: lower sampling.max_new_tokens"
        )
