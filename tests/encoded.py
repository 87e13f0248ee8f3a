"""Pictures through an encoder and back, without the stages around it."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.encoding import (
    CONTAINERS,
    Encoding,
    PictureConverter,
    PictureForm,
    add_picture_stream,
)
from faceswap_cli.media.hdr import HdrMetadata

BT709 = ColourTags(matrix=1, range=1, primaries=1, transfer=1)
PQ = ColourTags(matrix=9, range=1, primaries=9, transfer=16)
HOMES = {"h264": ".mp4", "h265": ".mp4", "av1": ".mp4", "prores": ".mov", "vp9": ".webm"}
HOMES["ffv1"] = ".mkv"


def form_of(
    image: Any, colour: ColourTags = BT709, hdr: HdrMetadata | None = None, siting: str = "left"
) -> PictureForm:
    size_wh = image.shape[1], image.shape[0]
    return PictureForm(
        size_wh, Fraction(1, 25), Fraction(25), colour, Fraction(1), hdr=hdr, siting=siting
    )


def encode(path: Path, images: Sequence[Any], form: PictureForm, encoding: Encoding) -> Path:
    with av.open(str(path), "w", format=CONTAINERS[path.suffix][0]) as output:
        stream = add_picture_stream(output, form, encoding)
        converter = PictureConverter(form, encoding)
        for index, image in enumerate(images):
            frame = converter.frame(image)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(_in_time(stream.encode(frame), len(images)))
        output.mux(_in_time(stream.encode(None), len(images)))
    return path


def _in_time(packets: list[Any], num_images: int) -> list[Any]:
    if num_images <= 2:  # x265 gives them a dts from memory it never wrote
        for packet in packets:
            packet.dts = packet.pts
    return packets


def decode(path: Path, decoder: str = "") -> list[Any]:
    """Return the av.VideoFrames."""
    with av.open(str(path)) as container:
        if not decoder:
            return list(container.decode(video=0))
        context = av.CodecContext.create(decoder, "r")
        context.extradata = container.streams.video[0].codec_context.extradata
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return [frame for packet in [*packets, None] for frame in context.decode(packet)]


def planes(frame: Any) -> list[Any]:
    """Return the samples of each plane, as the file has them; (height, width)."""
    dtype = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return [
        np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


def sample_values(rgb: Any, colour: ColourTags, bits: int) -> Any:
    """The formulas of H.273, 8.3, so that swscale is not its own judge.

    Args:
        rgb: (..., 3), 0..1.
        colour: Matrix and range.
        bits: Of a sample.

    Returns:
        (3, ...): Y, Cb, Cr, not rounded.
    """
    red_weight, blue_weight = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}[colour.matrix]
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u, v = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    step, top = 2 ** (bits - 8), 2**bits - 1
    scales = (top, 0, top) if colour.range == 2 else (219 * step, 16 * step, 224 * step)
    middle = 128 * step
    return np.stack([scales[0] * luma + scales[1], scales[2] * u + middle, scales[2] * v + middle])
