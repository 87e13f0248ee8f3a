"""Stage 2: aligned faces -> a trained model."""

import logging
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from faceswap_cli.config import TrainConfig
from faceswap_cli.device import Device, choose_device, is_out_of_memory, keep_freed_memory
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.files import only_one, sweep_partials, write_atomic
from faceswap_cli.progress import be_quiet, is_quiet, progress
from faceswap_cli.ranks import Ranks, in_ranks
from faceswap_cli.settings import section_toml
from faceswap_cli.training.batch_size import with_batch_size
from faceswap_cli.training.checkpoint import TrainState, load_newest, save_checkpoint
from faceswap_cli.training.compiling import keep_compiled_code
from faceswap_cli.training.data import Sampler, fixed_views
from faceswap_cli.training.guard import go_back
from faceswap_cli.training.initialise import fit_to_faces
from faceswap_cli.training.journal import Journal
from faceswap_cli.training.loop import Watch, run_loop
from faceswap_cli.training.pretraining import Places, find_given, find_places, pretraining
from faceswap_cli.training.preview import Previewer
from faceswap_cli.training.signals import deferred_signals, no_harm_by_show
from faceswap_cli.training.step import Stepper
from faceswap_cli.training.stores import Origin, Stores, on_device, open_stores
from faceswap_cli.training.telling import Teller
from faceswap_cli.training.warm_start import warm_start
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import StageReport, Workspace

PREVIEW_FACES = 4
INIT_FACES = 32
_log = logging.getLogger(__name__)


