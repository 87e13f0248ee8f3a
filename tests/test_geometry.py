import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.errors import GeometryError
from faceswap_cli.faces.templates import template
from faceswap_cli.geometry import (
    Similarity,
    bounding_box,
    estimate_similarity,
    resizing,
    warp,
)
from faceswap_cli.types import Points

FACE: Points = np.array([[30.0, 40.0], [70.0, 41.0], [50.0, 60.0], [35.0, 80.0], [66.0, 79.0]])


def similarity(scale: float, angle: float, x: float, y: float) -> Similarity:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return Similarity(np.array([[c, -s, x], [s, c, y]]))


shifts = st.floats(-2000, 2000)
similarities = st.builds(similarity, st.floats(0.05, 20), st.floats(-3.1, 3.1), shifts, shifts)


@given(similarities)
def test_recovers_the_transform_that_made_the_points(crop_from_frame: Similarity) -> None:
    found = estimate_similarity(FACE, crop_from_frame.apply(FACE))
    np.testing.assert_allclose(found.matrix, crop_from_frame.matrix, rtol=1e-9, atol=1e-6)


@given(similarities)
def test_inverse_undoes(crop_from_frame: Similarity) -> None:
    there_and_back = crop_from_frame.inverse().apply(crop_from_frame.apply(FACE))
    np.testing.assert_allclose(there_and_back, FACE, atol=1e-6)


def test_mirrored_face_gives_no_reflection() -> None:
    found = estimate_similarity(FACE, FACE * [-1.0, 1.0])
    assert np.linalg.det(found.matrix[:, :2]) > 0


def test_coinciding_landmarks_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"all 5 landmarks are at \[50\.0, 60\.0\]"):
        estimate_similarity(np.full((5, 2), [50.0, 60.0]), FACE)


def test_shrinking_does_not_alias() -> None:
    # White noise, shrunk 8 times. Averaged, its spread is 9; cv2.warpAffine leaves 73.
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    assert warp(noise, similarity(1 / 8, 0, 0, 0), size_wh=(64, 64)).std() < 15


@pytest.mark.parametrize("side", [16, 32, 96])
def test_resizing_favours_no_side(side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    out_from_image = resizing(side / 64)
    resized = warp(image, out_from_image, size_wh=(side, side)).astype(int)
    mirrored = warp(image[:, ::-1].copy(), out_from_image, size_wh=(side, side)).astype(int)
    assert abs(resized - mirrored[:, ::-1]).max() <= 1


def test_small_crop_is_a_resized_large_crop() -> None:
    np.testing.assert_allclose(
        resizing(128 / 512).apply(template("full", 512)), template("full", 128)
    )


def test_identity_keeps_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, similarity(1, 0, 0, 0), size_wh=(6, 8)), image)


def test_a_region_is_warped_as_the_whole_picture_would_be() -> None:
    # Only the part that the result shows is filtered; its border must not show.
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    out_from_image = similarity(0.3, 0.4, -10, -8)
    small = warp(image, out_from_image, size_wh=(24, 20))
    large = warp(image, out_from_image, size_wh=(100, 100))
    assert abs(small.astype(int) - large[:20, :24]).max() <= 1


@given(similarities, similarities)
def test_chaining_is_applying_one_after_the_other(one: Similarity, two: Similarity) -> None:
    expected = two.apply(one.apply(FACE))
    np.testing.assert_allclose(two.after(one).apply(FACE), expected, rtol=1e-9, atol=1e-6)


def test_beyond_the_border_is_what_was_asked_for() -> None:
    image = np.full((8, 8), 200, np.uint8)
    away = similarity(1, 0, 20, 0)
    assert warp(image, away, size_wh=(8, 8)).min() == 200
    assert warp(image, away, size_wh=(8, 8), border=0.0).max() == 0


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0, 500))
def test_a_box_lies_within_the_picture_and_is_never_empty(x: float, y: float, pad: float) -> None:
    left, top, right, bottom = bounding_box(np.array([[x, y]]), (64, 48), pad=pad)
    assert 0 <= left < right <= 64
    assert 0 <= top < bottom <= 48
