"""Encoding: each codec gives back what it was given, or says why it cannot."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest

from faceswap_cli.config import VideoConfig
from faceswap_cli.errors import ConfigError, MediaError
from faceswap_cli.media import codecs, encoders, encoding
from faceswap_cli.media.colour import ColourTags
from faceswap_cli.media.encoders import CODECS, HARDWARE, PRESETS, VideoCodec
from faceswap_cli.media.encoding import (
    CONTAINERS,
    Encoding,
    PictureConverter,
    check_encoding,
    explained,
    resolve_depth,
)
from faceswap_cli.media.encoding_errors import listening
from faceswap_cli.media.reader import read_frames
from faceswap_cli.media.samples import read_siting
from tests.clips import noise_images, patch_image
from tests.encoded import BT709, HOMES, PQ, decode, encode, form_of, planes, sample_values
from tests.made_faces import smooth_picture

FAST = "ultrafast"
LOSSY = [codec for codec in CODECS if codec != "ffv1"]
TEN_BIT_YUV: list[VideoCodec] = ["h264", "h265", "av1", "prores"]
GREYS = np.repeat(np.arange(1024), 2)


def grey_ramp(num_rows: int = 64) -> Any:
    """Every level of 10 bits, (num_rows, 2048, 3), uint16."""
    levels = np.rint(GREYS * (65535 / 1023)).astype(np.uint16)
    return np.broadcast_to(levels[None, :, None], (num_rows, len(levels), 3)).copy()


def blob(size_wh: tuple[int, int] = (64, 48)) -> Any:
    """A soft disc, and a soft alpha of another place; (H, W, 4), uint8."""
    width, height = size_wh
    y, x = np.mgrid[:height, :width]
    disc = 255 * np.exp(-((x - width / 2) ** 2 + (y - height / 2) ** 2) / 300)
    alpha = 255 * np.exp(-((x - width / 3) ** 2 + (y - height / 2) ** 2) / 400)
    return np.rint(np.dstack([disc, 255 - disc, np.full_like(disc, 90), alpha])).astype(np.uint8)


def pairs() -> Iterator[tuple[str, VideoCodec]]:
    for suffix, (_, taken) in CONTAINERS.items():
        yield from ((suffix, codec) for codec in taken)


@pytest.mark.parametrize(("suffix", "codec"), list(pairs()))
def test_each_pair_that_is_allowed_is_written(
    tmp_path: Path, suffix: str, codec: VideoCodec
) -> None:
    chosen = Encoding(codec, preset=FAST)
    check_encoding(suffix, chosen)
    images = noise_images(3, (64, 48))
    frames = decode(encode(tmp_path / f"a{suffix}", images, form_of(images[0]), chosen))
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48)] * 3


@pytest.mark.parametrize(
    ("codec", "depth"), [*((codec, 8) for codec in LOSSY), *((codec, 10) for codec in TEN_BIT_YUV)]
)
@pytest.mark.parametrize("colour", [BT709, replace(BT709, range=2), PQ], ids=["709", "full", "PQ"])
def test_samples_and_tags_are_those_of_the_standard(
    tmp_path: Path, codec: VideoCodec, colour: ColourTags, depth: int
) -> None:
    image = patch_image((192, 64))
    chosen = Encoding(codec, depth=depth, crf=1, preset=FAST)
    path = encode(tmp_path / f"a{HOMES[codec]}", [image] * 3, form_of(image, colour), chosen)
    frame = decode(path)[0]
    told = replace(colour, range=1) if codec == "prores" else colour
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (
        told.matrix,
        told.primaries,
        told.transfer,
    )
    assert frame.color_range == told.range
    bits = frame.format.components[0].bits
    expected = sample_values(image[32, 16::32] / 255.0, told, bits)
    for samples, values in zip(planes(frame), expected, strict=False):
        step_x, step_y = 192 // samples.shape[1], 64 // samples.shape[0]
        found = samples[32 // step_y, 16 // step_x :: 32 // step_x].astype(float)
        np.testing.assert_allclose(found, values, atol=3 * 2 ** (bits - 8))


@pytest.mark.parametrize("codec", TEN_BIT_YUV)
def test_ten_bits_keep_their_steps(tmp_path: Path, codec: VideoCodec) -> None:
    image = grey_ramp()
    chosen = Encoding(codec, depth=10, crf=0, preset=FAST)
    frame = decode(encode(tmp_path / f"a{HOMES[codec]}", [image] * 3, form_of(image), chosen))[0]
    bits = frame.format.components[0].bits
    luma = planes(frame)[0].astype(float)[:, ::2] / 2 ** (bits - 10)
    assert len(np.unique(luma.round())) > 700  # 8 bits would give 220
    np.testing.assert_allclose(luma.mean(0), 64 + 876 * GREYS[::2] / 1023, atol=2.5)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_conversion_is_exact_to_the_step(depth: int, dtype: Any) -> None:
    # swscale takes 65280 of 65535 for white, which would be 3.4 steps of 10 bits.
    top = np.iinfo(dtype).max
    flat = np.random.default_rng(0).integers(0, top + 1, (4, 8, 3))
    flat[0, :3] = [[top] * 3, [0] * 3, [top, 0, 0]]
    image = flat.repeat(16, 0).repeat(16, 1).astype(dtype)
    found = planes(PictureConverter(form_of(image), Encoding(depth=depth)).frame(image))
    expected = sample_values(flat / top, BT709, depth)
    for samples, values in zip(found, expected, strict=True):
        step = 64 // samples.shape[0]
        centres = samples[8 // step :: 16 // step, 8 // step :: 16 // step]
        assert abs(centres - values).max() < 1.3


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
def test_chroma_samples_lie_where_the_tag_says(siting: str) -> None:
    rows, columns = np.mgrid[:64, :64]
    image = np.dstack([columns * 4, np.full((64, 64), 128), rows * 4]).astype(np.uint8)
    blue, red = planes(PictureConverter(form_of(image, siting=siting), Encoding()).frame(image))[1:]
    across = 0.5 if siting == "center" else 0.0
    down = 0.0 if siting == "topleft" else 0.5
    at_x, at_y = 2 * np.arange(32) + across, 2 * np.arange(32) + down
    rgb = np.dstack(
        [np.tile(4 * at_x, (32, 1)), np.full((32, 32), 128.0), np.tile(4 * at_y[:, None], (1, 32))]
    )
    _, expected_blue, expected_red = sample_values(rgb / 255, BT709, 8)
    for found, expected in ((blue, expected_blue), (red, expected_red)):
        errors = (found - expected)[4:-4, 4:-4]
        assert abs(errors.mean()) < 0.1
        assert abs(errors).max() < 1.0


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_siting_is_told(tmp_path: Path, codec: VideoCodec, siting: str) -> None:
    image = patch_image((64, 48))
    path = encode(tmp_path / "a.mp4", [image], form_of(image, siting=siting), Encoding(codec))
    assert read_siting(decode(path)[0]) == siting


@pytest.mark.parametrize("siting", ["left", "topleft", "center"])
@pytest.mark.parametrize("codec", LOSSY)
def test_colours_are_where_they_were_whether_the_file_tells_siting_or_not(
    tmp_path: Path, codec: VideoCodec, siting: str
) -> None:
    image = smooth_picture(1, (96, 64), detail_px=5.0)
    chosen, form = Encoding(codec, crf=1, preset=FAST), form_of(image, siting=siting)
    path = encode(tmp_path / f"a{HOMES[codec]}", [image] * 3, form, chosen)
    shown = next(read_frames(path)).image
    assert np.abs(shown.astype(int) - image).mean() < 1.0  # 2 if it is half a pixel off


def test_hardware_is_given_chroma_at_the_usual_place() -> None:
    image = smooth_picture(1, (96, 64), detail_px=5.0)
    usual, other = (
        PictureConverter(form_of(image, siting=siting), Encoding("h264", encoder="nvenc"))
        for siting in ("left", "center")
    )
    for first, second in zip(planes(usual.frame(image)), planes(other.frame(image)), strict=True):
        np.testing.assert_array_equal(first, second)


def test_prores_of_videotoolbox_gets_a_format_that_it_takes() -> None:
    chosen = Encoding("prores", encoder="videotoolbox")
    assert encoders.encoder_format("prores_videotoolbox", chosen) == "p210le"
    assert encoders.encoder_format("prores_ks", chosen) == "yuv422p10le"


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (10, np.uint16)])
@pytest.mark.parametrize("alpha", [False, True])
def test_ffv1_loses_nothing_not_even_the_odd_pixel(
    tmp_path: Path, depth: int, dtype: Any, alpha: bool
) -> None:
    shape = (27, 35, 4 if alpha else 3)
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    chosen = Encoding("ffv1", depth=depth, alpha=alpha)
    frame = decode(encode(tmp_path / "a.mkv", [image], form_of(image), chosen))[0]
    if depth == 8:
        found = frame.to_ndarray(format="rgba" if alpha else "rgb24")
    else:
        found = np.dstack([planes(frame)[i] for i in ((2, 0, 1, 3) if alpha else (2, 0, 1))])
    np.testing.assert_array_equal(found, image)


def test_ffv1_fits_pictures_to_its_depth(tmp_path: Path) -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    deep = decode(encode(tmp_path / "a.mkv", [image], form_of(image), Encoding("ffv1", depth=10)))
    assert planes(deep[0])[0].max() == 200 * 257
    image = np.full((32, 32, 3), 200 * 257 + 100, np.uint16)
    flat = decode(encode(tmp_path / "a.mkv", [image], form_of(image), Encoding("ffv1")))
    assert flat[0].to_ndarray(format="rgb24").max() == 200


@pytest.mark.parametrize(
    ("codec", "decoder", "atol"), [("prores", "", 3), ("vp9", "libvpx-vp9", 6)]
)
def test_alpha_and_the_colours_under_it_come_back(
    tmp_path: Path, codec: VideoCodec, decoder: str, atol: int
) -> None:
    image = blob()
    chosen = Encoding(codec, alpha=True, crf=2, depth=8)
    path = encode(tmp_path / f"a{HOMES[codec]}", [image] * 2, form_of(image), chosen)
    frame = decode(path, decoder)[0]
    assert "yuva" in frame.format.name
    bits = frame.format.components[3].bits
    found = planes(frame)
    np.testing.assert_allclose(found[3] / (2**bits - 1) * 255, image[..., 3], atol=atol)
    luma = sample_values(image[..., :3] / 255, BT709, bits)[0]
    np.testing.assert_allclose(found[0], luma, atol=atol * 2 ** (bits - 8))


@pytest.mark.parametrize(
    ("suffix", "changes", "what", "fix"),
    [
        (".avi", {}, ".avi is not a video we write", ".mp4"),
        ("", {}, "a name without suffix", ".mp4"),
        (".mp4", {"codec": "prores"}, "prores does not go into .mp4", ".mov"),
        (".webm", {"codec": "h264"}, "h264 does not go into .webm", "vp9 av1"),
        (".mov", {"codec": "vp9"}, "vp9 does not go into .mov", ".webm"),
        (".mp4", {"codec": "ffv1"}, "ffv1 does not go into .mp4", ".mkv"),
        (".mp4", {"codec": "h266"}, "'h266' is no codec", "prores"),
        (".mp4", {"encoder": "vaapi"}, "'vaapi' is no encoder", "nvenc"),
        (".mp4", {"preset": "quick"}, "'quick' is no preset", "medium"),
        (".mp4", {"crf": 52}, "crf 52 is out of range", "51"),
        (".mp4", {"crf": -1}, "crf -1 is out of range", "0"),
        (".mp4", {"depth": 12}, "12 bits", "8 or 10"),
        (".webm", {"codec": "vp9", "depth": 10}, "vp9 is written with 8 bits only", "h265"),
        (".mp4", {"alpha": True}, "h264 in .mp4 has no alpha", "prores in .mov"),
        (".mp4", {"codec": "vp9", "alpha": True}, "vp9 in .mp4 has no alpha", ".webm"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(
    suffix: str, changes: dict[str, Any], what: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check_encoding(suffix, replace(Encoding(), **changes))
    message, _, mended = str(error.value).partition("\nfix: ")
    assert what in message
    assert fix in mended


def test_settings_and_encoders_know_the_same_words() -> None:
    fields = VideoConfig.model_fields
    assert get_args(fields["codec"].annotation) == CODECS
    assert get_args(fields["encoder"].annotation) == encoders.CHOICES
    assert get_args(fields["preset"].annotation) == PRESETS
    assert {f".{name}" for name in get_args(fields["container"].annotation)} < set(CONTAINERS)
    assert VideoConfig(crf=encoders.MAX_CRF).crf == encoders.MAX_CRF
    with pytest.raises(ValueError, match="crf"):
        VideoConfig(crf=encoders.MAX_CRF + 1)


@pytest.mark.parametrize(
    ("wanted", "codec", "bits", "depth"),
    [
        ("auto", "h265", 10, 10),
        ("auto", "h265", 8, 8),
        ("auto", "h264", 10, 8),
        ("auto", "vp9", 12, 8),
        ("10", "h264", 8, 10),
        ("8", "h265", 10, 8),
    ],
)
def test_depth_follows_the_footage_where_the_codec_can(
    wanted: Any, codec: VideoCodec, bits: int, depth: int
) -> None:
    assert resolve_depth(wanted, codec, footage_bits=bits) == depth


@pytest.mark.parametrize("codec", CODECS)
def test_every_preset_opens_and_every_option_is_taken(tmp_path: Path, codec: VideoCodec) -> None:
    form = form_of(blob()[..., :3])
    for preset in PRESETS:
        with av.open(str(tmp_path / f"a{HOMES[codec]}"), "w") as output:
            stream = encoding.add_picture_stream(output, form, Encoding(codec, preset=preset))
            assert stream.codec_context.options == {}  # what it did not know would be left


HARDWARE_ENCODERS = [
    (codec, name)
    for codec in CODECS
    for kind in HARDWARE
    if (name := encoders.hardware_encoder(codec, kind)) in av.codecs_available
]


@pytest.mark.parametrize(("codec", "name"), HARDWARE_ENCODERS)
def test_options_and_formats_of_hardware_encoders_exist(codec: VideoCodec, name: str) -> None:
    options = av.CodecContext.create(name, "w").supported_options
    known = {option.name: option for option in (*options.generic, *options.private)}
    formats = [found.name for found in av.Codec(name, "w").video_formats]
    for preset in PRESETS:
        chosen = Encoding(codec, preset=preset)
        for option, value in encoders.encoder_options(name, chosen, None).items():
            choices = [choice.name for choice in known[option].choices]
            assert not choices or value.lstrip("+").isdigit() or value.lstrip("+") in choices
        assert encoders.encoder_format(name, chosen) in formats
        if codec != "h264":  # 10 bits of it are not in all hardware: said when it is opened
            assert encoders.encoder_format(name, replace(chosen, depth=10)) in formats


@pytest.mark.parametrize("codec", LOSSY)
def test_one_scale_of_quality_serves_all(tmp_path: Path, codec: VideoCodec) -> None:
    image = np.clip(patch_image((128, 96)) + noise_images(1, (128, 96))[0] // 8, 0, 255)
    image = image.astype(np.uint8)
    sizes = []
    for crf in (2, 16, 40):
        path = encode(
            tmp_path / f"{crf}{HOMES[codec]}",
            [image] * 3,
            form_of(image),
            Encoding(codec, crf=crf, preset=FAST),
        )
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.2 * sizes[2]


@pytest.mark.parametrize("codec", LOSSY)
def test_the_best_quality_is_not_taken_for_none_at_all(tmp_path: Path, codec: VideoCodec) -> None:
    image = noise_images(1, (128, 96))[0] // 4 + 90
    sizes = []
    for crf in (0, 10):
        chosen = Encoding(codec, crf=crf, preset=FAST)
        path = encode(tmp_path / f"{crf}{HOMES[codec]}", [image] * 3, form_of(image), chosen)
        sizes.append(path.stat().st_size)
    assert sizes[0] >= sizes[1]


def test_header_of_h265_does_not_name_the_processor(tmp_path: Path) -> None:
    image = patch_image((64, 48))
    path = encode(tmp_path / "a.mp4", [image] * 3, form_of(image), Encoding("h265", preset=FAST))
    with av.open(str(path)) as container:
        assert b"cpuid" not in (container.streams.video[0].codec_context.extradata or b"")


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_pictures_make_the_same_packets(tmp_path: Path, codec: VideoCodec) -> None:
    images = noise_images(12, (64, 48))
    found = []
    for name in "ab":
        path = encode(
            tmp_path / f"{name}{HOMES[codec]}", images, form_of(images[0]), Encoding(codec)
        )
        with av.open(str(path)) as container:
            found.append([bytes(packet) for packet in container.demux(video=0)])
    assert found[0] == found[1]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_groups_of_pictures_are_closed(tmp_path: Path, codec: VideoCodec) -> None:
    # 250 pictures are a group; an open one would refer to pictures of the next.
    images = [np.roll(blob()[..., :3], index, 1) for index in range(270)]
    path = encode(tmp_path / "a.mp4", images, form_of(images[0]), Encoding(codec, preset="medium"))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert packets[0].is_keyframe
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    assert len(keys) > 1
    for key in keys:
        assert all(packet.pts > packets[key].pts for packet in packets[key + 1 :])


@pytest.mark.parametrize("codec", CODECS)
def test_encoders_print_nothing(
    tmp_path: Path, codec: VideoCodec, capfd: pytest.CaptureFixture[str]
) -> None:
    image = patch_image((64, 48))
    encode(tmp_path / f"a{HOMES[codec]}", [image], form_of(image), Encoding(codec, preset=FAST))
    assert capfd.readouterr() == ("", "")


def test_hardware_that_is_not_there_is_said_and_software_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding, "hardware_encoder", lambda codec, kind: "none_nvenc")
    image = patch_image((64, 48))
    path = encode(tmp_path / "a.mp4", [image], form_of(image), Encoding(encoder="nvenc"))
    assert len(decode(path)) == 1
    assert "nvenc cannot encode h264 here, software does it: " in caplog.text
    assert "no none_nvenc" in caplog.text


def test_hardware_that_does_not_open_is_said_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = encoders.encoder_options
    monkeypatch.setattr(encoding, "hardware_encoder", lambda codec, kind: "libx265")
    monkeypatch.setattr(
        encoding,
        "encoder_options",
        lambda name, *rest: real(name, *rest) | ({"preset": "no"} if name == "libx265" else {}),
    )
    image = patch_image((64, 48))
    encode(tmp_path / "a.mp4", [image], form_of(image), Encoding(encoder="qsv"))
    assert "software does it: Invalid argument; [libx265] Error setting preset" in caplog.text


def test_hardware_that_opens_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding, "hardware_encoder", lambda codec, kind: "libx264")
    monkeypatch.setitem(encoders.SOFTWARE, "h264", "none")
    image = patch_image((64, 48))
    with caplog.at_level(logging.INFO):
        path = encode(tmp_path / "a.mp4", [image], form_of(image), Encoding(encoder="auto"))
    assert len(decode(path)) == 1
    assert "h264 is encoded by libx264" in caplog.text


def test_auto_takes_software_without_a_warning_where_there_is_no_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding, "hardware_encoder", lambda codec, kind: None)
    image = patch_image((64, 48))
    encode(tmp_path / "a.mp4", [image], form_of(image), Encoding(encoder="auto"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_alpha_goes_to_software_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Encoding("prores", encoder="videotoolbox", alpha=True)
    encode(tmp_path / "a.mov", [blob()], form_of(blob()), chosen)
    assert "alpha is not done by hardware" in caplog.text


def test_words_of_a_software_encoder_reach_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = encoders.encoder_options
    monkeypatch.setattr(
        encoding,
        "encoder_options",
        lambda *args: real(*args) | {"x265-params": "log-level=error:keyint=-7:bframes=99"},
    )
    image = patch_image((64, 48))
    with pytest.raises(MediaError, match=r"libx265 does not open: (.|\n)*x265 \[error\]: "):
        encode(tmp_path / "a.mp4", [image], form_of(image), Encoding("h265"))
    assert capfd.readouterr().err == ""


def test_words_of_ffmpeg_reach_the_error_where_it_is_listened_to(tmp_path: Path) -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.options = {"preset": "none"}
    with (
        pytest.raises(MediaError, match=r"a\.mp4 cannot be written: .*\n(.|\n)*\[libx264\] Error"),
        explained(tmp_path / "a.mp4", listen=True),
    ):
        context.open()


def test_what_others_print_meanwhile_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with listening([]):
        os.write(2, b"a bar\n")
    assert capfd.readouterr().err == "a bar\n"


def test_work_goes_on_when_nobody_reads_what_others_print() -> None:
    kept, (reading, writing) = os.dup(2), os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    os.close(reading)
    try:
        with listening([]):
            os.write(2, b"a bar\n")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_listening_ends_with_the_block(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    with suppress(ValueError), listening([]), listening(heard):
        os.write(2, b"[libx @ 0x55aa] no\n\n")
        raise ValueError
    assert heard == ["[libx] no"]
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
    av.logging.log(av.logging.ERROR, "x", "silent again")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("shape", [(48, 64, 4), (48, 62, 3), (48, 64)])
def test_picture_of_another_form_is_refused(shape: tuple[int, ...]) -> None:
    converter = PictureConverter(form_of(blob()[..., :3]), Encoding())
    with pytest.raises(MediaError, match="cannot follow"):
        converter.frame(np.zeros(shape, np.uint8))


def test_hardware_is_tried_and_each_failure_has_a_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codecs, "HARDWARE", ("nvenc", "qsv"))
    names = {("h264", "nvenc"): "libx264", ("h265", "nvenc"): "libx265", ("av1", "qsv"): "none"}
    monkeypatch.setattr(codecs, "hardware_encoder", lambda codec, kind: names.get((codec, kind)))
    real = encoders.encoder_options
    monkeypatch.setattr(
        encoding,
        "encoder_options",
        lambda name, *rest: real(name, *rest) | ({"preset": "no"} if name == "libx265" else {}),
    )
    found = codecs.try_hardware()
    assert found["libx264"] == ""
    assert "Error setting preset" in found["libx265"]
    assert set(found) == {"libx264", "libx265"}
    assert capfd.readouterr().err == ""


def test_every_encoder_of_the_wheel_is_there() -> None:
    assert [name for name in codecs.ENCODERS if not codecs.has_encoder(name)] == []
    assert set(encoders.SOFTWARE.values()) < set(codecs.ENCODERS)
