"""Which device, and which precision: chosen once, and said."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import torch

from faceswap_cli.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """Where networks run."""

    name: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    index: int = 0
    """Which of several GPUs."""

    @property
    def place(self) -> torch.device:
        """The device as torch's own type."""
        return torch.device("cuda", self.index) if self.name == "cuda" else torch.device("cpu")

    def free_bytes(self) -> int:
        """Return the memory that nobody uses, for what is to be kept there."""
        if self.name == "cuda":
            return torch.cuda.mem_get_info(self.index)[0]
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def used_bytes(self) -> int:
        """Return the memory that this process has taken: at most so far, of the GPU or of RAM."""
        if self.name == "cuda":
            return torch.cuda.max_memory_reserved(self.index)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def autocast(self) -> torch.autocast:
        """Return the context in which networks run at this precision."""
        return torch.autocast(
            self.name, dtype=torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=True
        )

    def __str__(self) -> str:
        model = torch.cuda.get_device_name(self.index) if self.name == "cuda" else "CPU"
        threads = f", {torch.get_num_threads()} threads" if self.name == "cpu" else ""
        return f"{model}{threads}, {self.precision}"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether torch failed for want of memory, of a GPU or of the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def keep_freed_memory() -> None:
    """Have the memory of the CPU that is freed kept for the next step; elsewhere do nothing.

    glibc returns every large block to the kernel at once, and each step of a training takes
    them anew, page by page and zeroed: of a model of 145 M weights that was a sixth of the
    time of a step, and almost half of its optimiser's.
    """
    with suppress(OSError):  # another system
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):  # only glibc has it
            library.mallopt(_M_MMAP_MAX, 0)
            library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def choose_device(name: str, precision: str = "auto", *, index: int = 0) -> Device:
    """Return the device that was asked for; `auto` takes CUDA where there is one.

    Args:
        name: auto, cpu or cuda.
        precision: auto, fp32 or bf16. auto is bf16 only where the hardware computes it.
        index: Which of several GPUs.

    Raises:
        DeviceError: CUDA was asked for and is not there: never a silent CPU.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise DeviceError(
            "CUDA was asked for, and torch finds no CUDA device",
            seen_in=f"torch {torch.__version__}, built for CUDA {torch.version.cuda}",
            fix="mend the driver (`faceswap-cli doctor` tells more), or use --device cpu",
        )
    chosen: Literal["cpu", "cuda"] = "cuda" if there and name != "cpu" else "cpu"
    if precision == "auto":
        precision = "bf16" if computes_bf16(chosen) else "fp32"
    return Device(chosen, "bf16" if precision == "bf16" else "fp32", index)


def computes_bf16(name: str) -> bool:
    """Tell whether the hardware multiplies bf16 itself: else bf16 is slower than fp32."""
    if name == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    avx = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(amx()) or bool(avx())


@contextmanager
def shared_cores(device: Device) -> Iterator[None]:
    """Leave half of the CPU to those who decode and write while a network computes on it.

    Torch's threads wait for each other many times a batch. If one of them has no core of
    its own, all wait for it: 75 faces took 51 s on two busy cores with two threads, and 2 s
    with one.
    """
    before = torch.get_num_threads()
    if device.name == "cpu":
        torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)
