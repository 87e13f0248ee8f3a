"""Pieces of a stream, joined: the pictures of the pieces at the times of the footage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.errors import MediaError
from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.conversion import Converter
from faceswap_cli.media.encoders import CODECS, Encoding, VideoCodec
from faceswap_cli.media.encoding import CONTAINERS, PictureForm
from faceswap_cli.media.fields import FieldTeller
from faceswap_cli.media.joining import decoding_ticks
from faceswap_cli.media.orientation import Turn
from faceswap_cli.media.patching import Patcher
from faceswap_cli.media.reader import FrameTime, probe_video, read_frames, read_parts, read_times
from faceswap_cli.media.segments import (
    describe_encoding,
    join_segments,
    open_segment,
    plan_segments,
    segment_suffix,
)
from faceswap_cli.media.sound import plan_sound
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from tests.clips import chirp, decode_sound, noise_images, write_clip
from tests.encoded import BT709
from tests.made_faces import smooth_picture

SIZE_WH = (64, 48)
TIME_BASE = Fraction(1, 12800)
STEPS = {"cfr": [1] * 25, "vfr": [1, 4, 1, 1, 7, 2, 1, 3, 1, 1, 5, 1, 1] * 2}
HOMES = [
    (codec, suffix)
    for suffix, (_, codecs) in CONTAINERS.items()
    for codec in codecs
    if suffix != ".m4v"
]


def form_of(**changes: Any) -> PictureForm:
    about = {"size_wh": SIZE_WH, "time_base": TIME_BASE, "rate_hint": Fraction(25)}
    return PictureForm(**{**about, "colour": BT709, **changes})


def images_of(num: int) -> list[Any]:
    base = smooth_picture(1, SIZE_WH, detail_px=6.0)
    return [np.roll(base, 2 * i, axis=1) for i in range(num)]


def times_of(steps: Sequence[int], *, last: int = 1, start: int = 7) -> list[FrameTime]:
    steps = [*steps[:-1], last]
    starts = [start + sum(steps[:i]) for i in range(len(steps))]
    return [
        FrameTime(i, Fraction(at, 25), Fraction(step, 25))
        for i, (at, step) in enumerate(zip(starts, steps, strict=True))
    ]


def write_pieces(
    folder: Path, times: Sequence[FrameTime], encoding: Encoding, *, length: int = 9
) -> list[Path]:
    images, paths = images_of(len(times)), []
    for frames in plan_segments(len(times), length):
        path = folder / f"{frames.start:06d}{segment_suffix(encoding)}"
        with open_segment(path, form_of(), encoding) as write:
            for i in frames:
                write(images[i], times[i].time_s, times[i].duration_s)
        paths.append(path)
    return paths


def join(paths: Sequence[Path], target: Path, times: Sequence[FrameTime], **more: Any) -> Path:
    join_segments(paths, target, form=form_of(), times=times, **({"metadata": {}} | more))
    return target


def decode(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def fast(codec: VideoCodec, depth: int = 8) -> Encoding:
    return Encoding(codec=codec, preset="ultrafast", crf=20, depth=depth)


def test_pieces_cover_all_frames_once() -> None:
    assert plan_segments(7, 3) == [range(3), range(3, 6), range(6, 7)]
    assert plan_segments(6, 3) == [range(3), range(3, 6)]
    assert plan_segments(1, 250) == [range(1)]
    assert plan_segments(0, 250) == []


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize(("codec", "suffix"), HOMES)
def test_joined_file_shows_the_pieces_at_the_times_of_the_footage(
    tmp_path: Path, codec: VideoCodec, suffix: str, kind: str
) -> None:
    times = times_of(STEPS[kind], last=1 if kind == "cfr" else 17)
    paths = write_pieces(tmp_path, times, fast(codec))
    joined = join(paths, tmp_path / f"joined{suffix}", times)
    shown = [image for path in paths for image in decode(path)]
    for now, was in zip(decode(joined), shown, strict=True):
        assert np.array_equal(now, was)
    coarse = Fraction(1, 1000) if suffix in (".mkv", ".webm") else Fraction(0)
    for frame, timed in zip(read_times(joined), times, strict=True):
        assert abs(frame.time_s - (timed.time_s - times[0].time_s)) <= coarse
    end_s = times[-1].time_s + times[-1].duration_s - times[0].time_s
    length_s = probe_video(joined).duration_s
    assert length_s is not None
    assert abs(length_s - end_s) <= coarse


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("num", [1, 2, 3])
def test_few_frames_are_a_video(tmp_path: Path, codec: VideoCodec, num: int) -> None:
    times = times_of([3] * num, last=11)
    joined = join(write_pieces(tmp_path, times, fast(codec)), tmp_path / "a.mp4", times)
    assert [t.time_s for t in read_times(joined)] == [Fraction(3 * i, 25) for i in range(num)]
    assert read_times(joined)[-1].duration_s == Fraction(11, 25)


@pytest.mark.parametrize("codec", CODECS)
def test_last_piece_may_be_one_frame(tmp_path: Path, codec: VideoCodec) -> None:
    times = times_of([1] * 10)
    paths = write_pieces(tmp_path, times, Encoding(codec=codec, preset="fast"), length=9)
    assert len(decode(join(paths, tmp_path / "a.mkv", times))) == 10


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_last_picture_lasts_as_long_as_in_the_footage(tmp_path: Path, codec: VideoCodec) -> None:
    times = times_of(STEPS["vfr"], last=40)
    encoding = Encoding(codec=codec, preset="medium")  # with pictures out of order
    joined = join(write_pieces(tmp_path, times, encoding), tmp_path / "a.mp4", times)
    assert read_times(joined)[-1].duration_s == Fraction(40, 25)


def test_decoding_comes_before_showing_and_goes_on() -> None:
    ranks = [0, 3, 1, 2, 6, 4, 5]
    for last_duration in (1, 5, 50):
        ticks = [0, 2, 3, 9, 10, 12, 15]
        decoded = decoding_ticks(ranks, ticks, last_duration=last_duration)
        assert all(b > a for a, b in pairwise(decoded))
        assert all(at <= ticks[r] for at, r in zip(decoded, ranks, strict=True))
        last = ranks.index(6)
        assert decoded[last + 1] - decoded[last] == last_duration
    assert decoding_ticks([0, 1, 2], [0, 5, 6], last_duration=3) == [0, 5, 6]


@pytest.mark.parametrize("codec", CODECS)
def test_same_pictures_give_the_same_bytes(tmp_path: Path, codec: VideoCodec) -> None:
    times = times_of([1] * 5)
    encoding = fast(codec)
    first, second = (
        write_pieces(tmp_path / name, times, encoding)[0].read_bytes() for name in ("a", "b")
    )
    assert first == second
    joined = [
        join(
            [tmp_path / name / f"000000{segment_suffix(encoding)}"], tmp_path / f"{name}.mkv", times
        )
        for name in ("a", "b")
    ]
    assert decode(joined[0])[0].shape == (48, 64, 3)


def test_pieces_begin_with_a_key_frame_and_need_no_other(tmp_path: Path) -> None:
    times = times_of([1] * 25)
    for path in write_pieces(tmp_path, times, Encoding(codec="h265", preset="medium")):
        with av.open(str(path)) as piece:
            assert next(piece.demux(video=0)).is_keyframe
        assert len(decode(path)) in (9, 7)


def test_plain_decoder_has_no_complaint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    times = times_of([1] * 25)
    encoding = Encoding(codec="h264", preset="medium")
    joined = join(write_pieces(tmp_path, times, encoding), tmp_path / "a.mp4", times)
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.WARNING)
    try:
        with av.open(str(joined)) as container:
            container.streams.video[0].thread_type = "NONE"
            assert sum(1 for _ in container.decode(video=0)) == 25
    finally:
        av.logging.set_level(av.logging.get_level())
    assert capfd.readouterr().err == ""


def test_sound_runs_beside_the_pictures(tmp_path: Path) -> None:
    sounds = [("aac", chirp(1.0), 16000, Fraction(0))]
    source = write_clip(tmp_path / "source.mp4", images_of(25), sounds=sounds)
    times = read_times(source)
    target = tmp_path / "joined.mp4"
    join(
        write_pieces(tmp_path, times, fast("h264")),
        target,
        times,
        sound=plan_sound(probe_video(source), target),
        metadata={"comment": "a mark"},
    )
    (start, samples, _), (was_start, was, _) = decode_sound(target), decode_sound(source)
    assert start == was_start
    np.testing.assert_array_equal(samples, was)
    with av.open(str(target)) as container:
        assert container.metadata["comment"] == "a mark"
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert len(set(kinds[:8])) == 2  # side by side, not one after the other
    assert target.read_bytes().index(b"moov") < target.read_bytes().index(b"mdat")


def test_pieces_of_other_settings_are_refused(tmp_path: Path) -> None:
    times = times_of([1] * 4)
    paths = write_pieces(tmp_path / "a", times, fast("h264"))
    paths += write_pieces(tmp_path / "b", times, Encoding(codec="h264", preset="slow"))
    with pytest.raises(MediaError, match=r"encoded otherwise than 000000.nut[\s\S]*--redo"):
        join(paths, tmp_path / "a.mp4", times_of([1] * 8))
    assert not (tmp_path / "a.mp4").exists()


def test_wrong_number_of_pictures_is_refused(tmp_path: Path) -> None:
    times = times_of([1] * 5)
    paths = write_pieces(tmp_path, times, fast("h264"))
    with pytest.raises(MediaError, match="hold 5 pictures, not 6"):
        join(paths, tmp_path / "a.mp4", times_of([1] * 6))
    paths[0].write_bytes(b"no video")
    with pytest.raises(MediaError, match="cannot be read"):
        join(paths, tmp_path / "a.mp4", times)


def test_unfinished_piece_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.nut"
    with pytest.raises(KeyboardInterrupt), open_segment(path, form_of(), fast("h264")) as write:
        write(images_of(1)[0], Fraction(0), Fraction(1, 25))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MediaError, match="no frame"), open_segment(path, form_of(), fast("h264")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_times_must_grow_and_sizes_stay(tmp_path: Path) -> None:
    image, path = images_of(1)[0], tmp_path / "a.nut"
    with (
        pytest.raises(MediaError, match=r"0.000 s is not after"),
        open_segment(path, form_of(), fast("h264")) as write,
    ):
        write(image, Fraction(0), Fraction(1, 25))
        write(image, Fraction(0), Fraction(1, 25))
    for wrong in (image[:-2], av.VideoFrame(62, 48, "yuv420p")):
        with (
            pytest.raises(MediaError, match="cannot follow"),
            open_segment(path, form_of(), fast("h264")) as write,
        ):
            write(wrong, Fraction(0), Fraction(1, 25))


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    import resource
    import signal

    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, was[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, old)


def test_full_disk_is_said_and_leaves_the_pieces(tmp_path: Path) -> None:
    times = times_of([1] * 20)
    paths = write_pieces(tmp_path, times, fast("ffv1"))
    with pytest.raises(MediaError, match="disk is full"), largest_file(20_000):
        join(paths, tmp_path / "joined.mkv", times)
    assert sorted(tmp_path.iterdir()) == paths
    path = tmp_path / "full.nut"
    with (
        pytest.raises(MediaError, match="disk is full"),
        largest_file(20_000),
        open_segment(path, form_of(), fast("ffv1")) as write,
    ):
        for i, image in enumerate(noise_images(20, SIZE_WH)):
            write(image, Fraction(i, 25), Fraction(1, 25))
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize("codec", CODECS)
def test_decoded_pictures_are_encoded_as_they_are(tmp_path: Path, codec: VideoCodec) -> None:
    source = write_clip(tmp_path / "source.mp4", images_of(6))
    info, times = probe_video(source), read_times(source)
    encoding = Encoding(codec=codec, crf=0, preset="ultrafast")
    path = tmp_path / f"a{segment_suffix(encoding)}"
    form = form_of(time_base=info.time_base, colour=info.colour)
    with open_segment(path, form, encoding) as write:
        for frame in read_parts(source, lambda index: None, native=True):
            assert frame.image.shape == (0, 0, 3)
            write(frame.native, frame.time_s, frame.duration_s)
    joined = tmp_path / "a.mkv"
    join_segments([path], joined, form=form, times=times, metadata={})
    for now, was in zip(read_frames(joined), read_frames(source), strict=True):
        difference = np.abs(now.image.astype(int) - was.image)
        assert difference.mean() < (0.6 if codec in ("h264", "prores", "ffv1") else 2.5)


def one_piece(path: Path, native: Any, form: PictureForm, codec: VideoCodec) -> Any:
    """What comes of a decoder's own picture, as the decoder of the piece has it."""
    with open_segment(path, form, Encoding(codec=codec, crf=0)) as write:
        write(native, Fraction(0), Fraction(1, 25))
    with av.open(str(path)) as piece:
        return next(piece.decode(video=0))


