"""Steadying landmarks: a still face rests, a moving one is where it was, and nothing lags."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceswap_cli.faces import smoothing
from faceswap_cli.faces.ladder import Ladder
from faceswap_cli.faces.smoothing import GAPS, REACH, STEADY, STEADY_PLACE, smooth_track
from tests.facesets import face68

Track = NDArray[np.float64]
SIDE_PX = 187.0  # of the mean face, in a face 256 px high
NUM = 90
TIME = np.arange(NUM)
NOISE_PX = 0.2  # of the real detector on a still face of that size, per axis


def face(num_points: int) -> Track:
    """Return a face of 256 px: dlib's mean face, or a mesh-like cloud around its nose."""
    if num_points == 68:
        return face68(SIDE_PX, 0.0, 0.0)
    rng = np.random.default_rng(5)
    mesh = rng.uniform([-0.1, -0.4, -0.3], [1.1, 1.2, 0.3], (468, 3))
    mesh[list(STEADY.values()), :2] = STEADY_PLACE
    places = {0: (0.22, 0.21), 1: (0.76, 0.21), 3: (0.49, 0.8)}
    for upper, lower, region, _ in GAPS[468]:
        mesh[[upper, lower], :2] = places[region]
        mesh[lower, 1] += 0.04
    return mesh * SIDE_PX


def moved(
    still: Track,
    x_px: NDArray[Any] | float = 0.0,
    y_px: NDArray[Any] | float = 0.0,
    roll_deg: NDArray[Any] | float = 0.0,
    scale: NDArray[Any] | float = 1.0,
) -> Track:
    """Return (N, P, D): the face on its way, about its own middle."""
    linear = np.broadcast_to(scale * np.exp(1j * np.radians(roll_deg)), (NUM,))
    middle = still[:, :2].mean(axis=0)
    flat = (still[:, 0] - middle[0]) + 1j * (still[:, 1] - middle[1])
    on_way = linear[:, None] * flat + np.broadcast_to(x_px + 1j * np.asarray(y_px), (NUM,))[:, None]
    planes = [on_way.real + 400.0, on_way.imag + 300.0]
    if still.shape[1] == 3:
        planes.append(np.abs(linear)[:, None] * still[:, 2])
    return np.stack(planes, axis=-1)


def noisy(truth: Track, seed: int = 0) -> Track:
    """Return a track as the detector sees it: the whole face trembles, and each point."""
    rng = np.random.default_rng(seed)
    whole = rng.normal(0.0, NOISE_PX, (len(truth), 1, truth.shape[2]))
    return truth + whole + rng.normal(0.0, NOISE_PX / 2.0, truth.shape)


def error_px(found: Track, truth: Track) -> float:
    return float(np.linalg.norm((found - truth)[..., :2], axis=-1).mean())


def jitter_px(track: Track) -> float:
    return float(np.sqrt((np.diff(track, 2, axis=0) ** 2).sum(axis=-1).mean()))


def pulse(*frames: int, num: int = NUM) -> Track:
    """Return 0 but for half sine waves over the frames given as start, length pairs."""
    values = np.zeros(num)
    for start, length in zip(frames[::2], frames[1::2], strict=True):
        values[start : start + length] = np.sin(np.pi * (np.arange(length) + 1) / (length + 1))
    return values


MOTIONS = {
    "pan": {"x_px": 8.0 * np.abs(TIME % 60 - 30)},
    "sway": {"x_px": 40 * np.sin(TIME / 4.0), "roll_deg": 8 * np.sin(TIME / 4.0)},
    "nod": {"y_px": 15 * np.sin(TIME / 1.6)},
    "stop and go": {"x_px": 60 * np.clip((TIME - 30) / 4, 0, 1) - 90 * (TIME > 60)},
    "zoom": {"scale": 1.0 + 0.25 * np.sin(TIME / 6.0)},
    "whole turn": {"roll_deg": 6.0 * TIME},
}


@pytest.mark.parametrize("num_points", [68, 468])
def test_still_face_trembles_less_than_a_third(num_points: int) -> None:
    truth = moved(face(num_points))
    found = noisy(truth)
    smooth = smooth_track(TIME, found)
    assert jitter_px(smooth) < jitter_px(found) / 3.0  # the depth of a mesh included
    assert error_px(smooth, truth) < 0.6 * error_px(found, truth)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("num_points", [68, 468])
