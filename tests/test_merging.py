"""Choosing, cutting, compositing: laws and numbers."""

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli import config_merge
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import AlignedFace, Faceset, open_faceset, write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import FACE_TYPES, crop_from_frame
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import to_float, to_uint8, write_image
from faceswap_cli.merging import look
from faceswap_cli.merging.blending import overlay
from faceswap_cli.merging.choose import choose_faces, first_face
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.cut import cut_face
from faceswap_cli.merging.look import Box, Drawn, Look, Shown
from faceswap_cli.merging.masking import face_box, face_mask
from faceswap_cli.merging.regions import colour_region
from faceswap_cli.merging.sharpness import unsharp
from faceswap_cli.merging.shown import FaceMasks, mask_from_frame
from faceswap_cli.types import GreyImage, Points, RgbImage
from tests.made_faces import face_at, made_record, smooth_picture

SOFT = Look(mask="hull", erode=2.0, feather=10.0)


def drawn_for(
    frame: RgbImage, landmarks: Points, *, crop_px: int = 128, face_type: str = "whole_face"
) -> Drawn:
    """Return what a model that draws exactly what it sees would draw."""
    cut = cut_face(frame, landmarks, face_type=face_type, size_px=crop_px)
    ones = np.ones((crop_px, crop_px), np.float32)
    return Drawn(
        to_float(cut.image), landmarks, cut.crop_from_frame, cut.face_px, {"learned_dst": ones}
    )


def pasted(frame: RgbImage, faces: list[Drawn], look: Look) -> tuple[RgbImage, GreyImage]:
    both = paste_faces(frame, faces, look)
    return np.asarray(both.image, np.uint8), both.mask


def test_zero_mask_changes_nothing() -> None:
    frame = smooth_picture(0, (160, 120))
    drawn = drawn_for(frame, face_at((80, 60), 50))
    nothing = replace(drawn, face=1 - drawn.face, masks={"learned_dst": 0 * drawn.face[..., 0]})
    result, mask = pasted(frame, [nothing], Look(mask="learned_dst", feather=8))
    np.testing.assert_array_equal(result, frame)
    assert not mask.any()


def test_outside_of_the_mask_every_bit_is_the_frame() -> None:
    frame = smooth_picture(1, (200, 160))
    drawn = drawn_for(frame, face_at((100, 70), 60))
    result, mask = pasted(frame, [replace(drawn, face=1 - drawn.face)], SOFT)
    outside = mask == 0
    assert 0.5 < outside.mean() < 0.95
    np.testing.assert_array_equal(result[outside], frame[outside])
    assert (result != frame).any(axis=2)[~outside].mean() > 0.9


def test_every_grey_level_survives_a_blend_with_mask_zero() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    face, zero = np.full((16, 16, 3), 0.7, np.float32), np.zeros((16, 16), np.float32)
    np.testing.assert_array_equal(overlay(levels, face, zero, "linear"), levels)


def test_a_model_that_copies_gives_the_frame_back() -> None:
    frame = smooth_picture(2, (300, 300), detail_px=8.0)
    drawn = drawn_for(frame, face_at((150, 140), 80), crop_px=256)  # crop larger than its place
    result, mask = pasted(frame, [drawn], Look(mask="hull", feather=6))
    assert mask.max() == 255
    # Two cubic resamplings of blobs 8 px wide: within a level, but for a few pixels.
    error = np.abs(result.astype(int) - frame)
    assert error.max() <= 2
    assert (error > 1).mean() < 1e-3


