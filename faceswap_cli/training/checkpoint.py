"""The state of a training, and its file: one safetensors file with everything, never a pickle."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from faceswap_cli.config import STRUCTURE, TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import replacing, sweep_partials
from faceswap_cli.models import Autoencoder
from faceswap_cli.ranks import ALONE, Ranks
from faceswap_cli.training.building import build_model
from faceswap_cli.training.optimizers import build_optimizer, gather_slots, own_slots

FORMAT = 1
AVERAGE_LOOKS = 50
"""At the weights within a half-life of their average: more change nothing that could be seen."""
_NAME = re.compile(r"iter_(\d{8})\.safetensors")


@dataclass
class TrainState:
    """All that a restart needs. `iteration` is the one clock that schedules read."""

    model: Autoencoder
    average: dict[str, Tensor]
    """Of the weights, by parameter name: what merge uses. Empty without averaging."""
    optimizers: dict[str, torch.optim.Optimizer]
    """One for each child network that learns."""
    iteration: int = 0
    elapsed_s: float = 0.0
    loss: float = float("inf")
    """Mean since the checkpoint before."""

    @classmethod
    def new(cls, config: TrainConfig, device: Device, ranks: Ranks = ALONE) -> Self:
        """Return the state before the first iteration."""
        model = build_model(config, device)
        optimizers = {
            name: build_optimizer(model.get_submodule(name), config, ranks)
            for name in model.trained()
        }
        state = cls(model, {}, optimizers)
        if config.ema_half_life > 0:
            state.begin_average()
        return state

    def begin_average(self) -> None:
        """Let the average start from the weights as they are."""
        named = self.model.named_parameters()
        self.average = {name: p.detach().clone() for name, p in named}

    @torch.no_grad()
    def move_average(self, half_life: float) -> None:
        """Let the average follow the weights after an iteration."""
        # A slow average need not look at every step: it reads and writes all weights.
        every = max(1, int(half_life // AVERAGE_LOOKS))
        if not self.average or self.iteration % every:
            return
        # Young averages forget faster: the first weights are noise.
        keep = 0.5 ** (every / min(half_life, 0.1 * self.iteration))
        current = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), current, 1.0 - keep)

    def weights(self) -> dict[str, Tensor]:
        """Return what merge would use: the average, or else the weights themselves."""
        return self.average or dict(self.model.named_parameters())


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a model folder, oldest first."""
    return sorted(path for path in folder.glob("iter_*.safetensors") if _NAME.fullmatch(path.name))


def save_checkpoint(
    folder: Path, state: TrainState, config: TrainConfig, ranks: Ranks = ALONE
) -> None:
    """Write the state and the settings that made it, in one step; then drop the superseded.

    Kept are the newest `keep_checkpoints` and the one of the lowest loss. All processes that
    train together call it; the first one writes.
    """
    tensors = _tensors(state, gather_slots)
    if not ranks.leads:
        return
    path = folder / f"iter_{state.iteration:08d}.safetensors"
    about = {
        "format": FORMAT,
        "iteration": state.iteration,
        "elapsed_s": state.elapsed_s,
        "loss": state.loss,
        "train": config.model_dump(),
    }
    # Contiguous: safetensors stores rows, channels-last weights are views in another order.
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"faceswap-cli": json.dumps(about)})
    _drop_superseded(folder, config.keep_checkpoints)


def load_newest(folder: Path, state: TrainState, config: TrainConfig) -> bool:
    """Restore the state in place from the newest checkpoint; False if there is none.

    Raises:
        WorkspaceError: It is damaged, of a newer version, or of another architecture; the
            keys that do not fit are named, and nothing is initialised in their place.
    """
    sweep_partials(folder)
    found = checkpoints(folder)
    if not found:
        return False
    about = read_about(found[-1])
    _check_structure(found[-1], about["train"], config.model_dump())
    _fill(_tensors(state, own_slots), load_file(found[-1]), found[-1])
    state.iteration = int(about["iteration"])
    state.elapsed_s = float(about["elapsed_s"])
    state.loss = float(about["loss"])
    return True


