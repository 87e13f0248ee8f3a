"""Looks through what extraction saw, before a long render: every frame with its reasons."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.config import InputConfig, ScanConfig
from faceswap_cli.curating.scan_masks import measure_hidden
from faceswap_cli.curating.scan_measures import ScannedFaces, measure_faces
from faceswap_cli.curating.scan_picture import draw_scan
from faceswap_cli.curating.scan_tables import Scan, scan_csv, scan_json
from faceswap_cli.curating.scan_thumbs import View, read_thumbs
from faceswap_cli.curating.scanning import (
    FAULTS,
    NOTES,
    FrameFindings,
    count_codes,
    main_people,
    ranges_of,
    scan_frames,
    worst_frames,
)
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.extracting.understand import find_shots
from faceswap_cli.faces.sighting import Box
from faceswap_cli.faces.sighting_store import FORMAT, SightingStore
from faceswap_cli.faces.store import find_aligned, open_files
from faceswap_cli.files import read_manifest, write_atomic
from faceswap_cli.imaging import write_image
from faceswap_cli.media.source import Source, open_clips
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.types import SIDES, RgbImage, Side
from faceswap_cli.workspace import StageReport, Workspace

NUM_THUMBS = 24
TOLD_RANGES = 8
"""Ranges of a reason that the summary lists; all are in the files."""


def run_scan(workspace: Workspace, section: ScanConfig, inputs: InputConfig) -> list[StageReport]:
    """Judge every frame of the footage, and write tables and a picture into reports/.

    Args:
        workspace: With an extraction of the chosen side; of both, if both are chosen, at least
            one has to be extracted.
        section: The limits.
        inputs: Which span was extracted, and which frames are left out already.

    Returns:
        A report for each clip.

    Raises:
        WorkspaceError: No extraction, one that was not finished, or one of other footage.
        MediaError: The footage cannot be read.
    """
    sides = [side for side in SIDES if section.side in (side, "both")]
    extracted = [side for side in sides if workspace.sightings(f"extract-{side}").is_file()]
    if not extracted:
        raise _not_extracted(workspace, sides[-1])
    reports: list[StageReport] = []
    for side in sides:
        if side not in extracted:
            command = f"faceswap-cli extract {workspace.root} --side {side}"
            reports.append(StageReport(f"scan {side}", facts={"not extracted yet": command}))
            continue
        for name, source in open_clips(workspace, side, inputs):
            reports.append(_scan_clip(workspace, section, inputs, side, name, source))
    return reports


def _not_extracted(workspace: Workspace, side: Side) -> WorkspaceError:
    return WorkspaceError(
        f"{side} has not been extracted: a scan looks at what extraction saw",
        seen_in=workspace.root,
        fix=f"faceswap-cli extract {workspace.root} --side {side}",
    )


def _scan_clip(
    workspace: Workspace,
    section: ScanConfig,
    inputs: InputConfig,
    side: Side,
    name: str,
    source: Source,
) -> StageReport:
    full_name = f"{side}_{name}" if name else side
    report = StageReport(f"scan {full_name}")
    store = _open_store(workspace, side, name, source)
    try:
        frames, cuts = _shots(store)
        times = [Fraction(frame.time_s) for frame in store.frames()]
        faces = measure_faces(store)
    except sqlite3.DatabaseError as error:
        raise WorkspaceError(
            f"what extraction saw in {source.info.path.name} is damaged: {error}",
            seen_in=workspace.stages,
            fix=f"faceswap-cli extract {workspace.root} --side {side}",
        ) from error
    finally:
        store.close()
    faces, not_judged = _with_masks(workspace, side, source, faces, report)
    main = _chosen(workspace, side, name) or main_people(faces)
    # Numbers of frames in the settings are those of the first clip.
    excluded = FrameRanges.parse("" if name else getattr(inputs, f"{side}_exclude"))
    results = scan_frames(frames, faces, section, cuts=cuts, excluded=excluded, main=main)
    clip = source.info.path.name
    scan = Scan(side, clip, section, tuple(sorted(main)), times, results, not_judged)
    path = workspace.reports / f"scan_{full_name}.json"
    write_atomic(path, scan_json(scan))
    write_atomic(path.with_suffix(".csv"), scan_csv(scan))
    write_image(path.with_suffix(".png"), draw_scan(scan, _worst(scan, faces, source)))
    _tell(report, scan, path, is_first=not name)
    return report


def _open_store(workspace: Workspace, side: Side, name: str, source: Source) -> SightingStore:
    """Open what was seen in a clip, or raise WorkspaceError: not all of it, other footage, ..."""
    path = workspace.sightings(f"extract-{side}-{name}" if name else f"extract-{side}")
    store = SightingStore.open_as_it_is(path)
    if store is None:
        raise _not_extracted(workspace, side)
    made = json.loads(store.about("settings") or "{}")
    footage = made.get("source")
    problem = None
    if made.get("format") != FORMAT:
        problem = f"{source.info.path.name} was extracted by another version of this program"
    elif store.about("looked") is None or store.about("understood") is None:
        problem = f"the extraction of {source.info.path.name} has not come to its end"
    elif footage is not None and footage != source.fingerprint():
        problem = f"{source.info.path.name} or its span has changed since it was extracted"
    elif not store.frame_numbers():
        problem = f"the extraction of {source.info.path.name} saw no frame"
    if problem is not None:
        store.close()
        command = f"faceswap-cli extract {workspace.root} --side {side}"
        raise WorkspaceError(problem, seen_in=path, fix=command)
    return store


def _shots(store: SightingStore) -> tuple[list[int], list[int]]:
    """Return frames and cuts; to find them again in a long film takes minutes."""
    noted = store.about("cuts")
    return find_shots(store) if noted is None else (store.frame_numbers(), json.loads(noted))


def _with_masks(
    workspace: Workspace, side: Side, source: Source, faces: ScannedFaces, report: StageReport
) -> tuple[ScannedFaces, dict[str, str]]:
    """Return the faces with what their masks hide, and what cannot be judged, and why."""
    files = open_files(find_aligned(workspace, side), workspace.edited_masks(side))
    try:
        hidden = measure_hidden(
            files, faces, source_name=source.info.path.name, failed=report.failed
        )
    finally:
        files.close()
    why = {"occluded": f"no masks in {workspace.edited_masks(side)}; mask apply makes them"}
    return replace(faces, hidden=hidden), {} if np.isfinite(hidden).any() else why


def _chosen(workspace: Workspace, side: Side, name: str) -> set[int]:
    """Return the people that were cut out, if only some were asked for."""
    stage = f"extract-{side}-{name}" if name else f"extract-{side}"
    settings, items = read_manifest(workspace.manifest(stage))
    if not settings.get("person") and not settings.get("like"):
        return set()
    faces = [face for entry in items.values() for face in entry.get("faces", ())]
    return {int(face["person"]) for face in faces if face.get("person") is not None}


def _worst(
    scan: Scan, faces: ScannedFaces, source: Source
) -> list[tuple[FrameFindings, RgbImage | None]]:
    """Return the frames most worth a look, with pictures."""
    left = [result for result in scan.results if "excluded" not in result.codes]
    worst = worst_frames(left, NUM_THUMBS)
    time_of = dict(zip((r.frame for r in scan.results), scan.times, strict=True))
    views = {r.frame: View(time_of[r.frame], _box(r, faces, scan.main)) for r in worst}
    thumbs = read_thumbs(source, views)
    return [(result, thumbs.get(result.frame)) for result in worst]


def _box(result: FrameFindings, faces: ScannedFaces, main: Sequence[int]) -> Box | None:
    """Return the face that is found fault with, else the first of those that count."""
    here = np.flatnonzero(faces.frame == result.frame)
    by_person = {int(faces.person[face]): face for face in reversed(here)}
    for person in (*(finding.person for finding in result.faults), *main):
        if person in by_person:
            left, top, right, bottom = faces.box[by_person[person]].tolist()
            return left, top, right, bottom
    return None


def _tell(report: StageReport, scan: Scan, path: Path, *, is_first: bool) -> None:
    """Sum a scan up in its report."""
    report.done = len(scan.results)
    counts = count_codes(scan.results)
    report.facts["people judged"] = ", ".join(str(person) for person in scan.main) or "nobody"
    report.facts["doubtful frames"] = scan.num_doubtful
    for code in (*FAULTS, *NOTES):
        if counts[code]:
            told = _shortened(ranges_of(scan.results, {code}))
            report.facts[code] = f"{counts[code]} frames: {told}"
    report.facts |= {f"{code} not judged": why for code, why in scan.not_judged.items()}
    if scan.exclude and is_first:
        told = "to leave the doubtful frames out, write below [input] in config.toml"
        report.facts[told] = f'{scan.side}_exclude = "{scan.exclude}"'
    report.facts["files"] = f"{path.with_suffix('.png')}, .json, .csv"


def _shortened(ranges: str) -> str:
    parts = ranges.split(",")
    more = len(parts) - TOLD_RANGES
    return ",".join(parts[:TOLD_RANGES]) + (f" and {more} ranges more" if more > 0 else "")
