"""One rank of the trainer, wired: the first leads, the others do as they are told."""

import os
import shutil
import signal
import socket
import uuid

from broker.accounts.rights import Role
from broker.interface import Broker
from broker.login import login
from broker.objects.archive import Archive
from broker.objects.s3 import S3Store
from broker.policies.signing import RunKey
from broker.store import Store
from learner.other_code import warn_of_other_code
from learner.role import claim
from learner.run_folder import RunFolder
from learner.same_run import trainer_settings
from learner.trainer import determinism, orders
from learner.trainer.crew import Crew
from learner.trainer.feed import BatchFeed
from learner.trainer.heartbeats import Heartbeats
from learner.trainer.initial import fetch_initial
from learner.trainer.loop import Leader
from learner.trainer.policy_log import PolicyLog
from learner.trainer.policy_publisher import PolicyPublisher
from learner.trainer.portal import Portal
from learner.trainer.replica import Replica
from learner.trainer.rows import ArchiveRows
from learner.trainer.shelf import Shelf
from learner.trainer.world import World
from schemas import names
from schemas.errors import UserError
from schemas.heartbeat import State
from schemas.settings import LearnerSettings

_CONNECT_TIMEOUT_S = 30.0
"""A trainer that is started again may meet a broker that is started again too."""


def run_rank(settings: LearnerSettings, *, take_over: bool) -> None:
    """Be one rank until the run is finished, or until the first rank gets SIGTERM.

    Raises:
        RoleTaken: the run has a trainer.
        Fenced: another trainer has taken over.
    """
    world = World.join()
    store = S3Store.open(settings.connection)
    with Portal() as portal:
        if world.rank > 0:
            # The first rank says when to leave.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            follow(portal, world, store, settings.name)
        else:
            broker = portal.call(
                login(
                    settings.connection,
                    Role.TRAINER,
                    run=settings.name,
                    name=names.TRAINER,
                    connect_timeout_s=_CONNECT_TIMEOUT_S,
                )
            )
            first = FirstRank(portal, world, broker, store, settings)
            signal.signal(signal.SIGTERM, lambda *_: first.stop())
            first.run(take_over=take_over)
            portal.call(broker.close())
        portal.call(store.close())
    world.leave()


def follow(portal: Portal, world: World, store: Store, run: str) -> None:
    """Do what the first rank says, until it says to leave."""
    replica = Replica(world, ArchiveRows(portal, Archive(store, run)))
    for order in orders.received(world):
        match order:
            case orders.Load():
                replica.load(order)
            case orders.Train():
                replica.train(order)


class FirstRank:
    """Holds the role of the run's trainer, over any broker and store."""

    def __init__(
        self,
        portal: Portal,
        world: World,
        broker: Broker,
        store: Store,
        settings: LearnerSettings,
    ) -> None:
        instance = f"trainer-{uuid.uuid4().hex[:12]}"
        self._portal = portal
        self._world = world
        self._crew = Crew(portal, world)
        self._broker = broker
        self._store = store
        self._settings = settings
        self._run = settings.name
        self._folder = RunFolder(settings)
        self._holder = f"process {os.getpid()} on {socket.gethostname()} ({instance})"
        self._feed = BatchFeed(broker, self._run)
        self._instance = instance
        self._heartbeats = Heartbeats(portal, broker, self._run, instance)

    def stop(self) -> None:
        """End after the step in hand; safe in a signal handler."""
        self._portal.soon(self._feed.stop)

    def run(self, *, take_over: bool) -> None:
        """Take the role, and train until the end or until `stop`.

        Raises:
            RoleTaken: the run has a trainer.
            UserError: the folder's key is not the run's.
            Fenced: another trainer has taken over.
        """
        claiming = claim(self._broker, self._run, names.TRAINER, self._holder, take_over=take_over)
        self._crew.call(self._feed.unless_stopping(claiming))
        beating = self._portal.start(self._heartbeats.beat())
        try:
            leader = self._prepare()
            if leader is not None:
                leader.run()
            self._crew.give(orders.Leave())
        finally:
            beating.cancel()
            self._heartbeats.say(State.STOPPED)
            self._portal.call(self._heartbeats.beat_once())

    def _prepare(self) -> Leader | None:
        """Read how the run was opened, and take over its log; None when told to stop before.

        Servers that are away are waited for.
        """
        self._heartbeats.say(State.STARTING, waiting_for="the coordinator to open the run")
        opened = self._crew.call(self._feed.opening())
        if opened is None:
            return None
        self._heartbeats.say(State.STARTING)
        log = PolicyLog(self._broker, self._run, opened.run_key, self._instance)
        self._crew.call(self._feed.unless_stopping(log.take_over()))
        shelf = Shelf(self._folder.checkpoints)
        shelf.sweep()
        shutil.rmtree(self._folder.scratch, ignore_errors=True)
        warn_of_other_code(opened)
        key = RunKey.load(self._folder.key)
        if key.public != opened.run_key:
            raise UserError(f"{self._folder.key} is not the key that {self._run} was opened with")
        trainer = trainer_settings(opened.settings, self._settings)
        determinism.make_deterministic(trainer.num_threads)
        initial_folder = self._folder.scratch / "initial"
        asking = self._heartbeats.asking_store
        fetching = fetch_initial(self._store, opened, initial_folder, asking)
        initial = self._crew.call(self._feed.unless_stopping(fetching))
        if initial is None:
            return None
        archive = Archive(self._store, self._run)
        return Leader(
            crew=self._crew,
            replica=Replica(self._world, ArchiveRows(self._portal, archive, asking)),
            feed=self._feed,
            log=log,
            publisher=PolicyPublisher(
                self._store, log, self._heartbeats, key, initial, opened, self._folder.scratch
            ),
            heartbeats=self._heartbeats,
            shelf=shelf,
            initial_folder=initial_folder,
            settings=trainer,
            numerics=determinism.numerics(trainer, self._world),
        )
