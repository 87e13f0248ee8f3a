"""What is measured of a swap: each figure has its law."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.curating.scan_thumbs import THUMB_PX
from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.detect.appearance import ContrastMap
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.evaluating.background import (
    BEST_DB,
    mask_from_difference,
    psnr_db,
    squared_error,
    whereabouts,
)
from faceswap_cli.evaluating.charts import caption, draw_charts, draw_page
from faceswap_cli.evaluating.crops import STILL, change, cut_view, flicker_ratio, sharpness_ratio
from faceswap_cli.evaluating.doubts import (
    ADVICE,
    WORDS,
    Doubt,
    Reason,
    choose_shown,
    find_doubts,
    find_reasons,
)
from faceswap_cli.evaluating.identity import Person
from faceswap_cli.evaluating.looking import FaceFigures, Observer
from faceswap_cli.evaluating.measuring import Measured, measure
from faceswap_cli.evaluating.outcome import (
    MEANINGS,
    Embedding,
    Outcome,
    count_frames,
    count_reasons,
    main_figures,
)
from faceswap_cli.evaluating.page import outcome_html
from faceswap_cli.evaluating.placing import (
    eye_distance,
    landmark_error,
    pose_error_deg,
    shape_error,
)
from faceswap_cli.evaluating.sampling import Gap, find_gaps, spread_pairs
from faceswap_cli.evaluating.seam import find_edge, seam_ratio
from faceswap_cli.evaluating.swapped import Swapped
from faceswap_cli.evaluating.tables import outcome_json
from faceswap_cli.evaluating.thumbs import BETWEEN_PX, read_sides
from faceswap_cli.evaluating.tone import apart, face_to_neck, measure_tones, tone_jump, tone_shift
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.imaging import write_image
from faceswap_cli.masks import feather, hull_mask
from faceswap_cli.media.source import open_source
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.types import FloatImage, Points, RgbImage
from faceswap_cli.workspace import Workspace
from tests.clips import write_clip
from tests.made_faces import face_at, made_record, smooth_picture

SIZE_WH = (320, 320)
FACE_PX = 120.0
FACE = face_at((160, 130), FACE_PX)
LIMITS = EvaluateConfig()


def turned(points: Points, degrees: float, scale: float = 1.0) -> Points:
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = points.mean(axis=0)
    return np.asarray(scale * (points - middle) @ turn.T + middle, np.float64)


def hull(width_px: float = 0.0) -> FloatImage:
    drawn = hull_mask(FACE, SIZE_WH).astype(np.float32) / 255.0
    return feather(drawn, width_px=width_px)


def painted(image: RgbImage, mask: FloatImage, *, brighter: float) -> RgbImage:
    """The picture with its face lightened by so many levels."""
    lit = image.astype(np.float32) + np.float32(brighter) * mask[..., None]
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


def skin(colour: tuple[int, int, int] = (200, 150, 125)) -> RgbImage:
    image = np.full((SIZE_WH[1], SIZE_WH[0], 3), colour, np.uint8)
    return np.asarray(image + smooth_picture(3, SIZE_WH) // 32, np.uint8)


class TestPlacing:
    def test_equal_points_have_no_error(self) -> None:
        assert landmark_error(FACE, FACE) == pose_error_deg(FACE, FACE) == 0.0
        assert shape_error(FACE, FACE) == pytest.approx(0.0, abs=1e-9)

    @given(st.floats(-20, 20), st.floats(-20, 20))
    def test_a_moved_face_is_off_by_that_much(self, x: float, y: float) -> None:
        moved = FACE + np.array([x, y])
        assert landmark_error(moved, FACE) == pytest.approx(math.hypot(x, y) / eye_distance(FACE))
        assert shape_error(moved, FACE) == pytest.approx(0.0, abs=1e-9)

    @given(st.floats(-170, 170), st.floats(0.5, 2.0))
    def test_a_turn_in_the_plane_is_pose_and_no_shape(self, degrees: float, scale: float) -> None:
        assert shape_error(turned(FACE, degrees, scale), FACE) == pytest.approx(0.0, abs=1e-9)
        assert pose_error_deg(turned(FACE, degrees), FACE) == pytest.approx(abs(degrees), abs=1e-6)

    def test_roll_is_counted_the_short_way_round(self) -> None:
        error = pose_error_deg(turned(FACE, 175), turned(FACE, -175))
        assert error == pytest.approx(10.0, abs=1e-6)

    def test_the_jaw_does_not_count(self) -> None:
        other = FACE.copy()
        other[:17] += 30.0
        assert landmark_error(other, FACE) == 0.0

    def test_points_that_coincide_have_no_shape(self) -> None:
        assert math.isnan(shape_error(np.zeros((68, 2)), FACE))


class TestCrops:
    def test_the_same_pictures_flicker_and_blur_as_the_footage(self) -> None:
        view = cut_view(smooth_picture(1, SIZE_WH), FACE)
        assert change(view, view) == 0.0
        assert flicker_ratio(0.0, 0.0) == flicker_ratio(7.0, 7.0) == 1.0
        assert sharpness_ratio(view, view) == 1.0

    def test_a_face_that_moves_with_its_landmarks_does_not_change(self) -> None:
        image = smooth_picture(1, SIZE_WH)
        moved = np.roll(image, (7, 12), axis=(0, 1))
        assert change(cut_view(image, FACE), cut_view(moved, FACE + np.array([12, 7]))) < 0.1

    def test_alternating_noise_is_change_inside_the_face_only(self) -> None:
        still = skin()
        noise = np.random.default_rng(0).integers(0, 20, still.shape).astype(np.uint8)
        noisy = cut_view(still + noise, FACE)
        assert change(cut_view(still, FACE), noisy) > 5.0
        outside = still + noise * (hull()[..., None] == 0).astype(np.uint8)
        assert change(cut_view(still, FACE), cut_view(outside, FACE)) < 0.05

    def test_a_blurred_face_has_less_detail(self) -> None:
        image = smooth_picture(1, SIZE_WH, detail_px=1.5)
        views = [cut_view(cv2.GaussianBlur(image, (0, 0), s), FACE) for s in (1.0, 2.0, 4.0)]
        ratios = [sharpness_ratio(view, cut_view(image, FACE)) for view in views]
        assert 0.8 > ratios[0] > ratios[1] > ratios[2] > 0.0


class TestSeam:
    def test_a_picture_has_the_seam_of_itself(self) -> None:
        image = smooth_picture(2, SIZE_WH)
        assert seam_ratio(image, image, hull(), FACE_PX) == 1.0

    def test_the_harder_the_edge_the_higher(self) -> None:
        image = skin()
        ratios = []
        for width_px in (0.0, 8.0, 24.0):
            mask = hull(width_px)
            after = painted(image, mask, brighter=30)
            ratios.append(seam_ratio(after, image, mask, FACE_PX))
        assert ratios[0] > 1.5 * ratios[1] > 2.0 * ratios[2] > 2.0

    def test_a_face_of_its_own_texture_is_no_seam(self) -> None:
        image = smooth_picture(2, SIZE_WH, detail_px=3.0)
        other = smooth_picture(9, SIZE_WH, detail_px=3.0)
        mask = hull(16.0)[..., None]
        mixed = np.rint(other * mask + image * (1.0 - mask)).astype(np.uint8)
        assert seam_ratio(mixed, image, mask[..., 0], FACE_PX) < 1.2

    def test_outwards_leads_out_of_the_mask(self) -> None:
        mask = hull()
        edge = find_edge(mask, FACE_PX)
        assert edge is not None
        for sign, inside in ((6, 0.0), (-6, 1.0)):
            x, y = np.rint(edge.points + sign * edge.outwards).astype(int).T
            assert np.mean(mask[y, x] == inside) > 0.95

    def test_without_an_edge_there_is_no_seam(self) -> None:
        image = skin()
        for mask in (np.zeros_like(hull()), np.pad(np.ones((2, 2), np.float32), 159)):
            assert math.isnan(seam_ratio(image, image, mask, FACE_PX))

    def test_an_edge_at_the_border_of_the_picture_is_not_looked_at(self) -> None:
        image = skin()
        full = np.ones(SIZE_WH[::-1], np.float32)
        assert math.isnan(seam_ratio(painted(image, full, brighter=30), image, full, FACE_PX))


class TestTone:
    def figure(self, result: RgbImage, footage: RgbImage) -> float:
        tones = measure_tones((result, footage), hull(6.0), FACE, FACE_PX)
        assert tones is not None
        return face_to_neck(*tones)

    def test_the_footage_itself_has_no_difference(self) -> None:
        assert self.figure(skin(), skin()) == 0.0

    def test_a_brighter_face_is_apart_from_its_neck_by_as_much(self) -> None:
        result = painted(skin(), hull(6.0), brighter=20)
        assert self.figure(result, skin()) > 3.0
        assert self.figure(painted(skin(), hull(6.0), brighter=40), skin()) > 6.0

    def test_a_face_nearer_to_a_darker_neck_is_off_its_colour_too(self) -> None:
        footage = painted(skin(), hull(6.0), brighter=20)  # a face that is lighter than its neck
        tones = measure_tones((skin(), footage), hull(6.0), FACE, FACE_PX)
        assert tones is not None
        assert face_to_neck(*tones) < -3.0
        assert tone_shift(*tones) > 3.0
        assert tone_shift(tones[1], tones[1]) == 0.0

    def test_light_on_face_and_neck_alike_is_no_difference(self) -> None:
        everywhere = np.ones_like(hull())
        lit = painted(skin(), everywhere, brighter=20)
        assert abs(self.figure(lit, skin())) < 0.5
        tones = measure_tones((lit, skin()), hull(6.0), FACE, FACE_PX)
        assert tones is not None and tone_shift(*tones) < 0.5

    def test_a_neck_of_cloth_is_not_compared(self) -> None:
        footage = np.where(hull()[..., None] > 0, skin(), np.array((10, 60, 160), np.uint8))
        assert math.isnan(self.figure(footage, footage))

    def test_a_change_of_colour_from_frame_to_frame_is_a_jump(self) -> None:
        dark, bright = skin(), painted(skin(), hull(6.0), brighter=25)
        before = measure_tones((dark, dark), hull(6.0), FACE, FACE_PX)
        after = measure_tones((bright, dark), hull(6.0), FACE, FACE_PX)
        assert before is not None and after is not None
        assert tone_jump((before[0], before[0]), (before[1], before[1])) == 0.0
        assert tone_jump((before[0], after[0]), (before[1], after[1])) > 3.0

    def test_without_cheeks_there_is_no_tone(self) -> None:
        assert measure_tones((skin(), skin()), np.zeros_like(hull()), FACE, FACE_PX) is None

    def test_the_distance_is_ciede2000(self) -> None:
        # A pair of the test data of Sharma, Wu and Dalal, 2005: 2.0425.
        first, second = np.array([50.0, 2.6772, -79.7751]), np.array([50.0, 0.0, -82.7485])
        assert apart(first, second) == pytest.approx(2.0425, abs=1e-4)


class TestBackground:
    def test_what_is_painted_does_not_count(self) -> None:
        image = skin()
        after = painted(image, hull(8.0), brighter=60)
        assert squared_error(after, image, hull(8.0), FACE_PX) == 0.0
        assert psnr_db(0.0) == pytest.approx(BEST_DB)

    def test_one_level_everywhere_is_48_db(self) -> None:
        error = squared_error(skin() + 1, skin(), hull(), FACE_PX)
        assert psnr_db(error) == pytest.approx(20 * math.log10(255), abs=1e-6)

    def test_where_all_is_painted_nothing_is_known(self) -> None:
        full = np.ones_like(hull())
        assert math.isnan(psnr_db(squared_error(skin(), skin(), full, FACE_PX)))

    def test_a_change_far_from_the_face_is_seen(self) -> None:
        after = skin()
        after[:20, :20] = 0
        assert psnr_db(squared_error(after, skin(), hull(), FACE_PX)) < 35

    def test_a_lost_mask_is_found_from_the_difference(self) -> None:
        image, mask = skin(), hull(6.0)
        found = mask_from_difference(painted(image, mask, brighter=40), image, FACE, FACE_PX)
        assert np.mean((found > 0.5) != (mask > 0.5)) < 0.02

    def test_where_nothing_differs_the_mask_is_the_hull(self) -> None:
        found = mask_from_difference(skin(), skin(), FACE, FACE_PX)
        assert np.mean((found > 0.5) != (hull() > 0.5)) < 0.01

    def test_a_face_is_within_its_whereabouts(self) -> None:
        area = whereabouts([FACE], SIZE_WH)
        assert area[hull() > 0].all()
        assert not area.all()


def records(*frames: int, track: int = 0) -> dict[int, list[FaceRecord]]:
    record = made_record(0, track=track)  # its own frame is not looked at
    return {frame: [record] for frame in frames}


class TestSampling:
    def test_frames_come_in_pairs_over_the_whole_clip(self) -> None:
        frames = spread_pairs(records(*range(1000)), 20)
        assert len(frames) == 20 and frames == sorted(set(frames))
        assert all(b == a + 1 for a, b in zip(frames[::2], frames[1::2], strict=True))
        assert frames[0] == 0 and frames[-1] == 999
        assert max(np.diff(frames)) < 120

    def test_none_is_all_and_a_short_clip_is_all(self) -> None:
        assert spread_pairs(records(*range(30)), 0) == list(range(30))
        assert spread_pairs(records(*range(30)), 120) == list(range(30))

    def test_pairs_are_of_one_face(self) -> None:
        faces = records(*range(0, 50, 5)) | records(71, 72, track=1)
        assert spread_pairs(faces, 4) == [71, 72]
        assert len(spread_pairs(records(*range(0, 50, 5)), 4)) == 4

    def test_a_gap_is_a_face_that_comes_back(self) -> None:
        faces = records(0, 1, 2, 6, 7, 9)
        assert find_gaps(faces, left_out=()) == [Gap(3, 5, 0), Gap(8, 8, 0)]
        assert len(find_gaps(faces, left_out=())[0]) == 3

    def test_what_was_meant_is_no_gap(self) -> None:
        assert find_gaps(records(0, 1, 3), left_out={2}) == []
        assert find_gaps(records(0, 1) | records(3, 4, track=1), left_out=()) == []
        assert find_gaps(records(0, 1, 400), left_out=()) == []
        assert find_gaps(records(0, 2) | records(1, track=1), left_out=()) == []


def figures(frame: int, **changed: float) -> FaceFigures:
    """A face with nothing wrong."""
    good = {
        "landmark_nme": 0.02,
        "shape_nme": 0.01,
        "pose_deg": 1.0,
        "mouth": 0.02,
        "eyes": 0.01,
        "id_src": 0.6,
        "id_dst": 0.1,
        "change": 2.0,
        "dst_change": 2.0,
        "flicker": 1.0,
        "sharpness": 0.9,
        "seam": 1.0,
        "colour": 0.5,
        "shift": 0.5,
        "jump": 0.0,
        "mse": 1.0,
    }
    seen = {"presence": 0.9, "dst_presence": 0.9}
    return FaceFigures(frame, Fraction(frame, 25), 0, **(seen | good | changed))


class TestDoubts:
    def test_a_good_face_needs_no_look(self) -> None:
        assert find_reasons(figures(0), LIMITS) == ()

    @pytest.mark.parametrize(
        ("code", "changed"),
        [
            ("no_face", {"presence": 0.1}),
            ("landmarks", {"landmark_nme": 0.2}),
            ("pose", {"pose_deg": 20.0}),
            ("identity", {"id_dst": 0.7}),
            ("flicker", {"flicker": 4.0}),
            ("colour_jump", {"jump": 9.0}),
            ("seam", {"seam": 3.0}),
            ("colour", {"shift": 12.0}),
            ("blur", {"sharpness": 0.1}),
            ("background", {"mse": 400.0}),
        ],
    )
    def test_each_figure_has_its_reason(self, code: str, changed: dict[str, float]) -> None:
        [reason] = find_reasons(figures(0, **changed), LIMITS)
        assert reason.code == code
        assert reason.weight > 1.0
        assert WORDS[code] and ADVICE[code]

    def test_what_is_not_known_is_no_reason(self) -> None:
        unknown = FaceFigures(0, Fraction(0), 0, presence=0.9, dst_presence=0.9)
        assert find_reasons(unknown, LIMITS) == ()

    def test_a_face_that_was_none_before_is_not_missed(self) -> None:
        hidden = figures(0, presence=0.1, dst_presence=0.05)
        assert find_reasons(hidden, LIMITS) == ()

    def test_the_worst_comes_first_and_its_neighbours_are_shown_once(self) -> None:
        faces = [figures(i, seam=2.0) for i in (10, 11, 12)]
        faces += [figures(40, seam=2.0), figures(50, presence=0.0, flicker=9.0)]
        doubts = find_doubts(faces, [Gap(60, 62, 0)], LIMITS)
        assert [doubt.frame for doubt in doubts] == [50, 60, 10, 11, 12, 40]
        assert [doubt.frame for doubt in choose_shown(doubts, 24)] == [50, 60, 10, 40]
        assert [doubt.frame for doubt in choose_shown(doubts, 2)] == [50, 60]
        assert doubts[0].reasons[0].code == "no_face"
        assert caption(doubts[1]) == "frames 60-62"

    def test_the_hint_is_a_shot_of_the_settings(self) -> None:
        import tomllib

        from faceswap_cli.config import MergeConfig

        for changed in ({"seam": 3.0}, {"flicker": 5.0}, {"shift": 9.0}, {"sharpness": 0.1}):
            [doubt] = find_doubts([figures(120, **changed)], [], LIMITS)
            shot = tomllib.loads(doubt.hint)["merge"]["shot"]
            merge = MergeConfig.model_validate({"shot": shot})
            assert merge.shot[0].range == "120"

    def test_the_hint_covers_what_is_wrong_near_by(self) -> None:
        wrong = {"shift": 9.0}
        faces = [figures(i, **wrong) for i in (10, 11, 20, 60)] + [figures(15), figures(16)]
        hints = {doubt.frame: doubt.hint for doubt in find_doubts(faces, [], LIMITS)}
        assert 'range = "10-20"' in hints[10] and 'range = "10-20"' in hints[20]
        assert 'range = "60"' in hints[60]
        lost = find_doubts([figures(i, presence=0.0) for i in (3, 4)], [], LIMITS)
        assert [f'range = "{doubt.frame}"' in doubt.hint for doubt in lost] == [True, True]

    def test_limits_are_the_settings(self) -> None:
        strict = EvaluateConfig(seam_limit=1.01)
        assert not find_reasons(figures(0, seam=1.2), LIMITS)
        assert find_reasons(figures(0, seam=1.2), strict)[0].limit == 1.01


HOSTILE = "<script>alert('x')</script>&\"result\".mp4"


def made_outcome(faces: Sequence[FaceFigures], *, name: str = "result.mp4") -> Outcome:
    gaps = [Gap(60, 62, 0)]
    return Outcome(
        result=name,
        footage="data_dst.mp4",
        num_frames=100,
        num_swapped=90,
        faces=faces,
        gaps=gaps,
        doubts=find_doubts(faces, gaps, LIMITS),
        embedding=Embedding("contrast-map@1", True, 0.8, 0.7, math.nan),
        section=LIMITS,
        masks="the masks are those of merge",
        time_error_s=0.0,
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for key, value in attrs if key in ("src", "href", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


class TestReport:
    def test_means_leave_out_what_is_not_known(self) -> None:
        faces = [figures(0, seam=1.0), figures(1, seam=2.0), figures(2, seam=math.nan)]
        found = main_figures(made_outcome(faces))
        assert found["seam_ratio"] == 1.5
        assert found["nearer_src"] == 1.0
        assert found.keys() == MEANINGS.keys()

    def test_flicker_is_of_all_changes_together(self) -> None:
        faces = [figures(0, change=9.0, dst_change=3.0), figures(1, change=1.0, dst_change=2.0)]
        assert main_figures(made_outcome(faces))["flicker_ratio"] == 2.0
        still = [figures(0, change=0.0, dst_change=0.0)]
        assert main_figures(made_outcome(still))["flicker_ratio"] == 1.0

    def test_json_holds_every_face_and_no_number_that_is_none(self) -> None:
        faces = [figures(0), FaceFigures(1, Fraction(1, 25), 0, 0.9, 0.9)]
        found = json.loads(outcome_json(made_outcome(faces)), parse_constant=pytest.fail)
        assert [face["frame"] for face in found["faces"]] == [0, 1]
        assert found["faces"][1]["seam"] is None
        assert found["embedding"]["src_vs_dst"] is None
        assert found["left_unswapped"] == [[60, 62]]
        assert found["limits"]["seam_limit"] == LIMITS.seam_limit
        assert "device" not in found["limits"]

    def test_an_evaluation_of_nothing_is_told_too(self) -> None:
        empty = made_outcome([])
        assert json.loads(outcome_json(empty))["figures"]["landmark_nme"] is None
        assert draw_charts(empty).shape == draw_charts(made_outcome([figures(3)])).shape

    def test_curves_show_what_was_measured(self) -> None:
        low, high = ([figures(i, seam=seam) for i in (3, 4)] for seam in (1.0, 1.4))
        assert (draw_charts(made_outcome(low)) != draw_charts(made_outcome(high))).any()

    def test_the_page_stands_alone_and_runs_nothing(self) -> None:
        outcome = made_outcome([figures(3, seam=4.0)], name=HOSTILE)
        sides = [np.zeros((186, 376, 3), np.uint8)] * len(outcome.doubts)
        charts = np.zeros((20, 1280, 3), np.uint8)
        page = _Reader()
        page.feed(outcome_html(outcome, charts, outcome.doubts, sides).decode())
        assert "script" not in page.tags and "link" not in page.tags
        assert len(page.fetched) == 1 + len(outcome.doubts)
        assert all(place.startswith("data:image/") for place in page.fetched)
        assert HOSTILE in page.text
        assert "seam" in page.text and 'range = "3"' in page.text

    def test_the_picture_has_a_place_for_each_frame(self) -> None:
        outcome = made_outcome([figures(3, seam=4.0)])
        red = np.full((186, 376, 3), (255, 0, 0), np.uint8)
        charts = np.zeros((20, 1280, 3), np.uint8)
        page = draw_page(charts, outcome.doubts, [red] * 2)
        assert page.shape[0] > charts.shape[0] + 186
        is_red = (page[charts.shape[0] :] == (255, 0, 0)).all(axis=2)
        assert np.count_nonzero(is_red) == 2 * 186 * 376


def test_faces_of_one_frame_have_each_their_own_picture(tmp_path: Path) -> None:
    for index in range(2):
        picture = np.zeros((72, 192, 3), np.uint8)
        picture[:, :96], picture[:, 96:] = (200, 0, 0), (0, 0, 200)
        write_image(tmp_path / f"{index}.png", picture)
    source = open_source(tmp_path)
    faces = {1: [made_record(1, track=t, centre_xy=(48 + 96 * t, 32)) for t in (0, 1)]}
    reason = (Reason("seam", 3.0, 1.25),)
    doubts = [Doubt(1, None, track, reason) for track in (1, 0)] + [Doubt(0, None, 0, reason)]
    times = {1: (Fraction(1, 25), Fraction(1, 25))}
    blue, red, unread = read_sides((source, source), doubts, faces, times)
    for side, channel in ((blue, 2), (red, 0)):
        for left in (0, THUMB_PX + BETWEEN_PX):
            centre = side[60:126, left + 60 : left + 126].mean(axis=(0, 1))
            assert centre.argmax() == channel
    assert (unread[:, :THUMB_PX] == unread[0, 0]).all()


def test_a_frame_with_two_faces_needs_one_look_and_a_gap_as_many_as_it_has_frames() -> None:
    two = [figures(4, seam=3.0), replace(figures(4, seam=3.0), track=1)]
    doubts = find_doubts(two, [Gap(8, 10, 0)], LIMITS)
    assert len(doubts) == 3
    assert count_frames(doubts) == 4
    assert count_reasons(doubts) == {"seam": 1, "missed": 3}


@pytest.mark.parametrize(("change", "ratio"), [(0.0, 1.0), (0.2, 1.0), (5.0, 5.0 / STILL)])
def test_still_footage_has_a_flicker_that_means_something(change: float, ratio: float) -> None:
    faces = [figures(i, change=change, dst_change=0.0) for i in range(3)]
    assert main_figures(made_outcome(faces))["flicker_ratio"] == pytest.approx(ratio)


def test_a_frame_is_late_by_what_it_is_behind_the_first() -> None:
    shifts = {0: Fraction(0), 1: Fraction(1, 25), 2: Fraction(-1, 50)}
    times = {index: (Fraction(index), index + 7 + shift) for index, shift in shifts.items()}
    assert Measured(times=times).time_error_s == pytest.approx(0.04)
    assert math.isnan(Measured().time_error_s)


def test_faces_of_another_span_are_not_measured(tmp_path: Path) -> None:
    write_clip(tmp_path / "data_dst.mp4", [smooth_picture(i, (96, 72)) for i in range(3)])
    film = open_source(tmp_path / "data_dst.mp4")
    later = {1: [made_record(1, time_s=Fraction(7, 25))]}
    swapped = Swapped(later, [], FrameRanges())
    nobody = Person(np.zeros(0, np.float32), math.nan)
    observer = Observer(NullLandmarker(), ContrastMap(), (nobody, nobody))
    with pytest.raises(WorkspaceError, match=r"frame 1 at 0\.280 s \(now it is at 0\.040 s"):
        measure(Workspace(tmp_path), (film, film), swapped, ([1], []), observer)
    right = Swapped({1: [made_record(1, time_s=Fraction(1, 25))]}, [], FrameRanges())
    measured = measure(Workspace(tmp_path), (film, film), right, ([1], [2]), observer)
    assert [face.frame for face in measured.faces] == [1]
    assert measured.times.keys() == {1, 2}
    assert measured.num_frames == 3


class NullLandmarker:
    """Finds nothing; see Landmarker."""

    name = "null"

    def locate(
        self, frames: Sequence[RgbImage], faces: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        return [[Landmarks(FACE, None, 0.0) for _ in found] for found in faces]
