"""A warning where a run is read again with other code than the code that it was opened with.

Other code is no error: whether it computes the same is for the digests of the policies to say.
"""

import structlog

from broker.program.version import code_sha256
from schemas.ledger import RunOpened

logger = structlog.get_logger()


def warn_of_other_code(opened: RunOpened) -> None:
    """Say so when the code here is not the code that the run was opened with."""
    here = code_sha256()
    if here != opened.code_sha256:
        logger.warning(
            "other-code",
            detail=f"run {opened.settings.name} was opened with other code "
            f"({opened.code_sha256}) than is installed here ({here}); what it computes is still "
            "compared with what is published",
        )
