"""Makes an invitation, and an account to go with it that nobody has joined yet."""

import secrets
import time
from collections import Counter
from typing import Final

from broker.accounts import rights
from broker.accounts.invitation import Invitation
from broker.accounts.keyring import Keyring
from broker.accounts.roster import Contributor, Roster, account_in, ticket_sha256
from broker.accounts.tier import Tier
from schemas.run_card import RunCard
from schemas.settings import IntakeSettings

DEFAULT_LIFETIME_S: Final = 7 * 86_400.0


def invite(
    name: str,
    tier: Tier,
    *,
    card: RunCard,
    intake: IntakeSettings,
    keyring: Keyring,
    roster: Roster,
    lifetime_s: float = DEFAULT_LIFETIME_S,
) -> Invitation:
    """Invite somebody into the run of a card, whose `nats` is the address that he will use.

    Raises:
        UserError: the name is taken.
    """
    now, ticket = time.time(), secrets.token_hex(16)
    shard = choose_shard(intake, tier, [one for one in roster.all() if one.run == card.run])
    contributor = Contributor(
        name=name,
        actor=account_in(intake.shards, shard),
        run=card.run,
        shard=shard,
        tier=tier,
        ticket_sha256=ticket_sha256(ticket),
        invited=now,
        expires=now + lifetime_s,
    )
    roster.add(contributor)
    guest = keyring.new_user(
        keyring.accounts.join, rights.guest(card.run), name=name, expires=contributor.expires
    )
    return Invitation(
        run=card.run,
        nats=card.nats,
        tls_ca=card.tls_ca,
        run_key=card.run_key,
        ticket=ticket,
        guest=guest.text(),
        expires=contributor.expires,
    )


def choose_shard(intake: IntakeSettings, tier: Tier, there: list[Contributor]) -> str:
    """The queue for one more: of those for his tier, the one that the fewest publish to."""
    trusted = set(intake.trusted_shards)
    wanted = [shard for shard in intake.shards if (shard in trusted) == (tier is Tier.TRUSTED)]
    num_there = Counter(one.shard for one in there if not one.revoked)
    # Where no queue is set aside for the trusted, they go where the others go.
    return min(wanted or intake.shards, key=lambda shard: num_there[shard])
