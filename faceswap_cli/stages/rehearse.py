"""What a training would be like: its size, its memory, its speed. Nothing is written."""

from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device, keep_freed_memory
from faceswap_cli.errors import FaceswapError
from faceswap_cli.faces.store import find_aligned, open_files
from faceswap_cli.progress import progress
from faceswap_cli.training.batch_size import with_batch_size
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.clock import Clock
from faceswap_cli.training.cost import describe, estimate_cost
from faceswap_cli.training.cutting import Layout, cut_named
from faceswap_cli.training.data import MIN_FACES, FaceStore, HeldFaces, Sampler
from faceswap_cli.training.step import Stepper
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import Workspace

WARM_UP, MEASURED = 3, 10
FACES = 64
"""Of each side: enough to measure with."""


@dataclass
class Rehearsal:
    """What was found out."""

    device: str
    faces: dict[str, int] = field(default_factory=dict)
    """Pictures of each side; 0: made-up faces stood in."""
    batch_size: int = 0
    faces_at_once: int = 0
    """Less than batch_size where memory ran out."""
    cost: dict[str, Any] = field(default_factory=dict)
    it_s: float = 0.0
    images_s: float = 0.0
    data_percent: float = 0.0
    """Of the time: making the batches."""
    tflops: float = 0.0
    """Reached, of the arithmetic that is needed."""
    memory_gib: float = 0.0
    """Taken by the process or on the GPU."""
    hours: float = 0.0
    """For all iterations."""
    lines: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        found = {key: value for key, value in vars(self).items() if key != "lines"}
        return {"stage": "train --dry-run", **found}

    def text(self) -> str:
        """Return it as lines for people."""
        faces = ", ".join(f"{count or 'no'} faces of {side}" for side, count in self.faces.items())
        parts = "" if self.faces_at_once == self.batch_size else f", {self.faces_at_once} at once"
        return "\n".join(
            [
                f"device: {self.device}",
                f"faces: {faces}" + ("" if all(self.faces.values()) else " (made-up ones instead)"),
                *self.lines,
                f"speed: {self.it_s:.3g} it/s, {self.images_s:.3g} images/s, {self.tflops:.3g} "
                f"TFLOP/s, batch {self.batch_size}{parts}, {self.data_percent:.1f} % of it data",
                f"memory taken: {self.memory_gib:.1f} GiB",
                f"all iterations: {_duration(self.hours)}",
            ]
        )


def rehearse(workspace: Workspace, section: TrainConfig) -> Rehearsal:
    """Take a few steps with real faces, if there are any, and throw the result away.

    With several devices it is the share of one of them that is measured.

    Raises:
        DeviceError: The device is missing, or its memory does not hold one face.
    """
    device = choose_device(section.device, section.precision)
    if device.name == "cpu":
        keep_freed_memory()
    devices = max(1, section.devices)
    section = with_batch_size(section, device, workspace.model, devices=devices)
    share = max(1, section.batch // devices)
    found = Rehearsal(str(device), batch_size=share)
    cost = estimate_cost(section, device, batch_size=share)
    found.lines = describe(cost)
    found.cost = vars(cost) | {"total_bytes": cost.total_bytes}
    stores = {side: _some_faces(workspace, side, section, device, found) for side in SIDES}
    stepper = Stepper(TrainState.new(section, device), section, device)
    sampler = Sampler(stores, section, device.place, part=slice(0, share))
    found.it_s, data_share = _measure(stepper, sampler)
    found.faces_at_once = min(share, stepper.faces_at_once)
    found.images_s, found.data_percent = 2 * share * found.it_s, 100.0 * data_share
    found.tflops, found.memory_gib = cost.flops * found.it_s / 1e12, device.used_bytes() / 2**30
    found.hours = section.iterations / found.it_s / 3600.0
    return found


def _measure(stepper: Stepper, sampler: Sampler) -> tuple[float, float]:
    """Return iterations a second and the share of the data."""
    clock = Clock(sampler.device)
    with progress("dry run", total=WARM_UP + MEASURED, unit="it") as bar:
        clock.begin()
        for number, portion in enumerate(sampler.ahead(0, WARM_UP + MEASURED)):
            src, dst = sampler.assemble(portion)
            clock.batch_is_there()
            log = stepper(src, dst)
            clock.end()
            bar.update()
            if number == WARM_UP - 1:
                torch.stack(list(log.values())).sum().item()  # waits for the device
                clock.read()
            clock.begin()
    return clock.read()


def _some_faces(
    workspace: Workspace, side: Side, section: TrainConfig, device: Device, found: Rehearsal
) -> FaceStore:
    layout, rows = Layout.of(section.resolution), list[bytes]()
    with closing(open_files(find_aligned(workspace, side), workspace.edited_masks(side))) as files:
        names = files.names()
        found.faces[side] = len(names)
        for name in names[:FACES]:
            with suppress(FaceswapError):  # the training will name it; here any face will do
                rows.append(cut_named(files, name, section)[0])
    if len(rows) < MIN_FACES:
        found.faces[side] = 0
        rows = [bytes(layout.row_bytes)] * FACES
    packed = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8)
    held = packed.view(len(rows), layout.row_bytes).to(device.place)
    return HeldFaces(held, (0.0,) * len(rows), layout)


def _duration(hours: float) -> str:
    if hours < 1.0:
        return f"{60.0 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48.0 else f"{hours / 24.0:.1f} days"
