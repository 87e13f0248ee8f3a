"""The training loop: one page, the same for every model."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device
from faceswap_cli.errors import DivergedError
from faceswap_cli.models import Terms
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.data import Sampler

READ_EVERY = 25
"""Iterations between two looks at the losses: each look waits for the device."""


def train_step(
    state: TrainState, sampler: Sampler, config: TrainConfig, device: Device
) -> dict[str, Tensor]:
    """Take one step; return the mean of each term of the loss, still on the device."""
    src, dst = sampler(state.iteration)
    rate = learning_rate(config, state.iteration)
    log: dict[str, Tensor] = {}
    with device.autocast():
        turns = state.model.losses(src, dst)
        for names, terms in turns:
            stepped = [state.optimizers[name] for name in names.split()]
            weighted_loss(terms, config).backward()
            if config.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_norm)
            for optimizer in stepped:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            log |= {name: value.detach().mean() for name, value in terms.items()}
    state.iteration += 1
    _average(state, config)
    return log


def weighted_loss(terms: Terms, config: TrainConfig) -> Tensor:
    """Return the sum of the terms, each by the weight of its last name: src/dssim -> dssim."""
    weighted = [getattr(config, name.split("/")[-1]) * v.mean() for name, v in terms.items()]
    return torch.stack(weighted).sum()


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """Return the step size: a linear warm-up, then half a cosine down to the final share."""
    if iteration < config.warmup:
        return config.learning_rate * (iteration + 1) / config.warmup
    way = (iteration - config.warmup) / max(1, config.iterations - config.warmup)
    share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, way)))
    return config.learning_rate * (config.final_rate + (1.0 - config.final_rate) * share)


@torch.no_grad()
def _average(state: TrainState, config: TrainConfig) -> None:
    if not state.average:
        return
    # Young averages forget faster: the first weights are noise.
    half_life = min(config.ema_half_life, 0.1 * state.iteration)
    keep = 0.5 ** (1.0 / half_life)
    current = [p.detach() for _, p in state.model.named_parameters()]
    torch._foreach_lerp_(list(state.average.values()), current, 1.0 - keep)


def run_loop(
    state: TrainState,
    sampler: Sampler,
    config: TrainConfig,
    device: Device,
    *,
    seen: Callable[[int, dict[str, float]], None],
    save: Callable[[], object],
    interrupted: Callable[[], bool],
) -> bool:
    """Train until `iterations`, `hours`, or an interrupt; save at each interval and at the end.

    Args:
        state: Changed in place.
        sampler: The batches of an iteration.
        config: Of the training.
        device: Where and how precisely.
        seen: Called after every iteration, now and then with the mean losses since last time.
        save: Called with the state complete.
        interrupted: Asked after every iteration.

    Returns:
        Whether it ended by itself, and not by an interrupt.

    Raises:
        DivergedError: A loss is not finite; the last checkpoint is as it was.
    """
    sums: dict[str, Tensor] = {}
    count, since_save = 0, list[float]()
    saved = state.iteration

    def checkpoint() -> None:
        nonlocal saved
        if state.iteration == saved:
            return
        if since_save:
            state.loss = sum(since_save) / len(since_save)
        since_save.clear()
        save()
        saved = state.iteration

    while state.iteration < config.iterations and not _time_is_up(state, config):
        began = time.monotonic()
        terms = train_step(state, sampler, config, device)
        sums = {name: sums.get(name, 0.0) + value for name, value in terms.items()}
        count += 1
        due = state.iteration % config.save_every == 0
        means: dict[str, float] = {}
        if due or state.iteration % READ_EVERY == 0 or state.iteration == config.iterations:
            means = {name: float(total) / count for name, total in sums.items()}
            sums, count = {}, 0
            _check_finite(means, state.iteration)
            since_save.append(sum(means.values()))
        state.elapsed_s += time.monotonic() - began
        seen(state.iteration, means)
        if due:
            checkpoint()
        if interrupted():
            checkpoint()
            return False
    checkpoint()
    return True


def _time_is_up(state: TrainState, config: TrainConfig) -> bool:
    return config.hours > 0 and state.elapsed_s >= config.hours * 3600.0


def _check_finite(means: dict[str, float], iteration: int) -> None:
    bad = {name: value for name, value in means.items() if not math.isfinite(value)}
    if bad:
        raise DivergedError(
            f"training diverged: {', '.join(bad)} not finite",
            seen_in=f"iteration {iteration}",
            fix="run it again with a lower --learning-rate: it goes on from the last checkpoint",
        )


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question to ask between iterations.

    A second Ctrl-C interrupts at once. Outside the main thread signals are not ours.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
