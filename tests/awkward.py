"""Tiny clips of all the kinds that video programs get wrong, made on the spot.

Each is a function of a folder that returns the path of the clip.
"""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from faceswap_cli.media.fields import FieldOrder
from faceswap_cli.types import RgbImage
from tests.clips import LOSSLESS, chirp, set_display_matrix, write_clip

SIZE_WH = (64, 48)
RATE = 16000
TEN_BIT_LOSSLESS = "lossless=1:log-level=none:repeat-headers=1"
# The P3 screen of ffmpeg's own examples, 0.005 to 1000 cd/m2.
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
MAX_CLL = "700,250"
# What ffmpeg's own decoders put before the text of a subtitle.
ASS_HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour,"
    b" BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle,"
    b" BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\r\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1"
    b"\r\n\r\n[Events]\r\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
MILLISECOND = Fraction(1, 1000)
CHAPTERS = (("One", 0, 400), ("Two", 400, 960))
TAGS = {"title": "A film", "artist": "Somebody", "date": "2021-03-04", "comment": "At the sea."}
LINES = ((100, 300, "{\\i1}Hello{\\i0}\\Nworld"), (500, 700, "Zwölf"))
"""Begin and end in milliseconds, text as in ASS."""


def scene(num: int, size_wh: tuple[int, int] = SIZE_WH) -> list[RgbImage]:
    """Soft colours that move, so that 4:2:0 holds them and each frame differs."""
    width, height = size_wh
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    images = []
    for index in range(num):
        phase = 0.15 * index
        waves = [np.sin(3 * x + phase), np.cos(2 * y - phase), np.sin(2 * x + 2 * y + 2 * phase)]
        images.append(np.rint(128 + 55 * np.dstack(waves)).astype(np.uint8))
    return images


def rotated(clockwise_deg: int) -> Callable[[Path], Path]:
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}

    def make(folder: Path) -> Path:
        return set_display_matrix(write_clip(folder / "a.mp4", scene(9)), matrices[clockwise_deg])

    return make


def variable_rate(folder: Path) -> Path:
    ticks, time_base = (0, 20, 55, 355, 380, 401, 402, 1000), Fraction(1, 600)
    return write_clip(
        folder / "a.mp4", scene(8), ticks=ticks, time_base=time_base, last_duration=70
    )


def of_rate(rate: Fraction) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return write_clip(folder / "a.mp4", scene(16), time_base=1 / rate)

    return make


def woven(order: FieldOrder, num: int = 9) -> list[RgbImage]:
    """Pictures of two moments each, in the order of the fields."""
    moments = scene(2 * num)
    first, second = (0, 1) if order == "tff" else (1, 0)
    images = [np.empty_like(moments[0]) for _ in range(num)]
    for index, image in enumerate(images):
        image[first::2] = moments[2 * index][first::2]
        image[second::2] = moments[2 * index + 1][second::2]
    return images


def interlaced(order: FieldOrder) -> Callable[[Path], Path]:
    """Fields are half a frame apart in time."""

    def make(folder: Path) -> Path:
        # x264 takes the order from each picture, but for the first ones from its parameters.
        options = LOSSLESS | {"x264-params": f"{order}=1", "flags": "+ildct+ilme"}
        return write_clip(folder / "a.mp4", woven(order), options=options, field_order=order)

    return make


def full_range(folder: Path) -> Path:
    tags = {"colorspace": 1, "color_range": 2, "color_primaries": 1, "color_trc": 1}
    return write_clip(folder / "a.mp4", scene(9), tags=tags, pix_fmt="yuvj420p")


