"""The training of the mask network, on faces with labels and on faces without."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faceswap_cli.config import MaskConfig
from faceswap_cli.device import Device, choose_device, keep_freed_memory
from faceswap_cli.errors import FaceswapError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, picture_paths, read_record
from faceswap_cli.files import only_one, sweep_partials
from faceswap_cli.imaging import write_image
from faceswap_cli.progress import progress
from faceswap_cli.segmenting.batches import Batches
from faceswap_cli.segmenting.cutting import Canvas, cut_canvas
from faceswap_cli.segmenting.eyes import Eyes
from faceswap_cli.segmenting.guess import guess_labels
from faceswap_cli.segmenting.inference import segmenter_of
from faceswap_cli.segmenting.labels import drawing_path, find_label
from faceswap_cli.segmenting.learning import learn
from faceswap_cli.segmenting.network import MaskNet
from faceswap_cli.segmenting.showing import draw_page
from faceswap_cli.segmenting.state import MaskState, load_state, save_state
from faceswap_cli.training.signals import deferred_signals
from faceswap_cli.types import SIDES, GreyImage, Side
from faceswap_cli.workspace import StageReport, Workspace

MIN_FACES = 2
SHOWN = 8
"""Faces of the preview."""
PREVIEW = "preview.png"
_log = logging.getLogger(__name__)


@dataclass
class _Found:
    """The faces that are learnt from."""

    canvases: list[Canvas] = field(default_factory=list)
    labelled: int = 0
    free: int = 0
    """Of those without a label: that seem to have nothing before them."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by picture or label that cannot be used."""


def run_mask_train(workspace: Workspace, section: MaskConfig) -> StageReport:
    """Train the mask network, or go on training it; stopped or killed it goes on where it was.

    Raises:
        WorkspaceError: Too few faces, or the checkpoint does not fit the settings.
        DivergedError: The weights are not finite; nothing of that was saved.
        DeviceError: CUDA was asked for and is not there.
    """
    device = choose_device(section.device)
    if device.name == "cpu":
        keep_freed_memory()
    eyes = Eyes(device.place)
    folder, report = workspace.mask_model, StageReport("mask train")
    with only_one(workspace.stages, "mask_train"):
        sweep_partials(folder)
        state = MaskState.new(section, device)
        load_state(folder, state, section, eyes)
        report.kept = state.iteration
        if state.iteration < section.iterations:
            found = find_faces(workspace, section)
            report.failed |= found.skipped
            report.facts |= {
                "labelled": found.labelled,
                "without a label": len(found.canvases) - found.labelled,
                "of these free of hands": found.free,
            }
            _learn(folder, state, found.canvases, section, device, eyes)
    report.done = state.iteration - report.kept
    report.facts |= {
        "iteration": state.iteration,
        "parameters": sum(p.numel() for p in state.net.parameters()),
        "device": str(device),
        "minutes": round(state.elapsed_s / 60.0, 1),
        "model": str(folder),
    }
    return report


def _learn(
    folder: Path,
    state: MaskState,
    canvases: list[Canvas],
    section: MaskConfig,
    device: Device,
    eyes: Eyes,
) -> None:
    """Train to the end, or until interrupted, with the state saved."""
    batches = Batches(
        canvases,
        resolution=section.resolution,
        batch=section.batch_size,
        occluders=section.occluders,
        seed=section.seed,
    )
    total, first = section.iterations, state.iteration
    with (
        deferred_signals() as asked,
        progress("mask train", total=total, unit="it", initial=first) as bar,
    ):

        def seen() -> None:
            bar.update()
            bar.set_postfix(loss=f"{state.loss:.3f}")

        def save() -> None:
            save_state(folder, state, section, eyes)
            _show(folder, state, canvases, section, device, eyes)

        ended = learn(state, batches, section, device, eyes, save=save, seen=seen, asked=asked)
    if not ended:
        raise KeyboardInterrupt


def find_faces(workspace: Workspace, section: MaskConfig) -> _Found:
    """Return all faces that a person labelled, and some that nobody did, spread over each side.

    Raises:
        WorkspaceError: Too few.
    """
    found = _Found()
    sides = SIDES if section.side == "both" else (section.side,)
    for side in sides:
        _add_side(workspace, side, section, found)
    if len(found.canvases) < MIN_FACES:
        raise WorkspaceError(
            f"{len(found.canvases)} faces to learn masks from, {MIN_FACES} are needed",
            seen_in=", ".join(str(workspace.aligned(side)) for side in sides),
            fix=f"faceswap-cli extract {workspace.root}",
        )
    return found


def _add_side(workspace: Workspace, side: Side, section: MaskConfig, found: _Found) -> None:
    masks = workspace.edited_masks(side)
    labelled: dict[Path, Path] = {}
    plain: list[Path] = []
    for picture in picture_paths(workspace.aligned(side)):
        mask = masks / f"{picture.stem}.png"
        if mask.is_file() or drawing_path(picture).is_file():
            labelled[picture] = mask
        else:
            plain.append(picture)
    drawn: list[Canvas] = []
    with progress(f"faces of {side}", total=None, unit="face") as bar:
        for picture, mask in labelled.items():
            canvas = _cut(picture, mask, section, found)
            if canvas is not None and canvas.drawn:
                drawn.append(canvas)
            else:
                plain.append(picture)  # a mask that this program made teaches nothing
            bar.update()
        bare: list[Canvas] = []
        for picture in _spread(sorted(plain), section.plain_faces):
            canvas = _cut(picture, None, section, found)
            bare += [canvas] if canvas is not None else []
            bar.update()
        guessed = guess_labels(bare)
    found.canvases += [*drawn, *guessed]
    found.labelled += len(drawn)
    found.free += sum(face.trust > 0.5 for face in guessed)


def _cut(picture: Path, mask: Path | None, section: MaskConfig, found: _Found) -> Canvas | None:
    try:
        face = AlignedFace(picture, read_record(picture))
        label: GreyImage | None = None
        if mask is not None:
            label = find_label(picture, mask, face.record.size_px)
        return cut_canvas(face, label, face_type=section.face_type, resolution=section.resolution)
    except (FaceswapError, OSError) as error:
        found.skipped[picture.name] = getattr(error, "what", str(error))
        return None


def _spread(paths: list[Path], count: int) -> list[Path]:
    """Return at most so many, evenly over all."""
    if len(paths) <= count:
        return paths
    return [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]


def _show(
    folder: Path,
    state: MaskState,
    canvases: list[Canvas],
    section: MaskConfig,
    device: Device,
    eyes: Eyes,
) -> None:
    """Draw some faces with what is to be learnt and what has been; it is not worth stopping for."""
    net = MaskNet(section.width).to(device.place)
    net.load_state_dict(state.average)
    segmenter = segmenter_of(net, eyes, device, section, iteration=state.iteration)
    shown = canvases[:: max(1, len(canvases) // SHOWN)][:SHOWN]
    try:
        write_image(folder / PREVIEW, draw_page(segmenter, shown))
    except WorkspaceError as error:
        _log.warning("training goes on without a preview: %s", error)
