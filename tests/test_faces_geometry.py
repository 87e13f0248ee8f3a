"""Templates, masks, pose and tracks: what is known about a face from its points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.errors import GeometryError
from faceswap_cli.faces.pose import HEAD, HEAD_INDICES, estimate_pose
from faceswap_cli.faces.templates import ALIGNED_INDICES, FACE_TYPES, crop_from_frame, template
from faceswap_cli.masks import erode, feather, hull_mask, lower_jaw, raise_brows
from faceswap_cli.types import Points
from tests.facesets import face68 as small_face


def face68(scale: float = 100.0, x: float = 50.0, y: float = 40.0) -> Points:
    return small_face(scale, x, y)


@pytest.mark.parametrize("kind", FACE_TYPES)
def test_the_mean_face_lands_on_its_template(kind: str) -> None:
    crop = crop_from_frame(face68(), kind, 256)
    if not FACE_TYPES[kind].follows_yaw:
        found = crop.apply(face68())[list(ALIGNED_INDICES)]
        np.testing.assert_allclose(found, template(kind, 256), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "side"),
    [("half", 1.0), ("mid_full", 1.191), ("full", 1.597), ("whole_face", 2.131), ("head", 2.980)],
)
def test_sides_of_the_face_types_are_deepfacelabs(kind: str, side: float) -> None:
    assert FACE_TYPES[kind].side == pytest.approx(side, abs=5e-4)


def test_a_small_crop_shows_what_a_large_one_does() -> None:
    small, large = crop_from_frame(face68(), "full", 64), crop_from_frame(face68(), "full", 256)
    corners = np.array([[-0.5, -0.5], [63.5, 63.5]])
    in_frame = small.inverse().apply(corners)
    np.testing.assert_allclose(large.apply(in_frame), [[-0.5, -0.5], [255.5, 255.5]], atol=1e-6)


def test_landmarks_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(GeometryError, match="not finite"):
        crop_from_frame(np.full((68, 2), np.nan), "full", 64)


def test_hull_holds_the_features_and_not_the_corners() -> None:
    points = face68()
    mask = hull_mask(points, (200, 200))
    for x, y in points[27:68]:
        assert mask[round(y), round(x)] > 100
    assert mask[0, 0] == mask[-1, -1] == mask[0, -1] == 0


def test_hull_of_points_far_outside_the_picture_is_empty_or_clipped() -> None:
    assert hull_mask(face68(x=5000), (64, 64)).max() == 0
    assert hull_mask(face68(scale=1e9), (16, 16)).shape == (16, 16)


def test_raised_brows_go_up_and_nothing_else_moves() -> None:
    points = face68()
    raised = raise_brows(points)
    assert (raised[17:27, 1] < points[17:27, 1]).all()
    np.testing.assert_array_equal(
        np.delete(raised, range(17, 27), 0), np.delete(points, range(17, 27), 0)
    )
    np.testing.assert_array_equal(raise_brows(points, amount=0.0), points)


def test_brows_are_raised_alike_on_both_sides() -> None:
    points = face68(x=0)
    centre = points[27, 0]
    points[17:27, 0] = np.concatenate([points[17:22, 0], 2 * centre - points[21:16:-1, 0]])
    points[17:27, 1] = np.concatenate([points[17:22, 1], points[21:16:-1, 1]])
    for right, left in ((36, 45), (37, 44), (38, 43), (39, 42), (0, 16)):
        points[left] = [2 * centre - points[right, 0], points[right, 1]]
    raised = raise_brows(points)
    np.testing.assert_allclose(raised[17:22, 1], raised[26:21:-1, 1])


def test_a_lowered_jaw_moves_the_chin_and_not_the_ears() -> None:
    points = face68()
    lowered = lower_jaw(points, amount_px=10.0)
    assert lowered[8, 1] == pytest.approx(points[8, 1] + 10.0, abs=0.2)
    np.testing.assert_allclose(lowered[[0, 16]], points[[0, 16]], atol=1e-6)
    np.testing.assert_array_equal(lowered[17:], points[17:])
    grown = hull_mask(points, (200, 200), jaw_px=10.0)
    assert (grown.astype(int) - hull_mask(points, (200, 200)) < -9).sum() < 9  # the soft edge


def test_eroding_shrinks_and_a_negative_amount_grows() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1.0
    assert erode(mask, amount_px=4).sum() == 24 * 24
    assert erode(mask, amount_px=-4).sum() > 38 * 38
    assert erode(mask, amount_px=0.2) is mask


def test_eroding_counts_what_lies_beyond_the_picture_as_outside() -> None:
    assert erode(np.ones((32, 32), np.float32), amount_px=3)[:3].max() == 0.0


def test_feather_keeps_the_middle_of_the_edge() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[:, 32:] = 1.0
    soft = feather(mask, width_px=16)
    assert soft[32, 31] == pytest.approx(0.5, abs=0.06)
    assert soft[32, 20] < 0.05
    assert feather(mask, width_px=0) is mask


def test_pose_of_a_mirrored_face_is_mirrored() -> None:
    turned = face68() + np.where(np.arange(68) == 30, 12.0, 0.0)[:, None] * [1, 0]
    mirrored = turned.copy()
    mirrored[:, 0] = 200 - mirrored[:, 0]
    swap = [16 - i for i in range(17)] + list(range(17, 68))
    for a, b in ((36, 45), (39, 42), (31, 35), (48, 54)):
        swap[a], swap[b] = b, a
    _, yaw, _ = estimate_pose(turned)
    _, other, _ = estimate_pose(mirrored[swap])
    assert yaw > 5
    assert other == pytest.approx(-yaw, abs=2)


def seen_head(pitch_deg: float, yaw_deg: float, roll_deg: float, *, x: float = 0.0) -> Points:
    """The generic head, turned by rotations in a row, seen from far away at some place."""
    (p, y, r) = np.radians([pitch_deg, yaw_deg, roll_deg])
    nod = [[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]]
    shake = [[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]]
    tilt = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    points = np.zeros((68, 2))
    turned = HEAD @ (np.array(shake) @ np.array(tilt) @ np.array(nod)).T
    points[HEAD_INDICES] = turned[:, :2] + [x, 300.0]
    return points


@given(st.floats(-40, 40), st.floats(-80, 80))
def test_pose_is_that_of_the_head(pitch_deg: float, yaw_deg: float) -> None:
    found = estimate_pose(seen_head(0.0, yaw_deg, 0.0, x=900.0))
    np.testing.assert_allclose(found, (0.0, yaw_deg, 0.0), atol=1e-4)
    found = estimate_pose(seen_head(pitch_deg, 0.0, 0.0))
    np.testing.assert_allclose(found, (pitch_deg, 0.0, 0.0), atol=1e-4)


def test_an_open_mouth_does_not_turn_the_head() -> None:
    points = seen_head(10.0, 20.0, 0.0)
    points[8] += [0.0, 80.0]
    points[57] += [0.0, 60.0]
    np.testing.assert_allclose(estimate_pose(points), estimate_pose(seen_head(10.0, 20.0, 0.0)))


def test_landmarks_without_a_pose_have_none() -> None:
    assert estimate_pose(np.zeros((68, 2))) == (0.0, 0.0, 0.0)
    assert estimate_pose(np.full((68, 2), np.nan)) == (0.0, 0.0, 0.0)


@given(st.floats(-60, 60))
def test_roll_is_that_of_the_picture(angle: float) -> None:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    centre = np.array([100.0, 100.0])
    turned = (face68() - centre) @ np.array([[c, s], [-s, c]]) + centre
    assert estimate_pose(turned)[2] == pytest.approx(angle, abs=3)
