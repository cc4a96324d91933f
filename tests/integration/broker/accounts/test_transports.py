"""The same accounts over TLS, over WebSocket, and through a leaf node: as much, and no more."""

import asyncio
import contextlib
import secrets
import sys

import pytest

from broker.accounts.rights import Role
from broker.embedded import nats_server
from broker.jetstream import NatsBroker
from broker.program.process import free_port, stop
from broker.publisher import Publisher
from schemas import names
from schemas.errors import PermissionDenied, ServerMissing, UserError
from tests.support.authority import Authority
from tests.support.guarded import RUN, Guarded, actor_of
from tests.support.server_verbs import filled_in, server_verbs
from tests.support.siege import INTAKE, MARK, QUEUE, Siege

pytestmark = [
    pytest.mark.integration,
    # What nats-py says to aiohttp.
    pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning"),
]

_SOON_S = 0.4
"""Enough for one try; the next comes after half a second, and would be interrupted."""
_LEAF = """\
listen: "127.0.0.1:{port}"
server_name: "leaf"
leafnodes {{ remotes: [{{ url: "nats-leaf://127.0.0.1:{hub}", credentials: "{credentials}" }}] }}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority") / "ours")


@pytest.fixture(scope="module")
def ports():
    return {kind: free_port() for kind in ("ws", "wss", "leaf")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, ports):
    """A server without TLS, for WebSocket and leaf nodes too, and a run's streams."""
    websocket = f'websocket {{ listen: "127.0.0.1:{ports["ws"]}", no_tls: true }}\n'
    leaf = f'leafnodes {{ listen: "127.0.0.1:{ports["leaf"]}" }}\n'
    server = Guarded(tmp_path_factory.mktemp("plain"), websocket + leaf)
    asyncio.run(server.make_streams())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, authority, ports):
    """A server that takes nobody without TLS."""
    websocket = f'websocket {{ listen: "127.0.0.1:{ports["wss"]}", {authority.config} }}\n'
    server = Guarded(
        tmp_path_factory.mktemp("sealed"), authority.config + websocket, tls_ca=authority.pem
    )
    asyncio.run(server.make_streams())
    yield server
    server.stop()


@contextlib.asynccontextmanager
async def connected(server, credentials, url="", **options):
    options = {"name": "contributor", "tls_ca": server.tls_ca} | options
    broker = await NatsBroker.connect(url or server.url, credentials=credentials, **options)
    try:
        yield broker
    finally:
        await broker.close()


async def works(server, broker, actor):
    """A contributor is answered, stored, judged and told of a policy."""
    coordinator, trainer = await server.login(Role.COORDINATOR), await server.login(Role.TRAINER)

    async def answer(subject, data):
        return subject.encode() + data

    await coordinator.serve(names.leases_filter(RUN), answer)
    lease, verdict = names.lease_subject(RUN, actor), names.verdict_subject(RUN, actor)
    policy = names.policy_subject(RUN)
    verdicts, policies = broker.listen(verdict), broker.listen(policy)
    # Answered after the subscriptions are known; through a leaf node those take another way.
    assert await broker.request(lease, b"?", timeout_s=5) == lease.encode() + b"?"
    group = secrets.token_bytes(500_000)
    stored = await broker.publish(names.rollouts_subject(RUN, "s0", (1, 1), actor), group)
    assert (stored.stream, stored.duplicate) == (QUEUE, False)
    [delivery] = await coordinator.pull(
        QUEUE, INTAKE, max_messages=9, max_bytes=1 << 20, timeout_s=5
    )
    assert delivery.record.data == group
    await delivery.ack()
    await coordinator.notify(verdict, b"accepted")
    assert await asyncio.wait_for(anext(verdicts), 5) == (verdict, b"accepted")
    stream = names.policies_stream(RUN)
    last = (await trainer.state(stream)).last_sequence
    await trainer.append(stream, policy, b"1-1", expected_last=last)
    assert await asyncio.wait_for(anext(policies), 5) == (policy, b"1-1")
    for one in (verdicts, policies, coordinator, trainer):
        await (one.aclose() if hasattr(one, "aclose") else one.close())


