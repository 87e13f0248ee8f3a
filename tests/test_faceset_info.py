"""The report on both facesets: the gaps are named, and only real ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.commands.curating import info
from faceswap_cli.curating.charts import draw_report
from faceswap_cli.curating.gaps import name_gaps, pose_counts, uncovered_cells
from faceswap_cli.curating.measures import BINS, LOOK_BITS, Measures
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.imaging import decode_image, read_image
from faceswap_cli.stages.faceset_info import run_faceset_info
from faceswap_cli.workspace import Workspace
from tests.facesets import write_faceset

GOOD = Measures(
    name="",
    sharpness=0.5,
    steadiness=0.8,
    brightness=0.5,
    hue_deg=10.0,
    outside=0.0,
    side_px=400.0,
    pitch_deg=0.0,
    yaw_deg=0.0,
    roll_deg=0.0,
    mouth=0.2,
    eyes=0.3,
    source="a.mp4",
    frame=0,
    track=0,
    person=-1,
    colours=np.full(3 * BINS, (3 * BINS) ** -0.5, np.float32),
    look=np.zeros(LOOK_BITS**2, np.bool_),
)


def faces(count: int, *, yaw: float = 0.0, spread: float = 40.0, **values: Any) -> list[Measures]:
    """Faces that look in all directions around `yaw`, none like another."""
    rng = np.random.default_rng(count)
    looks = rng.integers(0, 2, (count, LOOK_BITS**2)).astype(np.bool_)
    return [
        replace(
            GOOD,
            name=f"{i:05d}.png",
            frame=i,
            yaw_deg=yaw + spread * float(rng.uniform(-1, 1)),
            pitch_deg=25.0 * float(rng.uniform(-1, 1)),
            look=looks[i],
            **values,
        )
        for i in range(count)
    ]


def only(gaps: list[str], word: str) -> str:
    found = [gap for gap in gaps if word in gap]
    assert len(found) == 1, gaps
    return found[0]


def test_a_good_pair_has_no_gaps() -> None:
    assert name_gaps(faces(900), faces(300, spread=35)) == []


def test_a_yaw_that_src_never_reaches_is_named_with_numbers() -> None:
    dst = faces(300, spread=30) + [replace(f, yaw_deg=58.0) for f in faces(40)]
    gap = only(name_gaps(faces(900, spread=35), dst), "no src face beyond yaw")
    assert gap == (
        "no src face beyond yaw 34 deg to the picture's right,"
        " dst needs 58 deg (40 faces, 12 % of dst)"
    )


def test_flipping_is_named_where_it_helps() -> None:
    src, dst = faces(900, yaw=-20, spread=35), faces(300, yaw=10, spread=25)
    gap = only(name_gaps(src, dst), "no src face beyond yaw")
    assert gap.endswith("; mirrored (train --src-flip) src reaches 55")


def test_a_side_that_src_never_shows_is_named_however_little_dst_turns_there() -> None:
    src = [replace(face, yaw_deg=abs(face.yaw_deg)) for face in faces(900)]
    gap = only(name_gaps(src, faces(300, spread=18)), "no src face")
    assert gap.startswith("no src face turned to the picture's left, dst needs 18 deg (")
    assert "mirrored (train --src-flip) src reaches 40" in gap


def test_two_false_landmarks_are_no_reach() -> None:
    src = faces(900, spread=20) + [replace(f, yaw_deg=60.0) for f in faces(2)]
    dst = faces(300, spread=20) + [replace(f, yaw_deg=60.0) for f in faces(30)]
    assert "no src face beyond yaw 20" in only(name_gaps(src, dst), "to the picture's right")
    few = faces(300, spread=20) + [replace(f, yaw_deg=60.0) for f in faces(2)]
    assert name_gaps(faces(900, spread=20), few) == []


def test_seldom_seen_ways_of_looking_are_counted() -> None:
    level = [replace(face, pitch_deg=0.4 * face.pitch_deg) for face in faces(900)]
    src = level + [replace(face, pitch_deg=-24.0) for face in faces(14)]
    dst = level[:300] + [replace(face, pitch_deg=-22.0) for face in faces(120)]
    gap = only(name_gaps(src, dst), "down")
    assert gap == "src has only 14 faces looking down (pitch beyond 15 deg), dst 120"


def test_a_hole_between_poses_is_found_by_the_map() -> None:
    both = [face for face in faces(900) if not -8 < face.yaw_deg < 28]
    dst = [replace(face, yaw_deg=10.0, pitch_deg=2.0) for face in faces(50)]
    assert "50 dst faces (100 %)" in only(name_gaps(both, dst), "red in the map")
    assert uncovered_cells(both, dst) == {(1, 0): 50}
    assert pose_counts(dst) == {(1, 0): 50}


def test_a_mouth_that_opens_wider_is_named() -> None:
    dst = faces(250, spread=30) + faces(50, spread=30, mouth=0.6)
    gap = only(name_gaps(faces(900), dst), "mouth")
    assert "wider than any src face does: 50 faces, 17 % of dst" in gap
    assert "eyes" in only(name_gaps(faces(900), faces(50, spread=30, eyes=0.5)), "opens")


def test_small_blurred_cut_dark_and_few_are_named() -> None:
    small = only(name_gaps(faces(900, side_px=150.0), faces(300, spread=30)), "smaller")
    assert small.startswith("100 % of src is smaller than 200 px in the footage (median 150)")
    blurred = faces(900) + faces(90, sharpness=0.1)
    assert "sort --by blur --below 0.30" in only(name_gaps(blurred, faces(9, spread=30)), "blurred")
    assert "10 dst faces (100 %)" in only(
        name_gaps(faces(900), faces(10, spread=30, outside=0.4)), "border"
    )
    dark = only(name_gaps(faces(900, brightness=0.2), faces(300, spread=30)), "darker")
    assert dark == "src is darker than dst: median brightness 0.20 against 0.50"
    assert "only 50 faces" in only(name_gaps(faces(50), faces(9, spread=20)), "hundred")
    assert only(name_gaps([], faces(9)), "src") == "src has no face"


def test_near_copies_are_counted() -> None:
    src = [replace(face, look=GOOD.look, yaw_deg=0.0, pitch_deg=0.0) for face in faces(600)]
    gap = only(name_gaps(faces(900) + src, faces(9, spread=20)), "near copies")
    assert gap == "599 src faces (40 %) are near copies of another: 901 different ones"


def test_the_picture_marks_what_src_lacks_in_red() -> None:
    src, dst = faces(300, spread=20), faces(100, yaw=50, spread=5)

    def red(picture: bytes) -> int:
        image = decode_image(picture, "report").astype(int)
        return int(((image[..., 0] > 240) & (image[..., 1] < 20) & (image[..., 2] < 20)).sum())

    assert red(draw_report({"src": src, "dst": dst}, ["a gap with $ and _"])) > 500
    assert red(draw_report({"src": src, "dst": []}, ["long " * 100])) == 0


def test_report_of_a_workspace_is_a_picture_and_json(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path, count=4)
    report = run_faceset_info(workspace)
    assert (report.done, report.kept) == (8, 0)
    assert read_image(workspace.reports / "faceset_info.png").shape[1] == 1280
    told = report.as_json()
    assert told["sides"]["src"]["faces"] == 4
    assert told["sides"]["dst"]["yaw_deg"].keys() == {"least", "few", "median", "most", "greatest"}
    assert told["gaps"]
    json.dumps(told)
    assert all(gap in report.summary() for gap in report.gaps)
    assert run_faceset_info(workspace).kept == 8
    shown = CliRunner().invoke(info, [str(tmp_path), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["gaps"] == report.gaps


def test_a_side_may_be_missing_but_not_both(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path, count=3)
    for path in workspace.aligned("dst").iterdir():
        path.unlink()
    assert run_faceset_info(workspace).sides["dst"] == {"faces": 0}
    with pytest.raises(WorkspaceError, match="no faces on either side"):
        run_faceset_info(Workspace(tmp_path / "empty"))
