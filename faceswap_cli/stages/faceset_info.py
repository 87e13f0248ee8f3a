"""What is in the facesets, and what src lacks that dst needs: a picture, numbers, words."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceswap_cli.curating.charts import draw_report
from faceswap_cli.curating.gaps import CELL_DEG, copies, name_gaps, pose_counts, uncovered_cells
from faceswap_cli.curating.measure_cache import measure_faceset
from faceswap_cli.curating.measures import Measures
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.store import find_aligned, open_files
from faceswap_cli.files import only_one, write_atomic
from faceswap_cli.types import SIDES
from faceswap_cli.workspace import StageReport, Workspace

QUANTILES = {"least": 0.0, "few": 0.05, "median": 0.5, "most": 0.95, "greatest": 1.0}
"""5 and 95 of 100 besides the ends: a single false landmark makes an end."""
NUMBERS = (
    *("yaw_deg", "pitch_deg", "roll_deg", "side_px", "sharpness", "steadiness"),
    *("brightness", "mouth", "eyes", "outside"),
)
COPIES_TOLD = 20
"""Groups of near copies in the JSON."""


@dataclass
class FacesetReport(StageReport):
    """Told in words; all numbers are in the JSON."""

    gaps: list[str] = field(default_factory=list)
    sides: dict[str, dict[str, Any]] = field(default_factory=dict)
    uncovered: list[dict[str, int]] = field(default_factory=list)
    """Cells of the map that dst has and src lacks."""

    def summary(self) -> str:
        """Return counts and gaps, a line each."""
        told = [f"  - {gap}" for gap in self.gaps] or ["  - none: src has all that dst needs"]
        return "\n".join([super().summary(), "gaps:", *told])

    def as_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        more = {"gaps": self.gaps, "sides": self.sides, "uncovered": self.uncovered}
        return super().as_json() | more


def run_faceset_info(workspace: Workspace) -> FacesetReport:
    """Measure both facesets, and write reports/faceset_info.png about them.

    Raises:
        WorkspaceError: Neither side has a face.
    """
    with only_one(workspace.stages, "sort"):
        report = FacesetReport("faceset info")
        faces: dict[str, list[Measures]] = {}
        for side in SIDES:
            cache = workspace.cache / f"measures_{side}.json"
            with closing(open_files(find_aligned(workspace, side))) as files:
                measured = measure_faceset(files, cache, what=f"measure {side}")
            faces[side] = measured.faces
            report.done += measured.num_new
            report.kept += len(measured.faces) - measured.num_new
            report.failed |= {f"{side} {name}": why for name, why in measured.skipped.items()}
            report.sides[side] = _numbers(measured.faces)
        if not any(faces.values()):
            raise WorkspaceError(
                "no faces on either side",
                seen_in=workspace.root,
                fix=f"faceswap-cli extract {workspace.root}",
            )
        report.gaps = name_gaps(faces["src"], faces["dst"])
        report.uncovered = [
            {"yaw_deg": yaw * CELL_DEG, "pitch_deg": pitch * CELL_DEG, "faces": count}
            for (yaw, pitch), count in uncovered_cells(faces["src"], faces["dst"]).items()
        ]
        path = workspace.reports / "faceset_info.png"
        write_atomic(path, draw_report(faces, report.gaps))
        report.facts |= {side: _in_short(found) for side, found in report.sides.items()}
        report.facts["picture"] = str(path)
        return report


def _numbers(faces: Sequence[Measures]) -> dict[str, Any]:
    """Return all that is told of a side."""
    if not faces:
        return {"faces": 0}
    groups = copies(faces)
    values = {name: [getattr(face, name) for face in faces] for name in NUMBERS}
    return {
        "faces": len(faces),
        "tracks": len({(face.source, face.track) for face in faces}),
        "near_copies": sum(len(group) - 1 for group in groups),
        "copies": groups[:COPIES_TOLD],
        "poses": [
            {"yaw_deg": yaw * CELL_DEG, "pitch_deg": pitch * CELL_DEG, "faces": count}
            for (yaw, pitch), count in sorted(pose_counts(faces).items())
        ],
        **{name: _spread(held) for name, held in values.items()},
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = np.quantile(np.asarray(values, np.float64), list(QUANTILES.values()))
    return {name: round(float(value), 4) for name, value in zip(QUANTILES, found, strict=True)}


def _in_short(numbers: dict[str, Any]) -> str:
    if not numbers["faces"]:
        return "no faces"
    yaw, pitch, size = (numbers[name] for name in ("yaw_deg", "pitch_deg", "side_px"))
    return (
        f"{numbers['faces']} faces, {numbers['near_copies']} of them near copies;"
        f" yaw {yaw['least']:.0f} to {yaw['greatest']:.0f},"
        f" pitch {pitch['least']:.0f} to {pitch['greatest']:.0f} deg;"
        f" {size['median']:.0f} px in the frame; sharpness {numbers['sharpness']['median']:.2f}"
    )
