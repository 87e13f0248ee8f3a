"""Several processes that train one model together. The only module that knows how they meet.

Started by `--devices N`, by torchrun, or by SLURM's srun; each computes its part of every batch,
and gradients are averaged (distributed data parallel). One process alone needs none of this.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import active_children
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from faceswap_cli.errors import (
    ConfigError,
    DeviceError,
    DivergedError,
    FaceswapError,
    MediaError,
    WorkspaceError,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Ranks:
    """This process among those that train together; alone by default."""

    def __init__(self, fabric: "Fabric | None" = None) -> None:
        self._fabric = fabric

    @property
    def count(self) -> int:
        """How many there are."""
        return self._fabric.world_size if self._fabric else 1

    @property
    def index(self) -> int:
        """Which one this is, from 0."""
        return self._fabric.global_rank if self._fabric else 0

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and talks to people."""
        return self.index == 0

    @property
    def place(self) -> torch.device | None:
        """The device of this process; None: the stage chooses."""
        return self._fabric.device if self._fabric else None

    def together(self, module: nn.Module, *, all_used: bool) -> nn.Module:
        """Return the module with its gradients averaged over the processes at each backward.

        Args:
            module: Its weights become those of the first process.
            all_used: Every forward uses every weight.
        """
        if self._fabric is None:
            return module
        if not all_used:
            self._fabric.strategy._ddp_kwargs["find_unused_parameters"] = True  # type: ignore[attr-defined]
        wrapped: nn.Module = self._fabric.setup_module(module, move_to_device=False)
        return wrapped

    def apart(self, module: nn.Module, *, still: bool) -> AbstractContextManager[Any]:
        """Return a context in which backward does not average yet, if `still`."""
        if self._fabric is None or not still:
            return nullcontext()
        return self._fabric.no_backward_sync(module)  # type: ignore[arg-type]

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self._fabric is None:
            return values
        here = values.to(self._fabric.device)
        averaged: Tensor = self._fabric.all_reduce(here, reduce_op="mean")  # type: ignore[assignment]
        return averaged

    def agree(self, flag: bool) -> bool:
        """Return whether any process says so: all of them get the same answer."""
        if self._fabric is None:
            return flag
        return float(self.mean(torch.tensor(float(flag)))) > 0.0

    def share(self, total: int, *, what: str) -> slice:
        """Return which items of `total` are this process's.

        Raises:
            ConfigError: They cannot be divided evenly.
        """
        if total % self.count:
            raise ConfigError(
                f"{what} {total} cannot be divided among {self.count} devices",
                seen_in=what,
                fix=f"{what} {max(1, total // self.count) * self.count}",
            )
        part = total // self.count
        return slice(self.index * part, (self.index + 1) * part)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the first process through the block before the others."""
        if self._fabric is not None and not self.leads:
            self._fabric.barrier()
        yield
        if self._fabric is not None and self.leads:
            self._fabric.barrier()


ALONE = Ranks()


def is_follower() -> bool:
    """Tell whether torchrun or srun started this process as another than the first."""
    return _outer_count() > 1 and int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) > 0


def in_ranks(job: Callable[..., T], *arguments: Any, accelerator: str, devices: int) -> T:
    """Call job(ranks, *arguments) in every process; return what the first one returns.

    Args:
        job: A function of a module: other processes import it.
        arguments: Can be pickled.
        accelerator: cpu or cuda.
        devices: Processes on this machine, unless torchrun or srun started us; 0: all GPUs.

    Raises:
        DeviceError: A process died, or there are fewer GPUs; the others were ended.
    """
    outer = _outer_count()
    devices = _devices(accelerator, devices)
    if outer == 1 and devices == 1:
        return job(ALONE, *arguments)
    from lightning_fabric import Fabric

    task = _Task(job, arguments)
    if outer > 1:
        fabric = Fabric(
            accelerator=accelerator, strategy="ddp", devices=_local_count(), num_nodes=_nodes()
        )
        return cast(T, fabric.launch(cast(Any, _run), task).value)
    fabric = Fabric(accelerator=accelerator, strategy="ddp_spawn", devices=devices)
    with _signals_go_to_children(), _deaths_are_explained():
        return cast(T, fabric.launch(cast(Any, _run), task).value)


class _Sealed:
    """Holds what Fabric shall pass on as it is: it looks for tensors in all it knows."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Task:
    """What a process is to do. In a new process it also brings the log to where it was."""

    def __init__(self, job: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._job, self._arguments = job, arguments
        self._level = logging.getLogger("faceswap_cli").getEffectiveLevel()
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        logging.getLogger("faceswap_cli").setLevel(self._level)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

    def __call__(self, ranks: Ranks) -> _Sealed:
        return _Sealed(self._job(ranks, *self._arguments))


def _run(fabric: "Fabric", task: _Task) -> _Sealed:
    """Run in each process: an error we can explain ends it with its message and exit code."""
    try:
        return task(Ranks(fabric))
    except FaceswapError as error:
        if _outer_count() > 1:
            raise
        sys.stderr.write(f"Error: {error}\nseen in: process {fabric.global_rank}\n")
        sys.exit(error.exit_code)


def _devices(accelerator: str, asked: int) -> int:
    if accelerator == "cpu":
        return max(1, asked)
    there = torch.cuda.device_count()
    if asked > there:
        raise DeviceError(
            f"{asked} devices were asked for, {there} are there",
            seen_in="--devices",
            fix=f"--devices {there}; CUDA_VISIBLE_DEVICES hides the others",
        )
    return asked or there


def _outer_count() -> int:
    """Return how many processes torchrun or srun started; 1: neither did."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    if "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    return 1


_INTERACTIVE = ("bash", "interactive")  # a shell inside of a SLURM job: one process of its own


def _nodes() -> int:
    """Return on how many machines they run, as many on each."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])
    return int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))


def _local_count() -> int:
    return _outer_count() // _nodes()


@contextmanager
def _signals_go_to_children() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the children, which save; we wait for them.

    SIGUSR1, where there is one, is what a stage makes of it: the children are told.
    """
    told = {signal.SIGINT: signal.SIGTERM, signal.SIGTERM: signal.SIGTERM}
    if hasattr(signal, "SIGUSR1"):
        told[signal.SIGUSR1] = signal.SIGUSR1

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in active_children():
            if child.pid is not None:
                os.kill(child.pid, told[signal.Signals(number)])

    try:
        before = {number: signal.signal(number, pass_on) for number in told}
    except ValueError:  # not in the main thread: whoever runs us there owns the signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_KINDS: dict[int, type[FaceswapError]] = {
    kind.exit_code: kind for kind in (ConfigError, WorkspaceError, MediaError, DivergedError)
}
"""What a process that ended with its message has told by its exit code."""


@contextmanager
def _deaths_are_explained() -> Iterator[None]:
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    try:
        yield
    except ProcessExitedException as error:
        died = error.signal_name or f"exit code {error.exit_code}"
        raise _KINDS.get(error.exit_code, DeviceError)(
            f"process {error.error_index} of the training ended with {died}; the others were ended",
            seen_in="--devices",
            fix="see its message above; the same command goes on from the last checkpoint",
        ) from error
    except ProcessRaisedException as error:
        raise RuntimeError(f"process {error.error_index} failed:\n{error}") from error
