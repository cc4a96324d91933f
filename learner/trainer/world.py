"""The ranks of one trainer, and what they do together.

A world of one needs no process group: every call below then does nothing, or returns what it was
given. Over gloo a sum of two ranks is exact in order (a + b = b + a); for more ranks its order is
fixed by the number of ranks, which the numerics record states.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

_TIMEOUT_S = 600.0
"""For one collective: as long as the slowest rank may take to read its rows."""


class World:
    """This process's place among the ranks: `rank` of `size`, counted from 0."""

    def __init__(self, rank: int, size: int, device: torch.device | None = None) -> None:
        self.rank = rank
        self.size = size
        self.device = device or torch.device("cpu")

    @classmethod
    def join(cls) -> "World":
        """Join the ranks that torchrun started; without its environment variables, a world of one.

        With a GPU the ranks speak NCCL; that path has not been run.
        """
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        if size > 1:
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(
                backend, rank=rank, world_size=size, timeout=timedelta(seconds=_TIMEOUT_S)
            )
        return cls(rank, size, device)

    def all_reduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def sum_counts(self, counts: Sequence[int]) -> list[int]:
        """Each count summed over all ranks, exact."""
        totals = torch.tensor(counts, dtype=torch.int64, device=self.device)
        self.all_reduce_sum([totals])
        return totals.tolist()

    def broadcast_bytes(self, data: bytes | None) -> bytes:
        """The first rank's data, on every rank; what the others pass is not looked at."""
        if self.size == 1:
            assert data is not None, "the first rank has nothing to send"
            return data
        payload = bytearray(data or b"") if self.rank == 0 else bytearray()
        length = torch.tensor([len(payload)], dtype=torch.int64, device=self.device)
        dist.broadcast(length, src=0)
        num_bytes = int(length.item())
        if num_bytes == 0:
            return b""
        if self.rank == 0:
            buffer = torch.frombuffer(payload, dtype=torch.uint8).to(self.device)
        else:
            buffer = torch.empty(num_bytes, dtype=torch.uint8, device=self.device)
        dist.broadcast(buffer, src=0)
        return buffer.cpu().numpy().tobytes()

    def leave(self) -> None:
        """Give the process group back; the last thing that a rank does."""
        if self.size > 1:
            dist.destroy_process_group()
