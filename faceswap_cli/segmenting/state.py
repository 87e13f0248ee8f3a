"""The state of a training of the mask network: made, saved, restored to the bit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.segmenting.eyes import Eyes
from faceswap_cli.segmenting.network import MaskNet
from faceswap_cli.training.fitting import fill
from faceswap_cli.training.stored import checkpoint_path, checkpoints, read_stored, write_stored

STRUCTURE = ("face_type", "resolution", "width")
"""Settings that shape the network."""
KEPT = 2
"""Checkpoints: the newest, and one in case it is damaged."""
HALF_LIFE = 60.0
"""Of the average of the weights, iterations."""
WEIGHT_DECAY = 1e-2
_SLOTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class MaskState:
    """All that a restart needs."""

    net: MaskNet
    average: dict[str, Tensor]
    """Of the weights, by name: what makes masks."""
    optimizer: torch.optim.AdamW
    iteration: int = 0
    elapsed_s: float = 0.0
    loss: float = float("inf")
    """Mean since the last look."""

    @classmethod
    def new(cls, section: MaskConfig, device: Device) -> Self:
        """Return the state before the first iteration."""
        torch.manual_seed(section.seed)
        net = MaskNet(section.width).to(device.place)
        optimizer = torch.optim.AdamW(
            net.parameters(),
            lr=section.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=WEIGHT_DECAY,
        )
        for p in net.parameters():  # there from the start, so that they can be filled
            optimizer.state[p] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        average = {name: p.detach().clone() for name, p in net.named_parameters()}
        return cls(net, average, optimizer)

    @torch.no_grad()
    def move_average(self) -> None:
        """Let the average follow the weights after an iteration."""
        # Young averages forget faster: the first weights are noise.
        keep = 0.5 ** (1.0 / min(HALF_LIFE, 0.1 * max(1, self.iteration)))
        weights = [p.detach() for p in self.net.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1.0 - keep)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        found: dict[str, Tensor] = {}
        for name, p in self.net.named_parameters():
            found[f"model/{name}"] = p.detach()
            found[f"average/{name}"] = self.average[name]
            kept = self.optimizer.state[p]
            found |= {f"optimizer/{name}/{slot}": kept[slot] for slot in _SLOTS}
        return found

    def is_finite(self) -> bool:
        """Whether the weights are finite."""
        return all(bool(p.isfinite().all()) for p in self.net.parameters())


def save_state(folder: Path, state: MaskState, section: MaskConfig, eyes: Eyes) -> None:
    """Write the state in one step, then drop all but the newest checkpoints.

    Raises:
        WorkspaceError: It cannot be written; the checkpoints are as before.
    """
    about = {
        "iteration": state.iteration,
        "elapsed_s": state.elapsed_s,
        "loss": state.loss,
        "mask": section.model_dump(),
        "eyes": eyes.name,
    }
    write_stored(checkpoint_path(folder, state.iteration), state.tensors(), about)
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def load_state(folder: Path, state: MaskState, section: MaskConfig, eyes: Eyes) -> bool:
    """Restore the newest checkpoint in place; tell whether there is one.

    Raises:
        WorkspaceError: It is damaged, or of a network of another shape.
    """
    found = checkpoints(folder)
    if not found:
        return False
    about, tensors = read_stored(found[-1])
    was, now = stored_section(about, found[-1]), section
    differ = [key for key in STRUCTURE if getattr(was, key) != getattr(now, key)]
    if differ:
        told = ", ".join(f"{k} was {getattr(was, k)!r}, is {getattr(now, k)!r}" for k in differ)
        flags = " ".join(f"--{k.replace('_', '-')} {getattr(was, k)}" for k in differ)
        raise WorkspaceError(
            f"the mask network was trained with other settings: {told}",
            seen_in=found[-1],
            fix=f"{flags}; or move {folder} away to start over",
        )
    check_eyes(about, eyes, found[-1])
    fill(state.tensors(), tensors, found[-1])
    state.iteration = int(about["iteration"])
    state.elapsed_s, state.loss = float(about["elapsed_s"]), float(about["loss"])
    return True


def stored_section(about: dict[str, Any], path: Path) -> MaskConfig:
    """Return the settings of a checkpoint that shape the network, the others as by default."""
    try:
        was = dict(about["mask"])
        return MaskConfig.model_validate({key: was[key] for key in STRUCTURE})
    except (KeyError, TypeError, ValueError) as error:
        raise WorkspaceError(
            f"the checkpoint describes no mask network this version knows: {error}",
            seen_in=path,
            fix="update faceswap-cli, or move it away and train again",
        ) from error


def check_eyes(about: dict[str, Any], eyes: Eyes, path: Path) -> None:
    """Refuse a network that has learnt with other detectors: it would read them wrongly.

    Raises:
        WorkspaceError: They were others.
    """
    if about.get("eyes") != eyes.name:
        raise WorkspaceError(
            f"the mask network has learnt with {about.get('eyes')}, here is {eyes.name}",
            seen_in=path,
            fix=f"use the version of faceswap-cli that trained it, or move {path.parent} away",
        )
