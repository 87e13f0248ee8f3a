"""Having faces drawn in batches: what each of them is told, and that it hangs on no other."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faceswap_cli.device import Device
from faceswap_cli.errors import ConfigError, DeviceError, GeometryError
from faceswap_cli.merging.cut import MAX_FACE_PX, MIN_FACE_PX, Cut, cut_face
from faceswap_cli.merging.draw import Artist, finish, instruct
from faceswap_cli.merging.look import Look, MaskName, Shown
from faceswap_cli.models import Faces
from faceswap_cli.types import FloatImage, Points, RgbImage
from tests.made_faces import face_at, smooth_picture

SIDE = 64
FRAME_WH = (200, 160)
CPU = torch.device("cpu")
PLAIN = Look(mask="hull*learned", colour="rct")
SEGMENTED = replace(PLAIN, mask="hull*seg_dst*seg_src")


def negative(canvas: Faces, drive: Faces) -> tuple[Tensor, Tensor | None]:
    """Draw the negative, with two outlines: its left half, and its right half."""
    outlines = torch.zeros(len(canvas), 2, SIDE, SIDE)
    outlines[:, 0, :, : SIDE // 2], outlines[:, 1, :, SIDE // 2 :] = 1.0, 1.0
    return 1.0 - canvas.img, outlines


def brightness(pictures: Sequence[RgbImage], points: Sequence[Points]) -> list[FloatImage]:
    """Take what is bright for what is seen: it tells which picture was asked about."""
    assert len(pictures) == len(points)
    return [picture[..., 0].astype(np.float32) / np.float32(255.0) for picture in pictures]


def artist(**changes: Any) -> Artist:
    made = Artist(negative, Device("cpu", "fp32"), "full", SIDE, batch_size=4, segment=brightness)
    return replace(made, **changes)


def cuts(num: int) -> list[Cut]:
    frames = [smooth_picture(seed, FRAME_WH, detail_px=9.0) for seed in range(num)]
    points = face_at((100.0, 80.0), 50.0)
    return [
        replace(cut_face(frame, points, face_type="full", size_px=SIDE), frame_index=i)
        for i, frame in enumerate(frames)
    ]


def test_faces_come_back_in_order_each_with_its_own_masks_whatever_the_batch() -> None:
    faces = cuts(6)
    together = artist().draw(faces, [SEGMENTED] * 6)
    for cut, sketch in zip(faces, together, strict=True):
        assert sketch.frame_index == cut.frame_index
        footage = cut.image.astype(np.float32) / np.float32(255.0)
        np.testing.assert_allclose(sketch.face, 1.0 - footage, atol=1e-6)
        np.testing.assert_allclose(sketch.masks["seg_dst"], footage[..., 0], atol=1e-6)
        np.testing.assert_allclose(sketch.masks["seg_src"], 1.0 - footage[..., 0], atol=3e-3)
        assert sketch.masks["learned_src"].mean(axis=0).tolist() == [1.0] * 32 + [0.0] * 32
        assert sketch.masks["learned_dst"].mean(axis=0).tolist() == [0.0] * 32 + [1.0] * 32
        [alone] = artist().draw([cut], [SEGMENTED])
        np.testing.assert_array_equal(alone.face, sketch.face)
        np.testing.assert_array_equal(alone.colour, sketch.colour)


def test_a_face_is_told_of_no_mask_that_only_another_look_asks_for() -> None:
    # Or it would depend on who is in its batch: a merge that goes on has other batches.
    first, second = artist().draw(cuts(2), [PLAIN, SEGMENTED])
    assert set(first.masks) == {"learned_src", "learned_dst"}
    assert set(second.masks) == {"learned_src", "learned_dst", "seg_src", "seg_dst"}


def test_no_segmenter_is_asked_where_no_look_needs_one() -> None:
    def refuse(*_: Any) -> list[FloatImage]:
        raise AssertionError

    assert len(artist(segment=refuse).draw(cuts(2), [PLAIN] * 2)) == 2


def test_what_is_enlarged_has_masks_and_place_of_its_size_and_copies_are_left() -> None:
    given: list[int] = []

    def enlarge(faces_B3SS: Tensor) -> Tensor:
        given.append(len(faces_B3SS))
        return faces_B3SS.repeat_interleave(2, 2).repeat_interleave(2, 3)

    faces = cuts(5)
    plain = artist().draw(faces, [SEGMENTED] * 5)
    large = artist(enhance=enlarge).draw(faces, [SEGMENTED] * 5)
    assert given == [4, 1]  # not 4 and 4: a second for each face that fills a batch
    corner = np.array([[-0.5, -0.5], [SIDE - 0.5, SIDE - 0.5]])
    for small, big in zip(plain, large, strict=True):
        assert big.face.shape == (2 * SIDE, 2 * SIDE, 3)
        assert {mask.shape for mask in big.masks.values()} == {(2 * SIDE, 2 * SIDE)}
        np.testing.assert_allclose(big.masks["seg_src"][::2, ::2], small.masks["seg_src"], atol=0.1)
        np.testing.assert_allclose(
            big.crop_from_frame.after(small.crop_from_frame.inverse()).apply(corner),
            2.0 * corner + 0.5,
        )


# Colours


def hidden_left(cut: Cut) -> Cut:
    """The same face with a black thing before its left half."""
    image, mask = cut.image.copy(), np.ones((SIDE, SIDE), np.float32)
    image[:, : SIDE // 2], mask[:, : SIDE // 2] = 0, 0.0
    return replace(cut, image=image, shown=Shown(mask, cut.crop_from_frame))


@pytest.mark.parametrize("look", [PLAIN, replace(PLAIN, colour_from="mask")])
def test_colours_are_not_compared_with_what_is_before_the_face(look: Look) -> None:
    def draw(cut: Cut) -> np.ndarray:
        # One that draws the same face, whatever it sees: only the footage differs.
        same = torch.from_numpy(smooth_picture(9, (SIDE, SIDE))).permute(2, 0, 1)[None] / 255.0
        painter = lambda canvas, drive: (same.expand(len(canvas), -1, -1, -1), None)  # noqa: E731
        return artist(painter=painter).draw([cut], [look])[0].colour

    [cut] = cuts(1)
    other = cut.image.copy()
    other[:, : SIDE // 2] = 255
    hidden = hidden_left(cut)
    np.testing.assert_array_equal(draw(hidden), draw(replace(hidden, image=other)))
    assert np.abs(draw(replace(hidden, shown=None)) - draw(hidden)).max() > 1.0
    assert 0.0 < draw(hidden)[0] < draw(cut)[0]


def test_a_segmenter_tells_what_is_before_the_face_too() -> None:
    [cut] = cuts(1)
    hidden = replace(hidden_left(cut), shown=None)

    def right(pictures: Sequence[RgbImage], points: Sequence[Points]) -> list[FloatImage]:
        return [np.repeat([[0.0] * 32 + [1.0] * 32], SIDE, axis=0).astype(np.float32)]

    known = artist(segment=right).draw([hidden], [SEGMENTED])[0]
    shown = artist(segment=right).draw([hidden_left(cut)], [SEGMENTED])[0]
    np.testing.assert_allclose(known.colour, shown.colour, rtol=1e-5)


def test_a_face_of_which_nothing_is_seen_has_colours_all_the_same() -> None:
    [cut] = cuts(1)
    nothing = Shown(np.zeros((SIDE, SIDE), np.float32), cut.crop_from_frame)
    [sketch] = artist().draw([replace(cut, shown=nothing)], [PLAIN])
    [plain] = artist().draw([cut], [PLAIN])
    np.testing.assert_array_equal(sketch.colour, plain.colour)


def test_colours_of_the_mask_are_those_of_each_outline() -> None:
    [cut] = cuts(1)
    look = replace(PLAIN, colour_from="mask")
    [sketch] = artist().draw([cut], [look])
    [skin] = artist().draw([cut], [PLAIN])
    halves = [float(half.mean()) for half in np.split(cut.mask, 2, axis=1)]
    assert sketch.colour[0] == pytest.approx(min(halves) / 2.0, rel=1e-3)
    assert sketch.colour[0] > skin.colour[0]


def test_each_face_is_given_the_colours_of_its_own_look() -> None:
    faces, looks = cuts(4), [PLAIN, replace(PLAIN, colour="none"), PLAIN, replace(PLAIN, jaw=3.0)]
    sketches = artist().draw(faces, looks)
    steadied: dict[MaskName, FloatImage] = {"learned_src": np.zeros((SIDE, SIDE), np.float32)}
    sketches[3] = replace(sketches[3], plate=np.ones(9, np.float32), masks=steadied)
    drawn = finish(faces, sketches, looks, CPU)
    assert [one.seed for one in drawn] == [0, 1, 2, 3]
    assert drawn[3].plate is sketches[3].plate  # what was smoothed, not what was measured
    assert drawn[3].masks is sketches[3].masks
    np.testing.assert_array_equal(drawn[1].face, sketches[1].face)
    for i in (0, 2, 3):
        [alone] = finish([faces[i]], [sketches[i]], [looks[i]], CPU)
        np.testing.assert_allclose(drawn[i].face, alone.face, atol=1e-6)
        assert np.abs(drawn[i].face - sketches[i].face).mean() > 0.02


# What cannot be done


@pytest.mark.parametrize(
    ("batch_size", "fix"), [(4, "fix: --batch-faces 2, or --device cpu"), (1, "fix: --device cpu")]
)
def test_a_full_gpu_names_what_helps(batch_size: int, fix: str) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceError) as caught:
        artist(painter=full, batch_size=batch_size).draw(cuts(1), [PLAIN])
    assert str(caught.value).splitlines()[-1] == fix


@pytest.mark.parametrize("masks", [["learned"], ["full", "learned"], ["full", "learned_src"]])
def test_a_mask_of_nothing_but_what_is_not_learnt_is_refused(masks: list[str]) -> None:
    # `full*learned` would be the whole square, and `full-learned` nothing at all.
    model: Any = SimpleNamespace(draws_mask=False)
    with pytest.raises(ConfigError, match="has not learnt any mask"):
        instruct(model, morph=1.0, masks=masks)


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        (["hull", "learned"], "the hull alone"),
        (["hull", "learned", "seg_dst"], "the hull with seg"),
    ],
)
def test_what_is_left_of_a_mask_is_told(
    masks: list[str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = SimpleNamespace(draws_mask=False)
    with caplog.at_level("INFO"):
        instruct(model, morph=1.0, masks=masks)
    assert told in caplog.text


@pytest.mark.parametrize("face_px", [MIN_FACE_PX / 2.0, MAX_FACE_PX * 2.0, 1e12])
def test_landmarks_of_no_face_are_refused_before_memory_is_asked_for(face_px: float) -> None:
    frame = smooth_picture(1, FRAME_WH)
    with pytest.raises(GeometryError, match=r"landmarks of a face of .* pixels"):
        cut_face(frame, face_at((100.0, 80.0), face_px), face_type="full", size_px=SIDE)
    for px in (MIN_FACE_PX * 1.1, MAX_FACE_PX / 1.1):
        cut = cut_face(frame, face_at((100.0, 80.0), px), face_type="full", size_px=SIDE)
        assert cut.face_px == pytest.approx(px)


def test_sixteen_bits_are_seen_as_eight() -> None:
    frame, points = smooth_picture(1, FRAME_WH), face_at((100.0, 80.0), 50.0)
    shallow, deep = (
        cut_face(each, points, face_type="full", size_px=SIDE).image
        for each in (frame, frame.astype(np.uint16) * np.uint16(257))
    )
    assert deep.dtype == np.uint8
    assert np.abs(deep.astype(int) - shallow).max() <= 1
