"""How many faces an iteration shows when the user leaves it to us."""

import logging
from pathlib import Path

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.training.checkpoint import checkpoints, read_about
from faceswap_cli.training.cost import estimate_cost

ON_A_CPU = 8
MOST = 64
"""More teaches hardly more an iteration, and keeps a GPU no busier."""
SHARE = 0.8
"""Of the free memory: the rest is for what is short-lived, and for faces kept there."""
_log = logging.getLogger(__name__)


def with_batch_size(
    config: TrainConfig, device: Device, model: Path, *, devices: int
) -> TrainConfig:
    """Return the settings with batch_size as a number.

    `auto` takes that of the checkpoint, so that a training goes on as it began; else the most
    that is estimated to fit a GPU, a multiple of two for each device; else 8.
    """
    if config.batch_size != "auto":
        return config
    size = _begun_with(model) or devices * _what_fits(config, device)
    _log.info("batch_size auto: %d faces of each side", size)
    return config.model_copy(update={"batch_size": size})


def _begun_with(model: Path) -> int:
    found = checkpoints(model)
    size = read_about(found[-1])["train"].get("batch_size") if found else 0
    return size if isinstance(size, int) else 0


def _what_fits(config: TrainConfig, device: Device) -> int:
    if device.name == "cpu":
        return ON_A_CPU
    two, four = (estimate_cost(config, device, batch_size=size) for size in (2, 4))
    each = max(1, (four.activations_bytes - two.activations_bytes) // 2)
    left = SHARE * device.free_bytes() - two.total_bytes
    return min(MOST, max(2, 2 + 2 * int(left // (2 * each))))
