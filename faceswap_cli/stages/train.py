"""Stage 2: aligned faces -> a trained model."""

import logging
import time
from dataclasses import dataclass

import torch

from faceswap_cli.config import TrainConfig, section_toml
from faceswap_cli.device import Device, choose_device
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.models import Autoencoder
from faceswap_cli.progress import progress
from faceswap_cli.training.checkpoint import (
    TrainState,
    build_model,
    load_newest,
    save_checkpoint,
)
from faceswap_cli.training.data import FaceStore, build_sampler, fixed_views, load_store
from faceswap_cli.training.journal import Journal
from faceswap_cli.training.loop import deferred_interrupt, learning_rate, run_loop
from faceswap_cli.training.preview import draw_preview
from faceswap_cli.types import SIDES, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

PREVIEW_FACES = 4
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
    state = TrainState.new(section, device)
    load_newest(workspace.model, state, section)
    report.kept = state.iteration
    write_atomic(workspace.model / "train.toml", section_toml("train", section).encode())
    journal = Journal(workspace.model, from_iteration=state.iteration)
    previewer = _Previewer(stores, section, device)
    with (
        deferred_interrupt() as interrupted,
        progress("train", total=section.iterations, unit="it", initial=state.iteration) as bar,
    ):
        clock = _Clock(state.iteration)

        def seen(iteration: int, means: dict[str, float]) -> None:
            bar.update()
            if means:
                rate = learning_rate(section, iteration)
                journal.write(iteration, {**means, "rate": rate, "it_s": clock.rate(iteration)})
                bar.set_postfix({k: f"{v:.4f}" for k, v in means.items() if "dssim" in k})
            if iteration % section.preview_every == 0 or iteration == section.iterations:
                journal.show(iteration, previewer.draw(state))

        def save() -> None:
            save_checkpoint(workspace.model, state, section)

        try:
            finished = run_loop(
                state,
                build_sampler(stores, section, device.place),
                section,
                device,
                seen=seen,
                save=save,
                interrupted=interrupted,
            )
        finally:
            journal.close()
    report.done = state.iteration - report.kept
    report.facts |= {
        "iteration": state.iteration,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "device": str(device),
        "minutes": round(state.elapsed_s / 60.0, 1),
        "model": str(workspace.model),
    }
    return finished


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


@dataclass
class _Clock:
    """Iterations a second since it was last asked."""

    iteration: int
    at: float = 0.0

    def rate(self, iteration: int) -> float:
        now = time.monotonic()
        done, passed = iteration - self.iteration, now - self.at
        first = self.at == 0.0
        self.iteration, self.at = iteration, now
        return 0.0 if first else round(done / max(passed, 1e-9), 3)


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
