"""Writing a video: the source's own times, colours and sound around new pictures."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.media.colour import CONVERSION, FULL_RANGE, ColourTags
from faceswap_cli.media.sound import SoundFeed, SoundPlan, open_sound
from faceswap_cli.types import RgbImage

VideoCodec = Literal["h264", "h265"]
CODECS: tuple[VideoCodec, ...] = get_args(VideoCodec)
ENCODERS: dict[VideoCodec, str] = {"h264": "libx264", "h265": "libx265"}
ENCODER_OPTIONS: dict[VideoCodec, dict[str, str]] = {
    "h264": {"forced-idr": "1"},
    "h265": {"forced-idr": "1", "x265-params": "log-level=error"},  # else it writes to stderr
}
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Any key of metadata survives; the index comes first, so that the file plays while it loads.
MP4_OPTIONS = {"movflags": "use_metadata_tags+faststart"}
MAX_CRF = 51
FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

WriteFrame = Callable[[RgbImage, Fraction, Fraction], None]


@contextmanager
def open_writer(
    path: Path,
    *,
    size_wh: tuple[int, int],
    time_base: Fraction,
    rate_hint: Fraction,
    codec: VideoCodec = "h264",
    crf: int = 16,
    colour: ColourTags,
    metadata: dict[str, str],
    sound: SoundPlan | None = None,
    pixel_aspect: Fraction = Fraction(1),
) -> Iterator[WriteFrame]:
    """Encode RGB frames; `path` appears only when the block ends well.

    Args:
        path: The video to make; its suffix names the container: .mp4 .m4v .mov .mkv.
        size_wh: Width and height of every picture, pixels. An odd side gets one more pixel,
            a copy of its last one, since 4:2:0 needs even sides.
        time_base: The source's seconds per tick. Its times stay exact, but in .mkv, which
            counts milliseconds.
        rate_hint: The mean of frames a second, by which the encoder spends bits.
        codec: "h264" or "h265".
        crf: Constant rate factor: 0 is best, 51 is worst.
        colour: The tags to write, and the matrix and range to convert with.
        metadata: Keys and values of the container.
        sound: What `plan_sound` returned.
        pixel_aspect: Width of one pixel over its height.

    Yields:
        A function of (image, time_s, duration_s): the next picture, (H, W, 3), and its time in
        the source. The first picture's time becomes 0.

    Raises:
        ConfigError: The suffix, the codec or crf is none we can use.
        MediaError: The encoder is missing or fails, the disk is full, a picture has another
            size, times do not grow, or nothing was written.
    """
    _check_options(path, codec, crf)
    partial = path.with_name(f".partial.{path.name}")
    try:
        with ExitStack() as stack:
            with _explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                output = _open_output(partial, path)
                stack.callback(_close_quietly, output)
                output.metadata.update(metadata)
                stream = _add_stream(output, codec, crf=crf, size_wh=size_wh, rate=rate_hint)
                _set_form(stream, time_base=time_base, colour=colour, pixel_aspect=pixel_aspect)
                feed = stack.enter_context(open_sound(sound, output)) if sound else None
            writer = _Writer(path, output, stream, feed, size_wh=size_wh, colour=colour)
            yield writer.write
            writer.finish()
        _publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _Writer:
    """The state of one writing."""

    def __init__(
        self,
        path: Path,
        output: Any,
        stream: Any,
        feed: SoundFeed | None,
        *,
        size_wh: tuple[int, int],
        colour: ColourTags,
    ) -> None:
        self._path, self._output, self._stream, self._feed = path, output, stream, feed
        self._shape, self._colour = (size_wh[1], size_wh[0], 3), colour
        self._reformatter = VideoReformatter()
        self._durations: dict[int, int] = {}  # ticks, of the frames inside the encoder
        self._origin_s: Fraction | None = None
        self._last_tick = -1
        self._num_frames = 0
        # x265 gives two frames or one a dts from memory it never wrote.
        self._is_short = False
        self._held: Any = None  # the last frame, which is encoded differently

    def write(self, image: RgbImage, time_s: Fraction, duration_s: Fraction) -> None:
        """Encode the next picture."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise MediaError(
                f"a picture of {image.shape} {image.dtype} cannot follow {self._shape} uint8",
                seen_in=self._path,
                fix="make all pictures of one video the same size",
            )
        with _explained(self._path):
            if self._origin_s is None:
                self._origin_s = time_s
                if self._feed:
                    self._feed.begin(time_s)
            tick = self._tick(time_s, duration_s)
            if self._feed:
                self._feed.feed(time_s)
            frame = self._to_yuv(image)
            frame.pts, frame.time_base = tick, self._stream.codec_context.time_base
            if self._held is not None:
                self._mux(self._held)
            self._held = frame
            self._num_frames += 1

    def finish(self) -> None:
        """Empty the encoder, write the rest of the sound and the index."""
        if self._origin_s is None:
            raise MediaError(
                "no frame was written", seen_in=self._path, fix="run `merge` on some frames first"
            )
        with _explained(self._path):
            # A key frame is decoded last, too: mp4 keeps the duration of the one decoded last.
            self._held.pict_type = PictureType.I
            self._is_short = self._num_frames <= 2
            self._mux(self._held)
            self._mux(None)
            if self._feed:
                self._feed.feed(None)
            self._output.close()

    def _tick(self, time_s: Fraction, duration_s: Fraction) -> int:
        """Return the time in ticks from the first frame, and note the duration."""
        time_base: Fraction = self._stream.codec_context.time_base
        tick = round((time_s - (self._origin_s or 0)) / time_base)
        if tick <= self._last_tick:
            raise MediaError(
                f"the frame at {float(time_s):.3f} s is not after the one before it",
                seen_in=self._path,
                fix="write the frames in the order of presentation",
            )
        self._last_tick = tick
        self._durations[tick] = max(1, round(duration_s / time_base))
        return tick

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._durations.pop(packet.pts, 0)
            if self._is_short:
                packet.dts = packet.pts
            self._output.mux(packet)

    def _to_yuv(self, image: RgbImage) -> Any:
        """Convert to 4:2:0 with the matrix and the range that the tags promise."""
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
            format="yuv420p",
            dst_colorspace=self._colour.sws_matrix,
            src_color_range=FULL_RANGE,
            dst_color_range=self._colour.range,
            interpolation=CONVERSION,
        )


