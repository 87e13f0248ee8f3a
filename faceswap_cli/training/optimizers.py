"""The optimisers, and the tensors that each keeps for every weight."""

import logging
import zlib
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import ConfigError
from faceswap_cli.models import Model
from faceswap_cli.ranks import Ranks
from faceswap_cli.training.dfl_optimizers import AdaBelief, RMSprop

if TYPE_CHECKING:
    from torch.distributed.optim import ZeroRedundancyOptimizer

KINDS: dict[str, type[Optimizer]] = {"adamw": AdamW, "adabelief": AdaBelief, "rmsprop": RMSprop}
SLOTS: dict[type[Optimizer], tuple[str, ...]] = {
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    AdaBelief: AdaBelief.slots,
    RMSprop: RMSprop.slots,
}
COUNTER = "step"
"""A slot of one number; all others have the shape of their weight."""
DROPOUT_STREAM = 7
"""Keeps the random numbers of lr_dropout apart from those of the pictures."""
_log = logging.getLogger(__name__)


def slot_names(config: TrainConfig) -> tuple[str, ...]:
    """Return the names of what the optimiser of the settings keeps for each weight."""
    return SLOTS[KINDS[config.optimizer]]


def slots(optimizer: Optimizer) -> tuple[str, ...]:
    """Return the names of what an optimiser keeps for each weight."""
    return SLOTS[type(_local(optimizer))]


def learning_children(model: Model, config: TrainConfig) -> list[str]:
    """Return the child networks that learn: those that the model trains, less `freeze`.

    Raises:
        ConfigError: `freeze` names another network, or leaves none that draws.
    """
    drawing = [name for name in model.trained() if name not in model.critics]
    frozen = set(config.freeze.split())
    unknown = sorted(frozen - set(drawing))
    if unknown or frozen.issuperset(drawing):
        raise ConfigError(
            f"train.freeze={config.freeze!r}: "
            + (f"no network {', '.join(unknown)}" if unknown else "none is left to learn"),
            seen_in=f"model {config.model}",
            fix=f"--freeze with some of: {' '.join(drawing)}",
        )
    return [name for name in model.trained() if name not in frozen]


def build_optimizers(model: Model, config: TrainConfig, ranks: Ranks) -> dict[str, Optimizer]:
    """Return an optimiser for each child network that learns; the others stay as they are.

    Raises:
        ConfigError: `freeze` cannot be followed.
    """
    learning = learning_children(model, config)
    for name in model.trained():
        if name not in learning:
            model.get_submodule(name).requires_grad_(False)
            _log.info("%s stays as it is", name)
    return {name: build_optimizer(model.get_submodule(name), config, ranks) for name in learning}


def build_optimizer(network: nn.Module, config: TrainConfig, ranks: Ranks) -> Optimizer:
    """Return the optimiser of a network; with `shard_optimizer` each process keeps a part of it.

    Sharded it is ZeRO's stage 1 (Rajbhandari et al., SC 2020): every process steps the weights
    whose slots it keeps, then sends them to the others.
    """
    kind = KINDS[config.optimizer]
    settings: dict[str, Any] = {"lr": config.learning_rate}
    if kind is AdamW:
        settings |= {"betas": (0.9, 0.99), "weight_decay": config.weight_decay, "fused": True}
    optimizer: Optimizer
    if ranks.count > 1 and config.shard_optimizer:
        # Here: it takes a second to load, and merging, too, comes through this file.
        from torch.distributed.optim import ZeroRedundancyOptimizer

        optimizer = ZeroRedundancyOptimizer(network.parameters(), kind, **settings)
    else:
        optimizer = kind(network.parameters(), **settings)
    _make_slots(_local(optimizer))
    return optimizer


def _local(optimizer: Optimizer) -> Optimizer:
    """Return the one that holds the slots of this process."""
    return optimizer.optim if _is_sharded(optimizer) else optimizer


def _is_sharded(optimizer: Optimizer) -> "TypeGuard[ZeroRedundancyOptimizer]":
    return type(optimizer) not in SLOTS


def _make_slots(optimizer: Optimizer) -> None:
    """Take the memory at the start, not in the middle of the first step."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            optimizer.state[p] = {
                slot: torch.zeros((), dtype=torch.float32, device=p.device)
                if slot == COUNTER
                else torch.zeros_like(p, memory_format=torch.preserve_format)
                for slot in slots(optimizer)
            }


def own_slots(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the slots by name of weight and slot, to be filled; others' are without memory."""
    local = _local(optimizer)
    found: dict[str, Tensor] = {}
    for name, p in network.named_parameters():
        kept = local.state.get(p)
        if kept is None:
            nothing = torch.empty_like(p, device="meta")
            kept = {
                slot: nothing.new_empty(()) if slot == COUNTER else nothing
                for slot in slots(optimizer)
            }
        found |= {f"{name}/{slot}": kept[slot] for slot in slots(optimizer)}
    return found


def gather_slots(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return all slots in the first process, none in others. All processes call it."""
    if _is_sharded(optimizer):
        optimizer.consolidate_state_dict(to=0)
        if optimizer.rank != 0:
            return {}
    saved = optimizer.state_dict()["state"]
    return {
        f"{name}/{slot}": saved[number][slot]
        for number, (name, _) in enumerate(network.named_parameters())
        for slot in slots(optimizer)
    }


@torch.no_grad()
def step_with_dropout(
    optimizer: Optimizer, network: nn.Module, share: float, random: torch.Generator | None
) -> None:
    """Step; a random share of the weights, drawn one by one, stays where it was.

    With any optimiser, and with its slots updated for all weights, as in DeepFaceLab. Every
    process that trains along draws the same, so that their weights stay equal.

    Args:
        optimizer: Of the network.
        network: Its weights have gradients.
        share: 0..1 of the weights that a step leaves out.
        random: Of the device of the weights; not needed for a share of 0.

    Source: Lin et al., "Learning Rate Dropout", arXiv:1912.00144, 2019.
    """
    if share <= 0.0:
        optimizer.step()
        return
    before = [p.detach().clone() for p in network.parameters()]
    optimizer.step()
    for p, old in zip(network.parameters(), before, strict=True):
        left_out = torch.empty_like(old, dtype=torch.bool).bernoulli_(share, generator=random)
        p.copy_(torch.where(left_out, old, p))


def dropout_generator(
    seed: int, iteration: int, turn: int, child: str, device: torch.device
) -> torch.Generator:
    """Return a generator on the device that depends on these numbers and this name alone."""
    entropy = (seed, iteration, turn, zlib.crc32(child.encode()), DROPOUT_STREAM)
    mixed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))