async def is_no_more_than_a_contributor(broker, other):
    for subject in (
        names.rollouts_subject(RUN, "s0", (1, 1), other),
        names.lease_subject(RUN, other),
        names.policy_subject(RUN),
        names.ledger_subject(RUN),
        f"$JS.API.STREAM.PURGE.{QUEUE}",
        "$SYS.REQ.CLAIMS.UPDATE",
    ):
        with pytest.raises(PermissionDenied):
            await broker.request(subject, MARK, timeout_s=5)
    for subject in (">", "verdict.>", names.verdict_subject(RUN, other)):
        with pytest.raises(PermissionDenied):
            await anext(broker.listen(subject))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("sealed", "nats://127.0.0.1:{port}"),
        ("sealed", "tls://localhost:{port}"),
        ("sealed", "wss://127.0.0.1:{wss}"),
        ("plain", "ws://127.0.0.1:{ws}"),
    ],
)
async def test_a_contributor_has_his_rights_and_no_others(plain, sealed, ports, name, url):
    server = {"plain": plain, "sealed": sealed}[name]
    credentials = await server.contributor()
    url = url.format(port=server.port, **ports)
    async with connected(server, credentials, url) as broker:
        await works(server, broker, actor_of(credentials))
        await is_no_more_than_a_contributor(broker, "A" * 56)


@pytest.mark.parametrize("url", ["nats://127.0.0.1:{port}", "wss://127.0.0.1:{wss}"])
async def test_the_wrong_authority_is_refused_in_a_sentence(sealed, ports, tmp_path, url):
    credentials, other = await sealed.contributor(), Authority(tmp_path / "other")
    url = url.format(port=sealed.port, **ports)
    for tls_ca in (other.pem, ""):
        with pytest.raises(ServerMissing) as told:
            await NatsBroker.connect(
                url, name="alice", credentials=credentials, tls_ca=tls_ca, connect_timeout_s=_SOON_S
            )
        assert str(told.value) == (
            f"no NATS server answers at {url} "
            "(its certificate is not one to trust: unable to get local issuer certificate)"
        )


@pytest.mark.parametrize("asked_by", ["scheme", "authority"])
async def test_who_asks_for_tls_tells_nothing_in_the_clear(plain, authority, asked_by):
    """Else whoever stands between says that there is none, and logs in with what he is told."""
    credentials = await plain.contributor()
    url = plain.url.replace("nats:", "tls:") if asked_by == "scheme" else plain.url
    with pytest.raises(ServerMissing, match="does not speak TLS"):
        await NatsBroker.connect(
            url,
            name="alice",
            credentials=credentials,
            tls_ca=authority.pem if asked_by == "authority" else "",
            connect_timeout_s=_SOON_S,
        )


