"""The optimisers, and the tensors that each keeps for every weight."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import AdamW, Optimizer

from faceswap_cli.config import TrainConfig
from faceswap_cli.ranks import Ranks

SLOTS = ("step", "exp_avg", "exp_avg_sq")


def build_optimizer(network: nn.Module, config: TrainConfig, ranks: Ranks) -> Optimizer:
    """Return the optimiser of a network; with `shard_optimizer` each process keeps a part of it.

    Sharded it is ZeRO's stage 1 (Rajbhandari et al., SC 2020): every process steps the weights
    whose slots it keeps, then sends them to the others.
    """
    settings: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (0.9, 0.99),
        "weight_decay": 0.0,
        "fused": True,
    }
    if ranks.count > 1 and config.shard_optimizer:
        sharded = ZeroRedundancyOptimizer(network.parameters(), AdamW, **settings)
        _make_slots(sharded.optim)
        return sharded
    optimizer = AdamW(network.parameters(), **settings)
    _make_slots(optimizer)
    return optimizer


def _make_slots(optimizer: Optimizer) -> None:
    """Take the memory at the start, not in the middle of the first step."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            optimizer.state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=p.device),
                "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
            }


def own_slots(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the slots by name of weight and slot, to be filled; others' are without memory."""
    local = optimizer.optim if isinstance(optimizer, ZeroRedundancyOptimizer) else optimizer
    found: dict[str, Tensor] = {}
    for name, p in network.named_parameters():
        slots = local.state.get(p)
        if slots is None:
            nothing = torch.empty_like(p, device="meta")
            slots = {"step": nothing.new_empty(()), "exp_avg": nothing, "exp_avg_sq": nothing}
        found |= {f"{name}/{slot}": slots[slot] for slot in SLOTS}
    return found


def gather_slots(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return all slots in the first process, none in others. All processes call it."""
    if isinstance(optimizer, ZeroRedundancyOptimizer):
        optimizer.consolidate_state_dict(to=0)
        if optimizer.rank != 0:
            return {}
    saved = optimizer.state_dict()["state"]
    names = [name for name, _ in network.named_parameters()]
    return {
        f"{name}/{slot}": saved[number][slot] for number, name in enumerate(names) for slot in SLOTS
    }
