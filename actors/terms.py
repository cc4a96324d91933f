"""Whether this actor can do what a lease asks for, decided before any work is done."""

from environments.catalogue import ADVICE, open_pinned
from environments.fit import longest_rollout
from environments.interface import Environment
from schemas.errors import SettingsError, TributaryError
from schemas.lease import EngineProfile, EnvironmentRef, Lease


class CannotFulfil(TributaryError):
    """Raised when a lease asks for what this actor cannot do; the lease is given back."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Terms:
    """Checks leases of one run against this machine's environments and engine."""

    def __init__(self, run: str, actor: str, profile: EngineProfile) -> None:
        self._run = run
        self._actor = actor
        self._profile = profile
        self._opened: tuple[EnvironmentRef, Environment] | None = None

    def environment(self, lease: Lease) -> Environment:
        """The environment that the lease names.

        Raises:
            CannotFulfil: it is not for this actor, its environment is not the one that is installed
                here, or its rollouts do not fit the engine.
        """
        if (lease.run, lease.actor) != (self._run, self._actor):
            raise CannotFulfil("lease-foreign", f"it is for {lease.actor} in run {lease.run}")
        environment = self._open(lease.environment)
        if lease.renderer != environment.renderer:
            raise CannotFulfil("renderer", f"prompts are rendered in another way here: {ADVICE}")
        longest = longest_rollout(environment, lease.sampling.max_new_tokens)
        if longest > self._profile.max_context:
            raise CannotFulfil(
                "context",
                f"a rollout may take {longest} tokens, the engine {self._profile.max_context}",
            )
        return environment

    def _open(self, ref: EnvironmentRef) -> Environment:
        if self._opened and self._opened[0] == ref:
            return self._opened[1]
        try:
            environment = open_pinned(ref)
        except SettingsError as error:
            raise CannotFulfil("environment", str(error)) from None
        self._opened = (ref, environment)
        return environment
