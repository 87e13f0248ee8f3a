"""Pieces of a picture stream, made into one file with sound, without being decoded.

The pieces give the order in which pictures are decoded and shown; all times are made anew from
those of the footage.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from faceswap_cli.errors import MediaError
from faceswap_cli.files import replacing
from faceswap_cli.media.encoding import PictureForm, explained
from faceswap_cli.media.extras import ExtrasPlan, open_extras
from faceswap_cli.media.opening import open_input
from faceswap_cli.media.reader import FrameTime
from faceswap_cli.media.sound import SoundPlan, open_sound
from faceswap_cli.media.writer import close_quietly, open_output

ANEW = "encode all of it again: add --redo"


class _Slot(NamedTuple):
    """What is told of one packet; ticks."""

    rank: int
    """Of its picture, in the order of showing."""
    shown: int
    decoded: int
    duration: int


def join_segments(
    paths: Sequence[Path],
    target: Path,
    *,
    form: PictureForm,
    times: Sequence[FrameTime],
    sound: SoundPlan | None = None,
    extras: ExtrasPlan | None = None,
    metadata: dict[str, str],
) -> None:
    """Make one file of the pieces; `target` appears only when it is whole.

    Args:
        paths: The pieces, in order, of one form and one encoding.
        target: Its suffix names the container.
        form: Theirs.
        times: Of each picture; the first one becomes 0. Exact, but in .mkv and .webm, which
            count milliseconds.
        sound: What `plan_sound` returned.
        extras: What `plan_extras` returned.
        metadata: Keys and values of the container.

    Raises:
        MediaError: A piece cannot be read, or was encoded otherwise than the first one; they
            hold another number of pictures; the disk is full; the container does not take it.
    """
    slots = _plan_slots(paths, times, form.time_base)
    with replacing(target) as partial, ExitStack() as stack:
        with explained(target):
            output = open_output(partial, target)
            stack.callback(close_quietly, output)
            output.metadata.update(metadata)
        stream = _add_stream(paths, output, form)
        feeds: list[Any] = []
        if sound and sound.tracks:
            feeds.append(stack.enter_context(open_sound(sound, output)))
        if extras:
            feeds.append(stack.enter_context(open_extras(extras, output)))
        with explained(target, listen=True):
            for feed in feeds:
                feed.begin(times[0].time_s)
            output.start_encoding()
        with explained(target):
            fed = -1
            for packet, slot in zip(_all_packets(paths), slots, strict=True):
                for feed in feeds if slot.rank > fed else ():
                    feed.feed(times[slot.rank].time_s)
                fed = max(fed, slot.rank)
                packet.pts, packet.dts, packet.duration = slot[1:]
                packet.time_base, packet.stream = form.time_base, stream
                output.mux(packet)
            for feed in feeds:
                feed.feed(None)
        with explained(target, listen=True):
            output.close()


def decoding_ticks(ranks: Sequence[int], ticks: Sequence[int], *, last_duration: int) -> list[int]:
    """Return when each picture is decoded: always later, and never after it is shown.

    A picture is decoded when the one is shown that comes as much earlier as pictures change
    places. MP4 tells how long the picture that is shown last stays by the step to the one that
    is decoded next; so what is decoded before it moves to an earlier time, if need be.

    Args:
        ranks: The place in the order of showing, in the order of decoding.
        ticks: When each is shown, in the order of showing.
        last_duration: Of the picture that is shown last, ticks.
    """
    delay = max(index - rank for index, rank in enumerate(ranks))
    early = [2 * ticks[0] - tick for tick in ticks[delay:0:-1]]
    decoded = early + list(ticks[: len(ticks) - delay])
    last = ranks.index(len(ranks) - 1)
    if last + 1 < len(ranks):
        shift = decoded[last] - (decoded[last + 1] - last_duration)
        first = 0 if shift > 0 else last
        decoded[first : last + 1] = [tick - shift for tick in decoded[first : last + 1]]
    return decoded


def _plan_slots(
    paths: Sequence[Path], times: Sequence[FrameTime], time_base: Fraction
) -> list[_Slot]:
    ranks = _read_ranks(paths, num_frames=len(times))
    ticks = [round((timed.time_s - times[0].time_s) / time_base) for timed in times]
    last = max(1, round(times[-1].duration_s / time_base))
    durations = [after - tick for tick, after in pairwise(ticks)] + [last]
    decoded = decoding_ticks(ranks, ticks, last_duration=last)
    return [
        _Slot(rank, ticks[rank], tick, durations[rank])
        for rank, tick in zip(ranks, decoded, strict=True)
    ]


def _all_packets(paths: Sequence[Path]) -> Iterator[Any]:
    for path in paths:
        yield from read_packets(path)


def read_packets(path: Path) -> Iterator[Any]:
    """Yield the packets of a piece, in the order of decoding."""
    with open_input(path) as source, closing(source.demux(video=0)) as packets:
        yield from (packet for packet in packets if packet.size)


def _read_ranks(paths: Sequence[Path], *, num_frames: int) -> list[int]:
    """Return the place in the order of showing of each packet, in the order of decoding."""
    ranks: list[int] = []
    for path in paths:
        shown = [packet.pts for packet in read_packets(path)]
        place = {pts: len(ranks) + rank for rank, pts in enumerate(sorted(shown))}
        ranks += [place[pts] for pts in shown]
    if len(ranks) != num_frames or sorted(ranks) != list(range(num_frames)):
        raise MediaError(
            f"the {len(paths)} pieces hold {len(ranks)} pictures, not {num_frames}",
            seen_in=paths[0].parent if paths else None,
            fix=ANEW,
        )
    return ranks


def _add_stream(paths: Sequence[Path], output: Any, form: PictureForm) -> Any:
    """Add the stream of the pieces, or raise MediaError if they differ."""
    headers = {path: _read_header(path) for path in paths}
    first = paths[0]
    for path, header in headers.items():
        if header != headers[first]:
            raise MediaError(
                f"{path.name} was encoded otherwise than {first.name}", seen_in=path, fix=ANEW
            )
    with open_input(first) as source:
        template = source.streams.video[0]
        stream = output.add_stream_from_template(template, opaque=True)
        stream.time_base = form.time_base
        context = stream.codec_context
        context.framerate = form.rate_hint
        if output.format.name in ("mp4", "mov"):
            tag = {"hevc": "hvc1", "prores": template.codec_context.codec_tag}
            if context.name in tag:  # QuickTime does not play hev1
                context.codec_tag = tag[context.name]
        colour = form.colour
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.sample_aspect_ratio = form.pixel_aspect
        if form.pixel_aspect != 1 and _loses_aspect(output, context.name):
            form.say(
                f"{output.format.name} with {context.name} cannot tell that a pixel is"
                f" {form.pixel_aspect} as wide as high: players will show the picture in another"
                " shape; take h264 or h265, or the container mp4 or mov"
            )
    return stream


def _loses_aspect(output: Any, codec: str) -> bool:
    """Tell whether the shape of a pixel stands nowhere: PyAV cannot give it to Matroska."""
    return output.format.name in ("matroska", "webm") and codec not in ("h264", "hevc")


def _read_header(path: Path) -> tuple[object, ...]:
    with open_input(path) as source:
        context = source.streams.video[0].codec_context
        size_wh = context.width, context.height
        return context.name, size_wh, context.pix_fmt, context.extradata
