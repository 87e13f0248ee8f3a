"""Measures the result against the footage: figures, curves, and the frames that need a look."""

import math
from collections.abc import Sequence
from dataclasses import replace

from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.detect import build_landmarker
from faceswap_cli.detect.appearance import AppearanceEngine, build_appearance
from faceswap_cli.device import choose_device
from faceswap_cli.evaluating.charts import caption, draw_charts, draw_page
from faceswap_cli.evaluating.doubts import Doubt, choose_shown, find_doubts, told
from faceswap_cli.evaluating.footage import open_result
from faceswap_cli.evaluating.identity import Person, cosine, describe_person
from faceswap_cli.evaluating.looking import Observer
from faceswap_cli.evaluating.measuring import Measured, measure
from faceswap_cli.evaluating.outcome import (
    BUILT_IN_NOTE,
    Embedding,
    Outcome,
    count_frames,
    count_reasons,
    main_figures,
)
from faceswap_cli.evaluating.page import outcome_html
from faceswap_cli.evaluating.sampling import find_gaps, spread_pairs
from faceswap_cli.evaluating.swapped import Swapped, find_swapped
from faceswap_cli.evaluating.tables import number, outcome_json
from faceswap_cli.evaluating.thumbs import read_sides
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.faces.store import find_aligned
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import write_image
from faceswap_cli.media.source import Source, VideoSource, open_side
from faceswap_cli.workspace import StageReport, Workspace

ON_PICTURE = 12
"""Frames that are shown on the PNG; the page has all that were asked for."""
TOLD_GAPS, TOLD_FRAMES = 8, 3


def run_evaluate(
    workspace: Workspace, section: EvaluateConfig, inputs: InputConfig, *, merge: MergeConfig
) -> StageReport:
    """Measure the result, and write reports/evaluation.json, .html and .png.

    Args:
        workspace: With a result video or merged frames, and the faces of dst.
        section: How it is measured.
        inputs: Which part of the footage it was made of.
        merge: Which faces were swapped, if merge has not left its own settings.

    Raises:
        WorkspaceError: There is no result or no face, or they do not belong to the footage.
        MediaError: Footage or result cannot be read.
        ConfigError: The recognition network cannot be used.
    """
    footage = open_side(workspace, "dst", inputs)
    result = open_result(workspace, footage, section.of)
    swapped = find_swapped(workspace, footage, merge, inputs)
    device = str(choose_device(section.device).place)
    engine = build_appearance(section.recognizer, device=device)
    src = describe_person(engine, open_faceset(find_aligned(workspace, "src")).faces)
    dst = describe_person(engine, swapped.pictures)
    observer = Observer(build_landmarker("mesh", device=device), engine, (src, dst))
    gaps = find_gaps(swapped.by_frame, left_out=swapped.left_out)
    wanted = spread_pairs(swapped.by_frame, section.frames), [gap.first for gap in gaps]
    measured = measure(workspace, (footage, result), swapped, wanted, observer)
    doubts = [_timed(d, measured) for d in find_doubts(measured.faces, gaps, section)]
    outcome = Outcome(
        result=result.info.path.name,
        footage=footage.info.path.name,
        num_frames=measured.num_frames,
        num_swapped=len(swapped.by_frame),
        faces=measured.faces,
        gaps=gaps,
        doubts=doubts,
        embedding=_embedding(section, engine, src, dst),
        section=section,
        masks=_about_masks(measured, len(wanted[0])),
        time_error_s=measured.time_error_s if isinstance(result, VideoSource) else math.nan,
    )
    _write(workspace, outcome, (footage, result), swapped, measured)
    return _report(workspace, outcome)


def _timed(doubt: Doubt, measured: Measured) -> Doubt:
    times = measured.times.get(doubt.frame)
    return doubt if times is None else replace(doubt, time_s=times[0])


def _embedding(
    section: EvaluateConfig, engine: AppearanceEngine, src: Person, dst: Person
) -> Embedding:
    return Embedding(
        engine.name,
        is_built_in=not section.recognizer,
        src_usual=src.usual,
        dst_usual=dst.usual,
        src_vs_dst=cosine(src.mean, dst.mean),
    )


def _about_masks(measured: Measured, wanted: int) -> str:
    if measured.num_masks == wanted:
        return "the masks are those of merge"
    if measured.num_masks == 0:
        return "merge has left no masks: they were guessed from the difference"
    return f"{wanted - measured.num_masks} masks of merge are missing, and were guessed"


def _write(
    workspace: Workspace,
    outcome: Outcome,
    films: tuple[Source, Source],
    swapped: Swapped,
    measured: Measured,
) -> None:
    shown = choose_shown(outcome.doubts, outcome.section.thumbnails)
    sides = read_sides(films, shown, swapped.by_frame, measured.times)
    path = workspace.reports / "evaluation.json"
    write_atomic(path, outcome_json(outcome))
    charts = draw_charts(outcome)
    write_atomic(path.with_suffix(".html"), outcome_html(outcome, charts, shown, sides))
    page = draw_page(charts, shown[:ON_PICTURE], sides[:ON_PICTURE])
    write_image(path.with_suffix(".png"), page)


def _report(workspace: Workspace, outcome: Outcome) -> StageReport:
    """Sum the outcome up."""
    report = StageReport("evaluate", done=len({face.frame for face in outcome.faces}))
    report.facts["result"] = f"{outcome.result} against {outcome.footage}"
    report.facts |= {key: _short(value) for key, value in main_figures(outcome).items()}
    report.facts["identity by"] = outcome.embedding.name
    if outcome.embedding.is_built_in:
        report.facts["note"] = BUILT_IN_NOTE
    report.facts["masks"] = outcome.masks
    if outcome.gaps:
        report.facts["old face between new ones"] = _ranges(
            [(gap.first, gap.last) for gap in outcome.gaps]
        )
    report.facts["frames that need a look"] = count_frames(outcome.doubts)
    for code, count in count_reasons(outcome.doubts).most_common():
        report.facts[f"needs a look: {code.replace('_', ' ')}"] = (
            f"{count} frames: {_worst(outcome.doubts, code)}"
        )
    path = workspace.reports / "evaluation"
    report.facts["files"] = f"{path}.html, .png, .json"
    return report


def _short(value: float) -> float | None:
    rounded = number(value)
    return None if rounded is None else round(rounded, 4)


def _worst(doubts: Sequence[Doubt], code: str) -> str:
    """Return the worst frames with a reason: `frame 12, 0:00.48 (seam 2.1), ...`."""
    found = [(d, r) for d in doubts for r in d.reasons if r.code == code]
    found.sort(key=lambda pair: -pair[1].weight)
    return ", ".join(f"{caption(d)} ({told(r)})" for d, r in found[:TOLD_FRAMES])


def _ranges(gaps: Sequence[tuple[int, int]]) -> str:
    parts = [f"{first}-{last}" if last > first else str(first) for first, last in gaps[:TOLD_GAPS]]
    more = len(gaps) - TOLD_GAPS
    return ",".join(parts) + (f" and {more} more" if more > 0 else "")
