"""What a picture track has that the result will not have as one would expect."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from av.sidedata.sidedata import Type as SideDataType

from faceswap_cli.media.decoding import Losses, decode_stream
from faceswap_cli.media.opening import find_video_stream, open_input

_LOST_DATA = {
    SideDataType.A53_CC: "closed captions inside the pictures",
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+ metadata, which differ from scene to scene",
    SideDataType.DOVI_METADATA: "Dolby Vision metadata",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision metadata",
}


def find_oddities(path: Path) -> list[str]:
    """Return a sentence for each; the first frame is decoded.

    Raises:
        MediaError: The video cannot be read.
    """
    with open_input(path) as container:
        stream = find_video_stream(container, path)
        _, frame = next(decode_stream(container, stream, Losses()), (None, None))
        return [] if frame is None else list(_oddities(path, stream, frame))


def _oddities(path: Path, stream: Any, frame: Any) -> Iterator[str]:
    if frame.interlaced_frame:
        yield (
            f"{path.name} is interlaced: each picture holds two moments, and faces are made as"
            " if it were one."
            f" For clean faces in motion: `ffmpeg -i {shlex.quote(path.name)} -vf bwdif"
            " -crf 12 -c:a copy progressive.mkv`, and use that"
        )
    # VP9 and VP8 have it in a second video, which ffmpeg's own decoders do not look at.
    has_alpha = any(part.is_alpha for part in frame.format.components)
    if has_alpha or stream.metadata.get("alpha_mode") == "1":
        yield f"{path.name} is transparent in places: the result is opaque, its alpha is lost"
    found = {data.type for data in frame.side_data}
    for told in dict.fromkeys(told for kind, told in _LOST_DATA.items() if kind in found):
        yield f"{path.name} has {told}: they are lost"