def read_about(path: Path) -> dict[str, Any]:
    """Return iteration, loss, settings ... of a checkpoint from its header.

    Raises:
        WorkspaceError: Damaged, not a checkpoint, or of a newer version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["faceswap-cli"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WorkspaceError(
            f"not a checkpoint, or cut short: {error}",
            seen_in=path,
            fix=f"move it away; the next older one in {path.parent.name}/ is used then",
        ) from error
    if about.get("format", 0) > FORMAT:
        raise WorkspaceError(
            f"checkpoint of format {about['format']}, this program reads up to {FORMAT}",
            seen_in=path,
            fix="update faceswap-cli",
        )
    return dict(about)


@dataclass(frozen=True)
class Trained:
    """A model ready to draw."""

    model: Autoencoder
    resolution: int
    face_type: str
    iteration: int
    fingerprint: str
    """Changes with the weights."""


def open_trained(folder: Path, device: Device) -> Trained:
    """Return the newest model of a folder, with its averaged weights, on the device.

    Raises:
        WorkspaceError: There is none, or it is damaged.
    """
    found = checkpoints(folder)
    if not found:
        raise WorkspaceError(
            "no trained model", seen_in=folder, fix=f"faceswap-cli train {folder.parent}"
        )
    about, tensors = read_about(found[-1]), load_file(found[-1])
    config = _structure(about, found[-1])
    model = build_model(config, device)
    averaged = any(name.startswith("average/") for name in tensors)
    prefix = "average/" if averaged else "model/"
    own: dict[str, Tensor] = dict(model.named_parameters())
    weights = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    _fill(own, weights, found[-1])
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return Trained(
        model.eval().requires_grad_(False),
        config.resolution,
        config.face_type,
        int(about["iteration"]),
        digest.hexdigest()[:12],
    )


def _structure(about: dict[str, Any], path: Path) -> TrainConfig:
    """Return the settings that shape the model; others may be of another version's making."""
    try:
        return TrainConfig.model_validate(
            {key: about["train"][key] for key in STRUCTURE if key in about["train"]}
        )
    except (KeyError, AttributeError, ValueError) as error:
        raise WorkspaceError(
            f"the checkpoint describes no model this version knows: {error}",
            seen_in=path,
            fix="update faceswap-cli, or train again",
        ) from error


def _tensors(
    state: TrainState, slots: Callable[[nn.Module, torch.optim.Optimizer], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return every tensor of the state by name; `slots` tells those of an optimiser."""
    tensors: dict[str, Tensor] = {f"model/{name}": p for name, p in state.model.named_parameters()}
    tensors |= {f"average/{name}": t for name, t in state.average.items()}
    for child, optimizer in state.optimizers.items():
        found = slots(state.model.get_submodule(child), optimizer)
        tensors |= {f"optimizer/{child}.{name}": tensor for name, tensor in found.items()}
    return tensors


def _fill(own: dict[str, Tensor], saved: dict[str, Tensor], path: Path) -> None:
    wrong = sorted(own.keys() ^ saved.keys())
    wrong += sorted(k for k in own.keys() & saved.keys() if own[k].shape != saved[k].shape)
    if wrong:
        raise WorkspaceError(
            f"{len(wrong)} tensors do not fit the model: {', '.join(wrong[:5])} ...",
            seen_in=path,
            fix=f"restore the settings it was trained with, or move {path.parent} away",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def _check_structure(path: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    # A setting that the checkpoint does not know came later, and then had its default's effect.
    differ = [key for key in STRUCTURE if was.get(key, now[key]) != now[key]]
    # Averaging can be neither begun nor ended half-way: the average would be of nothing.
    differ += (
        ["ema_half_life"] if bool(was.get("ema_half_life")) != bool(now["ema_half_life"]) else []
    )
    if differ:
        listed = ", ".join(f"{key} was {was.get(key)!r}, is {now[key]!r}" for key in differ)
        raise WorkspaceError(
            f"the model was trained with other settings: {listed}",
            seen_in=path,
            fix=f"set them back, or move {path.parent} away to start over",
        )


def _drop_superseded(folder: Path, keep: int) -> None:
    found = checkpoints(folder)
    losses = {}
    for path in found[:-keep]:
        losses[path] = _loss(path)
    best = min((_loss(path), path) for path in found)[1]
    for path in losses:
        if path != best:
            path.unlink(missing_ok=True)


def _loss(path: Path) -> float:
    try:
        return float(read_about(path)["loss"])
    except WorkspaceError:
        return float("-inf")  # not ours to judge: keep what cannot be read
