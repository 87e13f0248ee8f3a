"""What changes over a training: the step size; and how its terms are weighed."""

import math

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.models import Terms

FIXED_WEIGHTS = {"gan_critic": 1.0, "code_critic": 1.0, "gan_around": 0.02, "gan_noise": 1e-6}
"""Of the terms that are no setting: what critics learn, and what keeps `gan` from noise."""


def learning_rate(config: TrainConfig, iteration: int, *, scale: float = 1.0) -> float:
    """Return the step size: a linear warm-up, then what `schedule` says.

    cosine: half a wave down to the final share; constant; cycles: whole waves down to 0, as
    DeepFaceLab's with its dropout of updates (there of 500 iterations, without a warm-up).

    Args:
        config: Of the training.
        iteration: From 0.
        scale: Of the whole schedule, after a training has gone wrong.
    """
    peak, since = scale * config.learning_rate, iteration - config.warmup
    if since < 0:
        return peak * (iteration + 1) / config.warmup
    if config.schedule == "constant":
        return peak
    if config.schedule == "cycles":
        return peak * 0.5 * (1.0 + math.cos(2.0 * math.pi * since / config.cycle))
    way = since / max(1, config.iterations - config.warmup)
    share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, way)))
    return peak * (config.final_rate + (1.0 - config.final_rate) * share)


def weighted_loss(terms: Terms, config: TrainConfig, iteration: int | None = None) -> Tensor:
    """Return the sum of the terms, each by the weight of its last name: src/dssim -> dssim.

    Args:
        terms: See Model.losses.
        config: With the weights.
        iteration: Some terms count only later; None: as they do at the end.
    """
    weighted = [
        _weight(name.split("/")[-1], config, iteration) * v.mean() for name, v in terms.items()
    ]
    return torch.stack(weighted).sum()


def _weight(term: str, config: TrainConfig, iteration: int | None) -> float:
    late = iteration is None or iteration >= config.texture_from * config.iterations
    if term == "texture" and not late:
        return 0.0  # detail of faces that are not yet there would be noise
    return FIXED_WEIGHTS[term] if term in FIXED_WEIGHTS else float(getattr(config, term))