@pytest.mark.parametrize("erode_percent", [5.0, -5.0])
def test_percent_means_the_same_at_two_resolutions(erode_percent: float) -> None:
    # At 4 times the size everything is 4 times as large, whatever the size of the crop.
    look = Look(mask="hull", erode=erode_percent, feather=12.0)
    areas = []
    for scale, crop_px in ((1, 64), (4, 160)):
        landmarks = face_at((100 * scale, 100 * scale), 60 * scale)
        frame = smooth_picture(3, (200 * scale, 200 * scale))
        drawn = drawn_for(frame, landmarks, crop_px=crop_px)
        assert drawn.face_px == pytest.approx(60 * scale, rel=1e-6)
        _, mask = pasted(frame, [drawn], look)
        areas.append([(mask > level).sum() / scale**2 for level in (25, 128, 230)])
    # Erosion rounds to whole pixels: 3 px of a face of 60.
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.06)


def test_feather_is_as_wide_as_it_says() -> None:
    landmarks = face_at((200, 200), 200)
    drawn = drawn_for(smooth_picture(4, (400, 400)), landmarks)
    look = Look(mask="hull", feather=10.0)  # 20 px
    box = face_box(drawn, look)
    row = face_mask(drawn, box, look)[200 - box.top]
    rising = row[: len(row) // 2]
    width = np.argmax(rising > 0.975) - np.argmax(rising > 0.025)
    assert 17 <= width <= 23


@pytest.mark.parametrize("mask_name", ["hull", "learned_dst", "hull*learned_dst"])
def test_mask_is_zero_where_the_crop_ends(mask_name: str) -> None:
    # A half face crop ends above the chin: the hull reaches beyond it.
    landmarks = face_at((150, 130), 100)
    drawn = drawn_for(smooth_picture(5, (300, 300)), landmarks, face_type="half")
    _, mask = pasted(
        smooth_picture(5, (300, 300)),
        [drawn],
        Look(mask=mask_name, feather=10.0),
    )
    ys, xs = np.nonzero(mask)
    crop = drawn.crop_from_frame.apply(np.stack([xs, ys], axis=1).astype(np.float64))
    assert mask.max() > 200
    assert crop.min() > 0
    assert crop.max() < len(drawn.face) - 1


def test_face_cut_by_the_border_is_painted_up_to_it() -> None:
    whole_frame = smooth_picture(6, (300, 300))
    drawn = drawn_for(whole_frame, face_at((150, 150), 100))
    _, whole = pasted(whole_frame, [drawn], SOFT)
    shift = Similarity(np.array([[1.0, 0.0, -150.0], [0.0, 1.0, 0.0]]))
    moved = drawn.crop_from_frame.after(shift.inverse())
    cut = replace(drawn, landmarks=shift.apply(drawn.landmarks), crop_from_frame=moved)
    _, half = pasted(np.ascontiguousarray(whole_frame[:, 150:]), [cut], SOFT)
    np.testing.assert_allclose(half.astype(int), whole[:, 150:].astype(int), atol=1)
    assert half[150, 0] == 255


def test_face_outside_of_the_picture_is_no_error() -> None:
    frame = smooth_picture(7, (100, 100))
    drawn = drawn_for(frame, face_at((-400, 50), 60))
    np.testing.assert_array_equal(pasted(frame, [drawn], SOFT)[0], frame)


def test_largest_face_is_painted_last() -> None:
    frame = np.full((200, 200, 3), 128, np.uint8)
    near, far = (drawn_for(frame, face_at((100, 100), px)) for px in (80, 40))
    red, blue = np.zeros_like(near.face), np.zeros_like(near.face)
    red[..., 0], blue[..., 2] = 1, 1
    faces = [replace(near, face=red), replace(far, face=blue)]
    for order in (faces, faces[::-1]):
        result, _ = pasted(frame, order, Look(mask="hull"))
        assert result[100, 100].tolist() == [255, 0, 0]


def test_unsharp_of_flat_is_flat_and_of_an_edge_is_steeper() -> None:
    flat = np.full((20, 20, 3), 0.3, np.float32)
    np.testing.assert_allclose(unsharp(flat, amount=3.0, radius_px=1.5), flat, atol=1e-6)
    edge = np.full((20, 20, 3), 0.3, np.float32)
    edge[:, 10:] = 0.6
    sharp = unsharp(edge, amount=1.0, radius_px=1.5)
    assert sharp[10, 9, 0] < 0.3 < 0.6 < sharp[10, 10, 0]


def test_box_beyond_the_picture_is_cut() -> None:
    assert Box(-5, -5, 20, 8).within((10, 10)) == Box(0, 0, 10, 8)
    assert 0 in Box(20, 0, 30, 10).within((10, 10)).size_wh


def test_skin_region_leaves_out_eyes_brows_lips_and_beard() -> None:
    landmarks = face_at((64, 64), 70)
    region = colour_region(landmarks, 128)
    assert 0.03 < region.mean() < 0.2

    def at(point: NDArray[np.float64]) -> float:
        x, y = np.rint(point).astype(int)
        return float(region[y, x])

    for eye in (slice(36, 42), slice(42, 48)):
        assert at(landmarks[eye].mean(axis=0)) == 0
    assert not any(at(landmarks[i]) for i in (*range(17, 27), *range(48, 68), *range(3, 14)))
    assert at((landmarks[33] + landmarks[51]) / 2) == 0  # the moustache
    assert at((landmarks[57] + landmarks[8]) / 2) == 0  # the chin
    assert at(landmarks[29]) == 1  # the ridge of the nose
    cheeks = (landmarks[31] + landmarks[1]) / 2, (landmarks[35] + landmarks[15]) / 2
    assert all(at(cheek) == 1 for cheek in cheeks)


def test_names_of_modes_and_of_colours_are_those_of_the_settings() -> None:
    assert get_args(look.ModeName) == get_args(config_merge.ModeName)
    assert get_args(look.ColourName) == get_args(config_merge.ColourName)
    for name in ("colour_from", "light"):
        types = get_type_hints(Look)[name], config_merge.LookConfig.model_fields[name].annotation
        assert get_args(types[0]) == get_args(types[1])


# Choosing


def test_choosing_largest_all_and_track() -> None:
    small, large, alone = (
        made_record(0, track=1, size_px=20),
        made_record(0),
        made_record(2, track=1),
    )
    faces = [small, large, alone]
    assert choose_faces(faces, "largest") == {0: [large], 2: [alone]}
    assert choose_faces(faces, "all") == {0: [small, large], 2: [alone]}
    assert choose_faces(faces, "track 1") == {0: [small], 2: [alone]}


def test_unknown_track_lists_those_there_are() -> None:
    with pytest.raises(WorkspaceError) as caught:
        choose_faces([made_record(0), made_record(1), made_record(1, track=4)], "track 7")
    assert "no face belongs to track 7" in str(caught.value)
    assert "track 0 (2 frames), track 4 (1 frames)" in str(caught.value)


def test_face_size_does_not_depend_on_the_crop() -> None:
    frame, landmarks = smooth_picture(1, (200, 200)), face_at((100, 100), 60)
    sizes = [
        cut_face(frame, landmarks, face_type=kind, size_px=px).face_px
        for kind in FACE_TYPES
        for px in (64, 96)
    ]
    np.testing.assert_allclose(sizes, 60.0)


def test_crop_is_the_frame_seen_through_the_same_matrix() -> None:
    frame, landmarks = smooth_picture(1, (200, 200)), face_at((100, 100), 60)
    cut = cut_face(frame, landmarks, face_type="full", size_px=96)
    again = warp(frame, crop_from_frame(landmarks, "full", 96), size_wh=(96, 96))
    np.testing.assert_array_equal(cut.image, again)


def hidden_right(drawn: Drawn, record: FaceRecord) -> Drawn:
    """The same face with a thing before the right half of its crop."""
    mask = np.ones((record.size_px // 2,) * 2, np.float32)
    mask[:, record.size_px // 4 :] = 0.0
    shown = Shown(mask, mask_from_frame(record, to_uint8(mask)))
    return replace(drawn, shown=shown)


def test_what_is_before_the_face_keeps_every_bit() -> None:
    frame, record = smooth_picture(3, (96, 72)), made_record(0, size_px=30.0)
    drawn = drawn_for(frame, record.landmarks)
    painted = replace(drawn, face=1 - drawn.face)
    _, whole = pasted(frame, [painted], SOFT)
    result, half = pasted(frame, [hidden_right(painted, record)], SOFT)
    middle = record.landmarks[27, 0]
    hidden = np.arange(96) > middle + 3
    np.testing.assert_array_equal(result[:, hidden], frame[:, hidden])
    assert whole[:, hidden].max() > 200
    assert half[:, ~hidden].max() > 200


def test_the_edge_of_what_is_before_the_face_is_soft_towards_the_face() -> None:
    frame, record = smooth_picture(3, (96, 72)), made_record(0, size_px=30.0)
    drawn = hidden_right(drawn_for(frame, record.landmarks), record)
    _, mask = pasted(frame, [drawn], SOFT)
    row = mask[32].astype(int)
    at = int(record.landmarks[27, 0])
    assert row[at - 4 : at - 1].tolist() == sorted(row[at - 4 : at - 1].tolist(), reverse=True)
    assert row[at - 1] < row[at - 6] == 255


def test_choosing_a_person_leaves_out_frames_and_other_clips() -> None:
    records = [made_record(n, track=n % 2).model_copy(update={"person": n % 2}) for n in range(6)]
    other = made_record(1, source_name="data_dst_2.mp4").model_copy(update={"person": 1})
    chosen = choose_faces(
        [*records, other], "person 1", excluded={3}, other_clips={"data_dst_2.mp4"}
    )
    assert sorted(chosen) == [1, 5]
    assert chosen[1] == [records[1]]
    with pytest.raises(WorkspaceError, match=r"no face belongs to person 9; there are person 0 .3"):
        choose_faces(records, "person 9")


def test_nobody_left_to_replace_says_why_and_not_that_pictures_are_damaged(tmp_path: Path) -> None:
    faceset = Faceset([AlignedFace(tmp_path / "000000_00.png", made_record(0))])
    with pytest.raises(WorkspaceError) as caught:
        first_face(faceset, {})
    assert "no face of dst is left to be replaced" in str(caught.value)
    assert "fix: look at merge.person and input.dst_exclude" in str(caught.value)


# Masks of the footage


def masked(folder: Path, record: FaceRecord) -> tuple[FaceMasks, FaceRecord]:
    """Return the masks of a folder with one face, whose left half is seen, and its record."""
    path = folder / "000000_00.png"
    picture = smooth_picture(1, (64, 64))
    write_aligned(path, picture, record, jpeg_quality=95)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    write_image(folder / "mask" / "000000_00.png", mask)
    faceset = open_faceset(folder)
    return FaceMasks(faceset), faceset.faces[0].record


def test_mask_of_a_face_is_read_where_its_picture_lies(tmp_path: Path) -> None:
    masks, record = masked(tmp_path, made_record(0))
    shown = masks.read(record)
    assert shown is not None
    assert masks.version(record) is not None
    corner = record.crop.inverse().apply(np.array([[31.5, 31.5]]))  # amid its picture of 64 px
    np.testing.assert_allclose(shown.mask_from_frame.apply(corner), [[15.5, 15.5]])
    assert shown.mask[:, :16].min() == 1.0
    assert shown.mask[:, 16:].max() == 0.0
    assert masks.read(made_record(0)) is None  # as good as the same, but of nobody's picture


@pytest.mark.parametrize("value", [0.0, 1e-9])
def test_mask_whose_picture_lies_nowhere_is_an_error_of_its_face(
    tmp_path: Path, value: float
) -> None:
    nowhere = ((value, 0.0, 5.0), (0.0, value, 5.0))
    damaged = made_record(0).model_copy(update={"crop_from_frame": nowhere})
    masks, record = masked(tmp_path, damaged)
    with pytest.raises(MediaError, match=r"nothing of its frame[\s\S]*000000_00\.png"):
        masks.read(record)
