"""The training loop: one page, the same for every model."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import DivergedError
from faceswap_cli.ranks import ALONE, Ranks
from faceswap_cli.training.checkpoint import TrainState
from faceswap_cli.training.clock import Clock
from faceswap_cli.training.data import Sampler
from faceswap_cli.training.step import Stepper

READ_EVERY = 25
"""Iterations between two looks at the losses: each look waits for the device."""

ASK_EVERY_S = 5.0


@dataclass(frozen=True)
class Look:
    """What is seen every READ_EVERY iterations."""

    losses: dict[str, float]
    """Means since the last look, over all processes."""
    it_s: float
    """Iterations a second."""
    data_share: float
    """Of the time: waiting for batches and making them."""


@dataclass
class Watch:
    """Whom the loop tells and asks."""

    seen: Callable[[int, Look | None], None]
    """Called after every iteration, now and then with a look."""
    save: Callable[[], object]
    """Called with the state complete; in every process."""
    interrupted: Callable[[], bool] = lambda: False


def run_loop(
    stepper: Stepper, sampler: Sampler, config: TrainConfig, watch: Watch, ranks: Ranks = ALONE
) -> bool:
    """Train until `iterations`, `hours`, or an interrupt; save at each interval and at the end.

    Args:
        stepper: With the state, which is changed in place.
        sampler: The batches of an iteration.
        config: Of the training.
        watch: Whom to tell.
        ranks: Who trains along; they decide together, at each look.

    Returns:
        Whether it ended by itself, and not by an interrupt.

    Raises:
        DivergedError: A loss is not finite; the last checkpoint is as it was.
    """
    state = stepper.state
    saver = _Saver(state, watch.save)
    sums = _Sums(ranks)
    clock, stops = Clock(sampler.device), _Stops(ranks)
    end = state.iteration if _time_is_up(state, config) else config.iterations
    with closing(sampler.ahead(state.iteration, end)) as portions:
        clock.begin()
        for portion in portions:
            src, dst = sampler.assemble(portion)
            clock.batch_is_there()
            sums.add(stepper(src, dst))
            clock.end()
            due = state.iteration % config.save_every == 0
            at_look = due or state.iteration % READ_EVERY == 0
            look = None
            if at_look or state.iteration == config.iterations:
                means = sums.read()
                _check_finite(means, state.iteration)
                saver.losses.append(sum(means.values()))
                look = Look(means, *clock.read())
            state.elapsed_s += clock.lap_s()
            watch.seen(state.iteration, look)
            if due:
                saver.save()
            stop = stops(state.iteration, look, watch.interrupted(), _time_is_up(state, config))
            if stop is not None:
                saver.save()
                return stop == "time"
            clock.begin()
    saver.save()
    return True


class _Stops:
    """Tells whether to stop now: several processes can only stop together.

    They ask each other every few seconds: each question waits for the device, and who started
    them does not wait for long.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self._every = ranks, 1

    def __call__(
        self, iteration: int, look: Look | None, interrupted: bool, time_is_up: bool
    ) -> Literal["interrupt", "time"] | None:
        """Return why to stop, if so; the same in all processes."""
        if self._ranks.count > 1:
            if look is not None:
                it_s = float(self._ranks.mean(torch.tensor(look.it_s)))
                self._every = max(1, min(READ_EVERY, round(ASK_EVERY_S * it_s)))
            if iteration % self._every:
                return None
            interrupted = self._ranks.agree(interrupted)
            time_is_up = self._ranks.agree(time_is_up)
        if interrupted:
            return "interrupt"
        return "time" if time_is_up else None


class _Saver:
    """Saves the state once an iteration, with the mean loss since the time before."""

    def __init__(self, state: TrainState, write: Callable[[], object]) -> None:
        self._state, self._write, self._saved = state, write, state.iteration
        self.losses: list[float] = []

    def save(self) -> None:
        """Save, unless nothing has changed."""
        if self._state.iteration == self._saved:
            return
        if self.losses:
            self._state.loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self._write()
        self._saved = self._state.iteration


class _Sums:
    """Adds up losses on the device, and reads all of them at once: a read waits for it."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self._count = ranks, 0
        self._sums: dict[str, Tensor] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of an iteration."""
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def read(self) -> dict[str, float]:
        """Return the means since the last time, over all processes."""
        names = list(self._sums)
        means = self._ranks.mean(torch.stack([self._sums[name] for name in names]) / self._count)
        self._sums, self._count = {}, 0
        return dict(zip(names, means.tolist(), strict=True))


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
def deferred_interrupt(*, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question to ask between iterations.

    A second Ctrl-C interrupts at once, unless `patient`: processes that train together get every
    signal twice, from the terminal and from the one that started them. Outside the main thread
    signals are not ours.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and not patient:
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
