"""What an iteration of the training costs, found out without computing it.

The losses run on tensors that have a shape and no memory: the answer for a model that no
machine holds takes as long as that for a small one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.models import Autoencoder, Faces
from faceswap_cli.training import losses
from faceswap_cli.training.building import new_model
from faceswap_cli.training.optimizers import COUNTER, slot_names
from faceswap_cli.training.schedule import weighted_loss
from faceswap_cli.types import SIDES

WEIGHT_BYTES = 4
"""Weights, gradients, averages and slots of the optimiser are fp32 at any precision."""
COUNT_UNITS = {"M": 1e6, "k": 1e3}
FLOP_UNITS = {"TFLOP": 1e12, "GFLOP": 1e9}
BYTE_UNITS = {"GiB": 2.0**30, "MiB": 2.0**20}


@dataclass(frozen=True)
class Cost:
    """Of one iteration, and of the model that it trains."""

    parameters: dict[str, int]
    """Of each child network."""
    flops: float
    """Floating point operations of the matrix products and convolutions, two a multiply-add;
    forward and backward, of the whole batch."""
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    average_bytes: int
    """Of the averaged weights; 0 without averaging."""
    activations_bytes: int
    """Kept from the forward to the backward pass of one micro-batch."""

    @property
    def total_bytes(self) -> int:
        """The sum. It leaves some room: gradients only come while activations go.

        Not in it are short-lived tensors, and the layer at work when activations are recomputed.
        """
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.optimizer_bytes
            + self.average_bytes
            + self.activations_bytes
        )


def estimate_cost(config: TrainConfig, device: Device, *, batch_size: int) -> Cost:
    """Return what one iteration costs; nothing is allocated, on any device.

    Args:
        config: Of the training. Its `micro_batch` counts, its `batch_size` does not.
        device: Its precision counts; the CPU stands in for any other.
        batch_size: Faces of each side an iteration.
    """
    micro_batch = min(config.micro_batch or batch_size, batch_size)
    with _own_bands(), FakeTensorMode():
        model = _build_model(config)
        flops, activations_bytes = _measure(
            model, config, Device("cpu", device.precision), micro_batch
        )
    parameters = {
        name: sum(parameter.numel() for parameter in child.parameters())
        for name, child in model.named_children()
    }
    weights_bytes = WEIGHT_BYTES * sum(parameters.values())
    frozen = sum(parameters.get(name, 0) for name in set(config.freeze.split()))
    return Cost(
        parameters=parameters,
        # The batch is a factor of every product: a part of it costs its share.
        flops=flops * batch_size / micro_batch,
        weights_bytes=weights_bytes,
        gradients_bytes=weights_bytes,
        optimizer_bytes=_slots(config) * (weights_bytes - WEIGHT_BYTES * frozen),
        average_bytes=weights_bytes if config.ema_half_life > 0 else 0,
        activations_bytes=activations_bytes,
    )


def _slots(config: TrainConfig) -> int:
    """Return how many numbers the optimiser keeps for each weight."""
    return sum(slot != COUNTER for slot in slot_names(config))


def describe(cost: Cost) -> list[str]:
    """Return the cost as a few lines for people: parameters, arithmetic, memory."""
    size, unit = _unit(total := sum(cost.parameters.values()), COUNT_UNITS)
    children = ", ".join(f"{name} {n / size:.1f}" for name, n in cost.parameters.items())
    lines = [f"parameters: {total / size:.1f} {unit} ({children})"]
    size, unit = _unit(cost.flops, FLOP_UNITS)
    lines.append(f"arithmetic: {cost.flops / size:.1f} {unit} an iteration")
    size, unit = _unit(cost.total_bytes, BYTE_UNITS)
    shares = {
        "weights": cost.weights_bytes,
        "gradients": cost.gradients_bytes,
        "optimiser": cost.optimizer_bytes,
        "average": cost.average_bytes,
        "activations": cost.activations_bytes,
    }
    listed = ", ".join(f"{name} {n / size:.1f}" for name, n in shares.items() if n)
    return [*lines, f"memory: about {cost.total_bytes / size:.1f} {unit} ({listed})"]


def _build_model(config: TrainConfig) -> Autoencoder:
    """Return the model of the settings; layout and values of its weights cost nothing."""
    model = new_model(config)
    if config.recompute:
        model.recompute_activations()
    return model


def _measure(
    model: Autoencoder, config: TrainConfig, device: Device, batch_size: int
) -> tuple[float, int]:
    """Return operations, and bytes of activations, of a forward and backward pass."""
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Views share a storage; weights cost nothing more, but their bf16 copies do.
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    most = 0
    src, dst = (_faces(batch_size, config.resolution) for _ in SIDES)
    counter = FlopCounterMode(display=False)
    with counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        turns = model.losses(src, dst)
        for _ in range(model.turns):
            with device.autocast():
                _, terms = next(turns)
                loss = weighted_loss(terms, config)
            most = max(most, sum(kept.values()))
            loss.backward()
            kept.clear()
    return float(counter.get_total_flops()), most


def _faces(batch_size: int, side: int) -> Faces:
    """Return a batch as the sampler lays it out."""

    def colours() -> Tensor:
        return torch.empty(batch_size, 3, side, side).to(memory_format=torch.channels_last)

    return Faces(
        img=colours(),
        lms=torch.empty(batch_size, 68, 2),
        mask=torch.empty(batch_size, 1, side, side),
        parts=torch.empty(batch_size, 1, side, side),
        warped=colours(),
    )


def _unit(value: float, units: dict[str, float]) -> tuple[float, str]:
    """Return the size and the name of the largest unit that a value reaches, or of the least."""
    name, size = next((u for u in units.items() if value >= u[1]), list(units.items())[-1])
    return size, name


@contextmanager
def _own_bands() -> Iterator[None]:
    """Keep tensors without memory out of what real losses have cached, and the other way."""
    losses._band.cache_clear()
    try:
        yield
    finally:
        losses._band.cache_clear()
