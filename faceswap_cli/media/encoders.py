"""The encoders of each codec, and our settings in the words of each of them.

One scale of quality and one of speed serve all: those of x264. `crf` 0 is best and 51 worst,
and 16 looks like the source:

| encoder                | quality                                                       |
|------------------------|---------------------------------------------------------------|
| libx264, libx265       | crf itself                                                    |
| libsvtav1, libvpx-vp9  | crf * 63 / 51: their scale is longer, equal looks lie there;  |
|                        | of libsvtav1 at least 1 (ffmpeg takes 0 for "not told")       |
| nvenc                  | cq, at least 1 (0 means "choose"); of av1 as libsvtav1        |
| qsv                    | global_quality, at least 1                                    |
| videotoolbox           | q from 100 (crf 0) to 1 (crf 51)                              |
| prores                 | its profile: up to 10 hq, up to 20 standard, above lt         |
| ffv1                   | none: it is lossless                                          |
"""

import os
from dataclasses import dataclass
from typing import Literal, get_args

from faceswap_cli.media.fields import FieldOrder
from faceswap_cli.media.hdr import HdrMetadata, svtav1_text, x265_text
from faceswap_cli.media.samples import SITINGS

VideoCodec = Literal["h264", "h265", "av1", "prores", "vp9", "ffv1"]
Hardware = Literal["nvenc", "qsv", "videotoolbox"]
EncoderChoice = Literal["auto", "software", "nvenc", "qsv", "videotoolbox"]
CODECS: tuple[VideoCodec, ...] = get_args(VideoCodec)
HARDWARE: tuple[Hardware, ...] = get_args(Hardware)
CHOICES: tuple[EncoderChoice, ...] = get_args(EncoderChoice)
MAX_CRF = 51

SOFTWARE: dict[VideoCodec, str] = {
    "h264": "libx264",
    "h265": "libx265",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
}
# Without vp9_qsv: what its quality means is not documented.
_HARDWARE: dict[VideoCodec, tuple[str, tuple[Hardware, ...]]] = {
    "h264": ("h264", HARDWARE),
    "h265": ("hevc", HARDWARE),
    "av1": ("av1", ("nvenc", "qsv")),
    "prores": ("prores", ("videotoolbox",)),
}
# The wheels of PyAV have libvpx without high bit depth.
TEN_BIT: frozenset[VideoCodec] = frozenset({"h264", "h265", "av1", "prores", "ffv1"})
# Their packets come in another order than their pictures are shown.
REORDERED: frozenset[VideoCodec] = frozenset({"h264", "h265"})
# HEVC would have each field as a picture, which decoders do not join again; AV1 and VP9 have none.
INTERLACED: frozenset[VideoCodec] = frozenset({"h264", "prores", "ffv1"})
# Where else than at the usual place they can tell that chroma lies; in software.
TOLD_SITINGS: dict[VideoCodec, frozenset[str]] = {
    "h264": SITINGS,
    "h265": SITINGS,
    "av1": frozenset({"topleft"}),
}
# Whose metadata of HDR10 we can hand over; PyAV gives no way to the containers' own fields.
TELLS_HDR = frozenset({"libx264", "libx265", "libsvtav1"})

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
# Its 10 and more are not meant to be looked at, it says itself.
SVT_SPEEDS = dict(zip(PRESETS, (9, 9, 9, 8, 7, 6, 4, 3), strict=True))
VPX_SPEEDS = dict(zip(PRESETS, (8, 7, 5, 4, 3, 2, 1, 0), strict=True))
NVENC_SPEEDS = dict(zip(PRESETS, (1, 2, 3, 3, 4, 5, 6, 7), strict=True))
FASTEST_GOOD_VPX = 5
"""Beyond it, libvpx has only its real-time mode."""
PRORES_PROFILES = ((10, "hq"), (20, "standard"), (MAX_CRF, "lt"))
QP_TO_LAMBDA = 118  # ffmpeg's unit of global_quality
os.environ.setdefault("SVT_LOG", "1")  # errors only: it would print a page to stderr


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded: the settings of [video] as plain values.

    Args:
        codec: Of the picture.
        encoder: Whose; "auto" is the hardware's if there is one, else software.
        crf: 0 is best, 51 is worst; the scale is x264's, see the module.
        preset: Speed against size, in the words of x264.
        depth: Bits of a sample, 8 or 10. Prores has 10 in any case; ffv1 takes 16 for 10.
        alpha: Whether pictures are (H, W, 4), colour not multiplied by alpha.
    """

    codec: VideoCodec = "h264"
    encoder: EncoderChoice = "software"
    crf: int = 16
    preset: str = "medium"
    depth: int = 8
    alpha: bool = False


def hardware_encoder(codec: VideoCodec, kind: Hardware) -> str | None:
    """Return ffmpeg's name of a hardware encoder, None if that hardware has no such codec."""
    name, kinds = _HARDWARE.get(codec, ("", ()))
    return f"{name}_{kind}" if kind in kinds else None


def pixel_format(encoding: Encoding) -> str:
    """Return the pixel format that pictures are converted to.

    4:2:0 is what players have hardware for. FFV1 keeps RGB itself, so that nothing is lost.
    """
    ten = encoding.depth > 8
    if encoding.codec == "prores":
        return "yuva444p10le" if encoding.alpha else "yuv422p10le"
    if encoding.codec == "ffv1":
        if encoding.alpha:
            return "gbrap16le" if ten else "bgra"
        return "gbrp16le" if ten else "bgr0"
    if encoding.alpha:
        return "yuva420p"
    return "yuv420p10le" if ten else "yuv420p"


