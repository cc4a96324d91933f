"""A program that trains three steps on two ranks, each with its own rows, and says what came out.

    MASTER_PORT=... python -m tests.support.two_ranks FOLDER OUT

It imports torch once and forks; each child joins gloo as torchrun's children do. Fork is safe here:
no thread has been started yet.
"""

import os
import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace
from safetensors.torch import save_file

from learner.trainer.engine import TrainEngine
from learner.trainer.packing import deal
from learner.trainer.world import World
from tests.support.training import SETTINGS, make_rollouts

NUM_RANKS = 2


def run_rank(folder: Path, out: Path) -> None:
    """One rank's program: all rows are dealt, only its own are trained on."""
    world = World.join()
    engine = TrainEngine(folder, replace(SETTINGS, num_ranks=NUM_RANKS), world)
    results = []
    for step in range(1, 4):
        rows = [[one] for one in make_rollouts(step, 12)]
        dealt = deal([sum(one.num_tokens for one in row) for row in rows], world.size)
        own = [one for row in dealt[world.rank] for one in rows[row]]
        results.append(engine.step(own, step).metrics)
    lone = make_rollouts(4, 1) if world.rank == 0 else []
    results.append(engine.step(lone, 4).metrics)
    # Odd, and above what a float32 counts one by one.
    assert world.sum_counts([2**24 + world.rank]) == [2**25 + 1]
    word = world.broadcast_bytes(b"said by 0" if world.rank == 0 else None)
    assert word == b"said by 0"
    assert world.broadcast_bytes(b"" if world.rank == 0 else None) == b""
    out.mkdir(exist_ok=True)
    (out / f"{world.rank}.digest").write_text(engine.weights_digest())
    (out / f"{world.rank}.json").write_bytes(msgspec.json.encode(results))
    if world.rank == 0:
        save_file(dict(engine.model.state_dict()), out / "weights.safetensors")
    world.leave()


def main() -> int:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    children = set()
    for rank in range(NUM_RANKS):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(NUM_RANKS)}
            run_rank(folder, out)
            sys.stdout.flush()
            os._exit(0)
        children.add(child)
    while children:
        child, status = os.wait()
        children.remove(child)
        if status:
            for other in children:
                os.kill(other, 9)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
