"""The batched twin paints what compose paints."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from faceswap_cli.geometry import Similarity
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import feather, shrink
from faceswap_cli.merging import on_device
from faceswap_cli.merging.compose import Pasted, paste_faces
from faceswap_cli.merging.cut import cut_face
from faceswap_cli.merging.light import Light
from faceswap_cli.merging.look import Drawn, FrameImage, Look, Shown
from faceswap_cli.merging.on_device import paste_batch, supports
from faceswap_cli.merging.stacks import blur_each, shrink_each
from faceswap_cli.types import FloatImage
from tests.made_faces import face_at, smooth_picture

CPU = torch.device("cpu")
LOOK = Look(mask="hull*learned", jaw=8.0, erode=4.0, feather=10.0)
LEVELS, FEW_LEVELS = 2.0, 0.1
"""By how much they may differ: anywhere, and on average where a face is."""


def outline(side: int, centre_xy: tuple[float, float]) -> FloatImage:
    y, x = np.mgrid[:side, :side] / side
    distance = np.hypot(x - centre_xy[0], y - centre_xy[1])
    return np.asarray(np.clip((0.4 - distance) * 12.0, 0.0, 1.0), np.float32)


def drawn_at(
    centre_xy: tuple[float, float], face_px: float, *, crop_px: int = 64, seed: int = 5
) -> Drawn:
    frame = smooth_picture(seed, (200, 160))
    cut = cut_face(frame, face_at(centre_xy, face_px), face_type="whole_face", size_px=crop_px)
    return Drawn(
        to_float(cut.image),
        cut.landmarks,
        cut.crop_from_frame,
        cut.face_px,
        {
            "learned_src": outline(crop_px, (0.5, 0.5)),
            "learned_dst": outline(crop_px, (0.52, 0.54)),
        },
    )


def scene(*, deep: bool = False) -> tuple[list[FrameImage], list[list[Drawn]]]:
    """No face, a large one, a small one, two that overlap, one at the border of its frame."""
    sizes = [(200, 160), (200, 160), (200, 160), (180, 150), (200, 160)]
    frames: list[FrameImage] = [smooth_picture(i, size) for i, size in enumerate(sizes)]
    if deep:
        frames = [frame.astype(np.uint16) * np.uint16(257) for frame in frames]
    faces = [
        [],
        [drawn_at((100, 80), 60)],
        [drawn_at((90.3, 70.6), 25, crop_px=64, seed=6)],
        [drawn_at((80, 80), 50, seed=7), drawn_at((100, 70), 30, seed=8)],
        [drawn_at((190, 20), 45, seed=9), drawn_at((-300, 20), 45)],
    ]
    return frames, faces


def compare(
    frames: list[FrameImage], faces: list[list[Drawn]], look: Look, device: torch.device = CPU
) -> list[Pasted]:
    found = paste_batch(frames, faces, look, device=device)
    for frame, some, mine in zip(frames, faces, found, strict=True):
        theirs = paste_faces(frame, some, look)
        assert mine.image.dtype == frame.dtype
        scale = 255.0 / np.iinfo(frame.dtype).max
        error = scale * np.abs(mine.image.astype(np.float64) - theirs.image)
        assert error.max() <= LEVELS
        if some:
            assert error[theirs.mask > 0].mean() < FEW_LEVELS * (theirs.mask > 0).any() + 1e-9
        assert np.abs(mine.mask.astype(int) - theirs.mask).max() <= LEVELS
        assert ((mine.mask > 0) != (theirs.mask > 0)).mean() < 1e-3  # tails end at the same place
        np.testing.assert_array_equal(mine.image[mine.mask == 0], frame[mine.mask == 0])
    return found


@pytest.mark.parametrize("light", ["linear", "signal"])
@pytest.mark.parametrize("deep", [False, True])
def test_twin_paints_the_same(light: Light, deep: bool) -> None:
    frames, faces = scene(deep=deep)
    untouched = [frame.copy() for frame in frames]
    found = compare(frames, faces, replace(LOOK, light=light))
    assert [pasted.mask.any() for pasted in found] == [False, True, True, True, True]
    for frame, before in zip(frames, untouched, strict=True):
        np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize(
    "look",
    [
        Look(mask="full"),
        Look(mask="hull", grow=5.0, erode=-6.0),
        Look(mask="learned_src + hull*0.5", feather=6.0),
        Look(mask="full - learned_dst"),
        Look(mask="hull*seg_dst", erode=25.0, feather=3.0),
        Look(mask="hull*learned", sharpen=2.0, feather=8.0, face_scale=20.0, face_x=5.0),
    ],
    ids=lambda look: look.mask,
)
def test_twin_knows_every_mask_and_setting_it_supports(look: Look) -> None:
    frames, faces = scene()
    assert supports(look)
    compare(frames, faces, look)


def test_twin_keeps_a_hand_before_the_face() -> None:
    frames, faces = scene()
    hidden = np.ones((50, 40), np.float32)
    hidden[:, :20] = 0.0
    shown = Shown(hidden, Similarity(np.array([[0.2, 0.0, 0.0], [0.0, 0.2, 0.0]])))
    whole = compare(frames[1:2], faces[1:2], LOOK)[0].mask
    half = compare(frames[1:2], [[replace(faces[1][0], shown=shown)]], LOOK)[0].mask
    assert (half > 0).sum() < 0.7 * (whole > 0).sum()


def test_faces_of_different_sizes_and_masks_go_together() -> None:
    frames, faces = scene()
    faces[2] = [drawn_at((90, 70), 40, crop_px=96)]
    faces[1] = [replace(faces[1][0], masks={})]
    compare(frames, faces, LOOK)


def test_what_comes_out_does_not_depend_on_the_others() -> None:
    frames, faces = scene()
    together = paste_batch(frames, faces, LOOK, device=CPU)
    for frame, some, mine in zip(frames, faces, together, strict=True):
        alone = paste_batch([frame], [some], LOOK, device=CPU)[0]
        assert np.abs(alone.image.astype(int) - mine.image).max() <= 1


@pytest.mark.parametrize("room", [2, 1, 0])
def test_boxes_that_do_not_fit_into_the_gpu_are_painted_by_fewer_and_at_last_by_the_cpu(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, faces = scene()
    whole, tried = paste_batch(frames, faces, LOOK, device=CPU), []
    paint = on_device._paint

    def full(jobs: Sequence[Any], look: Look, device: torch.device) -> None:
        tried.append((len(jobs), device.type))
        if device.type != "cpu" and len(jobs) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        paint(jobs, look, CPU)

    monkeypatch.setattr(on_device, "_paint", full)
    found = paste_batch(frames, faces, LOOK, device=torch.device("meta"))
    assert tried[0] == (3, "meta")
    assert ((1, "cpu") in tried) == (room == 0)
    for mine, theirs in zip(found, whole, strict=True):
        assert np.abs(mine.image.astype(int) - theirs.image).max() <= 1
        assert mine.mask.any() == theirs.mask.any()


def test_nothing_to_paint_is_no_error() -> None:
    assert paste_batch([], [], LOOK, device=CPU) == []


@pytest.mark.parametrize(
    "look",
    [
        replace(LOOK, mode="seamless"),
        replace(LOOK, grain=1.0),
        replace(LOOK, jpeg=0.5),
        replace(LOOK, motion_blur=1.0),
        replace(LOOK, match_sharpness=1.0),
        replace(LOOK, erode_left=1.0),
        replace(LOOK, feather_top=1.0),
        replace(LOOK, profile_fade=40.0),
    ],
)
def test_other_looks_are_left_to_the_cpu(look: Look) -> None:
    assert supports(LOOK)
    assert not supports(look)


def test_filters_of_a_stack_are_those_of_one_mask() -> None:
    masks = [outline(60, (0.3 + 0.1 * i, 0.5)) for i in range(4)]
    stack = torch.from_numpy(np.stack(masks))[:, None]
    amounts = [3.3, -2.6, 14.5, 0.0]
    exact = [shrink(mask, amount_px=px) for mask, px in zip(masks, amounts, strict=True)]
    np.testing.assert_allclose(shrink_each(stack, amounts)[:, 0].numpy(), exact, atol=1e-6)
    widths = [0.0, 3.0, 17.0, 0.2]
    exact = [feather(mask, width_px=px) for mask, px in zip(masks, widths, strict=True)]
    found = blur_each(stack, [px / 4.0 for px in widths])
    np.testing.assert_allclose(found[:, 0].numpy(), exact, atol=1e-4)


@pytest.mark.gpu
def test_a_gpu_paints_the_same() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for light in ("linear", "signal"):
        frames, faces = scene()
        compare(frames, faces, replace(LOOK, sharpen=1.0, light=light), torch.device("cuda"))
