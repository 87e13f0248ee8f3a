"""Reading videos as they come: rotated, VFR, untagged, damaged."""

import itertools
import logging
import os
import resource
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.media import decoding, video_info
from faceswap_cli.media.pictures import (
    BadFrame,
    list_pictures,
    read_picture,
    read_picture_frames,
)
from faceswap_cli.media.reader import (
    Frame,
    FrameTime,
    Losses,
    Span,
    probe_video,
    read_frames,
    read_times,
)
from faceswap_cli.media.source import PictureSource, VideoSource, open_source
from tests.clips import (
    PATCHES,
    chirp,
    grey_images,
    noise_images,
    patch_image,
    set_display_matrix,
    write_clip,
    write_sound,
    yuv_from_rgb,
)

FOOTAGE = Path(__file__).parents[2] / "shared" / "footage"
NTSC = Fraction(1001, 30000)
# Four frames of a second; the third is shown for longest. Ticks of 1/600 s.
VFR_TICKS, VFR_BASE = (0, 20, 55, 355, 380), Fraction(1, 600)


def greys(frames: list[Frame]) -> list[int]:
    """The number that grey_images hid in each frame."""
    return [round((float(frame.image.mean()) - 40) / 4) for frame in frames]


def timed(frames: list[Frame]) -> list[FrameTime]:
    return [FrameTime(frame.index, frame.time_s, frame.duration_s) for frame in frames]


def test_29_97_is_not_rounded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_images(12), time_base=NTSC)
    assert [frame.time_s for frame in read_frames(path)] == [k * NTSC for k in range(12)]
    assert probe_video(path).average_rate == 1 / NTSC


def test_frames_of_variable_rate_keep_their_times_and_durations(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4",
        grey_images(5),
        ticks=VFR_TICKS,
        time_base=VFR_BASE,
        last_duration=70,
    )
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == [tick * VFR_BASE for tick in VFR_TICKS]
    durations = [frame.duration_s / VFR_BASE for frame in frames]
    assert durations == [20, 35, 300, 25, 70]
    assert greys(frames) == [0, 1, 2, 3, 4]


# Where the top left corner of the stored picture is seen: by hand, from the four matrices.
@pytest.mark.parametrize(
    ("matrix", "clockwise_deg", "corner"),
    [
        ((0, 1, -1, 0), 90, "top right"),  # a phone held upright
        ((-1, 0, 0, -1), 180, "bottom right"),
        ((0, -1, 1, 0), 270, "bottom left"),
        ((-1, 0, 0, 1), 0, "top right"),  # mirrored
    ],
)
def test_picture_is_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], clockwise_deg: int, corner: str
) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:16, :16] = 255
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", [stored] * 2), matrix)
    info, frame = probe_video(path), next(read_frames(path))
    height, width, _ = frame.image.shape
    assert info.rotation_deg == clockwise_deg
    assert info.size_wh == (width, height) == ((48, 64) if clockwise_deg % 180 else (64, 48))
    y, x = np.unravel_index(cv2.blur(frame.image[..., 0], (15, 15)).argmax(), (height, width))
    assert corner == f"{'bottom' if y > 24 else 'top'} {'right' if x > 24 else 'left'}"


