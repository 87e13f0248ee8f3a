import csv
import io
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.config import InputConfig, ScanConfig
from faceswap_cli.curating.scan_jumps import find_jumps
from faceswap_cli.curating.scan_masks import hidden_part
from faceswap_cli.curating.scan_measures import (
    LEAST_SPREAD,
    ScannedFaces,
    measure_faces,
)
from faceswap_cli.curating.scan_tables import Scan, scan_csv, scan_json
from faceswap_cli.curating.scanning import (
    CODES,
    FAULTS,
    Finding,
    FrameFindings,
    main_people,
    ranges_of,
    scan_frames,
    worst_frames,
)
from faceswap_cli.errors import ConfigError
from faceswap_cli.faces.pose import estimate_pose
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.masks import hull_mask
from faceswap_cli.media.span import FrameRanges
from tests.made_faces import face_at
from tests.scans import but, columns_of, film, look_of, made_store, sighting

SECTION = ScanConfig()
NUM = 40
Scanner = Callable[..., list[FrameFindings]]


@pytest.fixture
def scan(tmp_path: Path) -> Scanner:
    """Puts made faces into a store, and scans them."""
    numbers = itertools.count()

    def run(
        faces: Sequence[Sighting],
        *,
        whose: Callable[[Sighting], tuple[int, int]] = lambda face: (0, 0),
        hidden: dict[int, float] | None = None,
        section: ScanConfig = SECTION,
        frames: Sequence[int] = range(NUM),
        cuts: Sequence[int] = (),
        excluded: str = "",
    ) -> list[FrameFindings]:
        store = made_store(tmp_path / f"{next(numbers)}.sightings", faces, NUM, whose=whose)
        measured = measure_faces(store)
        store.close()
        if hidden:
            shares = [hidden.get(frame, np.nan) for frame in measured.frame.tolist()]
            measured = replace(measured, hidden=np.array(shares))
        ranges = FrameRanges.parse(excluded)
        return scan_frames(frames, measured, section, cuts=cuts, excluded=ranges)

    return run


def codes(results: Sequence[FrameFindings]) -> dict[int, tuple[str, ...]]:
    return {result.frame: result.codes for result in results if result.codes}


def moved(x: float, y: float = 0.0) -> Callable[[Sighting], Sighting]:
    def change(face: Sighting) -> Sighting:
        left, top, right, bottom = face.box
        box = (left + x, top + y, right + x, bottom + y)
        return replace(face, points68=face.points68 + np.array([x, y]), box=box)

    return change


def head_points(yaw_deg: float, *, middle: tuple[float, float], px: float = 90.0) -> np.ndarray:
    points = face_at((0.0, 0.0), px)
    depth = np.zeros(68)  # positive is away from the camera, in the units of the points
    depth[8], depth[[36, 45]], depth[[48, 54]] = 0.1 * px, 0.2 * px, 0.19 * px
    solid = np.column_stack([points, depth]) - [0.0, 0.0, 0.1 * px]
    turn = cv2.Rodrigues(np.array([0.0, -np.radians(yaw_deg), 0.0]))[0]
    return np.asarray((solid @ turn.T)[:, :2] + middle)


def test_a_clear_face_in_every_frame_gives_no_reason(scan: Scanner) -> None:
    assert codes(scan(film())) == {}


def test_a_frame_without_the_face_has_no_face(scan: Scanner) -> None:
    results = scan(film({7: lambda face: None}))
    assert codes(results) == {7: ("no_face",)}
    assert results[7].findings == (Finding("no_face", 0, 1, person=0),)
    assert results[7].people == () and results[6].people == (0,)


def test_a_weak_detection_is_a_low_score(scan: Scanner) -> None:
    assert codes(scan(film({7: but(score=0.64)}))) == {7: ("low_score",)}
    assert codes(scan(film({7: but(score=0.66)}))) == {}


def test_filled_in_faces_have_no_score_and_no_sharpness_to_judge(scan: Scanner) -> None:
    found = scan(film({7: but(score=0.0, sharpness=1.0, origin="repaired")}))
    assert codes(found) == {7: ("repaired",)}
    found = scan(film({8: but(score=0.0, sharpness=1.0, origin="interpolated")}))
    assert codes(found) == {8: ("interpolated",)}


def test_a_face_with_less_than_half_of_the_persons_sharpness_is_blurred(scan: Scanner) -> None:
    results = scan(film({7: but(sharpness=10.0)}))
    assert codes(results) == {7: ("blur",)}
    assert results[7].findings[0].value == pytest.approx(10.0 / 21.0, abs=1e-3)
    assert codes(scan(film({7: but(sharpness=11.0)}))) == {}


