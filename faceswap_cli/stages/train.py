"""Stage 2: aligned faces -> a trained model."""

import logging
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device, is_out_of_memory, keep_freed_memory
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.models import Autoencoder
from faceswap_cli.progress import be_quiet, is_quiet, progress
from faceswap_cli.ranks import Ranks, in_ranks
from faceswap_cli.settings import section_toml
from faceswap_cli.training.batch_size import with_batch_size
from faceswap_cli.training.building import build_model
from faceswap_cli.training.cache import Cache, refresh
from faceswap_cli.training.checkpoint import (
    TrainState,
    load_newest,
    save_checkpoint,
)
from faceswap_cli.training.compiling import keep_compiled_code
from faceswap_cli.training.cost import estimate_cost
from faceswap_cli.training.data import MIN_FACES, FaceStore, Sampler, fixed_views, hold
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.journal import Journal
from faceswap_cli.training.loop import Look, Watch, deferred_interrupt, run_loop
from faceswap_cli.training.preview import draw_preview
from faceswap_cli.training.schedule import learning_rate
from faceswap_cli.training.step import Stepper
from faceswap_cli.types import SIDES, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

if TYPE_CHECKING:
    from tqdm import tqdm

PREVIEW_FACES = 4
INIT_FACES = 32
FACES_SHARE = 0.4
"""Of the free memory of a GPU: faces that take more stay in the cache and are sent as needed."""
ACTIVATIONS_AND_MORE = 1.5
"""Memory that a step needs, in activations that are kept for its backward pass."""
_log = logging.getLogger(__name__)
Stores = dict[Side, FaceStore]


def run_train(workspace: Workspace, section: TrainConfig) -> StageReport:
    """Train up to `iterations`, from the newest checkpoint if there is one.

    May be killed at any time: it goes on from the last checkpoint to the same weights, to
    the bit (on a CPU, fp32).

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM, with the state saved.
    """
    device = choose_device(section.device, section.precision)
    try:
        report, finished = in_ranks(
            _run, workspace, section, is_quiet(), accelerator=device.name, devices=section.devices
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"out of memory on {device}: {str(error).splitlines()[0]}",
            seen_in=f"resolution {section.resolution}",
            fix="halve --micro-batch, or add d to --options",
        ) from error
    if not finished:
        raise KeyboardInterrupt
    return report


def _run(
    ranks: Ranks, workspace: Workspace, section: TrainConfig, quiet: bool
) -> tuple[StageReport, bool]:
    """Train in one of the processes; return the report and whether it ended by itself."""
    if quiet or not ranks.leads:
        be_quiet()
    # Only the one that writes needs to be alone.
    lock = only_one(workspace.stages, "train") if ranks.leads else nullcontext()
    with lock, ExitStack() as opened:
        index = (ranks.place.index or 0) if ranks.place is not None else 0
        device = choose_device(section.device, section.precision, index=index)
        section = with_batch_size(section, device, workspace.model, devices=ranks.count)
        if ranks.leads:
            together = f", {ranks.count} processes" if ranks.count > 1 else ""
            _log.info("training %s on %s%s", section.model, device, together)
        if device.name == "cpu":
            keep_freed_memory()
        keep_compiled_code(workspace.cache / "compiled")
        report = StageReport("train")
        with ranks.leader_first():
            stores: Stores = {
                side: _open(workspace, side, section, report, opened, update=ranks.leads)
                for side in SIDES
            }
        return report, _train(workspace, section, device, ranks, stores, report)


def _train(
    workspace: Workspace,
    section: TrainConfig,
    device: Device,
    ranks: Ranks,
    stores: Stores,
    report: StageReport,
) -> bool:
    part = ranks.share(section.batch, what="--batch-size")
    previews = _Previewer(stores, section, device)
    state = _begin(workspace, section, device, ranks, stores)
    stepper = Stepper(state, section, device, ranks)
    stores = _on_device(stores, section, device, part.stop - part.start, report)
    sampler = Sampler(stores, section, device.place, part=part)
    report.kept = state.iteration
    if ranks.leads:
        write_atomic(workspace.model / "train.toml", section_toml("train", section).encode())
    with (
        closing(Journal(workspace.model, state.iteration, writes=ranks.leads)) as journal,
        deferred_interrupt(patient=ranks.count > 1) as interrupted,
        progress("train", total=section.iterations, unit="it", initial=state.iteration) as bar,
    ):
        teller = _Teller(state, section, device, journal, previews if ranks.leads else None, bar)
        watch = Watch(
            seen=teller,
            save=lambda: save_checkpoint(workspace.model, state, section, ranks),
            interrupted=interrupted,
        )
        finished = run_loop(stepper, sampler, section, watch, ranks)
    report.done = state.iteration - report.kept
    report.facts |= {
        "iteration": state.iteration,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "device": str(device),
        "devices": ranks.count,
        "batch_size": section.batch,
        "minutes": round(state.elapsed_s / 60.0, 1),
        **teller.facts(),
        "model": str(workspace.model),
    }
    return finished


