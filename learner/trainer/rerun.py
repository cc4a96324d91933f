"""A leg of a run computed again, and compared with what was published.

    consumes    LOG, POLICIES, the bucket, and the state that the leg before left behind
    produces    the verdict on each version, and the states that later legs go on from
    waits for   nothing: everything that it reads was written before

Each version is compared before the next one is computed; the first that differs is the last.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.interface import Broker
from broker.objects.archive import Archive
from broker.policies.blob import file_entry
from broker.store import Store
from learner.trainer import determinism
from learner.trainer.crew import Crew
from learner.trainer.feed import BatchFeed
from learner.trainer.initial import fetch_initial
from learner.trainer.orders import Leave, Load, Train
from learner.trainer.portal import Portal
from learner.trainer.replay_legs import Compared, ReplayLeg
from learner.trainer.replica import Replica
from learner.trainer.rerun_published import Published
from learner.trainer.rows import ArchiveRows
from learner.trainer.shelf import Shelf
from learner.trainer.world import World
from schemas.errors import UserError
from schemas.ledger import RunOpened
from schemas.policy import FileEntry, PolicyId
from schemas.settings import TrainerSettings
from schemas.trainer_events import Numerics

_PATIENCE_S = 30.0
"""With object storage that is away: somebody sits there and waits for the comparison."""


class Rerun:
    """The first rank of a replay, over any broker and store."""

    def __init__(
        self, portal: Portal, world: World, broker: Broker, store: Store, run: str, folder: Path
    ) -> None:
        """`folder` holds the states that legs leave for one another."""
        self._crew = Crew(portal, world)
        self._world = world
        self._store = store
        self._run = run
        self._folder = folder
        self._initial_folder = folder / "initial"
        self._states = Shelf(folder)
        self._feed = BatchFeed(broker, run)
        self._replica = Replica(
            world, ArchiveRows(portal, Archive(store, run), patience_s=_PATIENCE_S)
        )

    def compare(self, leg: ReplayLeg) -> Iterator[Compared]:
        """Compute the leg, version by version, up to the first that differs.

        Raises:
            UserError: this machine computes under another numerics record.
        """
        opened = self._crew.call(self._feed.opening())
        assert opened is not None, "nobody stops a replay's feed"
        self._load(leg, opened)
        while True:
            compared = self._compare(leg, opened)
            yield compared
            if compared.differing or self._replica.version == leg.last:
                break
            self._step()
            if self._replica.version in leg.kept:
                self._keep(PolicyId(leg.incarnation, self._replica.version))
        self._crew.give(Leave())

    def _load(self, leg: ReplayLeg, opened: RunOpened) -> None:
        settings = _settings(opened.settings.trainer, leg.numerics)
        determinism.make_deterministic(settings.num_threads)
        _check_numerics(determinism.numerics(settings, self._world), leg)
        self._crew.call(fetch_initial(self._store, opened, self._initial_folder))
        order = Load(
            settings=settings,
            initial_folder=str(self._initial_folder),
            checkpoint_folder=str(self._states.path(leg.start)) if leg.start else "",
            batch_sha256=self._crew.call(self._feed.seek(leg.first)),
        )
        self._crew.give(order)
        self._replica.load(order)
        if leg.first in leg.kept:
            self._keep(PolicyId(leg.incarnation, leg.first))

    def _step(self) -> None:
        batch = self._crew.call(self._feed.next())
        assert batch is not None, "nobody stops a replay's feed"
        order = Train(batch=batch)
        self._crew.give(order)
        self._replica.train(order)

    def _keep(self, policy: PolicyId) -> None:
        self._replica.engine.save(self._states.path(policy))

    def _compare(self, leg: ReplayLeg, opened: RunOpened) -> Compared:
        policy = PolicyId(leg.incarnation, self._replica.version)
        tensors = self._replica.engine.tensor_entries()
        # The initial policy was published as it was given, every other one as an engine wrote it.
        is_given = policy == opened.initial_policy
        files = _files(self._initial_folder) if is_given else self._exported_files()
        published = Published(self._store, self._run, opened.run_key)
        return self._crew.call(
            published.compare(policy, leg.manifests[policy.version], tensors, files)
        )

    def _exported_files(self) -> list[FileEntry]:
        folder = self._folder / "exported"
        self._replica.engine.export(folder)
        files = _files(folder)
        shutil.rmtree(folder)
        return files


def _files(folder: Path) -> list[FileEntry]:
    return [file_entry(path) for path in folder.iterdir()]


def _settings(opened: TrainerSettings, numerics: Numerics) -> TrainerSettings:
    """Those of the run, with what the numerics record says of how they were used."""
    return msgspec.structs.replace(
        opened,
        num_ranks=numerics.world_size,
        num_threads=numerics.num_threads,
        token_budget=numerics.token_budget,
    )


def _check_numerics(here: Numerics, leg: ReplayLeg) -> None:
    recorded = leg.numerics
    differing = [
        f"{name} {getattr(here, name)} instead of {getattr(recorded, name)}"
        for name in Numerics.__struct_fields__
        if getattr(here, name) != getattr(recorded, name)
    ]
    if differing:
        raise UserError(
            f"incarnation {leg.incarnation} cannot be computed again bit for bit on this "
            f"machine: it has {', '.join(differing)}"
        )
