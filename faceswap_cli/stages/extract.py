"""Stage 1: frames -> aligned faces."""

import itertools
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.detect import (
    Detection,
    Detector,
    Landmarker,
    Landmarks,
    build_detector,
    build_landmarker,
)
from faceswap_cli.detect.describe import Describer, box_of
from faceswap_cli.device import choose_device
from faceswap_cli.errors import DeviceError, WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.overlay import draw_overlay
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.tracks import Tracker
from faceswap_cli.files import Manifest, only_one, read_manifest, sweep_partials
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import write_image
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import Source, open_side
from faceswap_cli.progress import progress
from faceswap_cli.readahead import read_ahead
from faceswap_cli.types import SIDES, Side
from faceswap_cli.workspace import StageReport, Workspace

MIN_PRESENCE = 0.5
"""Of the landmarker: below it there is no face in the box."""
BATCHES_IN_FLIGHT = 2
NOT_THE_RESULT = {"side", "overlay", "batch_frames", "device"}
"""Settings that do not change what the crops look like."""


@dataclass
class _Side:
    """One side being extracted."""

    name: Side
    workspace: Workspace
    section: ExtractConfig
    source: Source
    detector: Detector
    landmarker: Landmarker
    manifest: Manifest
    report: StageReport
    describer: Describer
    tracker: Tracker = field(default_factory=Tracker)


def run_extract(
    workspace: Workspace,
    section: ExtractConfig,
    inputs: InputConfig,
    *,
    redo: bool = False,
    engines: tuple[Detector, Landmarker] | None = None,
) -> list[StageReport]:
    """Find, align and save the faces of every frame that is not done yet, side by side.

    May be killed at any time: a frame is done when its line is in the manifest, and the
    line comes after the crops. A picture that a person deleted stays away.

    Args:
        workspace: With footage for the chosen sides.
        section: How.
        inputs: Which span of each side.
        redo: Begin anew; the faces there are moved to aligned_1/, aligned_2/ ...
        engines: Detector and landmarker; by default those that `section` names.
    """
    sides = [side for side in SIDES if section.side in (side, "both")]
    with only_one(workspace.stages, "extract"):
        sources = {side: open_side(workspace, side, inputs) for side in sides}
        device = choose_device(section.device)
        detector, landmarker = engines or (
            build_detector(device=device.name, min_score=section.min_score),
            build_landmarker(section.landmarker, device=device.name),
        )
        try:
            return [
                _extract_side(
                    workspace, side, section, sources[side], (detector, landmarker), redo=redo
                )
                for side in sides
            ]
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"out of memory on {device}", fix="lower --batch-frames, or use --device cpu"
            ) from error


def _extract_side(
    workspace: Workspace,
    side: Side,
    section: ExtractConfig,
    source: Source,
    engines: tuple[Detector, Landmarker],
    *,
    redo: bool,
) -> StageReport:
    report = StageReport(f"extract {side}")
    run = _Side(
        side,
        workspace,
        section,
        source,
        *engines,
        _open_manifest(workspace, side, section, source, engines, redo=redo),
        report,
        Describer(section, source, (engines[0].name, engines[1].name)),
    )
    sweep_partials(workspace.aligned(side), workspace.overlays(side))
    for entry in run.manifest.items.values():
        run.tracker.replay(
            entry["index"], [f["track"] for f in entry["faces"]], [f["box"] for f in entry["faces"]]
        )
    report.kept = len(run.manifest.items)
    _extract_frames(run)
    _count(run)
    return report


def _open_manifest(
    workspace: Workspace,
    side: Side,
    section: ExtractConfig,
    source: Source,
    engines: tuple[Detector, Landmarker],
    *,
    redo: bool,
) -> Manifest:
    path, aligned = workspace.manifest(f"extract-{side}"), workspace.aligned(side)
    settings = section.model_dump(exclude=NOT_THE_RESULT) | {
        "engines": [engine.name for engine in engines],
        "source": source.fingerprint(),
    }
    _, items = read_manifest(path)
    emptied = any(entry["faces"] for entry in items.values()) and not _has_pictures(aligned)
    if redo and _has_pictures(aligned):
        aligned.rename(_free_name(aligned))
    command = f"faceswap-cli extract {workspace.root} --side {side}"
    return Manifest.open(path, settings, command=command, redo=redo or emptied)


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.*g"))


def _free_name(folder: Path) -> Path:
    names = (folder.with_name(f"{folder.name}_{number}") for number in itertools.count(1))
    return next(path for path in names if not path.exists())