@pytest.mark.parametrize("is_full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("encoder", ["libx264", "ffv1"])  # the second decodes to no yuvj format
def test_tagged_colours_are_right(tmp_path: Path, matrix: int, is_full: bool, encoder: str) -> None:
    tags = {"colorspace": matrix, "color_range": 2 if is_full else 1}
    path = write_patches(tmp_path, matrix=matrix, is_full=is_full, tags=tags, encoder=encoder)
    assert_patches(path)
    assert (probe_video(path).colour.matrix, probe_video(path).colour.range) == tuple(tags.values())


# 4.6/255 is what BT.709 read as BT.601 is off by on the mean of PATCHES; 12 on the skin stripe.
@pytest.mark.parametrize(
    ("size_wh", "rate", "matrix"),
    [((1280, 720), 25, 1), ((720, 576), 25, 5), ((720, 480), 30, 6)],
    ids=["HD", "625 lines", "525 lines"],
)
def test_untagged_colours_go_by_size(
    tmp_path: Path, size_wh: tuple[int, int], rate: int, matrix: int
) -> None:
    path = write_patches(tmp_path, matrix=matrix, size_wh=size_wh, time_base=Fraction(1, rate))
    assert_patches(path)
    assert probe_video(path).colour.matrix == matrix


def write_patches(
    folder: Path,
    *,
    matrix: int,
    is_full: bool = False,
    size_wh: tuple[int, int] = (96, 32),
    tags: dict[str, int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    encoder: str = "libx264",
) -> Path:
    yuv = yuv_from_rgb(patch_image(size_wh), matrix=matrix, is_full=is_full)
    return write_clip(
        folder / ("a.mkv" if encoder == "ffv1" else "a.mp4"),
        [yuv],
        encoder=encoder,
        options={"level": "3"} if encoder == "ffv1" else None,
        pix_fmt="yuv444p",
        frame_format="yuv444p",
        tags=tags,
        time_base=time_base,
    )


def assert_patches(path: Path) -> None:
    image = next(read_frames(path)).image
    width = image.shape[1] // len(PATCHES)
    found = image[image.shape[0] // 2, width // 2 :: width].astype(int)
    np.testing.assert_allclose(found, PATCHES, atol=2)


def test_brightness_is_not_lost(tmp_path: Path) -> None:
    # swscale's default short cut from 4:2:0 darkens by 1.2/255 on every pass.
    noise = noise_images(1, (64, 48))
    path = write_clip(tmp_path / "a.mp4", noise, tags={"colorspace": 6, "color_range": 1})
    with av.open(str(path)) as container:
        luma = next(container.decode(video=0)).to_ndarray()[:48].astype(float)
    grey = cv2.cvtColor(next(read_frames(path)).image, cv2.COLOR_RGB2GRAY).astype(float)
    inside = (grey > 20) & (grey < 235)  # elsewhere RGB is clipped
    assert abs((grey * 219 / 255 + 16 - luma)[inside].mean()) < 0.35


def test_ten_bits_are_read(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mkv",
        grey_images(3),
        encoder="ffv1",
        pix_fmt="yuv420p10le",
        options={"level": "3"},
    )
    assert greys(list(read_frames(path))) == [0, 1, 2]


def test_odd_sizes_are_read(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mkv", grey_images(2, (35, 27)), encoder="ffv1", options={"level": "3"}
    )
    assert [frame.image.shape for frame in read_frames(path)] == [(27, 35, 3)] * 2


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s of B-frames, a keyframe every 0.5 s that does not begin at 0."""
    return write_clip(
        tmp_path_factory.mktemp("long") / "a.ts",
        grey_images(100),
        options={"crf": "10", "g": "12", "bf": "3"},
    )


@pytest.mark.parametrize("text", ["-1", "0.04-0.12", "2.5-3", "3.5-", "3.96-9"])
def test_span_is_a_part_of_the_whole(long_clip: Path, text: str) -> None:
    span, whole = Span.parse(text), list(read_frames(long_clip))
    first_s = whole[0].time_s
    expected = [
        frame
        for frame in whole
        if span.start_s <= frame.time_s - first_s < (span.end_s or Fraction(99))
    ]
    losses = Losses()
    part = list(read_frames(long_clip, span=span, losses=losses))
    assert not losses.is_any()
    assert [frame.index for frame in part] == list(range(len(expected)))
    for found, wanted in zip(part, expected, strict=True):
        assert (found.time_s, found.duration_s) == (wanted.time_s, wanted.duration_s)
        assert (found.image == wanted.image).all()
    assert read_times(long_clip, span) == timed(part)


def test_span_is_reached_by_seeking(long_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, decode = [], decoding.decode_stream

    def counting(*args: object) -> object:
        for pair in decode(*args):  # type: ignore[arg-type]
            decoded.append(pair[0])
            yield pair

    monkeypatch.setattr(decoding, "decode_stream", counting)
    list(read_frames(long_clip, span=Span.parse("3.5-3.6")))
    assert len(decoded) < 50  # of 91: a second of margin, half a second to the keyframe


def test_span_outside_the_video_says_how_long_it_is(long_clip: Path) -> None:
    with pytest.raises(MediaError, match=r"no frame in the span 7-8(.|\n)*4\.00 s long"):
        list(read_frames(long_clip, span=Span.parse("7-8")))


def test_span_texts() -> None:
    assert Span.parse("2.5-9") == Span(Fraction(5, 2), Fraction(9))
    assert Span.parse("2.5-") == Span(Fraction(5, 2), None)
    assert Span.parse(" -9 ") == Span(Fraction(0), Fraction(9))


@pytest.mark.parametrize("text", ["", "-", "9", "a-b", "9-2", "2-2", "-0", "1e3-", "1/3-2", "--2"])
def test_bad_span_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match="fix: give START-END"):
        Span.parse(text)


@given(st.text(max_size=8))
def test_any_text_is_a_span_or_an_explained_error(text: str) -> None:
    try:
        span = Span.parse(text)
    except ConfigError:
        return
    assert span.end_s is None or 0 <= span.start_s < span.end_s


def test_unwanted_frames_are_left_out_but_counted(long_clip: Path) -> None:
    frames = list(read_frames(long_clip, wanted=lambda index: index % 40 == 7))
    assert [frame.index for frame in frames] == [7, 47, 87]
    assert greys(frames) == [7, 47, 87 - 50]


def test_times_are_those_of_the_file_and_of_the_frames(long_clip: Path) -> None:
    assert read_times(long_clip) == timed(list(read_frames(long_clip)))
    assert read_times(long_clip)[0].time_s == probe_video(long_clip).start_s > 0


def test_missing_time_stamps_are_filled(tmp_path: Path) -> None:
    # A bare H.264 stream has none.
    path = write_clip(tmp_path / "a.h264", grey_images(20), options={"crf": "10", "bf": "2"})
    frames = list(read_frames(path))
    assert greys(frames) == list(range(20))
    assert {frame.duration_s for frame in frames} == {1 / probe_video(path).average_rate}
    part = list(read_frames(path, span=Span(frames[15].time_s)))
    assert greys(part) == [15, 16, 17, 18, 19]


def test_time_that_jumps_back_goes_on(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "a.ts", grey_images(50), options={"crf": "10", "bf": "0"})
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() * 2)
    times = [frame.time_s for frame in read_times(path)]
    assert len(times) > 90
    part = read_times(path, Span.parse("3-3.4"))
    assert [frame.time_s for frame in part] == times[75:85]
    assert {later - time for time, later in itertools.pairwise(times)} == {Fraction(1, 25)}


def test_joined_recording_keeps_its_own_steps(tmp_path: Path) -> None:
    options = {"crf": "10", "bf": "0"}
    first = write_clip(tmp_path / "a.ts", grey_images(50), options=options)
    slow = write_clip(tmp_path / "b.ts", grey_images(20), ticks=range(0, 80, 4), options=options)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + slow.read_bytes())
    durations = [frame.duration_s for frame in read_times(path)]
    assert durations[-15:-1] == [Fraction(4, 25)] * 14


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_images(3), cover=True)
    assert probe_video(path).size_wh == (64, 48)
    assert len(list(read_frames(path))) == 3


def test_largest_stream_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        for size_wh in [(32, 32), (64, 48), (48, 32)]:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height = size_wh
        for stream in container.streams.video:
            image = np.zeros((stream.height, stream.width, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux([*stream.encode(frame), *stream.encode(None)])
    assert probe_video(path).size_wh == (64, 48)


def test_probe_tells_of_sound_and_length(tmp_path: Path) -> None:
    sound = ("aac", chirp(0.4), 16000, Fraction(0))
    path = write_clip(tmp_path / "a.mp4", grey_images(10), sounds=[sound])
    info = probe_video(path)
    assert info.has_sound
    assert (info.num_frames_hint, info.duration_s, info.codec) == (10, Fraction(2, 5), "h264")
    assert not probe_video(write_clip(tmp_path / "b.mp4", grey_images(1))).has_sound


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    (frame,) = read_frames(write_clip(tmp_path / "a.mp4", grey_images(1)))
    assert timed([frame]) == [FrameTime(0, Fraction(0), Fraction(1, 25))]


def unreadable_files(folder: Path) -> dict[str, Path]:
    silent = write_clip(folder / "silent.mp4", noise_images(2, (64, 48)))
    data = bytearray(silent.read_bytes())
    start = data.index(b"mdat") + 4
    data[start : data.index(b"moov")] = bytes(data.index(b"moov") - start)
    contents = {
        "empty.mp4": b"",
        "text.txt": b"not a video\n" * 99,
        "text.mp4": b"not a video\n" * 99,
        "no_frame.mp4": bytes(data),
        "network.m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "no_index.mp4": silent.read_bytes()[: data.index(b"moov")],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    write_sound(folder / "only_sound.m4a")
    return {path.name: path for path in folder.iterdir()} | {"missing": folder / "missing.mp4"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "there is no video missing.mp4"),
        ("empty.mp4", "is empty: 0 bytes"),
        ("text.txt", "cannot be read as a video: ffmpeg takes it for"),
        ("text.mp4", "cannot be read as a video: Invalid data"),
        ("no_index.mp4", "cannot be read as a video: Invalid data"),
        ("no_frame.mp4", "no frame can be decoded"),
        ("network.m3u8", "cannot be read as a video"),
        ("only_sound.m4a", "holds only sound"),
    ],
)
def test_unreadable_file_is_explained(tmp_path: Path, name: str, message: str) -> None:
    path = unreadable_files(tmp_path)[name]
    with pytest.raises(MediaError, match=message) as caught:
        list(read_frames(path))
    assert f"seen in: {path}" in str(caught.value)
    assert "fix: " in str(caught.value)


def test_folder_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is not a file"):
        probe_video(tmp_path)


def test_strange_names_are_opened(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "a.mp4", grey_images(1))
    strange = plain.rename(tmp_path / "a:b %03d ?é.mp4")
    assert len(read_times(strange)) == 1


def test_truncated_file_gives_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "a.mkv", noise_images(20, (64, 48)))
    whole, losses = list(read_frames(path)), Losses()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(path, losses=losses))
    assert 8 <= len(frames) < 20
    assert all((a.image == b.image).all() for a, b in zip(frames[:-1], whole, strict=False))
    assert losses.missing_s == Fraction(4, 5) - frames[-1].time_s - frames[-1].duration_s
    assert "could not be decoded" in caplog.text


def test_ffmpeg_does_not_chatter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_clip(tmp_path / "a.ts", noise_images(20, (64, 48)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) // 4)
    path.write_bytes(data)
    losses = Losses()
    list(read_frames(path, losses=losses))
    assert losses.is_any()
    assert capfd.readouterr() == ("", "")


def test_broken_packets_in_the_middle_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", noise_images(20, (64, 48)), encoder="mpeg4",
                      options={"qscale": "2", "g": "1"})  # fmt: skip
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[8:11]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    losses = Losses()
    times = [frame.time_s for frame in read_frames(path, losses=losses)]
    assert losses.num_packets + losses.num_damaged == 3
    assert len(times) == 20 - losses.num_packets
    assert times == [Fraction(k, 25) for k in range(20) if Fraction(k, 25) in times]
    assert read_times(path) == timed(list(read_frames(path)))


def test_changing_size_names_frame_sizes_and_fix(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.h264", grey_images(4))
    large = write_clip(tmp_path / "b.h264", grey_images(4, (96, 64)))
    path = tmp_path / "both.h264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(MediaError, match="frame 4 is 96x64, but the video began as 64x48") as error:
        list(read_frames(path))
    assert "-vf scale=64:48" in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_stays_flat(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_images(200, (640, 480)))
    frames = read_frames(path)
    for _, _frame in zip(range(40), frames, strict=False):
        pass
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in frames) == 160  # 147 MB if they were kept
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 30_000


def test_pictures_are_sorted_as_people_count(tmp_path: Path) -> None:
    for name in ["10.png", "2.PNG", "1_0.jpg", "b.webp", ".hidden.png", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    names = [path.name for path in list_pictures(tmp_path)]
    assert names == ["1_0.jpg", "2.PNG", "10.png", "b.webp"]


def test_folder_without_pictures_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no picture in"):
        list_pictures(tmp_path)
    with pytest.raises(MediaError, match="there is no folder"):
        list_pictures(tmp_path / "missing")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.full((4, 6, 3), (10, 20, 200), np.uint8), (200, 20, 10)),  # BGR on disk
        (np.full((4, 6, 4), (10, 20, 200, 0), np.uint8), (200, 20, 10)),
        (np.full((4, 6), 77, np.uint8), (77, 77, 77)),
        (np.full((4, 6, 3), (257, 25700, 65535), np.uint16), (255, 100, 1)),
    ],
    ids=["RGB", "alpha", "grey", "16 bit"],
)
def test_picture_becomes_8_bit_rgb(
    tmp_path: Path, stored: np.ndarray, expected: tuple[int, int, int]
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    image = read_picture(tmp_path / "a.png")
    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    assert tuple(image[2, 3]) == expected


def test_picture_is_turned_by_its_exif(tmp_path: Path) -> None:
    _, encoded = cv2.imencode(".jpg", np.zeros((16, 32, 3), np.uint8))
    # Orientation (0x0112) 6: the camera was held upright; TIFF header, one entry, no next.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    header = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = encoded.tobytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + header + data[2:])
    assert read_picture(tmp_path / "a.jpg").shape == (32, 16, 3)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Five pictures, the third broken, the fourth empty."""
    folder = tmp_path / "aligned"
    folder.mkdir()
    for index, image in enumerate(grey_images(5)):
        cv2.imwrite(str(folder / f"face_{index}.png"), image)
    data = (folder / "face_2.png").read_bytes()
    (folder / "face_2.png").write_bytes(b"\0" * len(data))
    (folder / "face_3.png").write_bytes(b"")
    return folder


def test_bad_pictures_are_named_and_skipped(picture_folder: Path) -> None:
    items = list(read_picture_frames(list_pictures(picture_folder)))
    bad = [item for item in items if isinstance(item, BadFrame)]
    good = [item for item in items if isinstance(item, Frame)]
    assert [(item.index, item.name) for item in bad] == [(2, "face_2.png"), (3, "face_3.png")]
    assert "0 bytes" in bad[1].reason
    assert [(item.index, item.time_s) for item in good] == [(k, Fraction(k, 25)) for k in (0, 1, 4)]


def test_pictures_are_a_source(picture_folder: Path) -> None:
    source = open_source(picture_folder, Span.parse("0.04-0.16"))
    assert isinstance(source, PictureSource)
    assert source.info.size_wh == (64, 48)
    assert [frame.index for frame in source.frames()] == [0, 1, 2]
    assert [frame.index for frame in source.frames(lambda index: index == 0)] == [0]
    assert [frame.time_s for frame in source.times()] == [Fraction(k, 25) for k in (1, 2, 3)]
    assert source.frame_name(0) == "face_1"
    assert source.num_frames_hint == 3


def test_pictures_of_one_stem_get_different_names(picture_folder: Path) -> None:
    cv2.imwrite(str(picture_folder / "face_0.jpg"), grey_images(1)[0])
    source = open_source(picture_folder)
    assert [source.frame_name(k) for k in range(3)] == ["face_0_jpg", "face_0_png", "face_1"]


def test_folder_of_broken_pictures_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(MediaError, match="none of the 1 pictures"):
        open_source(tmp_path)


def test_span_without_pictures_is_explained(picture_folder: Path) -> None:
    with pytest.raises(MediaError, match="5 pictures, none of them in the span 3-"):
        open_source(picture_folder, Span.parse("3-"))


def test_video_is_a_source(long_clip: Path) -> None:
    source = open_source(long_clip, Span.parse("1-2"))
    assert isinstance(source, VideoSource)
    assert [frame.index for frame in source.frames()] == list(range(25))
    assert source.num_frames_hint == len(source.times()) == 25
    assert source.frame_name(7) == "000007"


def test_video_source_tells_its_losses(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", noise_images(20, (64, 48)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_source(path)
    for _ in range(2):  # the second reading begins to count anew
        num_frames = len(list(source.frames()))
        assert source.losses.missing_s == Fraction(20 - num_frames, 25)
        assert num_frames < 20


def test_fingerprint_changes_with_the_footage(picture_folder: Path, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mp4", grey_images(2))
    for path, changed in [(video, video), (picture_folder, picture_folder / "face_0.png")]:
        before = open_source(path).fingerprint()
        assert open_source(path).fingerprint() == before
        assert open_source(path, Span.parse("0-1")).fingerprint() != before
        changed.write_bytes(changed.read_bytes() + b"\0")
        assert open_source(path).fingerprint() != before
    for path, changed in [(video, video), (picture_folder, picture_folder / "face_0.png")]:
        before = open_source(path).fingerprint()
        os.utime(changed, ns=(1, 1))
        assert open_source(path).fingerprint() != before


@pytest.mark.skipif(not FOOTAGE.is_dir(), reason="the real footage is not here")
def test_real_span_equals_the_part_of_the_whole() -> None:
    path = FOOTAGE / "grid_man.mpg"  # MPEG-1, sought by bytes
    whole = list(read_frames(path))
    part = list(read_frames(path, span=Span.parse("1.6-2.2")))
    assert [frame.time_s for frame in part] == [frame.time_s for frame in whole[40:55]]
    assert all((a.image == b.image).all() for a, b in zip(part, whole[40:55], strict=True))


def test_last_frame_of_vp9_in_mp4_lasts_until_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ffmpeg makes up the durations of these packets, of the mean of frames a second."""
    ticks, time_base = (0, 20, 55, 355, 1000), Fraction(1, 600)
    options = {"lossless": "1", "deadline": "realtime", "cpu-used": "8"}
    clip = write_clip(
        tmp_path / "a.mp4",
        grey_images(5),
        ticks=ticks,
        time_base=time_base,
        last_duration=700,
        encoder="libvpx-vp9",
        options=options,
    )
    times = read_times(clip)
    assert [timed.time_s for timed in times] == [Fraction(tick, 600) for tick in ticks]
    assert times[-1].duration_s == Fraction(700, 600)
    assert read_times(clip, Span.parse("0.5-"))[-1] == replace(times[-1], index=1)
    assert caplog.text == ""
    with av.open(str(clip)) as container:
        last = [bytes(packet) for packet in container.demux(video=0) if packet.size][-1]
    before, _, after = clip.read_bytes().rpartition(last)
    clip.write_bytes(before + bytes(len(last)) + after)
    losses = Losses()
    frames = list(read_frames(clip, losses=losses))  # now another is the last one that decodes
    assert frames[-1].time_s == Fraction(355, 600)
    assert frames[-1].duration_s + losses.missing_s == Fraction(1700 - 355, 600)
    assert losses.missing_s > 2


@pytest.mark.parametrize("text", ["9" * 5000 + ":00:00", "00:00:0." + "9" * 5000, "a:b:c", ""])
def test_length_that_cannot_be_is_no_length(text: str) -> None:
    told = SimpleNamespace(duration=None, metadata={"DURATION": text})
    assert video_info._claimed_end(told) is None
    told.metadata["DURATION"] = "01:02:03.500000000"
    assert video_info._claimed_end(told) == Fraction(7447, 2)
