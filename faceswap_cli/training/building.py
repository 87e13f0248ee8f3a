"""From settings to a model."""

import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.models import MODELS, Autoencoder


def build_model(config: TrainConfig, device: Device) -> Autoencoder:
    """Return the model that the settings describe, its weights drawn from the seed."""
    torch.manual_seed(config.seed)
    # Two calls: convolutions are fastest with channels last, on CPUs with AMX and on GPUs.
    return new_model(config).to(memory_format=torch.channels_last).to(device.place)


def new_model(config: TrainConfig) -> Autoencoder:
    """Return the model that the settings describe, its weights drawn from torch's state."""
    return MODELS[config.model](
        resolution=config.resolution,
        ae_dims=config.ae_dims,
        e_dims=config.e_dims,
        d_dims=config.d_dims,
        d_mask_dims=config.d_mask_dims,
        options=config.options,
    )