def test_white_of_full_range_is_white_of_prores(tmp_path: Path) -> None:
    """swscale alone makes 937 of 10 bits of it."""
    native = av.VideoFrame(*SIZE_WH, "yuvj420p")
    for plane, level in zip(native.planes, (255, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    form = form_of(colour=replace(BT709, range=2))
    shown = one_piece(tmp_path / "a.mov", native, form, "prores")
    assert shown.color_range == 1
    assert set(shown.to_ndarray()[:48].ravel()[: 48 * 64]) == {940}


def test_chroma_is_read_where_the_form_says(tmp_path: Path) -> None:
    image = smooth_picture(3, SIZE_WH, detail_px=4.0)
    native = YuvConverter("yuv420p", BT709, "topleft").convert(image)
    untold = FieldTeller(None, "unspecified").tell(native)
    shown = one_piece(tmp_path / "a.nut", untold, form_of(siting="topleft"), "ffv1")
    expected = Converter(BT709, Turn(), siting="topleft").whole(native)
    assert np.array_equal(shown.to_ndarray(format="rgb24"), expected)


def test_painted_stream_keeps_all_other_samples(tmp_path: Path) -> None:
    images = [smooth_picture(i, (96, 80)) for i in range(3)]
    source = write_clip(tmp_path / "source.mp4", images)
    info, times = probe_video(source), read_times(source)
    patcher, encoding = Patcher(info.colour, info.siting), Encoding(crf=0)
    form = form_of(time_base=info.time_base, size_wh=(96, 80), colour=info.colour)
    path = tmp_path / "a.nut"
    with open_segment(path, form, encoding) as write:
        for frame in read_parts(source, lambda index: (10, 10, 30, 30), native=True):
            mask = np.zeros(frame.image.shape[:2], np.uint8)
            mask[12:28, 12:28] = 255
            painted = np.where(mask[..., None] > 0, 255 - frame.image, frame.image)
            write(
                patcher.patch(frame.native, painted, frame.corner_xy, mask),
                frame.time_s,
                frame.duration_s,
            )
    joined = tmp_path / "a.mp4"
    join_segments([path], joined, form=form, times=times, metadata={})
    for now, was in zip(read_frames(joined), read_frames(source), strict=True):
        assert np.array_equal(now.image[40:, 40:], was.image[40:, 40:])  # crf 0 is lossless
        assert not np.array_equal(now.image[14:26, 14:26], was.image[14:26, 14:26])


def test_piece_tells_its_encoder(tmp_path: Path) -> None:
    for codec, told in (("h264", "libx264, yuv420p"), ("prores", "prores_ks, yuv422p10le")):
        (path,) = write_pieces(tmp_path, times_of([1] * 2), fast(codec))  # type: ignore[arg-type]
        assert describe_encoding(path) == told


@pytest.mark.parametrize("codec", ["av1", "vp9", "prores"])
def test_chroma_moves_to_where_the_file_is_thought_to_have_it(
    tmp_path: Path, codec: VideoCodec
) -> None:
    image = smooth_picture(3, SIZE_WH, detail_px=5.0)
    native = YuvConverter("yuv420p", BT709, "center").convert(image)
    encoding = Encoding(codec=codec, crf=0, preset="ultrafast")
    path = tmp_path / f"a{segment_suffix(encoding)}"
    shown = one_piece(path, native, form_of(siting="center"), codec)
    now = Converter(BT709, Turn(), siting="left").whole(shown)
    assert np.abs(now.astype(int) - image).mean() < 1.4  # 2 if it is taken as it is


def test_a_matrix_that_swscale_has_under_another_number_is_converted(tmp_path: Path) -> None:
    colour = replace(BT709, matrix=10)
    image = smooth_picture(3, SIZE_WH)
    native = YuvConverter("yuv444p", colour).convert(image)
    shown = one_piece(tmp_path / "a.nut", native, form_of(colour=colour), "h264")
    assert np.abs(Converter(colour, Turn()).whole(shown).astype(int) - image).mean() < 1


@pytest.mark.parametrize("matrix", [5, 6])
def test_decoded_pictures_of_prores_tell_the_colours_of_the_form(
    tmp_path: Path, matrix: int
) -> None:
    native = av.VideoFrame(*SIZE_WH, "yuv420p")  # that tells nothing
    colour = ColourTags(matrix=matrix, range=1, primaries=matrix, transfer=6)
    shown = one_piece(tmp_path / "a.mov", native, form_of(colour=colour), "prores")
    assert (shown.colorspace, shown.color_primaries, shown.color_trc) == (matrix, matrix, 6)


def test_what_all_pieces_lack_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    form = form_of(colour=replace(BT709, transfer=16))
    for name in ("a", "b"):
        with open_segment(tmp_path / f"{name}.nut", form, fast("h264")) as write:
            write(images_of(1)[0], Fraction(0), Fraction(1, 25))
    assert caplog.text.count("h264 of 8 bits shows steps") == 1


@pytest.mark.parametrize(
    ("codec", "suffix", "kept"),
    [
        ("h264", ".mkv", True),
        ("vp9", ".mp4", True),
        ("prores", ".mov", True),
        ("vp9", ".mkv", False),
    ],
)
def test_shape_of_pixels_is_kept_or_its_loss_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: VideoCodec, suffix: str, kept: bool
) -> None:
    aspect, times = Fraction(16, 11), times_of([1])
    form, path = form_of(pixel_aspect=aspect), tmp_path / f"a{segment_suffix(fast(codec))}"
    with open_segment(path, form, fast(codec)) as write:
        write(images_of(1)[0], Fraction(0), Fraction(1, 25))
    target = tmp_path / f"joined{suffix}"
    join_segments([path], target, form=form, times=times, metadata={})
    assert (probe_video(target).pixel_aspect == aspect) == kept
    assert ("cannot tell that a pixel is 16/11 as wide as high" in caplog.text) == (not kept)
