"""The training loop: one page, the same for every model."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.ranks import ALONE, Ranks
from faceswap_cli.training.clock import Clock
from faceswap_cli.training.data import Portion, Sampler
from faceswap_cli.training.guard import Guard, Pulse, TroubleError, cost_of_redrawing
from faceswap_cli.training.signals import Asked
from faceswap_cli.training.step import Stepper

READ_EVERY = 25
"""Iterations between two looks at the losses: each look waits for the device."""

ASK_EVERY_S = 5.0
Wish = Literal["stop", "time", "show"]
_log = logging.getLogger(__name__)


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
    """Whom the loop tells and asks; all but `asked` is called in every process."""

    seen: Callable[[int, Look | None], None]
    """Called after every iteration, now and then with a look."""
    save: Callable[[], object]
    """Called with the state complete, and found to be well."""
    show: Callable[[], object]
    """Called when there is something to see: after each save, and every preview_every."""
    contrast: Callable[[], float]
    """Returns that of drawn faces, as a share of that of the true ones."""
    go_back: Callable[[str], object]
    """Called with what has gone wrong: restores the last checkpoint, or raises."""
    asked: Asked


def run_loop(
    stepper: Stepper,
    samplers: Callable[[int], Sampler],
    config: TrainConfig,
    watch: Watch,
    ranks: Ranks = ALONE,
) -> bool:
    """Train until `iterations`, `hours`, or an interrupt; save at each interval and at the end.

    Where it goes wrong, it goes back to the last checkpoint and on from there.

    Args:
        stepper: With the state, which is changed in place.
        samplers: Returns the batches of any iteration, by how often it has gone back: those
            that have done harm do not come again.
        config: Of the training.
        watch: Whom to tell.
        ranks: Who trains along; they decide together, at each look.

    Returns:
        Whether it ended by itself, and not by an interrupt.

    Raises:
        DivergedError: It has gone wrong too often.
        WorkspaceError: The end cannot be saved.
    """
    run = _Run(stepper, config, watch, ranks)
    while True:
        try:
            return run.go_on(samplers(stepper.state.rollbacks))
        except TroubleError as trouble:
            watch.go_back(str(trouble))
            run.start_over()


class _Run:
    """From one trouble to the next."""

    def __init__(self, stepper: Stepper, config: TrainConfig, watch: Watch, ranks: Ranks) -> None:
        self._stepper, self._config, self._watch, self._ranks = stepper, config, watch, ranks
        self._state = stepper.state
        self._pulse = Pulse(self._state.model, self._state.optimizers, ranks)
        self._guard, self._wishes = Guard(), _Wishes(ranks, watch.asked)
        self.start_over()

    def start_over(self) -> None:
        """Take the state as it is now for saved, and forget what was seen."""
        self._sums, self._losses = _Sums(self._ranks), list[float]()
        self._saved = self._felt = self._state.iteration
        self._pulse.forget()
        self._guard.start_over()

    def go_on(self, sampler: Sampler) -> bool:
        """Train; see run_loop.

        Raises:
            TroubleError: Something has gone wrong; nothing of it was saved.
        """
        state, config, watch = self._state, self._config, self._watch
        self._clock = clock = Clock(sampler.device)
        end = state.iteration if self._time_is_up() else config.iterations
        with closing(sampler.ahead(state.iteration, end)) as portions:
            clock.begin()
            for portion in portions:
                self._step(sampler, portion)
                last = state.iteration == config.iterations
                due = last or state.iteration % config.save_every == 0
                look = self._look() if due or state.iteration % READ_EVERY == 0 else None
                state.elapsed_s += clock.lap_s()
                wish = self._wishes(state.iteration, look, time_is_up=self._time_is_up())
                if wish is not None and look is None:
                    look = self._look()
                watch.seen(state.iteration, look)
                if due or wish is not None:
                    self._save(must=last or wish in ("stop", "time"))
                if due or wish is not None or state.iteration % config.preview_every == 0:
                    watch.show()
                if wish in ("stop", "time"):
                    return wish == "time"
                clock.begin()
        return True

    def _step(self, sampler: Sampler, portion: Portion) -> None:
        src, dst = sampler.assemble(portion)
        self._clock.batch_is_there()
        self._sums.add(self._stepper(src, dst))
        self._clock.end()

    def _look(self) -> Look:
        means, iteration = self._sums.read(), self._state.iteration
        pulse: dict[str, float] = {}
        if iteration - self._felt >= READ_EVERY:  # a few odd batches are no death
            pulse, self._felt = self._pulse.read(), iteration
        self._guard.look(iteration, means, pulse, last=iteration == self._config.iterations)
        self._losses.append(cost_of_redrawing(means))
        return Look(means, *self._clock.read())

    def _save(self, *, must: bool) -> None:
        """Save, unless nothing has changed or something looks wrong.

        Args:
            must: What cannot be saved is an error; else it is tried again at the next interval.
        """
        state = self._state
        if state.iteration == self._saved:
            return
        if self._guard.suspects:
            _log.warning("not saved at iteration %d: it looks as if it goes wrong", state.iteration)
            return
        if self._ranks.agree(not state.is_finite()):
            raise TroubleError(f"weights not finite at iteration {state.iteration}")
        contrast = self._ranks.mean(torch.tensor(self._watch.contrast()))
        self._guard.contrast(state.iteration, float(contrast))
        if self._losses:
            state.loss = sum(self._losses) / len(self._losses)
        try:
            self._watch.save()
        except WorkspaceError as error:
            if must:
                raise
            _log.warning("training goes on, and is saved later: %s", error)
            return
        self._losses.clear()
        self._saved = state.iteration

    def _time_is_up(self) -> bool:
        hours = self._config.hours
        return hours > 0 and self._state.elapsed_s >= hours * 3600.0


class _Wishes:
    """Tells whether to stop now, or to show: several processes can only do so together.

    They ask each other every few seconds: each question waits for the device, and who started
    them does not wait for long.
    """

    def __init__(self, ranks: Ranks, asked: Asked) -> None:
        self._ranks, self._asked, self._every = ranks, asked, 1

    def __call__(self, iteration: int, look: Look | None, *, time_is_up: bool) -> Wish | None:
        """Return what to do, if anything; the same in all processes."""
        wishes = [self._asked.to_stop(), time_is_up, self._asked.to_show()]
        if self._ranks.count > 1:
            if look is not None:
                it_s = float(self._ranks.mean(torch.tensor(look.it_s)))
                self._every = max(1, min(READ_EVERY, round(ASK_EVERY_S * it_s)))
            if iteration % self._every:
                return None
            wishes = (self._ranks.mean(torch.tensor(wishes).float()) > 0.0).tolist()
        names: tuple[Wish, ...] = ("stop", "time", "show")
        wish = next((name for name, wanted in zip(names, wishes, strict=True) if wanted), None)
        if wish == "show":
            self._asked.shown()
        return wish


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
