"""The environments that a run can name."""

from collections.abc import Callable
from typing import Final

from environments import arithmetic, lookup, reverse
from environments.interface import Environment
from schemas.errors import SettingsError
from schemas.lease import EnvironmentRef
from schemas.settings import EnvironmentSettings

BUILDERS: Final[dict[str, Callable[[EnvironmentSettings], Environment]]] = {
    "reverse": reverse.build,
    "arithmetic": arithmetic.build,
    "lookup": lookup.build,
}
"""By id. The tests of environments run with each of them."""
ADVICE: Final = "install the Tributary that the run was opened with"


def open_environment(settings: EnvironmentSettings) -> Environment:
    """The environment that the settings name.

    Raises:
        SettingsError: there is none of this id, or its bounds contradict each other.
    """
    if settings.id not in BUILDERS:
        raise SettingsError(
            f"environment.id is {settings.id!r}; it must be one of {', '.join(BUILDERS)}"
        )
    if settings.smallest > settings.largest:
        raise SettingsError(
            f"environment.smallest is {settings.smallest}, "
            f"above environment.largest, which is {settings.largest}"
        )
    return BUILDERS[settings.id](settings)


def open_pinned(ref: EnvironmentRef) -> Environment:
    """The environment that a lease names.

    Raises:
        SettingsError: there is none of this id here, or it is not the one that the ref pins.
    """
    wanted = (
        f"the run needs environment {ref.id} version {ref.version} "
        f"(source digest {ref.digest[:12]})"
    )
    if ref.id not in BUILDERS:
        raise SettingsError(f"{wanted}, here are only {', '.join(BUILDERS)}: {ADVICE}")
    settings = EnvironmentSettings(
        id=ref.id, smallest=ref.smallest, largest=ref.largest, train_on=ref.train_on
    )
    environment = open_environment(settings)
    if environment.ref != ref:
        raise SettingsError(
            f"{wanted}, here it is version {environment.ref.version} "
            f"({environment.ref.digest[:12]}): {ADVICE}"
        )
    return environment
