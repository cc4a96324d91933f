"""A run as its coordinator finds it: opened, a policy announced, leases issued; and the groups that
honest actors answer them with, made without a model."""

import random
import time
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from broker.interface import Broker
from broker.policies.signing import RunKey, sign_announcement
from broker.streams import run_streams
from environments.catalogue import open_environment
from learner.coordinator.draw import draw_lease
from schemas import ledger, names, wire
from schemas.arrays import pack_f32, pack_u32
from schemas.lease import EngineProfile, Lease, LeaseRequest
from schemas.model_settings import ModelSettings
from schemas.policy import PolicyId
from schemas.rollout import Finish, Rollout, RolloutGroup, VersionSpan
from schemas.settings import LeaseSettings, RunSettings, SamplingSettings

_POLICY = PolicyId(1, 0)
_RUN_KEY = RunKey(bytes(32))
_MANIFEST = "0" * 64
_PROFILE = EngineProfile(engine="b", version="1", dtype="f32", track="f32", max_context=8192)
_LEASES_PER_ACTOR = 16
_LIFETIME_S = 1e6


class Message(NamedTuple):
    """What an actor publishes."""

    subject: str
    data: bytes
    actor: str


class OpenedRun:
    """A run with a name of its own, and `num_leases` open leases of 8 rollouts each."""

    def __init__(
        self, num_tokens: int, num_leases: int, *, leases_per_actor: int = _LEASES_PER_ACTOR
    ) -> None:
        self.name = f"bench-{uuid.uuid4().hex[:8]}"
        self._num_leases = num_leases
        self._leases_per_actor = leases_per_actor
        self._settings = RunSettings(
            name=self.name,
            model=ModelSettings(max_positions=2 * num_tokens),
            sampling=SamplingSettings(group_size=8, max_new_tokens=num_tokens),
            leases=LeaseSettings(
                lifetime_s=_LIFETIME_S,
                max_staleness=1000,
                # The queue has room for four times as many messages of one actor.
                max_open_per_actor=min(64, leases_per_actor),
            ),
        )
        self._environment = open_environment(self._settings.environment)
        self.opening = ledger.RunOpened(
            settings=self._settings,
            environment=self._environment.ref,
            renderer=self._environment.renderer,
            vocabulary_size=self._environment.vocabulary_size,
            initial_policy=_POLICY,
            initial_manifest_sha256=_MANIFEST,
            run_key=_RUN_KEY.public,
            code_sha256="0" * 64,
        )

    async def open(self, broker: Broker) -> list[Message]:
        """Write what a coordinator folds at its start; returns the answer to each lease."""
        for spec in run_streams(self._settings):
            await broker.ensure_stream(spec)
        announcement = sign_announcement(
            _RUN_KEY, run=self.name, policy=_POLICY, manifest_sha256=_MANIFEST, instance="bench"
        )
        stream, subject = names.policies_stream(self.name), names.policy_subject(self.name)
        await broker.append(stream, subject, wire.encode(announcement), expected_last=0)
        leases = [self._lease(number) for number in range(self._num_leases)]
        issued = [ledger.LeaseIssued(lease=lease, request_id="r", instance="i") for lease in leases]
        entry = ledger.LedgerEntry(instance="bench", events=(self.opening, *issued))
        stream, subject = names.log_stream(self.name), names.ledger_subject(self.name)
        await broker.append(stream, subject, wire.encode(entry), expected_last=0)
        chance = random.Random(0)
        return [
            Message(
                names.rollouts_subject(self.name, lease.shard, _POLICY, lease.actor),
                wire.encode(self._group(lease, chance)),
                lease.actor,
            )
            for lease in leases
        ]

    def _lease(self, number: int) -> Lease:
        request = LeaseRequest(
            run=self.name,
            actor=f"ACTOR{number // self._leases_per_actor}",
            request_id="r",
            instance="i",
            wanted=1,
            held=None,
            profile=_PROFILE,
        )
        stop_ids = self._environment.stop_ids
        # A later deadline is taken for one of a wrong clock, and its lease ends.
        deadline = time.time() + _LIFETIME_S
        return draw_lease(self.opening, number, request, _POLICY, deadline, stop_ids)

    def _group(self, lease: Lease, chance: random.Random) -> RolloutGroup:
        """One right answer, and completions that ran into the limit: a group with signal."""
        right = self._environment.reference(lease.task)[-1].token_ids
        letters = range(self._environment.vocabulary_size - 26, self._environment.vocabulary_size)
        rollouts = [self._rollout(lease, right, Finish.STOP, 1.0, chance)]
        for _ in range(lease.group_size - 1):
            wrong = chance.choices(letters, k=lease.sampling.max_new_tokens)
            rollouts.append(self._rollout(lease, wrong, Finish.LENGTH, 0.0, chance))
        return RolloutGroup(
            run=lease.run,
            lease_id=lease.lease_id,
            actor=lease.actor,
            policy=_POLICY,
            manifest_sha256=_MANIFEST,
            profile=_PROFILE,
            rollouts=tuple(rollouts),
        )

    def _rollout(
        self,
        lease: Lease,
        answer: Sequence[int],
        finish: Finish,
        reward: float,
        chance: random.Random,
    ) -> Rollout:
        prompt = self._environment.prompt(lease.task)
        return Rollout(
            token_ids=pack_u32([*prompt, *answer]),
            loss_mask=bytes(len(prompt)) + b"\1" * len(answer),
            logprobs=pack_f32([-chance.expovariate(1.0) for _ in answer]),
            spans=(VersionSpan(num_tokens=len(answer), policy=_POLICY),),
            finish=finish,
            claimed_reward=reward,
        )
