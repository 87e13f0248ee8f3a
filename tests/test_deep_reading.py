"""Footage of more than 8 bits, where chroma lies, and the decoder's own pictures."""

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.imaging import encode_image
from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame, probe_video, read_frames, read_parts
from faceswap_cli.media.samples import find_layout, view_samples
from faceswap_cli.media.source import open_source
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from tests.awkward import hdr
from tests.clips import PATCHES, patch_image, write_clip, yuv_from_rgb
from tests.made_faces import smooth_picture

SIZE_WH = (96, 64)
BT2020_HLG = {"colorspace": 9, "color_primaries": 9, "color_trc": 18, "color_range": 1}


def ten_bit_clip(path: Path) -> Path:
    """One picture of coloured stripes, by the formulas of H.273."""
    planes = yuv_from_rgb(patch_image(SIZE_WH), matrix=9, is_full=False)
    frame = av.VideoFrame(*SIZE_WH, "yuv444p10le")
    layout = find_layout("yuv444p10le")
    assert layout is not None
    for samples, plane in zip(view_samples(frame, layout), planes, strict=True):
        samples[...] = plane.astype(np.uint16) * 4
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv444p10le"
        for name, value in BT2020_HLG.items():
            setattr(stream.codec_context, name, value)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def expected(*, levels: int) -> Any:
    """What H.273 makes of the rounded samples."""
    luma, u, v = yuv_from_rgb(PATCHES[None], matrix=9, is_full=False)[:, 0].astype(float)
    y, pb, pr = (luma - 16) / 219, (u - 128) / 224, (v - 128) / 224
    red, blue = y + 1.4746 * pr, y + 1.8814 * pb
    green = (y - 0.2627 * red - 0.0593 * blue) / 0.678
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * levels


def stripes(image: Any) -> Any:
    height, width = image.shape[:2]
    return image[height // 2, width // 12 :: width // 6].astype(float)


def test_deep_pictures_have_16_bits_of_full_scale(tmp_path: Path) -> None:
    path = ten_bit_clip(tmp_path / "a.mkv")
    assert probe_video(path).depth == 10
    (deep,), (plain,) = read_frames(path, deep=True), read_frames(path)
    assert (deep.image.itemsize, plain.image.itemsize) == (2, 1)
    np.testing.assert_allclose(stripes(deep.image), expected(levels=65535), atol=5)
    np.testing.assert_allclose(stripes(plain.image), expected(levels=255), atol=1.01)


def test_footage_of_8_bits_stays_so(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [smooth_picture(1, SIZE_WH)])
    (deep,), (plain,) = read_frames(path, deep=True), read_frames(path)
    assert probe_video(path).depth == 8
    assert np.array_equal(deep.image, plain.image)
    assert deep.image.dtype == np.uint8


def test_rough_pictures_are_never_deep(tmp_path: Path) -> None:
    (frame,) = read_frames(ten_bit_clip(tmp_path / "a.mkv"), deep=True, rough=True)
    assert frame.image.dtype == np.uint8


def test_deep_pictures_make_the_samples_they_were_made_of(tmp_path: Path) -> None:
    path = ten_bit_clip(tmp_path / "a.mkv")
    info = probe_video(path)
    (frame,) = read_parts(path, lambda index: (0, 0, *SIZE_WH), native=True, deep=True)
    again = YuvConverter(frame.native.format.name, info.colour).convert(frame.image)
    layout = find_layout(info.pixel_format)
    assert layout is not None
    for now, was in zip(
        view_samples(again, layout), view_samples(frame.native, layout), strict=True
    ):
        assert np.abs(now.astype(int) - was).max() <= 2  # stripes just outside the gamut are cut


def test_hdr_is_warned_of_only_where_it_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = ten_bit_clip(tmp_path / "a.mkv")
    with caplog.at_level(logging.WARNING):
        list(read_frames(path, deep=True))
        assert not caplog.records
        list(read_frames(path))
    assert "is HDR (HLG): it is reduced to 8 bit, not tone-mapped" in caplog.text


def test_hdr10_is_read(tmp_path: Path) -> None:
    read = probe_video(hdr(16)(tmp_path)).hdr
    assert read is not None
    assert read.mastering is not None
    assert probe_video(ten_bit_clip(tmp_path / "plain.mkv")).hdr is None


def test_natives_come_for_all_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [smooth_picture(i, SIZE_WH) for i in range(3)])
    source = open_source(path)
    frames = list(source.parts(lambda index: (4, 4, 9, 9) if index == 1 else None, native=True))
    assert [getattr(frame, "index", None) for frame in frames] == [0, 1, 2]
    for frame in frames:
        assert isinstance(frame, Frame)
        assert (frame.native.width, frame.native.height) == frame.size_wh == SIZE_WH
        assert (frame.image.shape == (0, 0, 3)) == (frame.index != 1)
    (plain,) = source.parts(lambda index: (4, 4, 9, 9) if index == 1 else None)
    assert isinstance(plain, Frame)
    assert plain.native is None


