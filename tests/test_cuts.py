from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.faces.cuts import change, find_cuts, thumbnail
from faceswap_cli.types import RgbImage
from tests.made_faces import smooth_picture

WIDE = (320, 180)
ONE = smooth_picture(1, WIDE, detail_px=16.0)
OTHER = smooth_picture(2, WIDE, detail_px=16.0)


def filmed(picture: RgbImage, num: int, *, seed: int = 0) -> list[RgbImage]:
    """A shot of something that hardly moves, with a camera's noise."""
    noise = np.random.default_rng(seed).normal(0, 3, (num, *picture.shape))
    return [np.asarray(np.clip(picture + one, 0, 255), np.uint8) for one in noise]


def cuts_of(shots: Sequence[RgbImage]) -> list[int]:
    small = [thumbnail(frame) for frame in shots]
    changes = [0.0, *(change(a, b) for a, b in pairwise(small))]
    return find_cuts(range(len(shots)), changes)


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_any_picture_has_a_thumbnail(height: int, width: int) -> None:
    small = thumbnail(np.zeros((height, width, 3), np.uint8))
    assert small.shape == ((32, 18, 3) if height > width else (18, 32, 3))


def test_thumbnail_is_an_average() -> None:
    stripes = np.zeros((180, 320, 3), np.uint8)
    stripes[::2] = 200
    assert np.abs(thumbnail(stripes).astype(int) - 100).max() <= 20


def test_change_is_between_0_and_1_and_the_same_both_ways() -> None:
    a, b = thumbnail(ONE), thumbnail(OTHER)
    assert change(a, a) == 0.0
    assert 0.3 < change(a, b) <= 1.0
    assert change(a, b) == pytest.approx(change(b, a))


def test_pictures_of_another_shape_are_a_whole_change() -> None:
    assert change(thumbnail(ONE), thumbnail(ONE.transpose(1, 0, 2))) == 1.0


def test_light_and_small_motion_are_hardly_a_change() -> None:
    dim = np.asarray(ONE * 0.6, np.uint8)
    assert change(thumbnail(ONE), thumbnail(dim)) < 0.1
    assert change(thumbnail(ONE), thumbnail(np.roll(ONE, 8, axis=1))) < 0.1


def test_a_dark_picture_is_all_noise_and_no_change() -> None:
    dark = [thumbnail(frame) for frame in filmed(np.full_like(ONE, 8), 2)]
    assert change(*dark) < 0.1


def test_cuts_are_found_and_cutting_back_too() -> None:
    shots = filmed(ONE, 12) + filmed(OTHER, 5, seed=1) + filmed(ONE, 12, seed=2)
    assert cuts_of(shots) == [12, 17]


def test_cuts_are_told_by_the_numbers_of_frames() -> None:
    assert find_cuts([10, 13, 16, 19, 22, 25], [0.0, 0.01, 0.01, 0.5, 0.01, 0.01]) == [19]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    shots = filmed(ONE, 30)
    for index in range(15, 15 + length):
        shots[index] = np.full_like(ONE, 255)
    assert cuts_of(shots) == []


@pytest.mark.parametrize("step_px", [10, 40, 120])
def test_a_pan_is_no_cut(step_px: int) -> None:
    wall = smooth_picture(3, (320 + 30 * step_px, 180), detail_px=16.0)
    assert cuts_of([wall[:, i * step_px :][:, :320] for i in range(30)]) == []


def test_a_hand_that_comes_and_goes_is_no_cut() -> None:
    shots = filmed(ONE, 40)
    for index in range(10, 30):
        x = round(-60 + 440 * (index - 10) / 20)
        cv2.ellipse(shots[index], (x, 120), (50, 80), 10, 0, 360, (220, 170, 140), -1)
    assert cuts_of(shots) == []


@pytest.mark.parametrize("length", [2, 8, 20])
def test_a_dissolve_is_one_cut_at_most(length: int) -> None:
    weights = [min(1.0, max(0.0, (i - 15) / length)) for i in range(50)]
    shots = [cv2.addWeighted(ONE, 1 - weight, OTHER, weight, 0) for weight in weights]
    assert len(cuts_of([np.asarray(shot, np.uint8) for shot in shots])) <= 1


def test_a_fade_to_black_is_one_cut_at_most() -> None:
    shots = [np.asarray(ONE * max(0.0, 1 - i / 12), np.uint8) for i in range(30)]
    assert len(cuts_of(shots)) <= 1


def test_a_peak_in_a_busy_scene_is_no_cut() -> None:
    assert find_cuts(range(31), [0.0, *[0.06] * 14, 0.15, *[0.06] * 15]) == []
    assert find_cuts(range(31), [0.0, *[0.06] * 14, 0.5, *[0.06] * 15]) == [15]


def test_a_cut_with_a_blended_frame_is_where_most_changes() -> None:
    assert find_cuts(range(30), [*[0.01] * 12, 0.2, 0.4, *[0.01] * 16]) == [13]


@given(changes=st.lists(st.floats(0, 1), max_size=40))
def test_any_changes_give_ascending_frames_and_never_the_first(changes: list[float]) -> None:
    found = find_cuts(range(len(changes)), changes)
    assert found == sorted(set(found))
    assert 0 not in found
    assert all(changes[index] >= 0.1 for index in found)


def test_frames_and_changes_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 frames, 1 changes"):
        find_cuts([0, 1], [0.0])