def run_train(workspace: Workspace, section: TrainConfig) -> StageReport:
    """Train up to `iterations`, from the newest checkpoint if there is one.

    May be killed at any time: it goes on from the last checkpoint to the same weights, to
    the bit (on a CPU, fp32). SIGUSR1 has it save and draw a preview, and go on.

    Raises:
        DivergedError: It has gone wrong too often; the last good checkpoint is kept.
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
    with lock, no_harm_by_show(), ExitStack() as opened:
        index = (ranks.place.index or 0) if ranks.place is not None else 0
        device = choose_device(section.device, section.precision, index=index)
        places = find_places(workspace, section)
        folder, origins = places.model, _origins(workspace, section, places)
        if section.pretrain:
            section = pretraining(section)
        section = with_batch_size(section, device, folder, devices=ranks.count)
        if ranks.leads:
            sweep_partials(folder)
            together = f", {ranks.count} processes" if ranks.count > 1 else ""
            _log.info("training %s on %s%s", section.model, device, together)
        if device.name == "cpu":
            keep_freed_memory()
        keep_compiled_code(workspace.cache / "compiled")
        report = StageReport("train")
        with ranks.leader_first():
            stores = open_stores(origins, section, opened, report.facts, update=ranks.leads)
        training = _Training(workspace, folder, section, device, ranks)
        return report, training.run(stores, report)


def _origins(workspace: Workspace, section: TrainConfig, places: Places) -> dict[Side, Origin]:
    """Return where the faces of each side come from, and how there come to be more."""
    more = f"faceswap-cli extract {workspace.root} --side"
    fix: dict[Side, str] = {side: f"{more} {side}" for side in SIDES}
    if section.pretrain:
        fix = dict.fromkeys(SIDES, "--pretrain with a folder of faces as extract makes them")
    return {
        side: Origin(places.pictures[side], places.masks[side], places.cache, fix[side])
        for side in SIDES
    }


@dataclass(frozen=True)
class _Training:
    """One training in one process."""

    workspace: Workspace
    folder: Path
    """Of the model."""
    section: TrainConfig
    device: Device
    ranks: Ranks

    def run(self, stores: Stores, report: StageReport) -> bool:
        """Train; tell the report; return whether it ended by itself."""
        section, device, ranks = self.section, self.device, self.ranks
        part = ranks.share(section.batch, what="--batch-size")
        previewer = Previewer(self._views(stores, PREVIEW_FACES), section, device)
        state = self._begin(stores)
        stepper = Stepper(state, section, device, ranks)
        size = part.stop - part.start
        stores = on_device(stores, section, device, batch=size, facts=report.facts)
        report.kept = state.iteration
        if ranks.leads:
            write_atomic(self.folder / "train.toml", section_toml("train", section).encode())
        with (
            closing(Journal(self.folder, state.iteration, writes=ranks.leads)) as journal,
            deferred_signals(patient=ranks.count > 1) as asked,
            progress("train", total=section.iterations, unit="it", initial=state.iteration) as bar,
        ):
            teller = Teller(state, section, device, journal, previewer, bar, leads=ranks.leads)
            watch = Watch(
                seen=teller.seen,
                save=lambda: save_checkpoint(self.folder, state, section, ranks),
                show=teller.show,
                contrast=teller.contrast,
                go_back=lambda why: self._go_back(state, teller, why),
                asked=asked,
            )

            def samplers(salt: int) -> Sampler:
                return Sampler(stores, section, device.place, part=part, salt=salt)

            finished = run_loop(stepper, samplers, section, watch, ranks)
        self._tell(report, state, teller)
        return finished

    def _begin(self, stores: Stores) -> TrainState:
        """Return the state of the newest checkpoint, or a new one, saved as it is."""
        section, ranks = self.section, self.ranks
        state = TrainState.new(section, self.device, ranks)
        changes = load_newest(self.folder, state, section)
        if changes is None:
            self._draw_first_weights(state, stores)
        for change in changes or ():
            if ranks.leads:
                _log.warning("%s", change)
        if changes is not None and section.init_from and ranks.leads:
            _log.info("--init-from plays no part: training goes on from %s", self.folder)
        # Whatever goes wrong from now on, there is a checkpoint of all of it to go back to; and
        # a disk that is full already, is so before hours of training, and not after them.
        if ranks.agree(changes is None or bool(changes)):
            save_checkpoint(self.folder, state, section, ranks)
        return state

    def _draw_first_weights(self, state: TrainState, stores: Stores) -> None:
        section = self.section
        if section.init == "faces":
            fit_to_faces(state.model, *self._views(stores, INIT_FACES))
        if section.init_from:  # what is not taken from there keeps its own first weights
            source = find_given(section.init_from, self.workspace.root, flag="--init-from")
            told = warm_start(state.model, source, section)
            if self.ranks.leads:
                _log.info("%s", told)
        if state.average:
            state.begin_average()

    def _views(self, stores: Stores, count: int) -> tuple[Tensor, Tensor]:
        src, dst = (
            fixed_views(stores[side], count, self.section.resolution, self.device.place)
            for side in SIDES
        )
        return src, dst

    def _go_back(self, state: TrainState, teller: Teller, why: str) -> None:
        """Restore the last checkpoint, and write down that this has happened."""
        section, ranks = self.section, self.ranks
        gone_to = state.iteration
        go_back(state, section, why, lambda: load_newest(self.folder, state, section))
        teller.went_back(why)
        if ranks.leads:
            _log.warning(
                "training went wrong: %s. It goes back from iteration %d to %d, with %g of the"
                " learning rate (%d of %d times)",
                *(why, gone_to, state.iteration, state.rate_scale),
                *(state.rollbacks, section.rollbacks),
            )
        try:
            save_checkpoint(self.folder, state, section, ranks)
        except WorkspaceError as error:
            _log.warning("training goes on, and is saved later: %s", error)

    def _tell(self, report: StageReport, state: TrainState, teller: Teller) -> None:
        report.done = state.iteration - report.kept
        report.facts |= {
            "iteration": state.iteration,
            "parameters": sum(t.numel() for t in state.raw_weights().values()),
            "device": str(self.device),
            "devices": self.ranks.count,
            "batch_size": self.section.batch,
            "minutes": round(state.elapsed_s / 60.0, 1),
            **teller.facts(),
            "model": str(self.folder),
        }
        if self.section.pretrain:
            report.facts["next"] = (
                f"faceswap-cli train {self.workspace.root} --init-from {self.folder}"
            )
