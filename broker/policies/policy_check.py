"""Checks that two signed manifests are about one policy of one run.

Each of them is signed, so the run's key made both. What is refused here is a mixture: the manifest
of one policy served as that of another, or a path that leads elsewhere.
"""

from schemas.errors import DigestMismatch
from schemas.policy import PathManifest, PolicyId, PolicyManifest


def check_manifests(
    manifest: PolicyManifest, path: PathManifest, *, run: str, policy: PolicyId
) -> None:
    """Raises DigestMismatch when they are of another run or policy, or do not fit together."""
    for each in (manifest, path):
        if (each.run, each.policy) != (run, policy):
            raise DigestMismatch(
                f"asked for policy {policy} of run {run}, got a manifest of policy {each.policy} "
                f"of run {each.run}"
            )
    if path.weights_digest != manifest.weights_digest:
        raise DigestMismatch(f"the path of policy {policy} leads to other weights")
    if len({file.name for file in path.files}) != len(path.files):
        raise DigestMismatch(f"the path of policy {policy} has two files of one name")
    if not set(manifest.files) <= set(path.files):
        raise DigestMismatch(f"the path of policy {policy} has other tokenizer or settings files")
