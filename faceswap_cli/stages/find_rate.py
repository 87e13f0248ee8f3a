"""Which learning rate suits this model and these faces. Of the model's folder nothing changes."""

import io
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device, keep_freed_memory
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.progress import progress
from faceswap_cli.training.batch_size import with_batch_size
from faceswap_cli.training.checkpoint import TrainState, load_newest
from faceswap_cli.training.data import Sampler, fixed_views
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.pretraining import Places, find_given, find_places, pretraining
from faceswap_cli.training.rate_test import ITERATIONS, RateTest, for_test, sweep
from faceswap_cli.training.step import Stepper
from faceswap_cli.training.stores import Origin, Stores, on_device, open_stores
from faceswap_cli.training.warm_start import warm_start
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import Workspace

INIT_FACES = 32
PICTURE = "rate_test.png"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundRate:
    """What was found out."""

    device: str
    batch_size: int
    from_iteration: int
    """Of the checkpoint it began with; 0: a new model."""
    rate_scale: float
    """What a training that has gone back would take of --learning-rate."""
    test: RateTest
    picture: Path

    @property
    def suggested(self) -> float:
        """What to give to --learning-rate."""
        return float(f"{self.test.suggested / self.rate_scale:.1e}")

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {
            "stage": "train --find-rate",
            "suggested": self.suggested,
            "steepest": self.test.steepest,
            "blows_up": self.test.blows_up,
            "rates": self.test.rates.tolist(),
            # JSON knows no NaN.
            "losses": [x if np.isfinite(x) else None for x in self.test.losses.tolist()],
            "device": self.device,
            "batch_size": self.batch_size,
            "from_iteration": self.from_iteration,
            "picture": str(self.picture),
        }

    def text(self) -> str:
        """Return it as lines for people."""
        test = self.test
        began = f"iteration {self.from_iteration}" if self.from_iteration else "a new model"
        falls = f"at {test.steepest:.1e}" if test.steepest else "nowhere by much"
        rises = f"from {test.blows_up:.1e} on" if test.blows_up else "nowhere"
        return "\n".join(
            [
                f"device: {self.device}",
                f"tried: {test.rates[0]:.1e} to {test.rates[-1]:.1e} in {len(test.rates)} "
                f"iterations from {began}, batch {self.batch_size}",
                f"the loss falls fastest {falls}, rises {rises}",
                f"suggested: --learning-rate {self.suggested:g}",
                f"picture: {self.picture}",
            ]
        )


def find_rate(
    workspace: Workspace, section: TrainConfig, *, iterations: int = ITERATIONS
) -> FoundRate:
    """Train for a moment at ever higher rates, and throw the result away.

    It begins as `train` would: from the newest checkpoint, or as a new model. One device does
    the work of all, a whole batch each iteration.

    Raises:
        DeviceError: The device is missing, or its memory does not hold one face.
        WorkspaceError: Too few faces, or the checkpoint does not fit the settings.
    """
    device = choose_device(section.device, section.precision)
    if device.name == "cpu":
        keep_freed_memory()
    section = pretraining(section) if section.pretrain else section
    places = find_places(workspace, section)
    with only_one(workspace.stages, "train"), ExitStack() as opened:
        section = with_batch_size(section, device, places.model, devices=max(1, section.devices))
        config = for_test(section)
        stores = open_stores(_origins(places), config, opened, {}, update=True)
        state = _begin(workspace, places.model, config, device, stores)
        stores = on_device(stores, config, device, batch=config.batch, facts={})
        first, scale = state.iteration, state.rate_scale
        sampler = Sampler(stores, config, device.place)
        with progress("find rate", total=iterations, unit="it") as bar:

            def seen(rate: float, loss: float) -> None:
                bar.update()
                bar.set_postfix(rate=f"{rate:.1e}", loss=f"{loss:.3f}")

            batches = map(sampler, range(first, first + iterations))
            stepper = Stepper(state, config, device)
            test = sweep(stepper, batches, config, iterations=iterations, seen=seen)
    picture = places.model / PICTURE
    write_atomic(picture, draw_curve(test))
    return FoundRate(str(device), config.batch, first, scale, test, picture)


def _origins(places: Places) -> dict[Side, Origin]:
    fix = "put more aligned faces there: `faceswap-cli extract` makes them"
    return {
        side: Origin(places.pictures[side], places.masks[side], places.cache, fix) for side in SIDES
    }


def _begin(
    workspace: Workspace, folder: Path, config: TrainConfig, device: Device, stores: Stores
) -> TrainState:
    state = TrainState.new(config, device)
    if load_newest(folder, state, config) is not None:
        return state
    if config.init == "faces":
        views = (
            fixed_views(stores[side], INIT_FACES, config.resolution, device.place) for side in SIDES
        )
        fit_to_faces(state.model, *views)
    if config.init_from:
        source = find_given(config.init_from, workspace.root, flag="--init-from")
        _log.info("%s", warm_start(state.model, source, config))
    return state


def draw_curve(test: RateTest) -> bytes:
    """Return a picture of the loss over the rate, PNG."""
    # Not at the top: it takes a second, and only this function needs it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    finite = np.isfinite(test.losses)
    axes.plot(test.rates[finite], test.losses[finite], color="0.8", label="loss of each batch")
    axes.plot(test.rates, test.smooth, color="tab:blue", label="smoothed")
    marks = {"falls fastest": test.steepest, "rises": test.blows_up, "suggested": test.suggested}
    for (name, rate), colour in zip(marks.items(), ("tab:green", "tab:red", "black"), strict=True):
        if rate is not None:
            axes.axvline(rate, color=colour, linestyle="--", label=f"{name}: {rate:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning rate range test")
    low, high = float(np.min(test.losses[finite], initial=test.smooth.min())), test.smooth[0]
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))  # not what is beyond hope
    axes.grid(alpha=0.3)
    axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()
