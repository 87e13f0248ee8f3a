"""From settings to a model."""

from inspect import signature

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
    """Return the model that the settings describe, its weights drawn from torch's state.

    A model is given the settings that its constructor names.
    """
    kind = MODELS[config.model]
    return kind(**{name: getattr(config, name) for name in signature(kind).parameters})
