"""Who may look at one run, on a server that has another one too."""

import pytest

from broker.accounts.rights import Role
from broker.interface import StreamKind, StreamSpec
from broker.look.listing import list_server
from broker.look.views import show_listing
from schemas import names
from schemas.errors import PermissionDenied
from tests.support.guarded import RUN, SHARDS

pytestmark = pytest.mark.integration

OTHER = {
    names.rollouts_stream("other", "s0"): names.rollouts_filter("other", "s0"),
    names.log_stream("other"): names.ledger_subject("other"),
    names.policies_stream("other"): names.policy_subject("other"),
    "SOMETHING": "something",
}


@pytest.fixture
async def beside_another_run(guarded):
    admin = await guarded.login(Role.ADMIN)
    for name, subject in OTHER.items():
        spec = StreamSpec(name=name, subjects=(subject,), kind=StreamKind.LOG)
        await admin.ensure_stream(spec)
    yield admin
    for name in OTHER:
        await admin.remove_stream(name)
    await admin.close()


@pytest.fixture
async def observer(guarded):
    broker = await guarded.login(Role.OBSERVER)
    yield broker
    await broker.close()


async def test_an_observer_sees_his_run_and_hears_what_he_does_not_see(
    beside_another_run, observer, capsys
):
    listing = await list_server(observer)
    assert [view.run for view in listing.runs] == [RUN]
    assert len(listing.streams) == len(SHARDS) + 2
    assert {stream.run for stream in listing.streams} == {RUN}
    # Tests before this one may have left more.
    assert {*OTHER} <= {*listing.unseen}
    assert not {*listing.unseen} & {stream.name for stream in listing.streams}
    show_listing(listing)
    _, _, unseen = capsys.readouterr().out.partition("These credentials do not let one see ")
    assert "ROLLOUTS_other_s0" in unseen

    everything = await list_server(beside_another_run)
    assert sorted(view.run for view in everything.runs) == sorted((RUN, "other"))
    assert everything.unseen == ()


async def test_a_run_that_is_named_and_hidden_is_refused(beside_another_run, observer):
    assert (await list_server(observer, RUN)).unseen == ()
    with pytest.raises(PermissionDenied, match="does not let this user"):
        await list_server(observer, "other")
