"""The outcome of a scan as files: JSON for programs, CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from faceswap_cli.config import ScanConfig
from faceswap_cli.curating.scanning import (
    CODES,
    FAULTS,
    Finding,
    FrameFindings,
    count_codes,
    ranges_of,
)
from faceswap_cli.types import Side

VERSION = 1
LEFT_OUT = frozenset({*FAULTS, "excluded"} - {"no_face"})
"""Why a frame is proposed to be left out; where there is no face, nothing is put on."""


@dataclass(frozen=True)
class Scan:
    """What was found in a clip."""

    side: Side
    clip: str
    """File name."""
    section: ScanConfig
    main: tuple[int, ...]
    """The people that were judged."""
    times: Sequence[Fraction]
    """Of each frame, seconds."""
    results: Sequence[FrameFindings]
    not_judged: Mapping[str, str]
    """Why, by code."""

    @property
    def exclude(self) -> str:
        """All doubtful frames that have a face, and those already left out, as a setting."""
        return ranges_of(self.results, LEFT_OUT)

    @property
    def num_doubtful(self) -> int:
        """Frames with a fault that are not left out already."""
        return sum(1 for r in self.results if r.faults and "excluded" not in r.codes)


def scan_json(scan: Scan) -> bytes:
    """Return the whole as JSON, each frame a line."""
    head = {
        "version": VERSION,
        "side": scan.side,
        "clip": scan.clip,
        "frames_looked_at": len(scan.results),
        "main_people": scan.main,
        "limits": scan.section.model_dump(exclude={"side"}),
        "not_judged": scan.not_judged,
        "counts": count_codes(scan.results),
        "ranges": {code: ranges_of(scan.results, {code}) for code in CODES},
        "exclude": scan.exclude,
    }
    lines = [
        json.dumps(_frame(result, time_s))
        for result, time_s in zip(scan.results, scan.times, strict=True)
    ]
    text = json.dumps(head, indent=1).removesuffix("\n}")
    return (text + ',\n "frames": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n").encode()


def _frame(result: FrameFindings, time_s: Fraction) -> dict[str, Any]:
    return {
        "frame": result.frame,
        "time_s": _seconds(time_s),
        "people": result.people,
        "codes": {finding.code: _finding(finding) for finding in result.findings},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    told = {"value": finding.value, "limit": finding.limit, "person": finding.person}
    return {key: value for key, value in told.items() if value is not None}


def scan_csv(scan: Scan) -> bytes:
    """Return a row a frame: its codes, and what was measured of each fault that it has."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["frame", "time_s", "people", "codes", *FAULTS])
    for result, time_s in zip(scan.results, scan.times, strict=True):
        values = {finding.code: finding.value for finding in result.findings}
        people = " ".join(str(person) for person in result.people)
        row = [result.frame, _seconds(time_s), people, " ".join(result.codes)]
        told = [values.get(code, "") for code in FAULTS] if values else [""] * len(FAULTS)
        table.writerow([*row, *told])
    return text.getvalue().encode()


def _seconds(time_s: Fraction) -> float:
    return round(float(time_s), 6)
