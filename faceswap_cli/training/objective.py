"""From settings to what a training is after."""

from faceswap_cli.config import TrainConfig
from faceswap_cli.models.objective import TERMS, Objective
from faceswap_cli.training.perceptual import Perceptual

PATCHES_A_SIDE = 8
"""Of a picture, where the settings name no `gan_patch`."""


def objective(config: TrainConfig) -> Objective:
    """Return the objective of the settings; its networks are read from their files.

    Raises:
        ConfigError: The weights of the perceptual network cannot be had.
    """
    terms = frozenset(term for term in TERMS if getattr(config, term) > 0)
    return Objective(
        terms=terms,
        perceive=Perceptual.open(config.perceptual_weights) if "perceptual" in terms else None,
        gan_patch=config.gan_patch or config.resolution // PATCHES_A_SIDE,
        gan_dims=config.gan_dims,
        blur_out_mask=config.blur_out_mask,
        mix_codes=config.mix_codes,
    )
