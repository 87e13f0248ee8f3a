"""The training of the mask network: one page."""

import math
import time
from collections.abc import Callable
from contextlib import closing

import torch

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import DivergedError
from faceswap_cli.segmenting.batches import Batch, Batches
from faceswap_cli.segmenting.eyes import Eyes
from faceswap_cli.segmenting.loss import believed, mask_loss
from faceswap_cli.segmenting.state import MaskState
from faceswap_cli.training.signals import Asked

WARMUP = 50
"""Iterations in which the step size grows."""
FINAL_RATE = 0.01
"""Of the highest rate, at the end."""
LOOK_EVERY = 25
"""Iterations between two looks at the loss."""
CLIP = 5.0
"""Longest gradient."""


def learning_rate(section: MaskConfig, iteration: int) -> float:
    """Return the step size: a linear warm-up, then half a cosine."""
    warmup = min(WARMUP, max(1, section.iterations // 10))
    if iteration < warmup:
        return section.learning_rate * (iteration + 1) / warmup
    way = (iteration - warmup) / max(1, section.iterations - warmup)
    share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, way)))
    return section.learning_rate * (FINAL_RATE + (1.0 - FINAL_RATE) * share)


def learn(
    state: MaskState,
    batches: Batches,
    section: MaskConfig,
    device: Device,
    eyes: Eyes,
    *,
    save: Callable[[], object],
    seen: Callable[[], object],
    asked: Asked,
) -> bool:
    """Train until `iterations`, or until asked to stop; save at each interval and at the end.

    Args:
        state: Changed in place.
        batches: Of any iteration.
        section: Of the training.
        device: Where the network is.
        eyes: On the same device.
        save: Called with the state complete.
        seen: Called after every iteration.
        asked: Whether to stop.

    Returns:
        Whether it came to its end.

    Raises:
        DivergedError: A weight is not finite; nothing of it was saved.
    """
    sums: list[torch.Tensor] = []
    state.net.train()
    with closing(batches.ahead(state.iteration, section.iterations)) as portions:
        for batch in portions:
            started = time.perf_counter()
            sums.append(_step(state, batch, section, device, eyes))
            state.elapsed_s += time.perf_counter() - started
            last, stop = state.iteration == section.iterations, asked.to_stop()
            if last or stop or state.iteration % LOOK_EVERY == 0:
                state.loss = float(torch.stack(sums).mean())
                sums.clear()
            seen()
            if last or stop or state.iteration % section.save_every == 0:
                _check(state)
                save()
            if stop:
                return last
    return True


def _step(
    state: MaskState, batch: Batch, section: MaskConfig, device: Device, eyes: Eyes
) -> torch.Tensor:
    place = device.place
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(section, state.iteration)
    with device.autocast():
        image = batch.image.to(place)
        logits = state.net(image, eyes(image)).float()
    progress = state.iteration / section.iterations
    weight, label = batch.weight.to(place), batch.label.to(place)
    weight = believed(logits, weight, batch.hull_only.to(place), progress=progress)
    loss = mask_loss(logits, label, weight)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), CLIP)
    state.optimizer.step()
    state.iteration += 1
    state.move_average()
    return loss.detach()


def _check(state: MaskState) -> None:
    if not state.is_finite():
        raise DivergedError(
            f"the mask network is not finite at iteration {state.iteration}",
            fix="run it again with a lower --learning-rate; it goes on from the last checkpoint",
        )