def encoder_format(name: str, encoding: Encoding) -> str:
    """Return the pixel format that an encoder takes; the samples are those of pixel_format."""
    if name.endswith("_qsv"):
        return "p010le" if encoding.depth > 8 else "nv12"
    if name == "prores_videotoolbox":
        return "p210le"
    if name.endswith(("_nvenc", "_videotoolbox")):
        return "p010le" if encoding.depth > 8 else "yuv420p"
    return pixel_format(encoding)


def encoder_options(
    name: str,
    encoding: Encoding,
    hdr: HdrMetadata | None,
    field_order: FieldOrder | None = None,
) -> dict[str, str]:
    """Return the options of one encoder: quality, speed, closed groups, HDR10, fields."""
    hdr = hdr or HdrMetadata()
    if name.endswith("_nvenc"):
        return _nvenc(encoding)
    if name.endswith("_qsv"):
        return {"global_quality": str(max(1, encoding.crf)), "preset": _qsv_speed(encoding)}
    if name.endswith("_videotoolbox"):
        return _videotoolbox(encoding)
    options = {
        "h264": _x264,
        "h265": _x265,
        "av1": _svtav1,
        "vp9": _vpx,
        "prores": _prores,
        "ffv1": _ffv1,
    }[encoding.codec](encoding, hdr)
    return options | _field_options(name, options, field_order) if field_order else options


def _field_options(name: str, options: dict[str, str], order: FieldOrder) -> dict[str, str]:
    """Return what has pictures encoded by fields; FFV1 asks each picture, and needs nothing."""
    if name == "libx264":  # the order is that of each picture; but not of the first ones
        params = ":".join([*filter(None, [options.get("x264-params")]), f"{order}=1"])
        return {"flags": "+ildct+ilme", "x264-params": params}
    return {"flags": "+ildct"} if name == "prores_ks" else {}


def long_crf(crf: int) -> int:
    """Return the place on the scale of AV1 and VP9 that looks like a crf of x264."""
    return round(crf * 63 / MAX_CRF)


def _x264(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    options = {"crf": str(encoding.crf), "preset": encoding.preset, "forced-idr": "1"}
    names = {"display": "mastering-display", "light": "cll"}
    told = [f"{names[key]}={text}" for key, text in x265_text(hdr).items()]
    return options | ({"x264-params": ":".join(told)} if told else {})


def _x265(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    names = {"display": "master-display", "light": "max-cll"}
    told = [f"{names[key]}={text}" for key, text in x265_text(hdr).items()]
    # Else it writes to stderr; its groups are open unless told; its header would name the
    # processor, so that a run that goes on on another machine could not be joined.
    params = ["log-level=error", "open-gop=0", "info=0"]
    params += [*told, "hdr10=1", "repeat-headers=1"] if told else []
    return {
        "crf": str(encoding.crf),
        "preset": encoding.preset,
        "forced-idr": "1",
        "x265-params": ":".join(params),
    }


def _svtav1(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    names = {"display": "mastering-display", "light": "content-light"}
    told = [f"{names[key]}={text}" for key, text in svtav1_text(hdr).items()]
    options = {
        "crf": str(max(1, long_crf(encoding.crf))),
        "preset": str(SVT_SPEEDS[encoding.preset]),
    }
    return options | ({"svtav1-params": ":".join(told)} if told else {})


def _vpx(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    speed = VPX_SPEEDS[encoding.preset]
    options = {
        "crf": str(long_crf(encoding.crf)),
        "b": "0",
        "deadline": "good" if speed <= FASTEST_GOOD_VPX else "realtime",
        "cpu-used": str(speed),
        "row-mt": "1",
    }
    # Hidden frames have no alpha of their own.
    return options | ({"auto-alt-ref": "0"} if encoding.alpha else {})


def prores_profile(encoding: Encoding) -> str:
    """Return the name of the profile."""
    if encoding.alpha:
        return "4444"
    return next(name for most, name in PRORES_PROFILES if encoding.crf <= most)


def _prores(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    # With another vendor, Final Cut warns of a file not made for it.
    options = {"profile": prores_profile(encoding), "vendor": "apl0"}
    return options | ({"alpha_bits": "16"} if encoding.alpha else {})


def _ffv1(encoding: Encoding, hdr: HdrMetadata) -> dict[str, str]:
    # As many slices on every machine, so that the file is the same.
    return {"level": "3", "g": "1", "slices": "16", "slicecrc": "1"}


def _nvenc(encoding: Encoding) -> dict[str, str]:
    crf = long_crf(encoding.crf) if encoding.codec == "av1" else encoding.crf
    return {
        "rc": "vbr",
        "cq": str(max(1, crf)),
        "preset": f"p{NVENC_SPEEDS[encoding.preset]}",
        "tune": "hq",
        "forced-idr": "1",
    }


def _qsv_speed(encoding: Encoding) -> str:
    return encoding.preset if encoding.preset not in ("ultrafast", "superfast") else "veryfast"


def _videotoolbox(encoding: Encoding) -> dict[str, str]:
    if encoding.codec == "prores":
        return {"profile": prores_profile(encoding)}
    quality = max(1, round(100 * (1 - encoding.crf / MAX_CRF)))
    return {"flags": "+qscale", "global_quality": str(QP_TO_LAMBDA * quality)}
