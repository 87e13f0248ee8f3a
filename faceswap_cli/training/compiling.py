"""torch.compile for a model: where it pays, and without it where it does not work."""

import os
from pathlib import Path

from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch._inductor.exc import InductorError
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from faceswap_cli.device import Device

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
CompileError = (TorchDynamoException, InductorError)
"""What a compilation that fails may raise: no compiler, no Triton, an operation unknown to it."""


def keep_compiled_code(folder: Path) -> None:
    """Keep what is compiled, so that the next start need not; a folder the user set stays."""
    # torch, too, writes its choice into the environment: as soon as it is imported.
    if os.environ.get(_FOLDER) in (None, default_cache_dir()):
        os.environ[_FOLDER] = str(folder)


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