def test_each_person_is_as_sharp_as_usual_for_that_person(scan: Scanner) -> None:
    soft = [replace(face, sharpness=4.0) for face in film()]
    others = [replace(moved(-200)(f), appearance=look_of(1)) for f in soft]
    both = [face for pair in zip(film(), others, strict=True) for face in pair]
    assert codes(scan(both, whose=lambda f: (1, 1) if f.appearance[1] else (0, 0))) == {}
    assert len(codes(scan(both, whose=lambda f: (int(f.appearance[1]), 0)))) == NUM


def test_a_small_box_is_tiny(scan: Scanner) -> None:
    wide = but(box=(250.0, 180.0, 350.0, 243.0))  # the shorter side counts
    assert codes(scan(film({7: wide}))) == {7: ("tiny",)}
    assert codes(scan(film({7: but(box=(250.0, 180.0, 350.0, 245.0))}))) == {}


def test_a_turned_head_is_extreme(scan: Scanner) -> None:
    for yaw_deg, expected in ((70.0, ("extreme_pose",)), (-70.0, ("extreme_pose",)), (35.0, ())):
        points = head_points(yaw_deg, middle=(300.0, 200.0))
        yaw = estimate_pose(points)[1]
        assert (abs(yaw) > SECTION.extreme_deg) == bool(expected)
        results = scan([but(points68=points)(face) for face in film()])
        assert {result.codes for result in results} == {expected}
        for result in results:
            for finding in result.findings:
                assert finding.value == pytest.approx(abs(yaw), abs=1e-3)


def test_another_persons_face_is_an_identity_doubt(scan: Scanner) -> None:
    results = scan(film({7: but(appearance=look_of(3)), 30: but(appearance=look_of(3))}))
    assert codes(results) == {7: ("identity_doubt",), 30: ("identity_doubt",)}
    (finding,) = scan(film({7: but(appearance=look_of(3))}))[7].findings
    assert finding.value == LEAST_SPREAD  # of 1: nothing in common with the mean of the others
    near = look_of(0) + 0.3 * look_of(3)
    assert codes(scan(film({7: but(appearance=near / np.linalg.norm(near))}))) == {}


def test_whoever_varies_much_is_not_doubted_for_it(scan: Scanner) -> None:
    def vary(amount: float, frame: int) -> np.ndarray:
        look = look_of(0) + amount * look_of(1 + frame % 15)
        return np.asarray(look / np.linalg.norm(look), np.float32)

    doubtful = film({7: but(appearance=vary(1.2, 0))})
    varied = [replace(face, appearance=vary(0.9, face.frame)) for face in film()]
    varied[7] = doubtful[7]
    assert codes(scan(doubtful)) == {7: ("identity_doubt",)}
    assert codes(scan(varied)) == {}


def test_without_appearances_nobody_is_doubted(scan: Scanner) -> None:
    assert codes(scan(film(each=but(appearance=np.zeros(0, np.float32))))) == {}


def test_a_face_half_hidden_by_its_mask_is_occluded(scan: Scanner) -> None:
    assert codes(scan(film(), hidden={7: 0.21, 8: 0.19})) == {7: ("occluded",)}


def test_frames_that_begin_a_shot_or_are_left_out_are_told(scan: Scanner) -> None:
    results = scan(film(), cuts=[20], excluded="3-4,39,1000")
    assert codes(results) == {20: ("cut",), 3: ("excluded",), 4: ("excluded",), 39: ("excluded",)}
    assert not any(result.faults for result in results)


