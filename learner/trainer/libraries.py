"""Takes from the environment what it may say about the numbers that a process computes.

MKL, oneDNN and cuBLAS read their variables at their first call and choose code by them, which a
numerics record would not show: whoever starts a process could change bits under an equal record.
"""

import os
from typing import Final

MKL_MODE: Final = "AUTO"
"""Of MKL's conditional numerical reproducibility, part of the numerics record: the instruction set
that MKL prefers on this processor, with fixed blocks and reductions. It costs nothing. A fixed
instruction set is kept to on Intel's processors alone, and the one mode that is the same on all of
them (COMPATIBLE) takes twice the time."""
_REMOVED: Final = ("MKL_", "ONEDNN_", "DNNL_", "NVIDIA_TF32_", "TORCH_ALLOW_TF32_")
"""What the names of variables that choose code begin with."""
_SET: Final = {
    "MKL_CBWR": MKL_MODE,
    "MKL_DYNAMIC": "FALSE",
    "OMP_DYNAMIC": "FALSE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def pin_libraries() -> None:
    """Set and remove the variables; a library that has computed already takes no notice."""
    for name in [name for name in os.environ if name.startswith(_REMOVED)]:
        del os.environ[name]
    os.environ.update(_SET)