def _extract_frames(run: _Side) -> None:
    def wanted(index: int) -> bool:
        return run.source.frame_name(index) not in run.manifest.items

    pending: deque[tuple[Frame, dict[str, Any], list[Future[None]]]] = deque()
    frames = read_ahead(run.source.frames(wanted), depth=2 * run.section.batch_frames)
    with (
        ThreadPoolExecutor(thread_name_prefix="crop") as pool,
        progress(
            f"extract {run.name}",
            total=run.source.num_frames_hint,
            unit="frame",
            initial=run.report.kept,
        ) as bar,
    ):
        for batch in _batches(frames, run):
            faces = _find(run, batch)
            for frame, found in zip(batch, faces, strict=True):
                entry, jobs = _place(run, frame, found)
                pending.append((frame, entry, [pool.submit(*job) for job in jobs]))
            while len(pending) > BATCHES_IN_FLIGHT * run.section.batch_frames:
                _finish(run, *pending.popleft())
                bar.update()
        while pending:
            _finish(run, *pending.popleft())
            bar.update()


def _batches(frames: Iterator[Frame | BadFrame], run: _Side) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        if isinstance(frame, BadFrame):
            run.report.failed[frame.name] = frame.reason
            continue
        batch.append(frame)
        if len(batch) == run.section.batch_frames:
            yield batch
            batch = []
    if batch:
        yield batch


def _find(run: _Side, batch: Sequence[Frame]) -> list[list[tuple[Detection, Landmarks]]]:
    images = [frame.image for frame in batch]
    detections = run.detector.detect(images)
    landmarks = run.landmarker.locate(images, detections)
    return [list(zip(d, m, strict=True)) for d, m in zip(detections, landmarks, strict=True)]


def _place(
    run: _Side, frame: Frame, found: list[tuple[Detection, Landmarks]]
) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """Return the manifest's entry of a frame, and the calls that write its files."""
    entry: dict[str, Any] = {"index": frame.index, "faces": [], "small": 0, "weak": 0}
    kept = []
    for detection, marks in found:
        left, top, right, bottom = detection.box
        if detection.score < run.section.min_score or marks.score < MIN_PRESENCE:
            entry["weak"] += 1
        elif min(right - left, bottom - top) < run.section.min_face_px:
            entry["small"] += 1
        else:
            kept.append((detection, marks))
    kept.sort(key=lambda pair: -float(np.prod(pair[0].box[2:] - pair[0].box[:2])))
    kept = kept[: run.section.max_faces or None]
    tracks = run.tracker.assign(frame.index, [box_of(detection) for detection, _ in kept])
    records: list[FaceRecord] = []
    jobs: list[tuple[Any, ...]] = []
    for (detection, marks), track in zip(kept, tracks, strict=True):
        record = run.describer.record(frame, detection, marks, track)
        path = run.workspace.aligned(run.name) / f"{record.frame_name}_{track:02d}"
        path = path.with_name(f"{path.name}.{run.section.format}")
        entry["faces"].append({"name": path.name, "track": track, "box": record.box})
        jobs.append((_write_crop, path, frame, record, run.section.jpeg_quality))
        records.append(record)
    if run.section.overlay:
        path = run.workspace.overlays(run.name) / f"{run.source.frame_name(frame.index)}.jpg"
        jobs.append((_write_overlay, path, frame, records))
    return entry, jobs


def _finish(run: _Side, frame: Frame, entry: dict[str, Any], writes: list[Future[None]]) -> None:
    for write in writes:
        write.result()  # a full disk ends the run here, before the frame counts as done
    run.manifest.add(run.source.frame_name(frame.index), entry)
    run.report.done += 1


def _write_crop(path: Path, frame: Frame, record: FaceRecord, jpeg_quality: int) -> None:
    size_wh = (record.size_px, record.size_px)
    crop = warp(frame.image, record.crop, size_wh=size_wh)
    write_aligned(path, crop, record, jpeg_quality=jpeg_quality)


def _write_overlay(path: Path, frame: Frame, records: list[FaceRecord]) -> None:
    write_image(path, draw_overlay(frame.image, records), jpeg_quality=85)


def _count(run: _Side) -> None:
    """Sum the run up in its report, or raise WorkspaceError if no face was found."""
    entries = run.manifest.items.values()
    tracks = Counter(face["track"] for entry in entries for face in entry["faces"])
    small = sum(entry["small"] for entry in entries)
    weak = sum(entry["weak"] for entry in entries)
    if not tracks:
        raise WorkspaceError(
            f"no face in {len(entries)} frames of {run.name}"
            f" ({small} too small, {weak} too uncertain)",
            seen_in=run.source.info.path,
            fix="choose footage with a face, or lower --min-score and --min-face-px",
        )
    run.report.facts |= {
        "faces": tracks.total(),
        "frames with a face": sum(1 for entry in entries if entry["faces"]),
        "frames": len(entries),
        "too small": small,
        "too uncertain": weak,
        "tracks": {f"track {track}": count for track, count in tracks.most_common(8)},
        "engines": ", ".join(run.describer.engines),
        "folder": str(run.workspace.aligned(run.name)),
    }
    if run.source.losses.is_any():
        run.report.facts["not decodable"] = str(run.source.losses)