class TestJumps:
    def test_a_leap_there_and_back_is_a_jump(self, scan: Scanner) -> None:
        results = scan(film({7: moved(50.0)}))
        assert codes(results) == {7: ("jump",)}
        assert results[7].findings[0].value == pytest.approx(50.0 / 120.0, abs=0.01)
        assert codes(scan(film({7: moved(25.0)}))) == {}

    def test_so_is_one_of_three_frames(self, scan: Scanner) -> None:
        away = {frame: moved(0.0, 60.0) for frame in (7, 8, 9)}
        assert codes(scan(film(away))) == {7: ("jump",), 8: ("jump",), 9: ("jump",)}

    def test_growing_and_turning_for_a_frame_are_jumps(self, scan: Scanner) -> None:
        whole = film()
        x, y = whole[7].points68.mean(axis=0).tolist()
        for face in (sighting(7, (x, y), side_px=220.0), sighting(7, (x, y), roll_deg=45.0)):
            assert codes(scan([*whole[:7], face, *whole[8:]])) == {7: ("jump",)}

    def test_fast_motion_is_not(self, scan: Scanner) -> None:
        """40 px a frame is a third of the face; it starts, stops and turns round at once."""
        path = [0] * 10 + [40 * n for n in range(10)] + [400 - 40 * n for n in range(20)]
        faces = [sighting(n, (120.0 + max(0, x), 200.0)) for n, x in enumerate(path)]
        assert codes(scan(faces)) == {}

    def test_a_face_that_leaps_and_stays_has_jumped_once(self, scan: Scanner) -> None:
        away = {frame: moved(100.0) for frame in range(20, NUM)}
        assert codes(scan(film(away))) == {20: ("jump",)}

    def test_where_a_track_begins_or_ends_the_short_part_is_off(self, scan: Scanner) -> None:
        assert codes(scan(film({0: moved(100.0), 1: moved(100.0)}))) == {0: ("jump",), 1: ("jump",)}
        assert codes(scan(film({38: moved(100.0), 39: moved(100.0)}))) == {
            38: ("jump",),
            39: ("jump",),
        }

    def test_no_path_leads_over_a_cut_or_from_track_to_track(self, scan: Scanner) -> None:
        away = film({frame: moved(100.0) for frame in range(20, NUM)})
        assert codes(scan(away, cuts=[20])) == {20: ("cut",)}
        assert codes(scan(away, whose=lambda face: (int(face.frame >= 20), 0))) == {}

    @given(st.lists(st.floats(-9.0, 9.0), min_size=5, max_size=5), st.integers(5, 30))
    def test_any_smooth_path_is_free_of_jumps(self, bends: list[float], period: int) -> None:
        """Accelerations of up to 27 px, a quarter of the limit's 30 px, never add up to one."""
        time = np.arange(60.0)
        x = sum(b * np.sin(time * k / period) for k, b in enumerate(bends, start=1))
        faces = columns_of(np.column_stack([300.0 + np.asarray(x), 0 * time + 200.0]))
        assert find_jumps(faces, cuts=[], step=1.0, limit=0.25) == {}


class TestPeople:
    def two(self) -> list[Sighting]:
        others = [moved(-200.0)(face) for face in film()]
        pairs = [
            (f, replace(o, appearance=look_of(1))) for f, o in zip(film(), others, strict=True) if o
        ]
        return [face for pair in pairs for face in pair]

    @staticmethod
    def whose(face: Sighting) -> tuple[int, int]:
        return (1, 1) if face.appearance[1] else (0, 0)

    def test_one_of_two_who_is_lost_for_a_while_is_missed(self, scan: Scanner) -> None:
        faces = [f for f in self.two() if not (f.appearance[1] and 10 <= f.frame < 13)]
        results = scan(faces, whose=self.whose)
        assert set(codes(results)) == {10, 11, 12}
        assert results[11].findings == (Finding("no_face", 1, 2, person=1),)

    def test_one_who_came_later_is_not(self, scan: Scanner) -> None:
        faces = [f for f in self.two() if not (f.appearance[1] and f.frame < 13)]
        assert codes(scan(faces, whose=self.whose)) == {}

    def test_nor_one_who_is_away_until_the_next_shot(self, scan: Scanner) -> None:
        faces = [f for f in self.two() if not (f.appearance[1] and 10 <= f.frame < 13)]
        assert codes(scan(faces, whose=self.whose, cuts=[12])) == {12: ("cut",)}

    def test_passers_by_are_not_judged(self, scan: Scanner) -> None:
        passing = [
            replace(sighting(frame, (100.0, 100.0), side_px=20.0), appearance=look_of(1))
            for frame in range(8)
        ]
        faces = sorted([*film(), *passing], key=lambda face: face.frame)
        results = scan(faces, whose=self.whose)
        assert codes(results) == {}
        assert results[3].people == (0, 1)

    def test_who_is_seen_in_more_than_a_fifth_counts_else_who_is_seen_most(self) -> None:
        def seen(*counts: int) -> ScannedFaces:
            people = np.repeat(np.arange(len(counts)), counts)
            return replace(columns_of(np.zeros((sum(counts), 2))), person=people)

        assert main_people(seen(70, 20, 10)) == [0]
        assert main_people(seen(50, 30, 20)) == [0, 1]
        assert main_people(seen(2, 3, 2, 2, 2, 2, 2)) == [1]
        assert main_people(seen()) == []


def test_no_face_at_all_is_said_of_every_frame(scan: Scanner) -> None:
    results = scan([])
    assert {result.codes for result in results} == {("no_face",)}