def _begin(
    workspace: Workspace, section: TrainConfig, device: Device, ranks: Ranks, stores: Stores
) -> TrainState:
    """Return the state of the newest checkpoint, or a new one."""
    state = TrainState.new(section, device, ranks)
    if not load_newest(workspace.model, state, section) and section.init == "faces":
        fit_to_faces(
            state.model,
            *(
                fixed_views(stores[side], INIT_FACES, section.resolution, device.place)
                for side in SIDES
            ),
        )
        if state.average:
            state.begin_average()
    return state


def _open(
    workspace: Workspace,
    side: Side,
    section: TrainConfig,
    report: StageReport,
    opened: ExitStack,
    *,
    update: bool,
) -> FaceStore:
    cache = Cache(
        workspace.cache, side, workspace.aligned(side), workspace.edited_masks(side), section
    )
    if update:
        with progress(f"cache {side}", total=None, unit="face") as bar:
            refresh(cache, bar)
    store, skipped = cache.open()
    opened.callback(store.close)
    if len(store) < MIN_FACES:
        some = f"{len(store)} usable faces of {side}, training needs {MIN_FACES}"
        raise WorkspaceError(
            (some if len(store) else f"no aligned faces of {side}")
            + (f"; {len(skipped)} pictures cannot be used" if skipped else ""),
            seen_in=workspace.aligned(side),
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        )
    report.facts[f"{side} faces"] = len(store)
    if skipped:
        report.facts[f"{side} skipped"] = skipped
        _log.warning("%d pictures of %s left out: %s", len(skipped), side, skipped)
    return store


def _on_device(
    stores: Stores, section: TrainConfig, device: Device, batch: int, report: StageReport
) -> Stores:
    """Return the faces in the memory of a GPU if they fit; a CPU reads them as they come."""
    size = sum(len(store) * store.layout.row_bytes for store in stores.values())
    report.facts["faces_mb"] = round(size / 1e6, 1)
    if device.name == "cpu":
        return stores
    step = estimate_cost(section, device, batch_size=batch).activations_bytes
    free = device.free_bytes()
    fits = size <= min(FACES_SHARE * free, free - ACTIVATIONS_AND_MORE * step)
    _log.info("%.2f GB of faces %s", size / 1e9, "on the GPU" if fits else "are sent as needed")
    return {side: hold(store, device.place) for side, store in stores.items()} if fits else stores


class _Previewer:
    """Draws the same faces each time, with the averaged weights."""

    def __init__(self, stores: Stores, section: TrainConfig, device: Device) -> None:
        self._faces = [
            fixed_views(stores[side], PREVIEW_FACES, section.resolution, device.place)
            for side in SIDES
        ]
        self._section, self._device = section, device
        self._model: Autoencoder | None = None

    def draw(self, state: TrainState) -> RgbImage:
        if self._model is None:
            self._model = build_model(self._section, self._device)
        self._model.load_state_dict(state.weights())
        with self._device.autocast():
            return draw_preview(self._model.eval(), *self._faces)


@dataclass
class _Teller:
    """Called after every iteration: moves the bar, writes the journal, draws the previews."""

    state: TrainState
    section: TrainConfig
    device: Device
    journal: Journal
    previews: _Previewer | None
    """None in a process that only computes."""
    bar: "tqdm[NoReturn]"
    last: Look | None = None

    def __call__(self, iteration: int, look: Look | None) -> None:
        """Tell what there is to tell; `look` is None between two looks at the losses."""
        section = self.section
        self.bar.update()
        if look is not None:
            self.last = look
            told = self._told(look)
            rate = learning_rate(section, iteration)
            self.journal.write(iteration, look.losses | {"rate": rate} | told)
            losses = {k: f"{v:.4f}" for k, v in look.losses.items() if "dssim" in k}
            self.bar.set_postfix(losses | {k: f"{v:.3g}" for k, v in told.items() if k != "it_s"})
        if self.previews and (
            iteration % section.preview_every == 0 or iteration == section.iterations
        ):
            self.journal.show(iteration, self.previews.draw(self.state))

    def facts(self) -> dict[str, float]:
        """Return what the report tells of the speed."""
        return self._told(self.last) if self.last else {}

    def _told(self, look: Look) -> dict[str, float]:
        return {
            "it_s": round(look.it_s, 3),
            "images_s": round(2 * self.section.batch * look.it_s, 1),
            "memory_gib": round(self.device.used_bytes() / 2**30, 2),
            "data_percent": round(100.0 * look.data_share, 2),
        }
