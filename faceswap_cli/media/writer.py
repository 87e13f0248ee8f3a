"""Writing a video: the source's own times, colours and sound around new pictures."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from faceswap_cli.errors import MediaError
from faceswap_cli.files import replacing
from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.encoders import REORDERED, Encoding, VideoCodec
from faceswap_cli.media.encoding import (
    CONTAINERS,
    Picture,
    PictureConverter,
    PictureForm,
    add_picture_stream,
    check_encoding,
    explained,
)
from faceswap_cli.media.extras import ExtrasFeed, ExtrasPlan, open_extras
from faceswap_cli.media.sound import SoundFeed, SoundPlan, open_sound

# Else ffmpeg holds 10 s of picture while a track is silent, as subtitles mostly are; microseconds.
OPTIONS = {"max_interleave_delta": "1000000"}
# Any key of metadata survives; the index comes first, so that the file plays while it loads.
MP4_OPTIONS = {"movflags": "use_metadata_tags+faststart"}

WriteFrame = Callable[[Picture, Fraction, Fraction], None]


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
    extras: ExtrasPlan | None = None,
    pixel_aspect: Fraction = Fraction(1),
    encoding: Encoding | None = None,
) -> Iterator[WriteFrame]:
    """Encode RGB frames; `path` appears only when the block ends well.

    Args:
        path: The video to make; its suffix names the container, see encoding.CONTAINERS.
        size_wh: Width and height of every picture, pixels. An odd side gets one more pixel,
            a copy of its last one, since 4:2:0 needs even sides.
        time_base: The source's seconds per tick. Its times stay exact, but in .mkv and .webm,
            which count milliseconds.
        rate_hint: The mean of frames a second, by which the encoder spends bits.
        codec: Of the picture.
        crf: Constant rate factor: 0 is best, 51 is worst.
        colour: The tags to write, and the matrix and range to convert with.
        metadata: Keys and values of the container.
        sound: What `plan_sound` returned.
        extras: What `plan_extras` returned.
        pixel_aspect: Width of one pixel over its height.
        encoding: All about it, in place of codec and crf.

    Yields:
        A function of (image, time_s, duration_s): the next picture, see PictureConverter, and its
        time in the source. The first picture's time becomes 0.

    Raises:
        ConfigError: Suffix and encoding do not go together.
        MediaError: The encoder is missing or fails, the disk is full, a picture has another
            size, times do not grow, or nothing was written.
        WorkspaceError: The file cannot be written there.
    """
    encoding = encoding or Encoding(codec=codec, crf=crf)
    form = PictureForm(size_wh, time_base, rate_hint, colour, pixel_aspect)
    check_encoding(path.suffix, encoding)
    with replacing(path) as partial, ExitStack() as stack:
        with explained(path):
            output = open_output(partial, path)
            stack.callback(close_quietly, output)
            output.metadata.update(metadata)
            stream = add_picture_stream(output, form, encoding)
        feeds: list[SoundFeed | ExtrasFeed] = []
        if sound and sound.tracks:
            feeds.append(stack.enter_context(open_sound(sound, output)))
        if extras:
            feeds.append(stack.enter_context(open_extras(extras, output)))
        writer = _Writer(path, output, stream, feeds, form=form, encoding=encoding)
        yield writer.write
        writer.finish()


class _Writer:
    """The state of one writing."""

    def __init__(
        self,
        path: Path,
        output: Any,
        stream: Any,
        feeds: Sequence[SoundFeed | ExtrasFeed],
        *,
        form: PictureForm,
        encoding: Encoding,
    ) -> None:
        self._path, self._output, self._stream, self._feeds = path, output, stream, feeds
        self._encoding = encoding
        self._converter = PictureConverter(form, encoding)
        self._durations: dict[int, int] = {}  # ticks, of the frames inside the encoder
        self._origin_s: Fraction | None = None
        self._fed_s = Fraction(0)
        self._last_tick = -1
        self._num_frames = 0
        # x265 gives two frames or one a dts from memory it never wrote.
        self._is_short = False
        self._held: Any = None  # the last frame, which is encoded differently

    def write(self, image: Picture, time_s: Fraction, duration_s: Fraction) -> None:
        """Encode the next picture."""
        with explained(self._path):
            frame = self._converter.frame(image)
            if self._origin_s is None:
                self._begin(time_s)
            tick = self._tick(time_s, duration_s)
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
        with explained(self._path):
            if self._encoding.codec in REORDERED:
                # A key frame is decoded last, too: mp4 keeps the duration of the one decoded last.
                self._held.pict_type = PictureType.I
                self._is_short = self._num_frames <= 2
            self._mux(self._held)
            self._mux(None)
            for feed in self._feeds:
                feed.feed(None)
        with explained(self._path, listen=True):
            self._output.close()

    def _begin(self, origin_s: Fraction) -> None:
        """Write the header; chapters stand in it, which begin when the first picture does."""
        self._origin_s = self._fed_s = origin_s
        with explained(self._path, listen=True):
            for feed in self._feeds:
                feed.begin(origin_s)
            self._output.start_encoding()

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
            self._feed(packet)
            if self._is_short:
                packet.dts = packet.pts
            self._output.mux(packet)

    def _feed(self, packet: Any) -> None:
        """Carry sound and subtitles as far as the encoder has come: it may be seconds behind."""
        time_s = (self._origin_s or 0) + packet.pts * packet.time_base
        if time_s > self._fed_s:
            self._fed_s = time_s
            for feed in self._feeds:
                feed.feed(time_s)


def open_output(partial: Path, path: Path) -> Any:
    """Return the av.container.OutputContainer of a file in the making.

    Args:
        partial: Where it is made.
        path: Its name when it is done, whose suffix names the container.
    """
    name, _ = CONTAINERS[path.suffix.lower()]
    options = OPTIONS | (MP4_OPTIONS if name in ("mp4", "mov") else {})
    return av.open(f"file:{os.fspath(partial)}", "w", format=name, container_options=options)


def close_quietly(output: Any) -> None:
    """Close a container that may be broken, or closed already."""
    with suppress(av.FFmpegError, OSError):
        output.close()