async def test_websocket_that_is_not_installed_is_named(plain, ports, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(UserError, match=r"tributary-rl\[websocket\]"):
        await NatsBroker.connect(f"ws://127.0.0.1:{ports['ws']}", name="alice")


async def test_a_websocket_comes_back_after_its_server(plain, ports):
    credentials = await plain.contributor("s1")
    subject = names.rollouts_subject(RUN, "s1", (1, 1), actor_of(credentials))
    async with connected(plain, credentials, f"ws://127.0.0.1:{ports['ws']}") as broker:
        first = await broker.publish(subject, b"before")
        plain.stop()
        plain.start()
        async with asyncio.timeout(20):
            second = await Publisher(broker).publish(subject, b"after")
        assert (second.stream, second.sequence) == (first.stream, first.sequence + 1)


@pytest.fixture
async def behind_leaf(plain, ports, tmp_path):
    """Two contributors, of whom the attacker has a server of his own: its port."""
    mallory, bob = await plain.contributor(name="mallory"), await plain.contributor(name="bob")
    mallory.save(tmp_path / "mallory.creds")
    port = free_port()
    (tmp_path / "nats.conf").write_text(
        _LEAF.format(port=port, hub=ports["leaf"], credentials=tmp_path / "mallory.creds")
    )
    process = nats_server.launch(tmp_path, detached=False)
    nats_server.wait(tmp_path, process, port)
    async with Siege(plain, mallory, bob).opened() as siege:
        yield siege, port
    stop(process, grace_s=5)


async def reached(siege, broker):
    """Return when the leaf node's server has found the other one."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(Exception):
                return await broker.request(
                    names.lease_subject(RUN, siege.mallory_id), b"?", timeout_s=0.2
                )


@pytest.mark.parametrize("shows_credentials", [False, True])
async def test_a_leaf_node_gives_its_actors_what_its_credentials_do(behind_leaf, shows_credentials):
    """Whether its actors have those too or not: it asks for none."""
    siege, port = behind_leaf
    credentials = siege.mallory if shows_credentials else None
    siege.held = asyncio.Queue()
    subject = siege.rollouts_of(siege.mallory_id)
    actor = await NatsBroker.connect(nats_server.url(port), name="actor", credentials=credentials)
    assert (await reached(siege, actor)).startswith(b"answer to lease.")
    heard = [
        actor.listen(what)
        for what in (names.policy_subject(RUN), names.verdict_subject(RUN, siege.mallory_id))
    ]
    first = [asyncio.ensure_future(anext(one)) for one in heard]
    group = secrets.token_bytes(500_000)
    stored = await actor.publish(subject, group)
    assert (stored.stream, stored.duplicate) == (QUEUE, False)
    assert (await actor.publish(subject, group)).duplicate
    delivery = await asyncio.wait_for(siege.held.get(), 5)
    assert (delivery.record.subject, delivery.record.data) == (subject, group)
    await delivery.ack()
    siege.held = None
    await siege.coordinator.notify(names.verdict_subject(RUN, siege.mallory_id), b"accepted")
    await siege.announce(b"policy 1-1")
    said = await asyncio.wait_for(asyncio.gather(*first), 5)
    assert [data for _, data in said] == [b"policy 1-1", b"accepted"]
    for one in heard:
        await one.aclose()
    await actor.close()


async def test_a_leaf_node_is_no_way_around_rights(behind_leaf):
    siege, port = behind_leaf
    actor = await NatsBroker.connect(nats_server.url(port), name="actor")
    await reached(siege, actor)
    await actor.close()
    mallory, bob = await siege.attacker(port=port), siege.bob_id
    mallory.subscribe(">")
    verbs = server_verbs("$JS.API") + server_verbs("$SYS")
    closed = [
        siege.rollouts_of(bob),
        names.lease_subject(RUN, bob),
        names.heartbeat_subject(RUN, bob),
        names.verdict_subject(RUN, bob),
        names.policy_subject(RUN),
        names.ledger_subject(RUN),
        f"{siege.bob.inbox_prefix}.forged",
        "$KV.weights.latest",
        f"$JS.ACK.{QUEUE}.{INTAKE}.1.1.1.1.0",
    ]
    async with siege.goes_on():
        for verb in verbs:
            mallory.publish(filled_in(verb, [QUEUE, INTAKE]), reply_to="_INBOX.api")
        for subject in closed:
            mallory.publish(subject, MARK)
            mallory.publish(siege.rollouts_of(siege.mallory_id), MARK, reply_to=subject)
            mallory.publish(names.lease_subject(RUN, siege.mallory_id), MARK, reply_to=subject)
        await mallory.settle()
        await siege.announce(b"policy 1-2")
    # All but the one that would be answered to by an ack, and each his own.
    stored = await siege.attackers_groups()
    assert [data for _, data in stored] == [MARK] * (len(closed) - 1)
    await mallory.settle()
    # He hears himself, on his own server, and what is for everybody.
    foreign = [
        heard
        for heard in mallory.heard
        if heard.data != MARK and not heard.subject.startswith(("$JS.API", "$SYS"))
    ]
    assert b"policy 1-2" in {heard.data for heard in foreign}
    assert not [heard for heard in foreign if bob in heard.subject and b'"seq"' not in heard.data]
