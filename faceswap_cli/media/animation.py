"""Small moving previews for pages and messages: GIF and WebP."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np

from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.files import replacing
from faceswap_cli.media.encoding_errors import explained
from faceswap_cli.types import RgbImage

LONGEST_SIDE_PX = 480
SHORTEST_STEP_S = Fraction(2, 25)
"""12.5 pictures a second: a delay of a GIF counts in 1/100 s, and 8 of them is a whole number."""
LONGEST_S = 12
"""A preview is the beginning of the video, no more."""
ANIMATIONS = {".gif": "gif", ".webp": "webp"}
_TIME_BASES = {".gif": Fraction(1, 100), ".webp": Fraction(1, 1000)}
_ENCODERS = {
    ".gif": ("gif", "pal8", {}),
    # It makes YUV of this itself, in the way that WebP means it.
    ".webp": ("libwebp_anim", "bgra", {"quality": "80", "compression_level": "4"}),
}

Moment = tuple[Fraction, Fraction]
"""Time and duration of a picture, seconds."""


def choose_moments(times: Sequence[Moment]) -> list[int]:
    """Return the indices of the pictures that a preview shows.

    They are SHORTEST_STEP_S apart in the mean, or more; they cover the first LONGEST_S at most.

    Args:
        times: Of all pictures, growing.
    """
    chosen: list[int] = []
    due_s = times[0][0] if times else Fraction(0)
    for index, (time_s, _) in enumerate(times):
        if time_s - times[0][0] >= LONGEST_S:
            break
        if time_s >= due_s:
            chosen.append(index)
            # From where it was due, so that 30 a second do not become 10.
            due_s = max(due_s + SHORTEST_STEP_S, time_s + SHORTEST_STEP_S / 2)
    return chosen


def write_animation(path: Path, pictures: Iterable[RgbImage], times: Sequence[Moment]) -> None:
    """Write a small film that repeats for ever; `path` appears when it is whole.

    Args:
        path: Its suffix says which: .gif, of 256 colours that fit this film, or .webp.
        pictures: (H, W, 3) each, of one size; made smaller to LONGEST_SIDE_PX.
        times: Of each of them, growing. The last one lasts as long as it says.

    Raises:
        ConfigError: Another suffix.
        MediaError: There are fewer pictures than times, or none, their size changes, or they
            cannot be encoded.
        WorkspaceError: The file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in ANIMATIONS:
        raise ConfigError(
            f"{path.name} is no animation we write", fix=f"one of {' '.join(ANIMATIONS)}"
        )
    if not times:
        raise MediaError("a preview needs at least one picture", seen_in=path)
    with replacing(path) as partial, explained(path):
        options = {"loop": "0"}
        if suffix == ".gif":
            options["final_delay"] = str(max(1, round(100 * times[-1][1])))
        with av.open(
            f"file:{partial}", "w", format=ANIMATIONS[suffix], container_options=options
        ) as output:
            _encode(output, _framed(pictures, times, suffix, path), suffix)


def _framed(
    pictures: Iterable[RgbImage], times: Sequence[Moment], suffix: str, path: Path
) -> Iterator[Any]:
    """Yield av.VideoFrames with their times from 0 on."""
    time_base, shape, num = _TIME_BASES[suffix], (), 0
    for image, (time_s, _) in zip(pictures, times, strict=False):
        shape = shape or image.shape
        if image.shape != shape:
            raise MediaError(
                f"a picture of {image.shape} cannot follow {shape}",
                seen_in=path,
                fix="make all pictures of one video the same size",
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = round((time_s - times[0][0]) / time_base), time_base
        num += 1
        yield frame
    if num < len(times):
        raise MediaError(f"{num} pictures for {len(times)} times", seen_in=path)


def _encode(output: Any, frames: Iterator[Any], suffix: str) -> None:
    encoder, pixel_format, options = _ENCODERS[suffix]
    stream = None
    for frame in _drawn(frames, suffix):
        if stream is None:
            rate = Fraction(1) / SHORTEST_STEP_S
            stream = output.add_stream(encoder, rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixel_format
            stream.time_base = stream.codec_context.time_base = _TIME_BASES[suffix]
        frame.time_base = _TIME_BASES[suffix]
        output.mux(stream.encode(frame))
    if stream is not None:
        output.mux(stream.encode(None))


def _drawn(frames: Iterator[Any], suffix: str) -> Iterator[Any]:
    """Yield the frames made smaller, and for a GIF in colours that are chosen from all of them."""
    first = next(frames)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=first.width,
        height=first.height,
        format=first.format,
        time_base=_TIME_BASES[suffix],
    )
    width, height = _small_size(first.width, first.height)
    small = graph.add("scale", f"{width}:{height}:flags=lanczos+accurate_rnd+full_chroma_int")
    sink = graph.add("buffersink")
    source.link_to(small)
    if suffix == ".gif":
        _link_palette(graph, small, sink)
    else:
        wanted = graph.add("format", "bgra")
        small.link_to(wanted)
        wanted.link_to(sink)
    graph.configure()
    graph.push(first)
    yield from _ready(graph)
    for frame in frames:
        graph.push(frame)
        yield from _ready(graph)
    graph.push(None)
    yield from _ready(graph)


def _link_palette(graph: Any, small: Any, sink: Any) -> None:
    both, palette = graph.add("split"), graph.add("palettegen", "stats_mode=full")
    # The error goes to the neighbours as in newspapers; only what moves is written again.
    use = graph.add("paletteuse", "dither=sierra2_4a:diff_mode=rectangle")
    small.link_to(both)
    both.link_to(use, 0, 0)
    both.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)


def _ready(graph: Any) -> Iterator[Any]:
    with suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            yield graph.pull()


def _small_size(width: int, height: int) -> tuple[int, int]:
    factor = min(1.0, LONGEST_SIDE_PX / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))
