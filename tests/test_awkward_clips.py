"""Every awkward clip through the real video path, with frames that nobody touched.

Three ways lead to a file: one writer that takes pictures; pieces of pictures that are joined;
pieces of the decoder's own pictures.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.media.encoders import Encoding
from faceswap_cli.media.encoding import PictureForm
from faceswap_cli.media.extras import plan_extras
from faceswap_cli.media.patching import can_patch
from faceswap_cli.media.provenance import synthetic_mark
from faceswap_cli.media.reader import (
    FrameTime,
    Span,
    VideoInfo,
    probe_video,
    read_frames,
    read_parts,
    read_times,
)
from faceswap_cli.media.segments import (
    join_segments,
    open_segment,
    plan_segments,
    segment_suffix,
)
from faceswap_cli.media.sound import plan_sound
from faceswap_cli.media.source import VideoSource, open_source
from faceswap_cli.media.writer import open_writer
from tests.awkward import CHAPTERS, CLIPS, LINES, MASTERING, TAGS
from tests.clips import decode_sound
from tests.test_media_extras import expected, read_chapters, read_subtitles, read_tags
from tests.test_media_sound import heard, lag_s

FAST = Encoding(crf=16, preset="ultrafast")
LOSSLESS = Encoding(crf=0, preset="ultrafast")
FFV1 = Encoding(codec="ffv1")
PIECE = 7
"""Frames: no clip is a whole number of pieces."""
WITH_SOUND = [name for name in CLIPS if name.startswith(("sound", "two", "edit"))]

Way = Callable[[VideoSource, Path, Encoding], Path]


def form_of(info: VideoInfo) -> PictureForm:
    return PictureForm(
        info.size_wh,
        info.time_base,
        info.average_rate,
        info.colour,
        info.pixel_aspect,
        hdr=info.hdr,
        siting=info.siting,
        field_order=info.field_order,
    )


def by_writer(source: VideoSource, target: Path, encoding: Encoding) -> Path:
    info = source.info
    with open_writer(
        target,
        size_wh=info.size_wh,
        time_base=info.time_base,
        rate_hint=info.average_rate,
        colour=info.colour,
        metadata=synthetic_mark("1"),
        sound=plan_sound(info, target, span=source.span),
        extras=plan_extras(info, target, span=source.span),
        pixel_aspect=info.pixel_aspect,
        encoding=encoding,
    ) as write:
        for frame in read_frames(info.path, span=source.span, deep=encoding.depth > 8):
            write(frame.image, frame.time_s, frame.duration_s)
    return target


def by_pieces(source: VideoSource, target: Path, encoding: Encoding) -> Path:
    frames = read_frames(source.info.path, span=source.span, deep=encoding.depth > 8)
    pictures = ((frame.image, frame.time_s, frame.duration_s) for frame in frames)
    return join(source, target, encoding, pictures)


def by_native_pieces(source: VideoSource, target: Path, encoding: Encoding) -> Path:
    frames = read_parts(source.info.path, lambda _: None, span=source.span, native=True)
    pictures = ((frame.native, frame.time_s, frame.duration_s) for frame in frames)
    return join(source, target, encoding, pictures)


def join(
    source: VideoSource,
    target: Path,
    encoding: Encoding,
    pictures: Iterator[tuple[Any, Fraction, Fraction]],
) -> Path:
    info, times, paths = source.info, source.times(), []
    folder = target.with_suffix(".pieces")
    for frames in plan_segments(len(times), PIECE):
        paths.append(folder / f"{frames.start}{segment_suffix(encoding)}")
        with open_segment(paths[-1], form_of(info), encoding) as write:
            for _ in frames:
                write(*next(pictures))
    assert next(pictures, None) is None
    join_segments(
        paths,
        target,
        form=form_of(info),
        times=times,
        sound=plan_sound(info, target, span=source.span),
        extras=plan_extras(info, target, span=source.span),
        metadata=synthetic_mark("1"),
    )
    return target


WAYS: dict[str, Way] = {"writer": by_writer, "pieces": by_pieces, "native": by_native_pieces}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All clips by name."""
    return {name: make(tmp_path_factory.mktemp("clip")) for name, make in CLIPS.items()}


