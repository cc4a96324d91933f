"""A run for trainers over the in-memory twins: a tiny model, and batches that the test writes."""

import random
from pathlib import Path

import msgspec

from broker.interface import Broker
from broker.memory import MemoryBroker, MemoryServer, MemoryStore
from broker.objects.archive import Archive
from broker.policies import publication
from broker.policies.signing import RunKey, sign_announcement, sign_manifest
from environments.catalogue import open_environment
from environments.characters import write_tokenizer_files
from learner.open_run import open_run
from learner.run_folder import RunFolder
from learner.trainer.history import History, read_history
from learner.trainer.model import build_model, save_folder
from learner.trainer.portal import Portal
from learner.trainer.service import FirstRank
from learner.trainer.world import World
from schemas import names
from schemas.arrays import pack_f32, pack_u32
from schemas.batch import Batch, Row
from schemas.lease import Lease, Sampling
from schemas.ledger import (
    CoordinatorStarted,
    GroupAccepted,
    LeaseExpired,
    LeaseIssued,
    LedgerEntry,
    LedgerEvent,
    RunOpened,
)
from schemas.policy import FileEntry, PolicyAnnouncement, PolicyId, PolicyManifest
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.settings import (
    Connection,
    LearnerSettings,
    ModelSettings,
    TrainerSettings,
)
from schemas.wire import decode, encode, sha256_hex
from tests.support.groups import PROFILE

TINY = ModelSettings(
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    num_key_value_heads=1,
    intermediate_size=32,
    num_experts=4,
    num_experts_per_token=2,
    moe_intermediate_size=16,
)
GROUPS_PER_BATCH = 3
GROUP_SIZE = 2


def tiny_settings(
    directory: Path, *, num_steps: int = 4, connection: Connection = Connection()
) -> LearnerSettings:
    return LearnerSettings(
        name="tiny",
        model=TINY,
        trainer=TrainerSettings(
            num_steps=num_steps,
            learning_rate=1e-3,
            warmup_steps=0,
            token_budget=64,
            checkpoint_every=2,
        ),
        directory=str(directory),
        connection=connection,
    )


def write_initial(settings: LearnerSettings, folder: Path) -> Path:
    """A policy with random weights."""
    environment = open_environment(settings.environment)
    save_folder(build_model(settings.model, environment.vocabulary_size, seed=0), folder)
    write_tokenizer_files(folder)
    return folder


def made_up_group(settings: LearnerSettings, lease_id: int) -> RolloutGroup:
    """A group as an actor might send it, a function of the lease id."""
    draw = random.Random(lease_id)
    vocabulary_size = open_environment(settings.environment).vocabulary_size
    return RolloutGroup(
        run=settings.name,
        lease_id=lease_id,
        actor="ALICE",
        policy=PolicyId(1, 0),
        manifest_sha256="0" * 64,
        profile=PROFILE,
        rollouts=tuple(_rollout(draw, vocabulary_size) for _ in range(GROUP_SIZE)),
    )


def _rollout(draw: random.Random, vocabulary_size: int) -> Rollout:
    num_prompt, num_sampled = draw.randint(3, 8), draw.randint(2, 9)
    return Rollout(
        token_ids=pack_u32(
            draw.randrange(vocabulary_size) for _ in range(num_prompt + num_sampled)
        ),
        loss_mask=bytes([0] * num_prompt + [1] * num_sampled),
        logprobs=pack_f32(draw.uniform(-4.5, -2.5) for _ in range(num_sampled)),
        spans=(VersionSpan(num_tokens=num_sampled, policy=PolicyId(1, 0)),),
        finish=Finish.LENGTH,
        claimed_reward=0.0,
    )


