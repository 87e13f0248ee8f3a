"""The state of a training: made, saved, restored."""

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from faceswap_cli.config import STRUCTURE, TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.models import Autoencoder
from faceswap_cli.ranks import ALONE, Ranks
from faceswap_cli.training.building import build_model
from faceswap_cli.training.clipping import new_norms
from faceswap_cli.training.fitting import NORMS, fill, fill_what_fits
from faceswap_cli.training.keeping import Saved, which_stay
from faceswap_cli.training.objective import objective
from faceswap_cli.training.optimizers import build_optimizers, gather_slots, own_slots
from faceswap_cli.training.stored import (
    checkpoint_path,
    checkpoints,
    read_about,
    read_stored,
    write_stored,
)

__all__ = [
    "TrainState",
    "Trained",
    "checkpoints",
    "load_newest",
    "open_trained",
    "read_about",
    "save_checkpoint",
]

AVERAGE_LOOKS = 50
"""At the weights within a half-life of their average: more change nothing that could be seen."""
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "iteration": int,
    "elapsed_s": float,
    "loss": float,
    "rate_scale": float,
    "rollbacks": int,
}
"""Fields of the state that are one number each; old checkpoints have only the first three."""


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
    """Time of training, what was done in vain with it."""
    loss: float = float("inf")
    """Mean since the checkpoint before."""
    rate_scale: float = 1.0
    """Share of the step size that is left after going back."""
    rollbacks: int = 0
    """How often the training has gone back to a checkpoint."""
    norms: Tensor = field(default_factory=lambda: torch.empty(0))
    """(1000,), lengths of the last gradients, NaN: not yet; (0,) where none are kept."""

    @classmethod
    def new(cls, config: TrainConfig, device: Device, ranks: Ranks = ALONE) -> Self:
        """Return the state before the first iteration."""
        model = build_model(config, device)
        model.set_objective(objective(config))
        state = cls(model, {}, build_optimizers(model, config, ranks))
        state.norms = new_norms(config.clip_quantile, device.place)
        if config.ema_half_life > 0:
            state.begin_average()
        return state

    def begin_average(self) -> None:
        """Let the average start from the weights as they are; judges have none."""
        critics = set(self.model.critics)
        named = self.model.named_parameters()
        self.average = {n: p.detach().clone() for n, p in named if n.split(".")[0] not in critics}

    @torch.no_grad()
    def move_average(self, half_life: float) -> None:
        """Let the average follow the weights after an iteration."""
        # A slow average need not look at every step: it reads and writes all weights.
        every = max(1, int(half_life // AVERAGE_LOOKS))
        if not self.average or self.iteration % every:
            return
        # Young averages forget faster: the first weights are noise.
        keep = 0.5 ** (every / min(half_life, 0.1 * self.iteration))
        current = [p.detach() for name, p in self.model.named_parameters() if name in self.average]
        torch._foreach_lerp_(list(self.average.values()), current, 1.0 - keep)

    def weights(self) -> dict[str, Tensor]:
        """Return what merge would use: the average where there is one; no judges'."""
        return self.raw_weights() | self.average

    def raw_weights(self) -> dict[str, Tensor]:
        """Return the weights of what draws, as they are now."""
        critics = set(self.model.critics)
        named = self.model.state_dict(keep_vars=True)
        return {name: t.detach() for name, t in named.items() if name.split(".")[0] not in critics}

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Whether every number that would be saved is finite: one that is not spreads to all."""
        tensors = _tensors(self, own_slots)
        tensors.pop(NORMS, None)  # NaN means something there
        by_place: dict[torch.device, list[Tensor]] = {}
        for tensor in tensors.values():
            if tensor.is_floating_point() and not tensor.is_meta and tensor.numel():
                by_place.setdefault(tensor.device, []).append(tensor.detach())
        return all(
            bool(torch.stack(torch._foreach_norm(some)).isfinite().all())
            for some in by_place.values()
        )


def save_checkpoint(
    folder: Path, state: TrainState, config: TrainConfig, ranks: Ranks = ALONE
) -> None:
    """Write the state and the settings that made it, in one step; then drop the superseded.

    All processes that train together call it; the first one writes.

    Raises:
        WorkspaceError: It cannot be written; the checkpoints are as before.
    """
    tensors = _tensors(state, gather_slots)
    if not ranks.leads:
        return
    about = {name: getattr(state, name) for name in NUMBERS} | {"train": config.model_dump()}
    write_stored(checkpoint_path(folder, state.iteration), tensors, about)
    _drop_superseded(folder, config)


def load_newest(folder: Path, state: TrainState, config: TrainConfig) -> list[str] | None:
    """Restore the state in place from the newest checkpoint.

    Returns:
        What it holds no more, and what it did not hold: judges and optimisers that came or
        went; as sentences. None if there is no checkpoint.

    Raises:
        WorkspaceError: It is damaged, of a newer version, or of another architecture; the
            keys that do not fit are named, and nothing is initialised in their place.
    """
    found = checkpoints(folder)
    if not found:
        return None
    about, saved = read_stored(found[-1])
    _check_structure(found[-1], about["train"], config.model_dump())
    optimizer = str(about["train"].get("optimizer", "adamw")), config.optimizer
    told = fill_what_fits(_tensors(state, own_slots), saved, found[-1], optimizer=optimizer)
    for name, kind in NUMBERS.items():
        if name in about:
            setattr(state, name, kind(about[name]))
    return told


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
        WorkspaceError: There is none, it has learnt nothing yet, or it is damaged.
    """
    found = checkpoints(folder)
    if not found or found == [checkpoint_path(folder, 0)]:
        raise WorkspaceError(
            "no trained model", seen_in=folder, fix=f"faceswap-cli train {folder.parent}"
        )
    about, tensors = read_stored(found[-1])
    config = _structure(about, found[-1])
    model = build_model(config, device)
    weights = _drawing(tensors)
    fill(model.state_dict(keep_vars=True), weights, found[-1])
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


def _drawing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of what draws by name: averaged where there is an average."""
    plain, averaged = "model/", "average/"
    found = {n.removeprefix(plain): t for n, t in tensors.items() if n.startswith(plain)}
    return found | {
        n.removeprefix(averaged): t for n, t in tensors.items() if n.startswith(averaged)
    }


def _structure(about: dict[str, Any], path: Path) -> TrainConfig:
    """Return the settings that shape the model; others may be of another version's making."""
    try:
        was = about["train"]
        # Settings that it does not know came later; which model it is, it has always known.
        shape = {key: was[key] for key in STRUCTURE if key in was} | {"model": was["model"]}
        return TrainConfig.model_validate(shape)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise WorkspaceError(
            f"the checkpoint describes no model this version knows: {error}",
            seen_in=path,
            fix="update faceswap-cli, or train again",
        ) from error


def _tensors(
    state: TrainState, slots: Callable[[nn.Module, torch.optim.Optimizer], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return every tensor of the state by name; `slots` tells those of an optimiser."""
    drawing = state.raw_weights()
    tensors = {f"model/{name}": t for name, t in drawing.items()}
    named = state.model.state_dict(keep_vars=True)
    tensors |= {f"critic/{name}": t.detach() for name, t in named.items() if name not in drawing}
    tensors |= {f"average/{name}": t for name, t in state.average.items()}
    for child, optimizer in state.optimizers.items():
        found = slots(state.model.get_submodule(child), optimizer)
        tensors |= {f"optimizer/{child}.{name}": tensor for name, tensor in found.items()}
    return tensors | ({NORMS: state.norms} if len(state.norms) else {})


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
            fix=f"{_flags(was, differ)}; or move {path.parent} away to start over",
        )


def _flags(settings: dict[str, Any], keys: list[str]) -> str:
    """Return the options that set these settings."""
    told = [(f"--{key.replace('_', '-')}", str(settings.get(key, 0))) for key in keys]
    return shlex.join(word for option in told for word in option)


def _drop_superseded(folder: Path, config: TrainConfig) -> None:
    known: dict[int, Path] = {}
    saved = []
    for path in checkpoints(folder):
        try:
            about = read_about(path)
            one = Saved(int(about["iteration"]), float(about["loss"]), float(about["elapsed_s"]))
        except (WorkspaceError, KeyError, ValueError, TypeError):
            continue  # not ours to judge: keep what cannot be read
        known[one.iteration] = path
        saved.append(one)
    stay = which_stay(saved, newest=config.keep_checkpoints, every_hours=config.keep_hours)
    for iteration, path in known.items():
        if iteration not in stay:
            path.unlink(missing_ok=True)
