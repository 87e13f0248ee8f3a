"""What changes over a training: the step size; and how its terms are weighed."""

import math

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.models import Terms


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """Return the step size: a linear warm-up, then half a cosine down to the final share."""
    if iteration < config.warmup:
        return config.learning_rate * (iteration + 1) / config.warmup
    way = (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, way)))
    return config.learning_rate * (config.final_rate + (1.0 - config.final_rate) * share)


def weighted_loss(terms: Terms, config: TrainConfig) -> Tensor:
    """Return the sum of the terms, each by the weight of its last name: src/dssim -> dssim."""
    weighted = [getattr(config, name.split("/")[-1]) * v.mean() for name, v in terms.items()]
    return torch.stack(weighted).sum()