class HandmadeLog:
    """The coordinator's part: RunOpened, and batches of made-up groups.

    Nobody was asked for these groups, unless `whole` is set: then the ledger has their leases and
    verdicts, as an audit wants it, and the queue has stored their messages.
    """

    whole = False

    def __init__(self, broker, store, settings: LearnerSettings) -> None:
        self._broker = broker
        self._archive = Archive(store, settings.name)
        self._settings = settings
        self._stream = names.log_stream(settings.name)
        self._sequence = 0
        self._step = 0
        self._previous: str | None = None

    async def open(self, opened: RunOpened) -> None:
        started = CoordinatorStarted(instance="c", host="h", pid=1)
        await self._enter(opened, started)
        if self.whole:
            # The first groups are those of step 1.
            unanswered = range(GROUPS_PER_BATCH)
            await self._enter(*(self._issued(opened, lease_id) for lease_id in unanswered))
            await self._enter(*(LeaseExpired(lease_id=lease_id) for lease_id in unanswered))
        self._opened = opened

    def _issued(self, opened: RunOpened, lease_id: int) -> LeaseIssued:
        lease = Lease(
            lease_id=lease_id,
            run=opened.settings.name,
            actor="ALICE",
            environment=opened.environment,
            task=lease_id,
            group_size=GROUP_SIZE,
            seed=lease_id,
            sampling=Sampling(max_new_tokens=16, stop_ids=(2,)),
            renderer=opened.renderer,
            shard="s0",
            least_policy=PolicyId(1, 0),
            deadline=1_800_000_000.0,
        )
        return LeaseIssued(lease=lease, request_id=f"r{lease_id}", instance="alice-1")

    async def _judge(self, rows: tuple[Row, ...], groups: list[bytes]) -> None:
        """Have the queue store the groups, and accept them."""
        run, accepted = self._settings.name, []
        queue, subject = names.rollouts_stream(run, "s0"), names.rollouts_subject
        for row, data in zip(rows, groups, strict=True):
            stored = await self._broker.publish(subject(run, "s0", row.policy, row.actor), data)
            same = {
                name: getattr(row, name)
                for name in GroupAccepted.__struct_fields__
                if name in Row.__struct_fields__
            }
            accepted.append(
                GroupAccepted(
                    stream=queue,
                    sequence=stored.sequence,
                    rewards=row.advantages,
                    parts=(),
                    **same,
                )
            )
        await self._enter(*(self._issued(self._opened, row.lease_id) for row in rows))
        await self._enter(*accepted)
        await self._broker.purge(queue, before=stored.sequence + 1)

    async def _enter(self, *events: LedgerEvent) -> None:
        entry = LedgerEntry(instance="c", events=events)
        await self._append(names.ledger_subject(self._settings.name), encode(entry))

    async def cut(self, *, advantage: float = 1.0) -> None:
        """Write the next batch."""
        self._step += 1
        first = self._step * GROUPS_PER_BATCH
        groups = [
            encode(made_up_group(self._settings, lease_id))
            for lease_id in range(first, first + GROUPS_PER_BATCH)
        ]
        segment = await self._archive.write(groups, term=1)
        rows = tuple(
            Row(
                segment=segment.name,
                offset=where.offset,
                length=where.length,
                sha256=sha256_hex(data),
                lease_id=first + index,
                actor="ALICE",
                policy=PolicyId(1, 0),
                advantages=(advantage, -advantage),
                num_tokens=tuple(
                    len(rollout.loss_mask)
                    for rollout in made_up_group(self._settings, first + index).rollouts
                ),
            )
            for index, (where, data) in enumerate(zip(segment.slices, groups, strict=True))
        )
        if self.whole:
            await self._judge(rows, groups)
        batch = Batch(
            run=self._settings.name,
            step=self._step,
            rows=rows,
            previous_sha256=self._previous,
            instance="c",
        )
        data = encode(batch)
        self._previous = sha256_hex(data)
        await self._append(names.batch_subject(self._settings.name, self._step), data)

    def forget_the_chain(self) -> None:
        """Let the next batch say that it is the first."""
        self._previous = None

    async def _append(self, subject: str, data: bytes) -> None:
        self._sequence = await self._broker.append(
            self._stream, subject, data, expected_last=self._sequence
        )