def opened(path: Path, way: str, span: Span | None = None) -> VideoSource:
    source = open_source(path, span)
    assert isinstance(source, VideoSource)
    if way == "native" and not can_patch(source.info):
        pytest.skip("its pictures cannot be passed on as they are stored")
    return source


def rebased(times: list[FrameTime]) -> list[tuple[Fraction, Fraction]]:
    return [(timed.time_s - times[0].time_s, timed.duration_s) for timed in times]


def psnr_db(found: Any, wanted: Any) -> float:
    error = np.mean((found.astype(np.float64) - wanted) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("way", WAYS)
def test_every_frame_is_shown_when_it_was_in_its_colours(
    tmp_path: Path, clips: dict[str, Path], name: str, way: str
) -> None:
    source = opened(clips[name], way)
    depth = 10 if source.info.depth > 8 else 8
    codec: Any = "h265" if depth == 10 else "h264"
    encoding = Encoding(codec=codec, crf=16, preset="ultrafast", depth=depth)
    result = WAYS[way](source, tmp_path / "b.mp4", encoding)
    assert rebased(read_times(result)) == rebased(source.times())
    found, was = probe_video(result), source.info
    assert found.start_s == 0
    width, height = was.size_wh
    assert found.size_wh == (width + width % 2, height + height % 2)
    assert (found.rotation_deg, found.pixel_aspect) == (0, was.pixel_aspect)
    assert found.colour == was.colour
    assert found.depth == depth
    for after, before in zip(read_frames(result), read_frames(was.path), strict=True):
        image = after.image[:height, :width]
        assert psnr_db(image, before.image) > 40


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(
    ("way", "codec"),
    [("native", "h264"), ("native", "ffv1"), ("pieces", "h264"), ("pieces", "ffv1")],
)
def test_untouched_colours_are_within_one_of_255(
    tmp_path: Path, clips: dict[str, Path], name: str, way: str, codec: Any
) -> None:
    """At crf 0 the decoder's own pictures come back, and FFV1 has any picture as it is.

    A picture that is converted to RGB and back to 8 bits of YUV, which has fewer colours, is off
    by less than 0.5 in the mean, but by up to 3 somewhere.
    """
    source = opened(clips[name], way)
    if source.info.depth > 8 and codec == "h264":
        pytest.skip("to 8 bits, it is another picture")
    encoding = Encoding(codec=codec, crf=0, preset="ultrafast")
    result = WAYS[way](source, tmp_path / ("b.mkv" if codec == "ffv1" else "b.mp4"), encoding)
    width, height = source.info.size_wh
    frames = zip(read_frames(result), read_frames(source.info.path), strict=True)
    for after, before in frames:
        error = abs(after.image[:height, :width].astype(int) - before.image)
        if codec == "ffv1" or way == "native":
            assert error.max() <= 1
        assert error.mean() < 0.5


def test_samples_of_interlaced_frames_are_kept(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = opened(clips["interlaced, top first"], "native")
    result = by_native_pieces(source, tmp_path / "b.mp4", LOSSLESS)
    pairs = zip(planes_of(result), planes_of(source.info.path), strict=True)
    assert all((after == before).all() for after, before in pairs)


def planes_of(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray()


@pytest.mark.parametrize("name", WITH_SOUND)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("way", "text"), [("writer", "0-"), ("pieces", "0.24-0.72")])
def test_sound_is_heard_with_its_picture(
    tmp_path: Path, clips: dict[str, Path], name: str, suffix: str, way: str, text: str
) -> None:
    source = opened(clips[name], way, Span.parse(text))
    result = WAYS[way](source, tmp_path / f"b{suffix}", FAST)
    first_s = source.times()[0].time_s - source.info.start_s
    with av.open(str(clips[name])) as old, av.open(str(result)) as new:
        num = len(old.streams.audio)
        assert len(new.streams.audio) == num
    for track in range(num):
        whole = heard(clips[name], 1.6, track=track)
        end = 11520 if source.span.end_s else len(whole)
        wanted = whole[round(first_s * 16000) : end]
        found = heard(result, 1.6, track=track)[: len(wanted)]
        sounding = wanted != 0
        if suffix == ".mkv":  # no edit list: begins with the first whole packet, of 64 ms
            sounding[:2200] = False  # which the decoder needs for the next one
        if sounding.sum() < 4000:
            continue  # so little of the sound is left in this span
        first = int(np.argmax(sounding))
        last = len(wanted) - int(np.argmax(wanted[::-1] != 0))
        assert abs(lag_s(found[first:last], wanted[first:last], most_s=0.02)) <= 0.001


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_goes_on_after_the_last_picture(
    tmp_path: Path, clips: dict[str, Path], suffix: str
) -> None:
    for name, length_s in (("sound longer", 1.5), ("sound shorter", 0.4)):
        source = opened(clips[name], "pieces")
        start_s, samples, rate = decode_sound(by_pieces(source, tmp_path / f"b{suffix}", FAST))
        assert abs(float(start_s) + len(samples) / rate - length_s) < 0.13  # two packets


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("way", WAYS)
def test_all_tracks_chapters_and_tags_are_there(
    tmp_path: Path, clips: dict[str, Path], suffix: str, way: str
) -> None:
    source = opened(clips["two sounds, subtitles, chapters, tags"], way)
    result = WAYS[way](source, tmp_path / f"b{suffix}", FAST)
    with av.open(str(result)) as container:
        sounds = [stream.metadata["language"] for stream in container.streams.audio]
        texts = [stream.metadata["language"] for stream in container.streams.subtitles]
        others = [stream.type for stream in container.streams if stream.type == "attachment"]
    assert sounds == ["eng", "fra"]
    quicktime = ["eng", "sve", "ger"]  # its own codes
    assert texts == (quicktime if suffix == ".mov" else ["eng", "swe", "deu"])
    assert len(others) == (suffix == ".mkv")
    assert read_chapters(result) == list(CHAPTERS)
    for track in range(3):
        assert read_subtitles(result, track) == expected(LINES)
    found = read_tags(result)
    assert {key: found[key] for key in ("title", "artist", "date")} == {
        key: TAGS[key] for key in ("title", "artist", "date")
    }
    assert found["comment"].endswith("faceswap-cli 1.\nAt the sea.")


@pytest.mark.parametrize("way", ["pieces", "native"])
def test_screen_and_light_of_hdr10_are_told_again(
    tmp_path: Path, clips: dict[str, Path], way: str
) -> None:
    source = opened(clips["PQ"], way)
    encoding = Encoding(codec="h265", crf=16, preset="ultrafast", depth=10)
    found = probe_video(WAYS[way](source, tmp_path / "b.mp4", encoding)).hdr
    assert found == source.info.hdr
    assert found is not None
    assert found.mastering is not None
    assert found.light is not None
    (green_x, green_y) = found.mastering.primaries_xy[1]
    assert f"G({green_x},{green_y})" in MASTERING
    assert (found.light.max_pixel, found.light.max_frame) == (700, 250)


@pytest.mark.parametrize("name", ["23.976", "59.94", "variable rate"])
@pytest.mark.parametrize("way", WAYS)
def test_matroska_keeps_times_to_the_millisecond(
    tmp_path: Path, clips: dict[str, Path], name: str, way: str
) -> None:
    source = opened(clips[name], way)
    result = rebased(read_times(WAYS[way](source, tmp_path / "b.mkv", FAST)))
    for (time_s, _), (expected_s, _) in zip(result, rebased(source.times()), strict=True):
        assert abs(time_s - expected_s) <= Fraction(1, 2000)


def test_edit_list_hides_what_it_hid(clips: dict[str, Path]) -> None:
    times = read_times(clips["edit list"])
    assert len(times) == 24 - 5
    assert times[0].time_s == 0
