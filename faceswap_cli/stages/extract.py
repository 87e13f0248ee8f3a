"""Stage 1: frames -> aligned faces.

Twice through the footage. The first time every frame is looked at, and what is seen is kept in
stages/; then the whole is understood: cuts, tracks, faces that were lost, people. The second
time the faces are cut out, with landmarks that do not tremble.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.detect import build_detector, build_landmarker
from faceswap_cli.detect.appearance import build_appearance
from faceswap_cli.device import choose_device, shared_cores
from faceswap_cli.errors import DeviceError
from faceswap_cli.extracting.choose import choose_people
from faceswap_cli.extracting.cut import Cutter, Wanted
from faceswap_cli.extracting.describe import Describer
from faceswap_cli.extracting.look import Engines, Sieve, look
from faceswap_cli.extracting.manual import ManualFaces, read_manual
from faceswap_cli.extracting.people import list_people
from faceswap_cli.extracting.press import CpuPress, CudaPress, Press
from faceswap_cli.extracting.steady import SteadyFaces
from faceswap_cli.extracting.tell import refuse_nobody, tell_side
from faceswap_cli.extracting.understand import Clip, understand
from faceswap_cli.faces.sighting_store import SightingStore
from faceswap_cli.files import (
    Manifest,
    expand_user,
    fingerprint,
    only_one,
    read_manifest,
    sweep_partials,
)
from faceswap_cli.media.source import Source, open_clips
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.progress import progress
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import StageReport, Workspace

LOOKS = {"landmarker", "min_score", "min_face_px", "every", "recognizer", "manual"}
"""Settings that decide what is seen; the others decide what is made of it."""
STRIDE = 4
"""The detector sees every fourth frame of a film, and all where faces come, go or leap."""
NOT_THE_RESULT = {"side", "overlay", "batch_frames", "device"}
"""Settings that do not change what the crops look like."""


@dataclass(frozen=True)
class _Side:
    """One side being extracted."""

    name: Side
    workspace: Workspace
    section: ExtractConfig
    inputs: InputConfig
    engines: Engines
    report: StageReport


def run_extract(
    workspace: Workspace,
    section: ExtractConfig,
    inputs: InputConfig,
    *,
    redo: bool = False,
    engines: Engines | None = None,
) -> list[StageReport]:
    """Find, align and save the faces of every frame that is not done yet, side by side.

    May be killed at any time: what was seen is kept frame by frame; a frame is cut when its
    line is in the manifest, and the line comes after the crops. A picture that a person
    deleted stays away.

    Args:
        workspace: With footage for the chosen sides.
        section: How.
        inputs: Which span of each side, and which frames not.
        redo: Begin anew; the faces there are moved to aligned_1/, aligned_2/ ... What was
            seen is kept if only settings have changed that do not touch it.
        engines: By default those that `section` names.

    Raises:
        WorkspaceError: No footage, no face, other settings, nobody like the picture, ...
        ConfigError: The recogniser or the landmarker cannot be used.
        MediaError: The footage cannot be read.
        DeviceError: The device is missing, or out of memory.
    """
    sides = [side for side in SIDES if section.side in (side, "both")]
    with only_one(workspace.stages, "extract"):
        sources = {side: open_clips(workspace, side, inputs) for side in sides}
        engines = engines or _build(section)
        reports = []
        for side in sides:
            run = _Side(side, workspace, section, inputs, engines, StageReport(f"extract {side}"))
            try:
                with shared_cores(choose_device(section.device)):
                    _extract(run, sources[side], redo=redo)
            except torch.OutOfMemoryError as error:
                raise DeviceError(
                    f"out of memory on {section.device}",
                    fix="lower --batch-frames, or use --device cpu",
                ) from error
            reports.append(run.report)
        return reports


def _build(section: ExtractConfig) -> Engines:
    device = choose_device(section.device).name
    return Engines(
        build_detector(device=device, min_score=section.min_score),
        build_landmarker(section.landmarker, device=device),
        build_appearance(section.recognizer, device=device),
    )


def _press(section: ExtractConfig) -> Press:
    """Return what cuts and encodes: the GPU if there is one, which makes no PNG."""
    device = choose_device(section.device)
    if device.name == "cuda" and section.format == "jpg":
        return CudaPress(device.place, section.jpeg_quality)
    return CpuPress(f".{section.format}", section.jpeg_quality)


def _extract(run: _Side, sources: Sequence[tuple[str, Source]], *, redo: bool) -> None:
    is_same_again = redo and _was_made_so(run, sources)
    # Other settings are refused before anything is looked at; what is there is moved aside
    # only when it is known what comes instead.
    manifests = [] if redo else _open_manifests(run, sources, redo=False)
    sweep_partials(run.workspace.aligned(run.name), run.workspace.overlays(run.name))
    manual = read_manual(run.section.manual, sources)
    clips: list[Clip] = []
    try:
        for name, source in sources:
            clips.append(Clip(name, source, _open_store(run, name, source), run.section.every))
            if is_same_again:
                clips[-1].store.clear()
            _look(run, clips[-1], manual.get(name, {}))
        understand(
            clips,
            run.engines.landmarker,
            max_gap=run.section.repair,
            alike=run.engines.appearance.alike,
            token=fingerprint(repair=run.section.repair, engines=run.engines.names),
        )
        people = list_people(clips, run.workspace.people(run.name))
        refuse_nobody(run.name, clips, people)
        wanted = choose_people(run.section, people, run.engines)
        manifests = manifests or _open_manifests(run, sources, redo=True)
        for clip, manifest in zip(clips, manifests, strict=True):
            _cut(run, clip, manifest, wanted)
        tell_side(run.report, clips, manifests, people, run.section)
    finally:
        for clip in clips:
            clip.store.close()
    run.report.facts |= {"engines": ", ".join(run.engines.names)}
    run.report.facts |= {"folder": str(run.workspace.aligned(run.name))}


def _stage_name(side: Side, clip: str) -> str:
    return f"extract-{side}-{clip}" if clip else f"extract-{side}"


def _was_made_so(run: _Side, sources: Sequence[tuple[str, Source]]) -> bool:
    """Tell whether what is there has these very settings: then all is to be done once more."""
    return all(
        read_manifest(run.workspace.manifest(_stage_name(run.name, name)))[0]
        == _settings(run, source)
        for name, source in sources
    )


def _open_manifests(
    run: _Side, sources: Sequence[tuple[str, Source]], *, redo: bool
) -> list[Manifest]:
    """Return the manifest of each clip; if all is done again, move the faces there aside."""
    aligned = run.workspace.aligned(run.name)
    paths = [run.workspace.manifest(_stage_name(run.name, name)) for name, _ in sources]
    entries = (entry for path in paths for entry in read_manifest(path)[1].values())
    emptied = any(entry["faces"] for entry in entries) and not _has_pictures(aligned)
    if redo and _has_pictures(aligned):
        aligned.rename(_free_name(aligned))
    command = f"faceswap-cli extract {run.workspace.root} --side {run.name}"
    return [
        Manifest.open(path, _settings(run, source), command=command, redo=redo or emptied)
        for path, (_, source) in zip(paths, sources, strict=True)
    ]


def _settings(run: _Side, source: Source) -> dict[str, Any]:
    settings = run.section.model_dump(exclude=NOT_THE_RESULT) | {
        "engines": run.engines.names,
        "source": source.fingerprint(),
        "recognizer file": _stamp(run.section.recognizer),
        "manual file": _stamp(run.section.manual),
        "like file": _stamp(run.section.like),
    }
    return dict(json.loads(json.dumps(settings)))


def _stamp(name: str) -> list[int]:
    """Return what changes when the file does that a setting names."""
    path = expand_user(name)
    if not name or not path.is_file():
        return []
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.*g"))


def _free_name(folder: Path) -> Path:
    names = (folder.with_name(f"{folder.name}_{number}") for number in itertools.count(1))
    return next(path for path in names if not path.exists())


def _open_store(run: _Side, name: str, source: Source) -> SightingStore:
    seen_with = _settings(run, source)
    kept = {*LOOKS, "engines", "source", "recognizer file", "manual file"}
    return SightingStore.open(
        run.workspace.sightings(_stage_name(run.name, name)),
        {key: value for key, value in seen_with.items() if key in kept},
    )


def _look(run: _Side, clip: Clip, manual: ManualFaces) -> None:
    if clip.store.about("looked") is not None:
        return
    every = run.section.every
    hint = clip.source.num_frames_hint
    with progress(
        f"look at {run.name}{clip.name and ' ' + clip.name}",
        total=hint and -(-hint // every),
        unit="frame",
        initial=len(clip.store.frame_numbers()),
    ) as bar:
        look(
            clip.source,
            clip.store,
            run.engines,
            Sieve(run.section.min_score, run.section.min_face_px),
            wanted=lambda index: index % every == 0,
            stride=STRIDE if every == 1 and not clip.source.info.path.is_dir() else 1,
            batch_frames=run.section.batch_frames,
            manual=manual,
            failed=run.report.failed,
            bar=bar,
        )
    losses = clip.source.losses
    clip.store.tell(
        looked="yes",
        failed=json.dumps(run.report.failed),
        losses=str(losses) if losses.is_any() else None,
    )


def _cut(run: _Side, clip: Clip, manifest: Manifest, wanted: Wanted) -> None:
    excluded = FrameRanges.parse("" if clip.name else getattr(run.inputs, f"{run.name}_exclude"))
    frames = [index for index in clip.store.frame_numbers() if index not in excluded]
    section, workspace = run.section, run.workspace
    cutter = Cutter(
        clip.source,
        SteadyFaces(clip.store, strength=section.smooth),
        Describer(section, clip.source.info.path.name, run.engines.names),
        manifest,
        workspace.aligned(run.name),
        workspace.overlays(run.name) if section.overlay else None,
        f"{clip.name}_" if clip.name else "",
        wanted,
        _press(section),
        run.report.failed,
    )
    run.report.kept += len(manifest.items)
    with progress(
        f"cut {run.name}{clip.name and ' ' + clip.name}",
        total=len(frames),
        unit="frame",
        initial=len(manifest.items),
    ) as bar:
        cutter.run(frames, bar)
    run.report.done += cutter.done
