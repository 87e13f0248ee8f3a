"""Stage 2: aligned faces -> a trained model."""

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.models import Autoencoder
from faceswap_cli.progress import progress
from faceswap_cli.settings import section_toml
from faceswap_cli.training.checkpoint import (
    TrainState,
    build_model,
    load_newest,
    save_checkpoint,
)
from faceswap_cli.training.data import FaceStore, build_sampler, fixed_views, load_store
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.journal import Journal
from faceswap_cli.training.loop import deferred_interrupt, learning_rate, run_loop
from faceswap_cli.training.preview import draw_preview
from faceswap_cli.types import SIDES, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from tqdm import tqdm

PREVIEW_FACES = 4
INIT_FACES = 32
_log = logging.getLogger(__name__)


def run_train(workspace: Workspace, section: TrainConfig) -> StageReport:
    """Train up to `iterations`, from the newest checkpoint if there is one.

    May be killed at any time: it goes on from the last checkpoint to the same weights, to
    the bit (on a CPU, fp32).

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM, with the state saved.
    """
    report = StageReport("train")
    with only_one(workspace.stages, "train"):
        device = choose_device(section.device, section.precision)
        _log.info("training %s on %s", section.model, device)
        try:
            finished = _train(workspace, section, device, report)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"out of memory on {device}: {str(error).splitlines()[0]}",
                seen_in=f"batch_size {section.batch_size}, resolution {section.resolution}",
                fix="halve --batch-size, or add d to --options",
            ) from error
    if not finished:
        raise KeyboardInterrupt
    return report


def _train(workspace: Workspace, section: TrainConfig, device: Device, report: StageReport) -> bool:
    stores = {side: _open(workspace, side, section, device, report) for side in SIDES}
    state = _begin(workspace, section, device, stores)
    report.kept = state.iteration
    write_atomic(workspace.model / "train.toml", section_toml("train", section).encode())
    with (
        closing(Journal(workspace.model, from_iteration=state.iteration)) as journal,
        deferred_interrupt() as interrupted,
        progress("train", total=section.iterations, unit="it", initial=state.iteration) as bar,
    ):
        finished = run_loop(
            state,
            build_sampler(stores, section, device.place),
            section,
            device,
            seen=_Watcher(state, section, journal, _Previewer(stores, section, device), bar),
            save=lambda: save_checkpoint(workspace.model, state, section),
            interrupted=interrupted,
        )
    report.done = state.iteration - report.kept
    report.facts |= {
        "iteration": state.iteration,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "device": str(device),
        "minutes": round(state.elapsed_s / 60.0, 1),
        "model": str(workspace.model),
    }
    return finished


def _begin(
    workspace: Workspace, section: TrainConfig, device: Device, stores: dict[Side, FaceStore]
) -> TrainState:
    """Return the state of the newest checkpoint, or a new one."""
    state = TrainState.new(section, device)
    if not load_newest(workspace.model, state, section) and section.init == "faces":
        fit_to_faces(
            state.model,
            *(fixed_views(stores[side], INIT_FACES, section.resolution) for side in SIDES),
        )
        if state.average:
            state.begin_average()
    return state


def _open(
    workspace: Workspace, side: Side, section: TrainConfig, device: Device, report: StageReport
) -> FaceStore:
    faceset = open_faceset(workspace.aligned(side))
    if not faceset.faces:
        raise WorkspaceError(
            f"no aligned faces of {side}"
            + (f", {len(faceset.skipped)} pictures cannot be used" if faceset.skipped else ""),
            seen_in=workspace.aligned(side),
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        )
    store, skipped = load_store(
        faceset.faces, section, masks=workspace.edited_masks(side), device=device.place
    )
    skipped |= faceset.skipped
    report.facts[f"{side} faces"] = len(store)
    if skipped:
        report.facts[f"{side} skipped"] = skipped
        _log.warning("%d pictures of %s left out: %s", len(skipped), side, skipped)
    return store


class _Previewer:
    """Draws the same faces each time, with the averaged weights."""

    def __init__(self, stores: dict[Side, FaceStore], section: TrainConfig, device: Device) -> None:
        self._faces = [
            fixed_views(stores[side], PREVIEW_FACES, section.resolution) for side in SIDES
        ]
        self._section, self._device = section, device
        self._model: Autoencoder | None = None

    def draw(self, state: TrainState) -> RgbImage:
        if self._model is None:
            self._model = build_model(self._section, self._device)
        weights = state.average or dict(state.model.named_parameters())
        self._model.load_state_dict(weights)
        with self._device.autocast():
            return draw_preview(self._model.eval(), *self._faces)


@dataclass
class _Watcher:
    """Called after every iteration: moves the bar, writes the journal, draws the previews."""

    state: TrainState
    section: TrainConfig
    journal: Journal
    previewer: _Previewer
    bar: "tqdm[NoReturn]"
    looked: tuple[int, float] | None = None
    """Iteration and time of the last look."""

    def __call__(self, iteration: int, means: dict[str, float]) -> None:
        """Tell what there is to tell; `means` is empty between two looks at the losses."""
        section = self.section
        self.bar.update()
        if means:
            extra = {"rate": learning_rate(section, iteration), "it_s": self._speed(iteration)}
            self.journal.write(iteration, means | extra)
            self.bar.set_postfix({k: f"{v:.4f}" for k, v in means.items() if "dssim" in k})
        if iteration % section.preview_every == 0 or iteration == section.iterations:
            self.journal.show(iteration, self.previewer.draw(self.state))

    def _speed(self, iteration: int) -> float:
        """Return the iterations a second since the last look; 0 at the first."""
        now, before = time.monotonic(), self.looked
        self.looked = (iteration, now)
        if before is None:
            return 0.0
        return round((iteration - before[0]) / max(now - before[1], 1e-9), 3)