def test_fast_motion_is_not_smeared(num_points: int, motion: str) -> None:
    truth = moved(face(num_points), **MOTIONS[motion])
    found = noisy(truth)
    smooth = smooth_track(TIME, found)
    assert error_px(smooth, truth) < min(0.5, error_px(found, truth))
    clean = smooth_track(TIME, truth)
    assert error_px(clean, truth) < 0.3


def test_jump_between_two_frames_leaves_no_trace() -> None:
    truth = moved(face(68), x_px=30.0 * (TIME >= 40))
    np.testing.assert_allclose(smooth_track(TIME, truth), truth, atol=1e-6)


@pytest.mark.parametrize("length", [3, 4, 5])
@pytest.mark.parametrize("num_points", [68, 468])
def test_blink_keeps_its_depth_while_the_face_rests(num_points: int, length: int) -> None:
    lids = [(upper, lower) for upper, lower, region, _ in GAPS[num_points] if region < 2]
    truth = moved(face(num_points))
    closing = pulse(20, length, 60, length)
    for upper, _ in lids:
        truth[:, upper, 1] += 5.0 * closing
    found = noisy(truth)
    smooth = smooth_track(TIME, found)
    for upper, lower in lids:
        gap, true_gap = (track[:, lower, 1] - track[:, upper, 1] for track in (smooth, found))
        lost_px = np.mean((gap - true_gap)[closing == closing.max()])
        assert abs(lost_px) < 0.05 * 5.0
    rest = [number for number in range(num_points) if number not in np.ravel(lids)]
    assert jitter_px(smooth[:, rest]) < jitter_px(found[:, rest]) / 3.0


@pytest.mark.parametrize("num_points", [68, 468])
def test_speaking_lips_keep_their_opening(num_points: int) -> None:
    upper, lower, *_ = GAPS[num_points][-1]
    truth = moved(face(num_points))
    opening = 10.0 * (0.5 - 0.5 * np.cos(2 * np.pi * 5 / 25 * TIME)) * (TIME > 30)
    truth[:, lower, 1] += opening
    smooth = smooth_track(TIME, noisy(truth))
    gap = smooth[:, lower, 1] - smooth[:, upper, 1]
    kept = np.polyfit(opening[TIME > 30], gap[TIME > 30], 1)[0]
    assert kept > 0.95


def test_straight_motion_stays_as_it_is_across_holes() -> None:
    frames = np.array([n for n in range(NUM) if n % 7 and not 40 < n < 52])
    truth = moved(face(68), x_px=3.0 * TIME, y_px=-1.0 * TIME)[frames]
    np.testing.assert_allclose(smooth_track(frames, truth), truth, atol=1e-6)


def test_track_run_backwards_gives_the_same_backwards() -> None:
    found = noisy(moved(face(68), **MOTIONS["stop and go"]))
    forwards = smooth_track(TIME, found)
    backwards = smooth_track(TIME, found[::-1])[::-1]
    np.testing.assert_allclose(backwards, forwards, atol=1e-7)


@given(angle_deg=st.floats(-180, 180), scale=st.floats(0.2, 5), shift_px=st.floats(-5000, 5000))
@settings(max_examples=8, deadline=None)
def test_turned_and_resized_picture_gives_the_same_face(
    angle_deg: float, scale: float, shift_px: float
) -> None:
    found = noisy(moved(face(68), **MOTIONS["sway"]))
    cos, sin = (scale * f(math.radians(angle_deg)) for f in (math.cos, math.sin))
    other_from_picture = np.array([[cos, -sin], [sin, cos]])
    turned = smooth_track(TIME, found @ other_from_picture.T + shift_px)
    expected = smooth_track(TIME, found) @ other_from_picture.T + shift_px
    np.testing.assert_allclose(turned, expected, atol=1e-5)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_window_with_its_reach_gives_what_the_whole_track_gives(data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(0, NUM - 1), max_size=40))
    frames = np.array([n for n in range(NUM) if n not in missing])
    motion = data.draw(st.sampled_from(sorted(MOTIONS)))
    found = noisy(moved(face(68), **MOTIONS[motion]))[frames]
    first = data.draw(st.integers(0, len(frames) - 1))
    last = data.draw(st.integers(first, len(frames) - 1))
    near = (frames >= frames[first] - REACH) & (frames <= frames[last] + REACH)
    part = smooth_track(frames[near], found[near])
    inside = (frames[near] >= frames[first]) & (frames[near] <= frames[last])
    whole = smooth_track(frames, found)
    np.testing.assert_allclose(part[inside], whole[first : last + 1], atol=1e-7)