def untagged(size_wh: tuple[int, int], num: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return write_clip(folder / "a.mp4", scene(num, size_wh))

    return make


def hdr(transfer: int) -> Callable[[Path], Path]:
    """BT.2020, 10 bits; transfer 18 is HLG, 16 is PQ with what HDR10 tells of its screen."""

    def make(folder: Path) -> Path:
        params = TEN_BIT_LOSSLESS
        if transfer == 16:
            params += f":hdr10=1:master-display={MASTERING}:max-cll={MAX_CLL}"
        tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": transfer}
        return write_clip(
            folder / "a.mp4",
            scene(9),
            encoder="libx265",
            options={"preset": "ultrafast", "x265-params": params},
            pix_fmt="yuv420p10le",
            tags=tags,
        )

    return make


def odd_size(folder: Path) -> Path:
    return write_clip(folder / "a.mp4", scene(9, (65, 47)), pix_fmt="yuv444p")


def one_frame(folder: Path) -> Path:
    return write_clip(folder / "a.mp4", scene(1), last_duration=3)


def with_sound(
    seconds: float, *, sound_s: Fraction = Fraction(0), picture_tick: int = 0, suffix: str = ".mp4"
) -> Callable[[Path], Path]:
    """0.96 s of pictures from a tick of 1/25 s on; sound of a length and a begin."""

    def make(folder: Path) -> Path:
        return write_clip(
            folder / f"a{suffix}",
            scene(24),
            ticks=range(picture_tick, picture_tick + 24),
            sounds=[("aac", chirp(seconds), RATE, sound_s)],
        )

    return make


def edit_list(folder: Path) -> Path:
    """An mp4 whose edit lists leave out the first 5 pictures, and the first 0.2 s of sound."""
    path = with_sound(0.96)(folder)
    data = bytearray(path.read_bytes())
    for number, skipped_s in ((0, Fraction(1, 5)), (1, Fraction(1, 5))):
        _shift_edit(data, number, skipped_s)
    path.write_bytes(data)
    return path


def _shift_edit(data: bytearray, number: int, skipped_s: Fraction) -> None:
    """Have a track of an mp4 begin later in its media; ISO/IEC 14496-12, 8.6.6."""
    start = _nth(data, b"elst", number) + 8
    (num_edits,) = struct.unpack_from(">I", data, start)
    timescale = struct.unpack_from(">I", data, _nth(data, b"mdhd", number) + 4 + 4 + 8)[0]
    length, media_time = struct.unpack_from(">Ii", data, start + 4 + 12 * (num_edits - 1))
    movie_scale = struct.unpack_from(">I", data, _nth(data, b"mvhd", 0) + 4 + 4 + 8)[0]
    edited = length - round(skipped_s * movie_scale), media_time + round(skipped_s * timescale)
    struct.pack_into(">Ii", data, start + 4 + 12 * (num_edits - 1), *edited)


def _nth(data: bytearray, name: bytes, number: int) -> int:
    place = -1
    for _ in range(number + 1):
        place = data.index(name, place + 1)
    return place


def prores_alpha(folder: Path) -> Path:
    return write_clip(
        folder / "a.mov",
        [_with_alpha(image) for image in scene(6)],
        encoder="prores_ks",
        options={"profile": "4444"},
        pix_fmt="yuva444p10le",
        frame_format="rgba",
    )


def png_alpha(folder: Path) -> Path:
    images = [_with_alpha(image) for image in scene(6)]
    return write_clip(
        folder / "a.mov", images, encoder="png", options={}, pix_fmt="rgba", frame_format="rgba"
    )


def vp9_alpha(folder: Path) -> Path:
    """As browsers have it: a second video of the alpha, beside the packets of the first."""
    return write_clip(
        folder / "a.webm",
        [_with_alpha(image) for image in scene(6)],
        encoder="libvpx-vp9",
        options={"lossless": "1", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"},
        pix_fmt="yuva420p",
        frame_format="rgba",
    )


def _with_alpha(image: RgbImage) -> Any:
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:, : image.shape[1] // 2] = 90
    return np.dstack([image, alpha])


def rich(
    suffix: str = ".mkv",
    *,
    subtitles: Sequence[tuple[str, str]] = (("subrip", "eng"), ("ass", "swe"), ("webvtt", "deu")),
    lines: Sequence[tuple[int, int, str]] = LINES,
    num: int = 24,
    font: bool = True,
) -> Callable[[Path], Path]:
    """Two sound tracks, subtitles as (kind, language), chapters, tags, a font in .mkv."""

    def make(folder: Path) -> Path:
        path = folder / f"rich{suffix}"
        with av.open(str(path), "w", container_options=_keeping_tags(suffix)) as container:
            container.metadata.update(TAGS)
            container.set_chapters([_chapter(index, *told) for index, told in enumerate(CHAPTERS)])
            video = container.add_stream("libx264", rate=25, options=LOSSLESS)
            video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
            video.time_base = video.codec_context.time_base = Fraction(1, 25)
            sounds = [_sound_track(container, *told) for told in (("eng", "Film"), ("fra", "Talk"))]
            texts = [_text_track(container, *told) for told in subtitles]
            if suffix == ".mkv" and font:
                container.add_attachment("a.ttf", "application/x-truetype-font", b"\0\1\0\0font")
            for index, image in enumerate(scene(num)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            for track, samples in zip(sounds, (chirp(num / 25), -chirp(num / 25)), strict=True):
                _write_sound(container, track, samples)
            for track in texts:
                _write_lines(container, track, lines)
        return path

    return make


def _keeping_tags(suffix: str) -> dict[str, str]:
    return {"movflags": "use_metadata_tags"} if suffix in (".mp4", ".mov") else {}


def _chapter(index: int, title: str, start: int, end: int) -> Any:
    return {
        "id": index + 1,
        "start": start,
        "end": end,
        "time_base": MILLISECOND,
        "metadata": {"title": title},
    }


def _sound_track(container: Any, language: str, title: str) -> Any:
    track = container.add_stream("aac", rate=RATE)
    track.layout = "mono"
    track.metadata.update({"language": language, "title": title})
    track.disposition = Disposition.default if language == "eng" else Disposition.comment
    return track


def _write_sound(container: Any, track: Any, samples: Any) -> None:
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    container.mux([*track.encode(frame), *track.encode(None)])


def _text_track(container: Any, kind: str, language: str) -> Any:
    track = container.add_stream(kind)
    track.time_base = track.codec_context.time_base = MILLISECOND
    track.codec_context.subtitle_header = ASS_HEADER
    track.metadata.update({"language": language, "title": f"In {language}"})
    track.disposition = Disposition.forced if language == "swe" else Disposition(0)
    return track


def _write_lines(container: Any, track: Any, lines: Sequence[tuple[int, int, str]]) -> None:
    for index, (begin, end, text) in enumerate(lines):
        event = SubtitleSet.create(f"{index},0,Default,,0,0,0,,{text}".encode(), 0, end - begin)
        packet = track.codec_context.encode_subtitle(event)
        packet.pts = packet.dts = begin
        packet.duration, packet.time_base, packet.stream = end - begin, MILLISECOND, track
        container.mux(packet)


CLIPS: dict[str, Callable[[Path], Path]] = {
    "rotated 90": rotated(90),
    "rotated 180": rotated(180),
    "rotated 270": rotated(270),
    "variable rate": variable_rate,
    "23.976": of_rate(Fraction(24000, 1001)),
    "59.94": of_rate(Fraction(60000, 1001)),
    "interlaced, top first": interlaced("tff"),
    "interlaced, bottom first": interlaced("bff"),
    "full range": full_range,
    "untagged SD": untagged((64, 48), 9),
    "untagged HD": untagged((1280, 48), 6),  # as wide as HD, which is all that is looked at
    "HLG": hdr(18),
    "PQ": hdr(16),
    "odd size": odd_size,
    "two sounds, subtitles, chapters, tags": rich(),
    "sound late": with_sound(0.46, sound_s=Fraction(1, 2)),
    "sound early": with_sound(1.46, picture_tick=12, suffix=".mkv"),
    "sound longer": with_sound(1.5),
    "sound shorter": with_sound(0.4),
    "edit list": edit_list,
    "prores alpha": prores_alpha,
    "png alpha": png_alpha,
    "vp9 alpha": vp9_alpha,
    "one frame": one_frame,
}