def _check_options(path: Path, codec: str, crf: int) -> None:
    if path.suffix.lower() not in CONTAINERS:
        raise ConfigError(
            f"{path.suffix or 'a name without suffix'} is not a video we write",
            seen_in=path,
            fix=f"name it with one of {' '.join(CONTAINERS)}",
        )
    if codec not in CODECS:
        raise ConfigError(f"{codec!r} is not a codec we write", fix=f"one of {' '.join(CODECS)}")
    if not 0 <= crf <= MAX_CRF:
        raise ConfigError(f"crf {crf} is out of range", fix=f"0 (best) to {MAX_CRF} (worst)")


def _open_output(partial: Path, path: Path) -> Any:
    name = CONTAINERS[path.suffix.lower()]
    options = {} if name == "matroska" else MP4_OPTIONS
    return av.open(f"file:{os.fspath(partial)}", "w", format=name, container_options=options)


def _add_stream(
    output: Any, codec: VideoCodec, *, crf: int, size_wh: tuple[int, int], rate: Fraction
) -> Any:
    encoder = ENCODERS[codec]
    options = {"crf": str(crf), **ENCODER_OPTIONS[codec]}
    try:
        stream = output.add_stream(encoder, rate=rate, options=options)
    except ValueError as error:  # av's UnknownCodecError is one
        raise MediaError(
            f"this build of ffmpeg has no encoder {encoder}",
            fix="`pip install --force-reinstall av`: its wheels have it; or take another codec",
        ) from error
    width, height = size_wh
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    stream.thread_type = "AUTO"  # PyAV's default would have x264 cut each picture into slices
    if codec == "h265" and output.format.name != "matroska":
        stream.codec_context.codec_tag = "hvc1"  # QuickTime does not play hev1
    return stream


def _set_form(
    stream: Any, *, time_base: Fraction, colour: ColourTags, pixel_aspect: Fraction
) -> None:
    """Tell the encoder the units of time, the colours and the shape of a pixel."""
    stream.time_base = stream.codec_context.time_base = time_base
    context = stream.codec_context
    context.colorspace, context.color_range = colour.matrix, colour.range
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.sample_aspect_ratio = pixel_aspect


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what ffmpeg or the system says into a MediaError."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        text = error.strerror or str(error)
        if error.errno in FULL_DISK:
            raise MediaError(
                f"the disk is full, or a quota is: {text}",
                seen_in=path.parent,
                fix="free some space there, or write somewhere else, and run it again",
            ) from error
        raise MediaError(
            f"{path.name} cannot be written: {text}",
            seen_in=path,
            fix="check that the folder can be written, or take another codec or suffix",
        ) from error


def _close_quietly(output: Any) -> None:
    with suppress(av.FFmpegError, OSError):
        output.close()


def _publish(partial: Path, path: Path) -> None:
    """Put the finished file in its place, in one step that outlives a power cut."""
    with _explained(path):
        for target in (partial, partial.parent):
            if target == partial.parent:
                partial.replace(path)
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
