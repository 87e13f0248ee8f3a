"""torch.compile for a model: where it pays, and without it where it does not work."""

import os
from pathlib import Path

from torch import nn

from faceswap_cli.device import Device

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def compile_errors(*, compiled: bool) -> tuple[type[Exception], ...]:
    """Return what a compilation that fails may raise: no compiler, an operation unknown to it.

    Args:
        compiled: Whether there is one; without it nothing is raised.
    """
    if not compiled:
        return ()
    # Here, and below: the compiler takes two seconds to load, and few runs need it.
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    return TorchDynamoException, InductorError


def keep_compiled_code(folder: Path) -> None:
    """Keep what is compiled, so that the next start need not; a folder the user set stays."""
    if os.environ.get(_FOLDER) is None or _is_torchs_own(os.environ[_FOLDER]):
        os.environ[_FOLDER] = str(folder)


def _is_torchs_own(folder: str) -> bool:
    """Whether it is torch's choice: that, too, is written into the environment."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    return folder == default_cache_dir()


def compile_model(model: nn.Module, wish: str, device: Device) -> bool:
    """Have the child networks compiled when they first run; tell whether they will be.

    Args:
        model: Changed in place, its weights keep their names.
        wish: auto, on, off or graphs. auto is on for CUDA alone: on two CPUs without bf16 the
            compiled forward pass took 1.5 times as long as oneDNN's.
        device: Where it runs.
    """
    if wish == "off" or (wish == "auto" and device.name == "cpu"):
        return False
    graphs = wish == "graphs" and device.name == "cuda"  # replayed at once: fewer orders to a GPU
    for child in model.children():
        child.compile(dynamic=False, mode="reduce-overhead" if graphs else None)
    return True


def forget_compiled(model: nn.Module) -> None:
    """Run the child networks as they are written."""
    for child in model.children():
        child._compiled_call_impl = None