class TinyRun:
    """Servers that outlive trainers, a portal for all of them, and the run's log."""

    def __init__(self, portal: Portal, directory: Path, *, num_steps: int = 4) -> None:
        self.portal = portal
        self.settings = tiny_settings(directory, num_steps=num_steps)
        self.server = MemoryServer()
        self.store = MemoryStore()
        self.broker = MemoryBroker(self.server)
        self.log = HandmadeLog(self.broker, self.store, self.settings)
        initial = write_initial(self.settings, directory / "given")
        self.opened = portal.call(open_run(self.broker, self.store, self.settings, initial))

    def cut_all(self) -> None:
        """Open the log, and write every batch."""
        self.portal.call(self.log.open(self.opened))
        for _ in range(self.settings.trainer.num_steps):
            self.portal.call(self.log.cut())

    def train(self, broker=None, store=None, *, until: int | None = None, **changes) -> None:
        """One life of a trainer, to its end, or stopped as by SIGTERM once version `until` is
        announced; `changes` are of its trainer settings."""
        broker = broker or MemoryBroker(self.server)
        first = self.first_rank(broker, store, **changes)
        if until is not None:
            self.portal.start(self._stop_at(until, first))
        try:
            first.run(take_over=False)
        finally:
            # As the kernel would: what a dead process served is gone.
            self.portal.call(MemoryBroker.close(broker))

    def first_rank(self, broker: Broker, store=None, **changes) -> FirstRank:
        """A trainer that has not begun."""
        trainer = msgspec.structs.replace(self.settings.trainer, **changes)
        settings = msgspec.structs.replace(self.settings, trainer=trainer)
        return FirstRank(self.portal, World(0, 1), broker, store or self.store, settings)

    async def _stop_at(self, version: int, first: FirstRank) -> None:
        run = self.settings.name
        async for record in self.broker.follow(
            names.policies_stream(run), subject=names.policy_subject(run)
        ):
            if decode(record.data, PolicyAnnouncement).policy.version >= version:
                first.stop()
                return

    def republish_with_other_weights(self, policy: PolicyId) -> None:
        """Let the bucket hold manifests that promise other weights than were trained."""
        self._republish(policy, lambda manifest: {"weights_digest": "f" * 64})

    def republish_with_another_tensor(self, policy: PolicyId) -> str:
        """Let a trainer have announced a manifest that promises another tensor; returns its
        name."""
        tensor = self.manifests()[policy].tensors[3]
        other = msgspec.structs.replace(tensor, digest="f" * 16)
        self._republish(
            policy,
            lambda manifest: (
                {"tensors": tuple(other if each == tensor else each for each in manifest.tensors)}
                if isinstance(manifest, PolicyManifest)
                else {}
            ),
        )
        self._announce_again(policy)
        return tensor.name

    def republish_with_another_file(self, policy: PolicyId, name: str) -> None:
        """Let a trainer have published another file under this name, and announced it."""
        sha256 = sha256_hex(b"another")
        self.portal.call(self.store.put(names.blob_key(self.settings.name, sha256), b"another"))
        other = FileEntry(name=name, size=7, sha256=sha256)
        self._republish(
            policy,
            lambda manifest: {
                "files": tuple(other if each.name == name else each for each in manifest.files)
            },
        )
        self._announce_again(policy)

    def files(self, policy: PolicyId) -> dict[str, str]:
        """The key of each file's object."""
        run = self.settings.name
        _, path = self.portal.call(
            publication.read_policy(self.store, run, policy, self.opened.run_key)
        )
        return {file.name: names.blob_key(run, file.sha256) for file in path.files}

    def _announce_again(self, policy: PolicyId) -> None:
        """Put the manifest that is in the bucket now into the announcement of the policy."""
        run = self.settings.name
        manifest = self.portal.call(self.store.get(names.policy_manifest_key(run, policy)))
        announcement = sign_announcement(
            RunKey.load(RunFolder(self.settings).key),
            run=run,
            policy=policy,
            manifest_sha256=sha256_hex(manifest),
            instance="t",
        )
        records = self.server.streams[names.policies_stream(run)].records
        for sequence, record in records.items():
            if (
                record.subject == names.policy_subject(run)
                and decode(record.data, PolicyAnnouncement).policy == policy
            ):
                records[sequence] = msgspec.structs.replace(record, data=encode(announcement))

    def _republish(self, policy: PolicyId, change) -> None:
        async def republish() -> None:
            run = self.settings.name
            manifest, path = await publication.read_policy(
                self.store, run, policy, self.opened.run_key
            )
            key = RunKey.load(RunFolder(self.settings).key)
            for name, each in (
                (names.policy_manifest_key(run, policy), manifest),
                (names.path_manifest_key(run, policy), path),
            ):
                other = msgspec.structs.replace(each, **change(each))
                await self.store.put(name, sign_manifest(key, other))

        self.portal.call(republish())

    def history(self) -> History:
        """The trainer's log, folded."""

        run = self.settings.name
        return self.portal.call(read_history(self.broker, run, self.opened.run_key))

    def manifests(self) -> dict[PolicyId, PolicyManifest]:
        """Every announced policy's manifest, whose digest is checked against the announcement."""
        found = {}
        for policy, announcement in self.history().announced.items():
            key = names.policy_manifest_key(self.settings.name, policy)
            assert sha256_hex(self.portal.call(self.store.get(key))) == announcement.manifest_sha256
            found[policy], _ = self.portal.call(
                publication.read_policy(self.store, self.settings.name, policy, self.opened.run_key)
            )
        return found

    def weights(self) -> list[str]:
        """The digest of each version's weights, of the last incarnation that announced it."""
        by_version = {
            policy.version: manifest for policy, manifest in sorted(self.manifests().items())
        }
        return [by_version[version].weights_digest for version in sorted(by_version)]
