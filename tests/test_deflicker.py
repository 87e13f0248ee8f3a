"""Taking flicker out of drawn faces: where the footage rests or moves, not where it changes."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from faceswap_cli.imaging import to_float
from faceswap_cli.merging.deflicker import REACH, deflicker
from faceswap_cli.merging.steady import Sketch
from faceswap_cli.types import FloatImage, RgbImage
from tests.made_sketches import footage_of, sketch

NUM = 7
MIDDLE = NUM // 2
FLICKER = 0.03


def drawn(moved_px: float = 0.0, *, side: int = 128) -> FloatImage:
    """Return a face without flicker that has moved to the right."""
    return 0.2 + 0.6 * to_float(footage_of(2, side, moved_px=moved_px))


def flicker(frame: int, side: int = 128) -> FloatImage:
    """Return what a network adds to a face in one frame and in no other: soft blobs."""
    noise = np.random.default_rng(frame).normal(size=(side, side, 3)).astype(np.float32)
    blobs = cv2.GaussianBlur(noise, (0, 0), side / 20.0)
    return np.asarray(blobs * (FLICKER / blobs.std()), np.float32)


def clip(*, speed_px: float = 0.0, noise_levels: float = 0.0, side: int = 128) -> list[Sketch]:
    """Return frames of a face that moves, drawn with flicker; `side` is that of the face."""
    sketches = []
    for i in range(NUM):
        moved_px = speed_px * (i - MIDDLE)
        noise = np.random.default_rng(50 + i).normal(0.0, noise_levels, (128, 128, 3))
        footage = np.clip(footage_of(1, 128, moved_px=moved_px) + noise, 0, 255)
        face = drawn(moved_px * side / 128, side=side) + flicker(i, side)
        sketches.append(sketch(i, footage=footage.astype(np.uint8), face=face))
    return sketches


def inner(image: FloatImage) -> FloatImage:
    margin = len(image) // 8
    return image[margin:-margin, margin:-margin]


def off(face: FloatImage, truth: FloatImage) -> float:
    return float(np.sqrt((inner(face - truth) ** 2).mean()))


def detail(face: FloatImage) -> float:
    return float(cv2.Laplacian(inner(face), cv2.CV_32F).var())


def with_footage(sketches: Sequence[Sketch], at: int, footage: RgbImage) -> list[Sketch]:
    changed = list(sketches)
    changed[at] = replace(changed[at], footage=footage)
    return changed


@pytest.mark.parametrize("side", [64, 128, 256])
@pytest.mark.parametrize("speed_px", [0.0, 1.5, 4.0])
def test_flicker_of_a_face_is_less_than_two_thirds(speed_px: float, side: int) -> None:
    window = clip(speed_px=speed_px, noise_levels=1.5, side=side)
    truth = drawn(side=side)
    raw, found = window[MIDDLE].face, deflicker(window, MIDDLE, strength=1.0)
    assert found.shape == (side, side, 3)
    assert found.dtype == np.float32
    # Five frames of equal weight would leave 0.45 of it.
    assert off(found, truth) < 0.65 * off(raw, truth)


def test_noise_of_still_footage_moves_nothing() -> None:
    """Frame to frame: flow that follows noise would make a calm face tremble."""
    calm = [replace(one, face=drawn()) for one in clip(noise_levels=2.0)]
    for at in range(REACH, NUM - REACH):
        assert off(deflicker(calm, at, strength=1.0), drawn()) < 1e-4  # 3e-4 if it did


def test_strength_is_the_part_that_is_corrected() -> None:
    window = clip()
    whole, half = (deflicker(window, MIDDLE, strength=part) for part in (1.0, 0.5))
    raw = window[MIDDLE].face
    np.testing.assert_allclose(half - raw, 0.5 * (whole - raw), atol=1e-6)
    assert deflicker(window, MIDDLE, strength=0.0) is raw


@pytest.mark.parametrize("speed_px", [0.0, 1.3])
def test_finest_detail_is_kept(speed_px: float) -> None:
    window = [
        replace(
            one,
            face=np.clip(
                one.face + np.random.default_rng(one.frame_index).normal(0, 0.01, one.face.shape),
                0,
                1,
            ).astype(np.float32),
        )
        for one in clip(speed_px=speed_px)
    ]
    found = deflicker(window, MIDDLE, strength=1.0)
    assert detail(found) > 0.95 * detail(window[MIDDLE].face)


def test_lid_that_closes_is_neither_late_nor_faint() -> None:
    """The lids are shut in one frame alone, in the footage and so in what is drawn."""
    window = [replace(one, face=drawn()) for one in clip(noise_levels=1.0)]
    lid = slice(40, 52), slice(30, 56)
    for frames in ((MIDDLE,), (MIDDLE, MIDDLE + 1)):
        blinking = list(window)
        for i in frames:
            footage, face = window[i].footage.copy(), window[i].face.copy()
            footage[lid], face[lid] = (170, 120, 100), (0.6, 0.5, 0.4)
            blinking[i] = replace(window[i], footage=footage, face=face)
        for i in range(MIDDLE - 1, MIDDLE + 2):
            change = np.abs(deflicker(blinking, i, strength=1.0) - blinking[i].face)[lid]
            assert float(change.mean()) < 0.003
            assert float(change.max()) < 0.03


def test_drawing_that_differs_by_more_than_flicker_is_left() -> None:
    """The footage rests, the network has something else in mind."""
    window = [replace(one, face=drawn()) for one in clip()]
    other = window[MIDDLE].face.copy()
    other[40:70, 40:70] *= 0.6
    window[MIDDLE] = replace(window[MIDDLE], face=other)
    found = deflicker(window, MIDDLE, strength=1.0)
    np.testing.assert_allclose(found[45:65, 45:65], other[45:65, 45:65], atol=0.004)


def test_lamp_that_is_switched_on_is_not_smeared() -> None:
    window = [replace(one, face=drawn()) for one in clip()]
    for i in range(MIDDLE, NUM):
        brighter = np.clip(window[i].footage + 25.0, 0, 255).astype(np.uint8)
        window[i] = replace(window[i], footage=brighter, face=drawn() + np.float32(0.1))
    for i in (MIDDLE - 1, MIDDLE):
        assert off(deflicker(window, i, strength=1.0), window[i].face) < 1e-3


def test_another_picture_does_not_count() -> None:
    window = clip()
    for i in range(NUM):
        if i != MIDDLE:
            window = with_footage(window, i, footage_of(9, 128))
    assert deflicker(window, MIDDLE, strength=1.0) is window[MIDDLE].face


def test_only_frames_within_reach_count() -> None:
    window = clip()
    alone = [window[0], replace(window[1], frame_index=REACH + 1)]
    assert deflicker(alone, 0, strength=1.0) is alone[0].face
    assert deflicker(window[:1], 0, strength=1.0) is window[0].face
    near = window[MIDDLE - REACH : MIDDLE + REACH + 1]
    whole, part = (deflicker(*case, strength=1.0) for case in ((window, MIDDLE), (near, REACH)))
    np.testing.assert_array_equal(whole, part)


def test_same_bits_with_any_number_of_threads() -> None:
    window = clip(speed_px=1.3, noise_levels=2.0)
    threads, found = cv2.getNumThreads(), set()
    try:
        for number in (1, 4, 2, 1):
            cv2.setNumThreads(number)
            found.add(deflicker(window, MIDDLE, strength=1.0).tobytes())
    finally:
        cv2.setNumThreads(threads)
    assert len(found) == 1


@pytest.mark.parametrize("footage_px", [32, 48, 200])
def test_footage_may_be_of_any_size(footage_px: int) -> None:
    window = [
        sketch(i, footage=footage_of(1, footage_px), face=drawn() + flicker(i)) for i in range(NUM)
    ]
    found = deflicker(window, MIDDLE, strength=1.0)
    assert off(found, drawn()) < 0.65 * off(window[MIDDLE].face, drawn())


def test_result_is_a_picture_and_what_was_given_is_not_changed() -> None:
    window = [
        replace(one, face=np.clip(one.face * 3.0 - 1.0, 0.0, 1.0).astype(np.float32))
        for one in clip(speed_px=1.0)
    ]
    before = [one.face.copy() for one in window]
    found = deflicker(window, MIDDLE, strength=1.0)
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0
    for one, face in zip(window, before, strict=True):
        np.testing.assert_array_equal(one.face, face)
