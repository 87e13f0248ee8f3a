"""Painting into decoded pictures: what is painted changes, and nothing else."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.conversion import filter_graph
from faceswap_cli.media.patching import Patcher, can_patch, patch
from faceswap_cli.media.reader import probe_video, read_parts
from faceswap_cli.media.samples import find_layout, read_siting, view_samples
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from tests.clips import noise_images, set_display_matrix, write_clip
from tests.made_faces import smooth_picture

SIZE_WH = (210, 162)
BOX = (60, 40, 120, 100)
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "p010le", "yuvj420p"]
SITES = ["left", "center", "topleft", "top", "bottomleft", "bottom"]
BT709 = ColourTags(matrix=1, range=1, primaries=1, transfer=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patching") / "clip.mp4"
    return write_clip(path, [smooth_picture(i, SIZE_WH, detail_px=3.0) for i in range(2)])


def samples(frame: Any) -> list[Any]:
    layout = find_layout(frame.format.name)
    assert layout is not None
    return [np.array(plane, int) for plane in view_samples(frame, layout)]


def native_of(image: Any, pixel_format: str, siting: str = "left") -> Any:
    """A picture as a decoder gives it, that tells where its chroma lies."""
    frame = YuvConverter(pixel_format, BT709, siting).convert(image)
    push, _, pull = filter_graph(frame, ("setparams", f"chroma_location={siting}"))
    push(frame)
    return pull()


def mask_of(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> Any:
    mask = np.zeros(shape[:2], np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 255
    return mask


def test_unchanged_part_changes_no_sample_by_more_than_rounding(clip: Path) -> None:
    info = probe_video(clip)
    frame = next(read_parts(clip, lambda index: BOX, native=True))
    x, y = frame.corner_xy
    mask = mask_of(frame.image.shape, (BOX[0] - x, BOX[1] - y, BOX[2] - x, BOX[3] - y))
    patched = patch(frame.native, frame.image, frame.corner_xy, mask, info.colour)
    luma, *_ = zip(samples(patched), samples(frame.native), strict=True)
    assert np.abs(luma[0] - luma[1]).max() <= 1
    assert patched.format.name == frame.native.format.name


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_only_touched_blocks_change(pixel_format: str) -> None:
    native = native_of(smooth_picture(3, (96, 80)), pixel_format)
    was = samples(native)
    part = np.full((41, 51, 3), (250, 20, 30), np.uint8)
    mask = mask_of(part.shape, (7, 9, 30, 24))
    mask[33, 40] = 1  # one pixel far from the others
    patched = Patcher(BT709).patch(native, part, (13, 11), mask)
    layout = find_layout(pixel_format)
    assert layout is not None
    step_x, step_y = layout.step_xy
    painted = np.zeros((80, 96), bool)
    painted[11 : 11 + 41, 13 : 13 + 51] = mask != 0
    blocks = painted.reshape(80 // step_y, step_y, 96 // step_x, step_x).any(axis=(1, 3))
    for now, before, where in zip(samples(patched), was, (painted, blocks, blocks), strict=True):
        assert np.array_equal(now[~where], before[~where])
        assert (now != before)[where].mean() > 0.9
    for now, before in zip(samples(native), was, strict=True):
        assert np.array_equal(now, before)  # the decoder may still need it


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_painted_samples_are_those_of_a_whole_picture(pixel_format: str) -> None:
    images = [smooth_picture(seed, (160, 120), detail_px=4.0) for seed in (1, 2)]
    native = native_of(images[0], pixel_format)
    wanted = samples(YuvConverter(pixel_format, BT709).convert(images[1]))
    mask = mask_of((100, 120), (20, 20, 90, 70))
    part = images[1][10:110, 20:140]
    patched = samples(Patcher(BT709).patch(native, part, (20, 10), mask))
    layout = find_layout(pixel_format)
    assert layout is not None
    for now, whole, step_xy in zip(
        patched, wanted, ((1, 1), layout.step_xy, layout.step_xy), strict=True
    ):
        place = np.s_[30 // step_xy[1] : 80 // step_xy[1], 40 // step_xy[0] : 110 // step_xy[0]]
        assert np.array_equal(now[place], whole[place])


@pytest.mark.parametrize("box", [(0, 0, 9, 7), (87, 73, 96, 80), (0, 0, 96, 80)])
def test_painting_reaches_the_border(box: tuple[int, int, int, int]) -> None:
    native = native_of(smooth_picture(3, (96, 80)), "yuv420p")
    part = np.full((80, 96, 3), 200, np.uint8)
    patched = Patcher(BT709).patch(native, part, (0, 0), mask_of(part.shape, box))
    left, top, right, bottom = box
    assert set(samples(patched)[0][top:bottom, left:right].ravel()) == {188}  # 16 + 219 * 200/255


def test_deep_parts_keep_ten_bits() -> None:
    native = native_of(np.zeros((80, 96, 3), np.uint8), "yuv420p10le")
    part = np.full((64, 64, 3), 65535 * 501 // 876, np.uint16)  # grey 565 of 64 to 940
    patched = Patcher(BT709).patch(native, part, (16, 8), mask_of(part.shape, (8, 8, 56, 56)))
    assert set(samples(patched)[0][20:60, 30:60].ravel()) == {565}


def test_empty_mask_gives_an_equal_copy() -> None:
    native = native_of(smooth_picture(3, (96, 80)), "yuv420p")
    native.pts, native.time_base = 7, Fraction(1, 90000)
    part = np.zeros((20, 20, 3), np.uint8)
    patched = Patcher(BT709).patch(native, part, (3, 3), np.zeros((20, 20), np.uint8))
    assert (patched.pts, patched.time_base) == (7, Fraction(1, 90000))
    for now, before in zip(samples(patched), samples(native), strict=True):
        assert np.array_equal(now, before)
    view_samples(patched, find_layout("yuv420p"))[0][...] = 0  # type: ignore[arg-type]
    assert samples(native)[0].max() > 0


@pytest.mark.parametrize("siting", SITES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "nv12"])
def test_siting_is_seen(pixel_format: str, siting: str) -> None:
    native = native_of(noise_images(1, (64, 48))[0], pixel_format, siting)
    assert read_siting(native) == siting


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_is_painted_where_the_source_has_it(siting: str) -> None:
    image = smooth_picture(5, (160, 120), detail_px=4.0)
    native = native_of(smooth_picture(6, (160, 120)), "yuv420p", siting)
    mask = mask_of(image.shape, (20, 20, 120, 90))
    patched = Patcher(BT709, siting).patch(native, image, (0, 0), mask)
    wanted = samples(YuvConverter("yuv420p", BT709, siting).convert(image))
    for now, whole in zip(samples(patched)[1:], wanted[1:], strict=True):
        assert np.array_equal(now[10:45, 10:60], whole[10:45, 10:60])


def test_parts_outside_the_picture_are_refused() -> None:
    native = native_of(smooth_picture(3, (96, 80)), "yuv420p")
    part, mask = np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.uint8)
    with pytest.raises(ValueError, match="not inside 96x80"):
        Patcher(BT709).patch(native, part, (80, 10), mask)
    with pytest.raises(ValueError, match="cannot be patched"):
        Patcher(BT709).patch(av.VideoFrame(96, 80, "rgb24"), part, (0, 0), mask)


def test_footage_that_cannot_be_patched_is_known(clip: Path, tmp_path: Path) -> None:
    info = probe_video(clip)
    assert can_patch(info)
    assert not can_patch(replace(info, pixel_format="gbrp"))
    assert not can_patch(replace(info, pixel_format="yuva420p"))
    assert not can_patch(replace(info, size_wh=(211, 162)))
    assert not can_patch(replace(info, pixel_format="yuv422p", siting="center"))
    images = [smooth_picture(1, SIZE_WH)]
    turned = set_display_matrix(write_clip(tmp_path / "turned.mp4", images), (0, 1, -1, 0))
    assert not can_patch(probe_video(turned))
