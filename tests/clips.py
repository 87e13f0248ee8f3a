"""Tiny awkward clips, made on the spot."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from faceswap_cli.media.fields import FieldOrder, FieldTeller
from faceswap_cli.types import RgbImage

LOSSLESS = {"qp": "0", "preset": "ultrafast"}
# Red and blue weights; H.273, table 4.
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
PATCHES = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [224, 172, 105], [128, 128, 128], [16, 240, 90]],
    np.uint8,
)


def grey_images(num: int, size_wh: tuple[int, int] = (64, 48)) -> list[RgbImage]:
    """Frame i is grey 40 + 4 i, so that a frame can be told by its colour."""
    width, height = size_wh
    return [np.full((height, width, 3), 40 + 4 * i % 200, np.uint8) for i in range(num)]


def noise_images(num: int, size_wh: tuple[int, int]) -> list[RgbImage]:
    width, height = size_wh
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (num, height, width, 3), np.uint8))


def patch_image(size_wh: tuple[int, int]) -> RgbImage:
    """Six upright stripes of PATCHES."""
    width, height = size_wh
    columns = PATCHES[np.arange(width) * len(PATCHES) // width]
    return np.tile(columns[None], (height, 1, 1))


def yuv_from_rgb(image: RgbImage, *, matrix: int, is_full: bool) -> Any:
    """The formulas of H.273, 8.3, so that swscale is not its own judge; (3, H, W)."""
    red_weight, blue_weight = LUMA_WEIGHTS[matrix]
    red, green, blue = np.moveaxis(image / 255.0, -1, 0)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u, v = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    scales = (255, 0, 255) if is_full else (219, 16, 224)
    planes = [scales[0] * luma + scales[1], scales[2] * u + 128, scales[2] * v + 128]
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8)


def write_clip(
    path: Path,
    images: Sequence[Any],
    *,
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    last_duration: int | None = None,
    encoder: str = "libx264",
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    frame_format: str = "rgb24",
    tags: dict[str, int] | None = None,
    sounds: Sequence[tuple[str, Any, int, Fraction]] = (),
    cover: bool = False,
    field_order: FieldOrder | None = None,
) -> Path:
    """Encode images; the sounds are (encoder, samples, rate, start in seconds)."""
    teller = FieldTeller(field_order)
    ticks = ticks or range(len(images))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=1 / time_base, options=options or LOSSLESS)
        first = av.VideoFrame.from_ndarray(images[0], format=frame_format)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        tracks = [_add_sound(container, sound) for sound in sounds]
        cover_stream = _add_cover(container) if cover else None
        packets = []
        for tick, image in zip(ticks, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format=frame_format)
            if field_order:
                frame = teller.tell(frame.reformat(format=pix_fmt))
            frame.pts, frame.time_base = tick, time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            if last_duration and packet.pts == ticks[-1]:
                packet.duration = last_duration
            container.mux(packet)
        for track, sound in zip(tracks, sounds, strict=True):
            _write_sound(container, track, sound)
        if cover_stream:
            _write_cover(container, cover_stream)
    return path


def _add_sound(container: Any, sound: tuple[str, Any, int, Fraction]) -> Any:
    encoder, _, rate, _ = sound
    track = container.add_stream(encoder, rate=rate)
    track.layout = "mono"
    return track


def _write_sound(container: Any, track: Any, sound: tuple[str, Any, int, Fraction]) -> None:
    _, samples, rate, start_s = sound
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, int(start_s * rate), Fraction(1, rate)
    for packet in [*track.encode(frame), *track.encode(None)]:
        container.mux(packet)


def chirp(seconds: float, rate: int = 16000) -> Any:
    """Sound in which every moment differs from every other; int16."""
    time_s = np.arange(round(seconds * rate)) / rate
    return (12000 * np.sin(2 * np.pi * (200 + 400 * time_s) * time_s)).astype(np.int16)


def write_sound(path: Path, seconds: float = 0.5) -> Path:
    with av.open(str(path), "w") as container:
        sound = ("aac", chirp(seconds), 16000, Fraction(0))
        _write_sound(container, _add_sound(container, sound), sound)
    return path


def _add_cover(container: Any) -> Any:
    cover = container.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
    cover.disposition = Disposition.attached_pic
    return cover


def _write_cover(container: Any, cover: Any) -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), format="rgb24")
    for packet in [*cover.encode(frame.reformat(format="yuvj420p")), *cover.encode(None)]:
        container.mux(packet)


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Overwrite a, b, c, d of an mp4's track header: (x, y) goes to (ax + cy, bx + dy).

    By the bytes of ISO/IEC 14496-12, 8.3.2, so that no library's idea of a sign is tested
    against itself.
    """
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def decode_sound(path: Path, track: int = 0) -> tuple[Fraction, Any, int]:
    """Return (start in seconds, samples of the first channel as float, rate)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.audio[track]))
    parts = []
    for frame in frames:
        array = frame.to_ndarray()
        width = 1 if frame.format.is_planar else len(frame.layout.channels)
        channel = array[0, ::width].astype(np.float64)
        parts.append(channel / 32768 if array.dtype == np.int16 else channel)
    return frames[0].pts * frames[0].time_base, np.concatenate(parts), frames[0].sample_rate