def test_the_mask_hides_what_it_leaves_out_of_the_hull() -> None:
    landmarks = face_at((128.0, 128.0), 120.0)
    hull = hull_mask(landmarks, (256, 256))
    assert hidden_part(hull, landmarks, size_px=256) == pytest.approx(0.0, abs=0.03)
    assert hidden_part(np.zeros_like(hull), landmarks, size_px=256) == 1.0
    half = np.full_like(hull, 255)
    half[:, : int(landmarks[27, 0])] = 0
    assert hidden_part(half, landmarks, size_px=256) == pytest.approx(0.5, abs=0.05)
    small = cv2.resize(half, (64, 64), interpolation=cv2.INTER_AREA)
    assert hidden_part(small, landmarks, size_px=256) == pytest.approx(0.5, abs=0.05)


class TestRanges:
    @given(st.sets(st.integers(0, 60)))
    def test_they_parse_back_to_the_same_frames(self, marked: set[int]) -> None:
        results = [
            FrameFindings(n, (), (Finding("blur", 0.1, 0.2),) if n in marked else ())
            for n in range(61)
        ]
        text = ranges_of(results, {"blur"})
        assert {n for n in range(61) if n in FrameRanges.parse(text)} == marked
        InputConfig(dst_exclude=text)
        assert text.count(",") + bool(text) == sum(n - 1 not in marked for n in marked)

    def test_frames_that_were_not_looked_at_go_with_their_neighbours(self) -> None:
        finding = (Finding("blur", 0.1, 0.2),)
        results = [FrameFindings(n, (), finding if 10 <= n <= 20 else ()) for n in range(0, 40, 5)]
        assert ranges_of(results, {"blur"}) == "10-20"
        assert ranges_of(results, {"jump"}) == ""


def test_the_worst_frames_are_of_every_reason_and_each_of_another_range() -> None:
    def result(frame: int) -> FrameFindings:
        found = {
            **{n: Finding("blur", 0.3 - 0.001 * n, 0.35) for n in range(10, 30)},
            40: Finding("tiny", 60, 64),
            50: Finding("blur", 0.34, 0.35),
            60: Finding("cut"),
        }
        return FrameFindings(frame, (0,), (found[frame],) if frame in found else ())

    results = [result(frame) for frame in range(100)]
    assert [worst.frame for worst in worst_frames(results, 24)] == [29, 40, 50]
    assert [worst.frame for worst in worst_frames(results, 2)] == [29, 40]


def made_scan(results: Sequence[FrameFindings]) -> Scan:
    times = [Fraction(result.frame, 25) for result in results]
    why = {"occluded": "no masks"}
    return Scan("dst", "data_dst.mp4", SECTION, (0,), times, results, why)


def some_results() -> list[FrameFindings]:
    found: dict[int, tuple[Finding, ...]] = {
        2: (Finding("no_face", 0, 1, person=0),),
        3: (Finding("low_score", 0.5, 0.65, person=0), Finding("blur", 0.2, 0.35, person=0)),
        4: (Finding("jump", 0.4, 0.25, person=0), Finding("repaired", person=0)),
        5: (Finding("cut"),),
        6: (Finding("excluded"),),
    }
    return [FrameFindings(n, () if n == 2 else (0,), found.get(n, ())) for n in range(9)]


def test_json_reads_back_as_what_was_found() -> None:
    results = some_results()
    read = json.loads(scan_json(made_scan(results)))
    again = [
        FrameFindings(
            frame["frame"],
            tuple(frame["people"]),
            tuple(Finding(code, **values) for code, values in frame["codes"].items()),
        )
        for frame in read["frames"]
    ]
    assert again == results
    assert [frame["time_s"] for frame in read["frames"]] == [n / 25 for n in range(9)]
    assert read["counts"] == {code: sum(code in r.codes for r in results) for code in CODES}
    assert read["ranges"]["blur"] == "3"
    assert read["exclude"] == "3-4,6"
    assert read["not_judged"] == {"occluded": "no masks"}
    assert read["limits"]["jump"] == SECTION.jump


def test_csv_has_a_row_a_frame_and_a_column_a_fault() -> None:
    results = some_results()
    rows = list(csv.DictReader(io.StringIO(scan_csv(made_scan(results)).decode())))
    assert [int(row["frame"]) for row in rows] == list(range(9))
    assert [tuple(row["codes"].split()) for row in rows] == [r.codes for r in results]
    for row, result in zip(rows, results, strict=True):
        told = {code: float(row[code]) for code in FAULTS if row[code]}
        assert told == {finding.code: finding.value for finding in result.faults}


def test_frames_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(ConfigError, match="frames 30-20: they end before they begin") as caught:
        FrameRanges.parse("1-5,30-20")
    assert "20-30" in str(caught.value)
