"""Interlaced footage stays so: players are told which rows of a picture are shown first."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceswap_cli.media.encoders import Encoding, VideoCodec
from faceswap_cli.media.encoding import PictureConverter, PictureForm
from faceswap_cli.media.fields import FIELD_CODES, FieldOrder, FieldTeller, read_field_order
from faceswap_cli.media.patching import Patcher
from faceswap_cli.media.picture_form import stored_fields
from faceswap_cli.media.reader import probe_video, read_frames, read_parts
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from faceswap_cli.rendering.form import form_of
from tests import test_awkward_clips as ways
from tests.awkward import interlaced, scene, woven
from tests.clips import LOSSLESS, set_display_matrix, write_clip
from tests.encoded import BT709
from tests.test_patching import mask_of, samples

ORDERS: tuple[FieldOrder, ...] = ("tff", "bff")
HOMES: list[tuple[VideoCodec, str]] = [
    *(("h264", suffix) for suffix in (".mp4", ".mov", ".mkv")),
    *(("prores", suffix) for suffix in (".mov", ".mkv")),
    ("ffv1", ".mkv"),
]


def make(folder: Path, order: FieldOrder) -> Path:
    return interlaced(order)(folder)


def orders_of(path: Path) -> list[FieldOrder | None]:
    with av.open(str(path)) as container:
        return [read_field_order(frame) for frame in container.decode(video=0)]


def told_order(path: Path) -> int:
    """What the container tells, or the first picture."""
    with av.open(str(path)) as container:
        return int(container.streams.video[0].codec_context.field_order)


@pytest.mark.parametrize("order", ORDERS)
def test_order_is_read_as_the_parser_of_h264_says(tmp_path: Path, order: FieldOrder) -> None:
    clip = make(tmp_path, order)
    assert told_order(clip) == FIELD_CODES[order] - 2  # of pictures that hold fields one by one
    assert orders_of(clip) == [order] * 9
    assert probe_video(clip).field_order == order


def test_whole_pictures_have_no_order(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", woven("tff"))
    assert orders_of(clip) == [None] * 9
    assert probe_video(clip).field_order is None
    assert read_field_order(FieldTeller("tff").tell(av.VideoFrame(8, 8, "yuv420p"))) is None


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "nv12", "bgr0", "uyvy422"])
@pytest.mark.parametrize("order", ORDERS)
def test_order_is_read_of_any_format(order: FieldOrder, pixel_format: str) -> None:
    frame = FieldTeller(order).tell(av.VideoFrame(64, 48, pixel_format))
    assert read_field_order(frame) == order


def test_turned_pictures_have_no_order(tmp_path: Path) -> None:
    clip = set_display_matrix(make(tmp_path, "tff"), (0, 1, -1, 0))
    assert probe_video(clip).field_order is None


def test_form_has_the_order_of_footage_of_its_size(tmp_path: Path) -> None:
    info = probe_video(make(tmp_path, "bff"))
    assert form_of(info).field_order == "bff"
    assert form_of(info, size_wh=(64, 48)).field_order == "bff"
    assert form_of(info, size_wh=(128, 96)).field_order is None


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("codec", "suffix"), HOMES)
@pytest.mark.parametrize("way", ["pieces", "native"])
def test_every_picture_of_the_result_tells_its_order(
    tmp_path: Path, way: str, codec: VideoCodec, suffix: str, order: FieldOrder
) -> None:
    source = ways.opened(make(tmp_path, order), way)
    encoding = Encoding(codec=codec, crf=4, preset="medium")  # with pictures out of order
    result = ways.WAYS[way](source, tmp_path / f"b{suffix}", encoding)
    assert orders_of(result) == [order] * 9
    if codec != "ffv1":  # which tells it in its pictures only
        assert told_order(result) == FIELD_CODES[order] - (2 if codec == "h264" else 0)
    for now, was in zip(read_frames(result), read_frames(source.info.path), strict=True):
        assert np.abs(now.image.astype(int) - was.image).mean() < 2


@pytest.mark.parametrize("codec", ["h265", "av1", "vp9"])
@pytest.mark.parametrize("way", ["pieces", "native"])
def test_codecs_without_fields_say_so_and_keep_colours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str, codec: VideoCodec
) -> None:
    """Chroma is by fields in the footage, and by pictures in what does not tell of fields."""
    clip = colourful(tmp_path)
    source = ways.opened(clip, way)
    encoding = Encoding(codec=codec, crf=1, preset="ultrafast")
    result = ways.WAYS[way](source, tmp_path / "b.mkv", encoding)
    assert "as if it were not interlaced" in caplog.text
    assert orders_of(result) == [None] * 2
    now, was = next(read_frames(result)).image, next(read_frames(clip)).image
    assert np.abs(now.astype(int) - was).mean() < 4.2  # 4.8 if chroma is taken as it is


def colourful(folder: Path, pix_fmt: str = "yuv420p", *, moved: int = 0) -> Path:
    """Waves of colour up and down, of which one field shows more by so many rows."""
    rows = np.arange(48)
    rows[::2] += moved
    red = (130 + 60 * np.sin(rows * 2 * np.pi / 12))[:, None].repeat(64, 1)
    image = np.dstack([red, np.full_like(red, 120), 260 - red]).astype(np.uint8)
    frame = YuvConverter(pix_fmt, BT709, field_order="tff").convert(image)
    path = folder / "c.mkv"
    with av.open(str(path), "w") as container:
        options = LOSSLESS | {"x264-params": "tff=1", "flags": "+ildct+ilme"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709.matrix
        for index in range(2):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_fields_of_other_formats_are_converted_one_by_one(tmp_path: Path) -> None:
    clip = colourful(tmp_path, "yuv422p", moved=6)
    source = ways.opened(clip, "native")
    assert source.info.pixel_format == "yuv422p"
    result = ways.by_native_pieces(source, tmp_path / "b.mp4", Encoding(crf=1, preset="ultrafast"))
    now, was = next(read_frames(result)).image, next(read_frames(clip)).image
    assert np.abs(now.astype(int) - was).mean() < 12  # 26 if fields are mixed


def test_x264_makes_fields_of_rows_that_four_divides() -> None:
    form = PictureForm((64, 50), Fraction(1, 25), Fraction(25), BT709, field_order="tff")
    assert stored_fields(form, Encoding()) is None
    assert stored_fields(form, Encoding("prores")) == "tff"
    assert stored_fields(replace(form, size_wh=(64, 52)), Encoding()) == "tff"
    assert (
        not PictureConverter(form, Encoding())
        .frame(np.zeros((50, 64, 3), np.uint8))
        .interlaced_frame
    )


def test_picture_without_fields_among_others_keeps_its_colours(tmp_path: Path) -> None:
    """Told like the others, since x264 makes all of one stream alike."""
    plain = write_clip(tmp_path / "p.mp4", [scene(1)[0]] * 3)
    source = ways.opened(plain, "native")
    source.info = replace(source.info, field_order="tff")
    result = ways.by_native_pieces(source, tmp_path / "b.mp4", Encoding(crf=0, preset="ultrafast"))
    assert orders_of(result) == ["tff"] * 3
    for now, was in zip(read_frames(result), read_frames(plain), strict=True):
        assert np.abs(now.image.astype(int) - was.image).max() <= 3


@pytest.mark.parametrize(("top", "bottom"), [(6, 36), (22, 42)])
def test_painted_fields_have_chroma_of_their_own(tmp_path: Path, top: int, bottom: int) -> None:
    clip = make(tmp_path, "bff")
    info = probe_video(clip)
    frame = next(iter(read_parts(clip, lambda _: (0, 0, 64, 48), native=True)))
    painted = woven("bff", 5)[4][:, ::-1].copy()
    mask = mask_of(painted.shape, (9, top, 50, bottom))
    shown = np.where(mask[..., None] > 0, painted, frame.image)
    patched = Patcher(info.colour, info.siting).patch(frame.native, shown, (0, 0), mask)
    assert read_field_order(patched) == "bff"
    whole = YuvConverter("yuv420p", info.colour, info.siting, field_order="bff").convert(shown)
    first = top // 4 * 2  # of the rows of chroma: two of them, one of each field, go with 4 rows
    inside = [np.s_[top:bottom, 9:50], *[np.s_[first : -(-bottom // 4) * 2, 5:25]] * 2]
    outside = [np.s_[:top], *[np.s_[:first]] * 2]
    was = samples(frame.native)
    for now, wanted, before, place, kept in zip(
        samples(patched), samples(whole), was, inside, outside, strict=True
    ):
        assert np.array_equal(now[place], wanted[place])
        assert np.array_equal(now[kept], before[kept])