def test_long_tracks_are_smoothed_in_chunks_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    found = noisy(moved(face(68), **MOTIONS["nod"]))
    whole = smooth_track(TIME, found)
    monkeypatch.setattr(smoothing, "CHUNK_FRAMES", 13)
    np.testing.assert_allclose(smooth_track(TIME, found), whole, atol=1e-7)


def test_strength_of_none_changes_nothing_and_more_rests_more() -> None:
    found = moved(face(68)) + 6.0 * (noisy(moved(face(68))) - moved(face(68)))
    kept = found.copy()
    rests = [smooth_track(TIME, found, strength=strength) for strength in (0.0, 0.2, 1.0, 5.0)]
    np.testing.assert_array_equal(rests[0], kept)
    np.testing.assert_array_equal(found, kept)
    jitters = [jitter_px(rest) for rest in rests]
    assert jitters[0] > jitters[1] > 1.5 * jitters[2] > 3.0 * jitters[3]


@pytest.mark.parametrize("num", [0, 1, 2, 3, 4])
def test_shortest_tracks_come_back_finite(num: int) -> None:
    found = noisy(moved(face(68)))[:num]
    smooth = smooth_track(np.arange(num) * 3, found)
    assert smooth.shape == found.shape
    assert error_px(smooth, found) < 1.0 if num else True


def test_points_that_all_coincide_do_not_crash() -> None:
    found = np.full((NUM, 68, 2), 12.0)
    np.testing.assert_allclose(smooth_track(TIME, found), found)


@pytest.mark.parametrize("shape", [(NUM, 67, 2), (NUM, 468, 2), (68, 2)])
def test_other_faces_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 68, 2\) or \(N, 468, 3\)"):
        smooth_track(TIME, np.zeros(shape))


def test_frames_that_do_not_grow_and_odd_strengths_are_refused() -> None:
    found = moved(face(68))
    for frames in (TIME[::-1], TIME // 2, TIME[:-1]):
        with pytest.raises(ValueError, match="growing"):
            smooth_track(frames, found)
    for strength in (-0.1, 5.1, math.nan):
        with pytest.raises(ValueError, match="0 to 5"):
            smooth_track(TIME, found, strength=strength)


def test_smoothers_leave_a_constant_as_it_is_and_add_up() -> None:
    frames = np.array([0, 1, 2, 5, 6, 20, 40, 41, 42, 43])
    ladder = Ladder.build(frames)
    for weights in ladder.weights:
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
        assert (weights**2).sum(axis=1).max() <= 1.0 + 1e-9  # never more noise than there was
    steps = np.random.default_rng(0).uniform(0, 12, (9, 9, len(frames)))
    shares = ladder.shares(lambda narrow, wide: steps[narrow, wide])
    np.testing.assert_allclose(sum(shares), 1.0)
    assert min(share.min() for share in shares) >= 0.0


def test_noise_is_told_from_motion() -> None:
    rng = np.random.default_rng(0)
    ladder = Ladder.build(np.arange(300))
    white = rng.normal(0.0, 1.5, 300)
    slow = 40.0 * np.sin(np.arange(300) / 3.0)

    def seen(values: Track) -> float:
        variance = ladder.noise(values, lambda squares: squares / 0.455, least=1.0)
        return float(np.sqrt(np.median(variance)))

    assert seen(white) == pytest.approx(1.5, rel=0.15)  # 0.455: median of a chi-squared of 1
    assert seen(slow) == 1.0
    assert seen(100.0 * white) == 3.0
