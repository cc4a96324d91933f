"""What makes a step repeat bit for bit, and the record of it.

On a CPU: deterministic algorithms, a fixed number of threads and ranks, and libraries that do not
listen to the environment (`learner.trainer.libraries`). What they make of a processor cannot be
fixed, so that its model is on record. On a GPU the same; that has not been run.
"""

import platform
from pathlib import Path

import torch
import transformers

from learner.trainer import attention, libraries, model
from learner.trainer.world import World
from schemas.settings import TrainerSettings
from schemas.trainer_events import Numerics


def make_deterministic(num_threads: int) -> None:
    """Set this process to compute the same bits from the same inputs every time."""
    libraries.pin_libraries()
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)


def numerics(settings: TrainerSettings, world: World) -> Numerics:
    """The record under which this process computes; called behind `make_deterministic`."""
    device = world.device
    return Numerics(
        world_size=world.size,
        num_threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        dtype="float32",
        token_budget=settings.token_budget,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        attention=attention.NAME,
        experts=model.EXPERTS,
        torch_version=str(torch.__version__),  # a subclass of str, which msgspec refuses
        transformers_version=transformers.__version__,
        cpu=torch.backends.cpu.get_cpu_capability(),
        cpu_model=_cpu_model(),
        mkl=libraries.MKL_MODE,
    )


def _cpu_model() -> str:
    """As the kernel names it; where it names none, the kind of machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())[:128]
