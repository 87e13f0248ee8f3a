"""Steadying colours, masks and crops along a track: what is calm rests, what changes is kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.faces.smoothing import smooth_track
from faceswap_cli.merging.steady import MIN_FRAMES, REACH, Sketch, is_cut, steady, steady_crops
from faceswap_cli.types import Points, RgbImage
from tests.made_faces import face_at
from tests.made_sketches import disc, footage_of, sketch

NUM = 25
MIDDLE = NUM // 2
Floats = NDArray[np.float64]


def brighter(levels: float) -> RgbImage:
    return np.asarray(np.clip(footage_of() + float(levels), 0, 255), np.uint8)


def track(
    footage: Callable[[int], RgbImage], value: Callable[[int], float], frames: Sequence[int]
) -> list[Sketch]:
    """Return sketches whose second number of the colour is `value` of the frame."""
    return [sketch(i, footage=footage(i), colour=np.array([1.0, value(i)])) for i in frames]


def values(sketches: Sequence[Sketch]) -> Floats:
    return np.array([one.colour[1] for one in sketches], np.float64)


def steadied(window: Sequence[Sketch], *, strength: float = 1.0) -> list[Sketch]:
    return [steady(window, at, strength=strength) for at in range(len(window))]


def noise(seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=NUM)


def bits(one: Sketch) -> bytes:
    return one.colour.tobytes() + b"".join(mask.tobytes() for mask in one.masks.values())


# What is calm


def test_colours_of_a_still_face_come_to_rest() -> None:
    trembling = track(lambda _: footage_of(), lambda i: float(noise()[i]), range(NUM))
    before, after = (np.diff(values(seen)).std() for seen in (trembling, steadied(trembling)))
    assert after < 0.2 * before
    half = np.diff(values(steadied(trembling, strength=0.2))).std()
    assert after < half < before


def test_edges_of_the_masks_of_a_still_face_come_to_rest() -> None:
    radii = 20.0 + 0.7 * noise()
    trembling = [
        sketch(i, masks={"learned_dst": disc(64, radii[i]), "seg_dst": disc(64, 10.0)})
        for i in range(NUM)
    ]
    still = steadied(trembling)
    before, after = (
        np.diff([one.masks["learned_dst"].sum() for one in seen]).std()
        for seen in (trembling, still)
    )
    assert after < 0.25 * before
    np.testing.assert_allclose(still[MIDDLE].masks["seg_dst"], disc(64, 10.0), atol=1e-6)
    assert still[MIDDLE].masks["learned_dst"].dtype == np.float32


def test_slow_changes_come_neither_late_nor_early() -> None:
    fading = track(lambda i: brighter(0.5 * i - 6), lambda i: 0.01 * i, range(NUM))
    middle = values(steadied(fading))[REACH:-REACH]
    np.testing.assert_allclose(middle, 0.01 * np.arange(NUM)[REACH:-REACH], atol=2e-3)


def test_face_itself_is_not_touched() -> None:
    seen = track(lambda _: footage_of(), lambda i: float(i), range(NUM))
    found = steady(seen, MIDDLE, strength=1.0)
    assert found.face is seen[MIDDLE].face
    assert found.footage is seen[MIDDLE].footage


# What really changes


@pytest.mark.parametrize("levels", [8, 20, 60, -40])
def test_lamp_that_is_switched_on_is_not_smeared(levels: int) -> None:
    switched = track(
        lambda i: brighter(levels * (i >= MIDDLE)), lambda i: float(i >= MIDDLE), range(NUM)
    )
    np.testing.assert_array_equal(values(steadied(switched)), values(switched))


def test_lamp_from_the_side_is_not_smeared() -> None:
    lit = footage_of().copy()
    lit[:, 32:] = np.clip(lit[:, 32:] + 30.0, 0, 255)
    switched = track(
        lambda i: lit if i >= MIDDLE else footage_of(), lambda i: float(i >= MIDDLE), range(NUM)
    )
    np.testing.assert_array_equal(values(steadied(switched)), values(switched))


def test_flash_stays_in_its_frame() -> None:
    flash = track(lambda i: brighter(50 * (i == MIDDLE)), lambda i: float(i == MIDDLE), range(NUM))
    np.testing.assert_array_equal(values(steadied(flash)), values(flash))


def test_exposure_that_goes_in_steps_is_followed() -> None:
    level = np.clip(np.arange(NUM) - 8, 0, 5) * 6.0
    exposed = track(lambda i: brighter(level[i]), lambda i: float(level[i]), range(NUM))
    np.testing.assert_allclose(values(steadied(exposed)), level, atol=0.5)


def test_mask_is_kept_where_the_picture_changes() -> None:
    other = footage_of().copy()
    other[:, :24] = other[:, :24] // 2 + 90  # a hand before the left side
    assert not is_cut(sketch(0), sketch(1, footage=other))
    changed = [
        sketch(
            i,
            footage=other if i == MIDDLE else footage_of(),
            masks={"seg_dst": np.full((64, 64), float(i == MIDDLE), np.float32)},
        )
        for i in range(NUM)
    ]
    mask = steady(changed, MIDDLE, strength=1.0).masks["seg_dst"]
    assert float(mask[:, :16].mean()) > 0.9
    assert float(mask[:, 40:].max()) < 0.2


def test_another_picture_does_not_count_whatever_its_light() -> None:
    here, there = footage_of(1), footage_of(5)
    seen = track(lambda i: there if i > MIDDLE else here, lambda i: float(i > MIDDLE), range(NUM))
    assert is_cut(seen[MIDDLE], seen[MIDDLE + 1])
    assert not is_cut(seen[0], seen[1])
    np.testing.assert_array_equal(values(steadied(seen)), values(seen))


def test_nothing_counts_beyond_a_cut_even_if_it_is_the_same_again() -> None:
    def footage(i: int) -> RgbImage:
        return footage_of(5 if i == MIDDLE + 2 else 1)

    seen = track(footage, lambda i: float(i > MIDDLE + 2), range(NUM))
    assert values(steadied(seen))[MIDDLE] == 0.0


# What counts


def test_without_strength_and_alone_it_is_returned_as_it_is() -> None:
    seen = track(lambda _: footage_of(), lambda i: float(i), range(3))
    assert steady(seen, 1, strength=0.0) is seen[1]
    assert steady(seen[:1], 0, strength=1.0) is seen[0]


def test_result_depends_on_frames_within_reach_alone() -> None:
    def made(frames: Sequence[int]) -> list[Sketch]:
        return track(lambda _: footage_of(), lambda i: float(noise()[i]), frames)

    whole = made(range(NUM))
    near = made(range(MIDDLE - REACH, MIDDLE + REACH + 1))
    assert bits(steady(whole, MIDDLE, strength=1.0)) == bits(steady(near, REACH, strength=1.0))
    fewer = made(range(MIDDLE - REACH + 1, MIDDLE + REACH + 1))
    assert bits(steady(fewer, REACH - 1, strength=1.0)) != bits(steady(near, REACH, strength=1.0))


def test_same_bits_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(3)
    seen = [
        sketch(
            i,
            footage=np.clip(footage_of() + rng.normal(0, 2, (64, 64, 3)), 0, 255).astype(np.uint8),
            masks={"learned_src": rng.random((64, 64), np.float32)},
            colour=rng.random(50) + 0.1,
        )
        for i in range(NUM)
    ]
    threads, found = cv2.getNumThreads(), set()
    try:
        for number in (1, 4, 1):
            cv2.setNumThreads(number)
            fresh = [replace(one) for one in seen]
            found.add(bits(steady(fresh, MIDDLE, strength=0.7)))
    finally:
        cv2.setNumThreads(threads)
    assert len(found) == 1


def test_weights_go_by_frames_not_by_places_in_the_window() -> None:
    def first(frames: Sequence[int]) -> float:
        return float(values(steadied(track(lambda _: footage_of(), float, frames)))[0])

    near, far = first([0, 1]), first([0, 5]) / 5.0
    assert 0.4 < near < 0.5
    assert 0.0 < far < 0.4 * near
    assert first([0, REACH + 1]) == 0.0


def test_face_that_tells_nothing_of_its_colours_takes_those_around() -> None:
    seen = [sketch(i, colour=np.array([float(i != 1), 0.25 + 99.0 * (i == 1)])) for i in range(3)]
    assert steady(seen, 1, strength=1.0).colour[1] == 0.25
    assert steady(seen, 1, strength=1.0).colour[0] > 0.0
    assert steady(seen, 0, strength=1.0).colour[1] == 0.25


def test_sketches_of_another_kind_do_not_count() -> None:
    mine = sketch(0, colour=np.array([1.0, 0.5]), masks={"learned_dst": disc(64, 20.0)})
    others = [
        sketch(1, colour=np.ones(5), masks={"seg_dst": disc(64, 5.0)}),
        sketch(2, colour=np.ones(5), masks={}, plate=np.ones(3)),
        sketch(
            3,
            colour=np.ones(5),
            face=np.zeros((32, 32, 3), np.float32),
            masks={"learned_dst": disc(32, 1.0)},
        ),
    ]
    found = steady([mine, *others], 0, strength=1.0)
    assert bits(found) == bits(mine)
    assert found.plate is None


def test_plate_is_averaged_where_it_was_measured() -> None:
    plates = [None, np.array([0.0, 2.0]), np.array([0.0, 4.0]), np.ones(7)]
    seen = [sketch(i, plate=plate) for i, plate in enumerate(plates)]
    first, second = (steady(seen, at, strength=1.0).plate for at in (1, 2))
    assert first is not None
    assert second is not None
    assert 2.0 < first[1] < 3.0 < second[1] < 4.0
    assert first[0] == 0.0
    assert first.dtype == np.float32
    assert steady(seen, 0, strength=1.0).plate is None


def test_what_was_given_is_not_changed() -> None:
    seen = track(lambda _: footage_of(), lambda i: float(i), range(NUM))
    before = [bits(one) for one in seen]
    steadied(seen)
    assert [bits(one) for one in seen] == before


# Crops

SIDE_PX = 187.0
FRAMES = np.arange(130)


def landmarks(noise_sides: float, *, speed_px: float = 0.3, seed: int = 0) -> list[Points]:
    """Return a face that drifts, and trembles by a share of the side of the mean face."""
    rng = np.random.default_rng(seed)
    face = face_at((400.0, 300.0), SIDE_PX)
    sigma = noise_sides * SIDE_PX
    return [
        face
        + np.array([speed_px * i, 0.0])
        + rng.normal(0, sigma, 2)
        + rng.normal(0, sigma / 2, (68, 2))
        for i in FRAMES
    ]


def tremble_px(points: Sequence[Points]) -> float:
    return float(np.sqrt((np.diff(np.stack(points), n=2, axis=0) ** 2).mean()))


def same(one: Sequence[Points], other: Sequence[Points]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("noise_sides", [0.001, 0.002, 0.006])
def test_landmarks_that_tremble_are_smoothed(noise_sides: float) -> None:
    raw = landmarks(noise_sides)
    smooth = steady_crops(raw, FRAMES.tolist())
    assert tremble_px(smooth) < 0.4 * tremble_px(raw)
    drift = np.stack(smooth).mean(axis=1)[:, 0] - smooth[0].mean(axis=0)[0]
    np.testing.assert_allclose(drift, 0.3 * FRAMES, atol=6 * noise_sides * SIDE_PX)


def test_landmarks_that_tremble_more_are_smoothed_more() -> None:
    raw = landmarks(0.012)
    usual = smooth_track(FRAMES, np.stack(raw))
    assert tremble_px(steady_crops(raw, FRAMES.tolist())) < 0.8 * tremble_px(list(usual))


@pytest.mark.parametrize("noise_sides", [0.0007, 0.002])
@pytest.mark.parametrize("seed", range(4))
def test_smooth_landmarks_are_returned_to_the_bit(noise_sides: float, seed: int) -> None:
    raw = np.stack(landmarks(noise_sides, seed=seed))
    once = list(smooth_track(FRAMES, raw))
    assert same(steady_crops(once, FRAMES.tolist()), once)


def test_landmarks_without_any_noise_are_returned_to_the_bit() -> None:
    for speed_px in (0.0, 0.3):
        clean = landmarks(0.0, speed_px=speed_px)
        assert same(steady_crops(clean, FRAMES.tolist()), clean)


def test_smooth_motion_is_not_taken_for_trembling_however_fast() -> None:
    for period in (2.0, 5.0):
        nodding = [
            points + 30.0 * np.sin(i / period)
            for i, points in zip(FRAMES, landmarks(0.0), strict=True)
        ]
        assert same(steady_crops(nodding, FRAMES.tolist()), nodding)


def test_tracks_full_of_holes_tell_nothing() -> None:
    frames = [i for i in range(200) if i % 3][: len(FRAMES)]
    raw = landmarks(0.002)
    assert same(steady_crops(raw, frames), raw)


def test_short_tracks_are_returned_to_the_bit() -> None:
    for number in (0, 1, 4, MIN_FRAMES - 1):
        raw = landmarks(0.002)[:number]
        assert same(steady_crops(raw, FRAMES.tolist()[:number]), raw)


def test_track_is_cut_where_frames_are_missing() -> None:
    raw = landmarks(0.002)
    raw[70:] = [points + 200.0 for points in raw[70:]]
    frames = [*range(70), *range(73, 133)]
    smooth = steady_crops(raw, frames)
    for part in (slice(0, 70), slice(70, 130)):
        alone = smooth_track(np.array(frames[part]), np.stack(raw[part]))
        np.testing.assert_array_equal(np.stack(smooth[part]), alone)


def test_a_frame_that_comes_twice_is_no_failure() -> None:
    raw = landmarks(0.002)
    frames = [*range(80), *range(79, 129)]
    smooth = steady_crops(raw, frames)
    assert len(smooth) == 130
    assert tremble_px(smooth[:80]) < 0.35 * tremble_px(raw[:80])