def test_empty_parts_are_as_deep_as_others(tmp_path: Path) -> None:
    path = ten_bit_clip(tmp_path / "a.mkv")
    for deep, dtype in ((True, np.uint16), (False, np.uint8)):
        (frame,) = read_parts(path, lambda index: None, native=True, deep=deep)
        assert frame.image.dtype == dtype


def test_deep_picture_files_come_as_they_are(tmp_path: Path) -> None:
    image = np.arange(40 * 30 * 3, dtype=np.uint16).reshape(30, 40, 3) * 18
    (tmp_path / "1.png").write_bytes(encode_image(image, ".png"))
    (tmp_path / "2.png").write_bytes(encode_image((image >> 8).astype(np.uint8), ".png"))
    source = open_source(tmp_path)
    assert (source.info.depth, source.info.size_wh) == (16, (40, 30))
    frames = [frame for frame in source.frames(deep=True) if not isinstance(frame, BadFrame)]
    assert np.array_equal(frames[0].image, image)
    assert [frame.image.dtype for frame in frames] == [np.uint16, np.uint8]
    assert all(
        isinstance(frame, Frame) and frame.image.dtype == np.uint8 for frame in source.frames()
    )
    natives = list(source.parts(lambda index: None, native=True))
    assert len(natives) == 2
    assert natives[0].native is None  # type: ignore[union-attr]


@pytest.mark.parametrize(("encoder", "suffix"), [("libx264", ".mp4"), ("ffv1", ".mkv")])
def test_chroma_is_read_where_players_look(tmp_path: Path, encoder: str, suffix: str) -> None:
    """FFV1 does not tell where it is, and means the same place."""
    colour = ColourTags(matrix=1, range=1, primaries=1, transfer=1)
    image = smooth_picture(4, SIZE_WH, detail_px=5.0)
    planes = YuvConverter("yuv420p", colour, "left").convert(image)
    path = write_clip(
        tmp_path / f"a{suffix}",
        [planes.to_ndarray()],
        encoder=encoder,
        options={"qp": "0"} if encoder == "libx264" else {},
        frame_format="yuv420p",
        tags={"colorspace": 1, "color_range": 1},
    )
    info = probe_video(path)
    assert info.siting == "left"
    assert info.tells_siting == (encoder == "libx264")
    (whole,) = read_frames(path)
    (part,) = read_parts(path, lambda index: (30, 20, 60, 50))
    x, y = part.corner_xy
    height, width = part.image.shape[:2]
    assert np.array_equal(part.image, whole.image[y : y + height, x : x + width])
    reference = tmp_path / "reference.mp4"
    write_clip(
        reference,
        [planes.to_ndarray()],
        options={"qp": "0"},
        frame_format="yuv420p",
        tags={"colorspace": 1, "color_range": 1},
    )
    (told,) = read_frames(reference)
    assert np.array_equal(whole.image, told.image)


@pytest.mark.parametrize(
    ("encoder", "pixel_format", "suffix"),
    [("libvpx-vp9", "yuv420p", ".mp4"), ("libx265", "yuv422p10le", ".mp4")],
)
def test_decoders_that_tell_no_place_of_chroma_mean_the_usual_one(
    tmp_path: Path, encoder: str, pixel_format: str, suffix: str
) -> None:
    """Cameras write HEVC of 4:2:2, and websites VP9."""
    colour = ColourTags(matrix=1, range=1, primaries=1, transfer=1)
    image = smooth_picture(4, SIZE_WH, detail_px=5.0)
    planes = YuvConverter(pixel_format, colour, "left").convert(image)
    quiet = (
        {"x265-params": "log-level=none:lossless=1"} if encoder == "libx265" else {"lossless": "1"}
    )
    path = write_clip(
        tmp_path / f"a{suffix}",
        [planes.to_ndarray()] * 3,
        encoder=encoder,
        options=quiet,
        pix_fmt=pixel_format,
        frame_format=pixel_format,
        tags={"colorspace": 1, "color_range": 1},
    )
    info = probe_video(path)
    assert (info.siting, info.tells_siting) == ("left", False)
    shown = next(read_frames(path)).image
    assert np.abs(shown.astype(int) - image).mean() < 1.0  # 2 if it is half a pixel off
