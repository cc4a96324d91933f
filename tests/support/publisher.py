"""A trainer that publishes little policies of run `demo`."""

import hashlib

from broker.policies.publication import publish_anchor
from broker.policies.signing import RunKey, sign_announcement
from schemas import arrays
from schemas.policy import PolicyId, Probe, TensorEntry

PROBE = Probe(token_ids=arrays.pack_u32([1, 2, 3]), logprobs=arrays.pack_f32([-0.5, -1.5]))


class Publisher:
    """Has a run key of its own, and a folder for what it publishes."""

    def __init__(self, store, folder) -> None:
        self.key = RunKey.generate()
        self.store = store
        self._folder = folder
        self._num_folders = 0

    def folder(self, files):
        self._num_folders += 1
        folder = self._folder / str(self._num_folders)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    async def publish(self, policy: PolicyId, files, **change):
        """Returns the announcement."""
        weights = hashlib.sha256(files["model.safetensors"]).hexdigest()
        arguments = {
            "run": "demo",
            "policy": policy,
            "tensors": [TensorEntry(name="w", dtype="f32", shape=(2,), digest=weights[:16])],
            "weights_digest": weights,
            "renderer": "cd" * 32,
            "probe": PROBE,
            "previous_sha256": None,
            **change,
        }
        sha256 = await publish_anchor(self.store, self.key, self.folder(files), **arguments)
        return sign_announcement(
            self.key, run="demo", policy=policy, manifest_sha256=sha256, instance="t1"
        )
