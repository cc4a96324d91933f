"""Whether a run can be reached, by the way that a policy comes: broker, coordinator, storage."""

from typing import Final

import httpx

from actors.grant_client import GrantClient
from actors.membership import Membership
from broker.jetstream import NatsBroker
from schemas import names
from schemas.errors import BrokerError, NoResponders, PermissionDenied, ServerMissing, StoreError

_TIMEOUT_S: Final = 5.0


async def reach(membership: Membership) -> list[str]:
    """Sentences about what stands between this machine and the run; none when nothing does."""
    card, actor = membership.card, membership.actor
    try:
        broker = await NatsBroker.connect(
            card.nats,
            name=f"actor check {actor}",
            connect_timeout_s=_TIMEOUT_S,
            credentials=membership.credentials,
            tls_ca=card.tls_ca,
        )
    except ServerMissing as error:
        return [str(error)]
    key = names.policy_manifest_key(card.run, (1, 0))
    try:
        [url] = await GrantClient(broker, card.run, actor).urls((key,))
        async with httpx.AsyncClient(timeout=_TIMEOUT_S) as http:
            (await http.get(url)).raise_for_status()
    except PermissionDenied:
        return [f"the broker does not let this actor in: send {actor} to the run's operator"]
    except NoResponders:
        return [f"nobody coordinates run {card.run} at the moment; an actor would wait"]
    except (BrokerError, StoreError) as error:
        return [f"the run's coordinator: {error}"]
    except httpx.HTTPError as error:
        # The URL carries a signature: it is not shown.
        return [f"the run's object storage cannot be reached: {type(error).__name__}"]
    finally:
        await broker.close()
    return []
