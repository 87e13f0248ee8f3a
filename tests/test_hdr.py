"""HDR10: what a video says of its screen and its light is said again."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from av.sidedata.sidedata import Type
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.media.encoders import TELLS_HDR, VideoCodec
from faceswap_cli.media.encoding import Encoding
from faceswap_cli.media.hdr import ContentLight, HdrMetadata, MasteringDisplay, read_hdr
from tests.encoded import HOMES, PQ, decode, encode, form_of

HLG = replace(PQ, transfer=18)
P3_SCREEN = MasteringDisplay(
    ((34000, 16000), (13250, 34500), (7500, 3000)), (15635, 16450), (50, 10_000_000)
)
HDR = HdrMetadata(P3_SCREEN, ContentLight(993, 141))
GREY = np.full((64, 64, 3), 30_000, np.uint16)
TELLING: list[VideoCodec] = ["h264", "h265", "av1"]


@dataclass
class SideData:
    """As av.sidedata has it."""

    type: Any
    data: bytes

    def __bytes__(self) -> bytes:
        return self.data


def frame_with(*data: tuple[Type, bytes]) -> Any:
    return SimpleNamespace(side_data=[SideData(kind, content) for kind, content in data])


def screen_bytes(*numbers: int) -> tuple[Type, bytes]:
    return Type.MASTERING_DISPLAY_METADATA, struct.pack(f"={len(numbers)}i", *numbers)


def light_bytes(*numbers: int) -> tuple[Type, bytes]:
    return Type.CONTENT_LIGHT_LEVEL, struct.pack(f"={len(numbers)}I", *numbers)


@pytest.mark.parametrize("codec", TELLING)
@pytest.mark.parametrize(
    "hdr", [HDR, replace(HDR, light=None), replace(HDR, mastering=None)], ids=["both", "M", "L"]
)
def test_metadata_comes_back_to_the_unit(
    tmp_path: Path, codec: VideoCodec, hdr: HdrMetadata
) -> None:
    chosen = Encoding(codec, depth=10, preset="ultrafast")
    frame = decode(encode(tmp_path / "a.mp4", [GREY] * 3, form_of(GREY, PQ, hdr), chosen))[0]
    found = read_hdr(frame)
    assert found is not None
    assert found.light == hdr.light
    if hdr.mastering is None:
        assert found.mastering is None
        return
    assert found.mastering is not None
    for name in ("primaries_xy", "white_xy", "luminance"):
        # AV1 counts in 1/65536 and, of black, in 1/16384 cd/m2
        np.testing.assert_allclose(
            getattr(found.mastering, name),
            getattr(hdr.mastering, name),
            atol=1 if codec == "av1" else 0,
        )


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "prores", "vp9", "ffv1"])
@pytest.mark.parametrize("colour", [PQ, HLG], ids=["PQ", "HLG"])
def test_curve_and_primaries_are_told_by_every_codec(
    tmp_path: Path, codec: VideoCodec, colour: Any
) -> None:
    chosen = Encoding(codec, depth=8 if codec == "vp9" else 10, preset="ultrafast")
    path = encode(tmp_path / f"a{HOMES[codec]}", [GREY] * 3, form_of(GREY, colour), chosen)
    frame = decode(path)[0]
    assert (frame.color_primaries, frame.color_trc) == (9, colour.transfer)


@pytest.mark.parametrize("codec", ["prores", "vp9", "ffv1"])
def test_a_codec_that_cannot_hold_it_is_said(
    tmp_path: Path, codec: VideoCodec, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Encoding(codec, preset="ultrafast")
    encode(tmp_path / f"a{HOMES[codec]}", [GREY] * 3, form_of(GREY, PQ, HDR), chosen)
    assert "only the colours are told" in caplog.text


@pytest.mark.parametrize("codec", TELLING)
def test_nothing_is_told_of_a_video_that_told_nothing(
    tmp_path: Path, codec: VideoCodec, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Encoding(codec, depth=10, preset="ultrafast")
    assert (
        read_hdr(decode(encode(tmp_path / "a.mp4", [GREY] * 3, form_of(GREY, PQ), chosen))[0])
        is None
    )
    assert not caplog.records


@pytest.mark.parametrize(
    ("codec", "depth"), [("h264", 8), ("h265", 8), ("prores", 8), ("h265", 10)]
)
def test_hdr_in_eight_bits_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: VideoCodec, depth: int
) -> None:
    chosen = Encoding(codec, depth=depth, preset="ultrafast")
    encode(tmp_path / f"a{HOMES[codec]}", [GREY] * 3, form_of(GREY, HLG), chosen)
    is_said = f"{codec} of 8 bits shows steps in the smooth places of HDR (HLG)" in caplog.text
    assert is_said == (depth == 8 and codec != "prores")


def test_hardware_is_left_out_for_the_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Encoding("h265", encoder="nvenc", depth=10, preset="ultrafast")
    frame = decode(encode(tmp_path / "a.mp4", [GREY] * 3, form_of(GREY, PQ, HDR), chosen))[0]
    assert read_hdr(frame) == HDR
    assert "the metadata of HDR10 is not done by hardware" in caplog.text


def pairs(*numbers: int) -> Iterator[int]:
    for number in numbers:
        yield from (number, 50_000)


GOOD = [*pairs(34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), 50, 10_000, 1000, 1, 1, 1]


def test_side_data_is_read_by_its_layout() -> None:
    assert read_hdr(frame_with(screen_bytes(*GOOD), light_bytes(993, 141))) == HDR


@pytest.mark.parametrize(
    ("index", "value"),
    [(1, 0), (3, -50_000), (0, 2_000_000_000), (0, -1), (16, -50), (20, 0), (21, 0)],
    ids=["by 0", "negative divisor", "too large", "below 0", "dark", "no primaries", "no light"],
)
def test_a_screen_that_cannot_be_is_left_out(index: int, value: int) -> None:
    numbers = [*GOOD[:index], value, *GOOD[index + 1 :]]
    assert read_hdr(frame_with(screen_bytes(*numbers), light_bytes(993, 141))) == HdrMetadata(
        light=HDR.light
    )


@pytest.mark.parametrize("light", [(0, 0), (70_000, 1), (5,)])
def test_light_that_cannot_be_is_left_out(light: tuple[int, ...]) -> None:
    assert read_hdr(frame_with(light_bytes(*light))) is None


@given(st.binary(max_size=120), st.binary(max_size=12))
def test_no_bytes_break_the_reader(screen: bytes, light: bytes) -> None:
    frame = frame_with((Type.MASTERING_DISPLAY_METADATA, screen), (Type.CONTENT_LIGHT_LEVEL, light))
    found = read_hdr(frame)
    assert found is None or found.mastering or found.light


def test_those_that_tell_are_those_of_the_tests() -> None:
    assert len(TELLS_HDR) == len(TELLING)
