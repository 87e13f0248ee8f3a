"""Sound that is awkward: late, early, with gaps, joined, of kinds that few containers take."""

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from faceswap_cli.media.reader import Span, probe_video, read_times
from faceswap_cli.media.sound import SoundReport, plan_sound
from faceswap_cli.media.writer import open_writer
from tests.awkward import rich, with_sound
from tests.clips import chirp, decode_sound, grey_images, write_clip

RATE = 16000
Part = tuple[Fraction, Any]
"""Begin of some sound in seconds, and its samples."""


def carry(source: Path, target: Path, span: Span | None = None) -> Path:
    """What the video stage does, with pictures that do not matter."""
    info = probe_video(source)
    times = read_times(source, span)
    with open_writer(
        target,
        size_wh=(64, 48),
        time_base=info.time_base,
        rate_hint=info.average_rate,
        codec="vp9" if target.suffix == ".webm" else "h264",
        colour=info.colour,
        metadata={},
        sound=plan_sound(info, target, span=span),
    ) as write:
        for timed, image in zip(times, grey_images(len(times)), strict=True):
            write(image, timed.time_s, timed.duration_s)
    return target


def heard(path: Path, length_s: float, *, track: int = 0, rate: int = RATE) -> Any:
    """Return the samples from the first picture on, silence where there is no sound.

    Time stamps that are rounded to a millisecond or two do not tear the sound apart.
    """
    start_s = read_times(path)[0].time_s
    timeline = np.zeros(round(length_s * rate))
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", rate)
        begin = None
        for frame in container.decode(container.streams.audio[track]):
            told = begin or 0  # WMA tells no time but that of its packets
            if frame.pts is not None:
                told = round((frame.pts * frame.time_base - start_s) * rate)
            if begin is None or abs(told - begin) > 0.025 * rate:
                begin = told
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[0]
                first, last = max(0, -begin), min(len(samples), len(timeline) - begin)
                if first < last:
                    timeline[begin + first : begin + last] = samples[first:last]
                begin += len(samples)
    return timeline


def lag_s(found: Any, wanted: Any, *, most_s: float = 0.1, rate: int = RATE) -> float:
    """Return by how much later `found` is heard, from where they fit best; they must fit."""
    most = round(most_s * rate)
    inner = wanted[most:-most]
    size = 2 ** (len(found) + len(inner)).bit_length()
    products = np.fft.irfft(np.fft.rfft(found, size) * np.fft.rfft(inner, size).conj(), size)
    begin = int(np.argmax(products[: 2 * most + 1]))
    shifted = found[begin : begin + len(inner)]
    assert shifted @ inner / (np.linalg.norm(shifted) * np.linalg.norm(inner)) > 0.98
    return (begin - most) / rate


def write_parts(
    path: Path, encoder: str, parts: Sequence[Part], *, rate: int = RATE, num: int = 50
) -> Path:
    """Pictures, and a track whose sound comes in parts with nothing between them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "mpeg2video" if path.suffix in (".vob", ".mpg", ".ts") else "libx264", rate=25
        )
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 25)
        video.gop_size = 10
        options = {"strict": "experimental"} if encoder == "vorbis" else {}
        track = container.add_stream(encoder, rate=rate, options=options)
        track.layout = "stereo" if encoder in ("pcm_dvd", "vorbis") else "mono"
        track.bit_rate = 128_000
        packets = []
        for index, image in enumerate(grey_images(num)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for begin_s, samples in parts:
            packets += _encoded(encoder, track, begin_s, samples, rate)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        container.mux(packets)
    return path


def _encoded(encoder: str, track: Any, begin_s: Fraction, samples: Any, rate: int) -> list[Any]:
    """Return packets of one part, by an encoder of its own that knows of no other."""
    context = av.CodecContext.create(encoder, "w")
    context.sample_rate, context.layout = rate, track.layout.name
    context.format, context.time_base = track.format.name, Fraction(1, rate)
    context.bit_rate = 128_000
    context.options = {"strict": "experimental"} if encoder == "vorbis" else {}
    resampler = av.AudioResampler(track.format.name, track.layout.name, rate)
    plain = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    plain.sample_rate, packets = rate, []
    for frame in resampler.resample(plain):
        frame.pts, frame.time_base = round(begin_s * rate), Fraction(1, rate)
        packets += context.encode(frame)
    packets += context.encode(None)
    for packet in packets:
        packet.stream, packet.time_base = track, Fraction(1, rate)
    return packets


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("offset", "begin_tick"), [(Fraction(1, 2), 0), (Fraction(0), 12)], ids=["late", "early"]
)
def test_sound_that_begins_late_or_early_stays_in_time(
    tmp_path: Path, suffix: str, offset: Fraction, begin_tick: int
) -> None:
    make = with_sound(1.4, sound_s=offset, picture_tick=begin_tick, suffix=".mkv")
    source = make(tmp_path)
    result = carry(source, tmp_path / f"b{suffix}")
    assert read_times(result)[0].time_s == 0
    wanted = heard(source, 0.9)
    assert abs(lag_s(heard(result, 0.9), wanted)) <= 0.001
    start_s, _, _ = decode_sound(result)
    if offset:
        assert 0.42 <= start_s <= 0.501  # the sound begins as late; AAC, one packet before it


@pytest.mark.parametrize(
    ("name", "encoder", "source_encoder"),
    [("a.mp4", "aac", "libx264"), ("a.mkv", "aac", "libx264"), ("a.ts", "mp2", "mpeg2video"),
     ("a.mpg", "mp2", "mpeg2video"), ("a.avi", "pcm_s16le", "mpeg4")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_span_deep_in_a_file_has_its_own_sound(
    tmp_path: Path, name: str, encoder: str, source_encoder: str, suffix: str
) -> None:
    """Beyond a second, the sound is reached by seeking."""
    rate = 32000
    source = write_clip(
        tmp_path / name,
        grey_images(100),
        encoder=source_encoder,
        options={"g": "30"},
        sounds=[(encoder, chirp(4.0, rate), rate, Fraction(0))],
    )
    span = Span.parse("2.6-3.4")
    result = carry(source, tmp_path / f"b{suffix}", span)
    start_s = read_times(source)[0].time_s
    shift_s = read_times(source, span)[0].time_s - start_s
    whole = heard(source, 4.0, rate=rate)[round(shift_s * rate) :]
    found = heard(result, 0.75, rate=rate)
    assert abs(lag_s(found, whole[: len(found)], rate=rate)) <= 0.001
    assert not heard(result, 1.5, rate=rate)[round(0.9 * rate) :].any()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("encoder", ["aac", "pcm_dvd"])
def test_hole_in_the_sound_does_not_shift_what_follows(
    tmp_path: Path, encoder: str, suffix: str
) -> None:
    """AAC is copied here; the PCM of DVDs is encoded again by an encoder that knows no holes."""
    rate = 48000
    name = "a.vob" if encoder == "pcm_dvd" else "a.mkv"
    parts = [(Fraction(0), chirp(0.6, rate)), (Fraction(6, 5), chirp(0.6, rate)[::-1].copy())]
    source = write_parts(tmp_path / name, encoder, parts, rate=rate)
    result = carry(source, tmp_path / f"b{suffix}")
    found, wanted = heard(result, 1.9, rate=rate), heard(source, 1.9, rate=rate)
    first, second = slice(0, rate * 3 // 5), slice(rate * 6 // 5, rate * 9 // 5)
    for part in (first, second):
        assert abs(lag_s(found[part], wanted[part], most_s=0.05, rate=rate)) <= 0.001
    assert abs(found[rate * 7 // 10 : rate * 11 // 10]).max() < 0.01


def test_seven_channels_do_not_become_two(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("flac", rate=48000)
        track.layout = "6.1"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 7 * 4096), np.int16), "s16", "6.1")
        sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
        container.mux([*track.encode(sound), *track.encode(None)])
        for index, image in enumerate(grey_images(2)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with av.open(str(carry(path, tmp_path / "b.webm"))) as container:
        assert container.streams.audio[0].layout.name == "5.1"


def test_a_time_stamp_of_weeks_later_makes_no_weeks_of_silence(tmp_path: Path) -> None:
    parts = [(Fraction(0), chirp(0.6, 48000)), (Fraction(10**6), chirp(0.6, 48000))]
    source = write_parts(tmp_path / "a.mkv", "flac", parts, rate=48000)
    started_s = time.monotonic()
    result = carry(source, tmp_path / "b.webm")
    assert time.monotonic() - started_s < 60.0
    _, samples, _ = decode_sound(result)
    assert 0.5 < len(samples) / 48000 < 1.0


def test_sound_of_joined_recordings_stays_with_their_pictures(tmp_path: Path) -> None:
    first = write_clip(
        tmp_path / "a.ts",
        grey_images(50),
        encoder="mpeg2video",
        options={"g": "10", "bf": "0"},
        sounds=[("mp2", chirp(2.0, 32000), 32000, Fraction(0))],
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() * 2)
    result = carry(joined, tmp_path / "b.mp4")
    whole = heard(result, 3.9, rate=32000)
    part = heard(first, 1.8, rate=32000)
    again_s = next(
        later.time_s
        for later, image in zip(read_times(result), read_times(joined), strict=True)
        if later.index == 50 or image.index == 50
    )
    assert abs(lag_s(whole[: len(part)], part, rate=32000)) <= 0.001
    second = whole[round(again_s * 32000) :][: len(part)]
    assert abs(lag_s(second, part, rate=32000)) <= 0.05  # two packets of mp2


@pytest.mark.parametrize(
    ("name", "encoder", "suffix", "codec"),
    [
        ("a.vob", "pcm_dvd", ".mkv", "aac"),  # Matroska has no place for it
        ("a.wmv", "wmav2", ".mkv", "aac"),
        ("a.wmv", "wmav2", ".mp4", "aac"),
        ("a.mkv", "aac", ".webm", "opus"),
        ("a.mkv", "flac", ".webm", "opus"),
    ],
)
def test_what_a_container_does_not_take_is_encoded(
    tmp_path: Path, name: str, encoder: str, suffix: str, codec: str
) -> None:
    rate = 48000
    source = write_parts(tmp_path / name, encoder, [(Fraction(0), chirp(1.9, rate))], rate=rate)
    plan = plan_sound(probe_video(source), tmp_path / f"b{suffix}")
    assert plan is not None
    proper = {"aac": "AAC", "opus": "Opus"}[codec]
    reason = f"{suffix} does not take {encoder}; encoded again as {proper}"
    assert list(plan.tracks.values()) == [SoundReport(False, codec, reason)]
    result = carry(source, tmp_path / f"b{suffix}")
    found, wanted = heard(result, 1.8, rate=rate), heard(source, 1.8, rate=rate)
    assert abs(lag_s(found, wanted, rate=rate)) <= 0.001


@pytest.mark.parametrize("encoder", ["libopus", "vorbis"])
def test_webm_copies_its_own_kinds(tmp_path: Path, encoder: str) -> None:
    source = write_parts(
        tmp_path / "a.mkv", encoder, [(Fraction(0), chirp(1.9, 48000))], rate=48000
    )
    result = carry(source, tmp_path / "b.webm")
    plan = plan_sound(probe_video(source), result)
    assert plan is not None
    assert list(plan.tracks.values()) == [SoundReport(True, encoder.removeprefix("lib"))]
    found, wanted = heard(result, 1.8, rate=48000), heard(source, 1.8, rate=48000)
    assert abs(lag_s(found, wanted, rate=48000)) <= 0.001


def test_sound_that_changes_its_form_is_encoded_on(tmp_path: Path) -> None:
    """As a broadcast does, from mono to stereo; MPEG packets may say so at any moment."""
    rate = 48000
    parts = []
    for name, layout in (("a", "mono"), ("b", "stereo")):
        path = tmp_path / f"{name}.mp2"
        with av.open(str(path), "w") as container:
            track = container.add_stream("mp2", rate=rate)
            track.layout = layout
            samples = np.repeat(chirp(0.96, rate), 1 if layout == "mono" else 2)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
            frame.sample_rate = rate
            container.mux([*track.encode(frame), *track.encode(None)])
        with av.open(str(path)) as container:
            parts += [bytes(packet) for packet in container.demux() if packet.size]
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = container.add_mux_stream("mp2", rate=rate)
        for index, image in enumerate(grey_images(50)):
            shown = av.VideoFrame.from_ndarray(image, format="rgb24")
            shown.pts, shown.time_base = index, Fraction(1, 25)
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
        for index, data in enumerate(parts):
            packet = av.Packet(data)
            packet.pts = packet.dts = index * 1152
            packet.time_base, packet.stream = Fraction(1, rate), track
            container.mux(packet)
    result = carry(source, tmp_path / "b.mov")  # takes no mp2
    found = heard(result, 1.9, rate=rate)
    for part in (slice(0, 44000), slice(len(parts) // 2 * 1152, len(parts) // 2 * 1152 + 40000)):
        tone = chirp(0.96, rate)[: part.stop - part.start] / 32768
        assert abs(lag_s(found[part], tone, most_s=0.03, rate=rate)) <= 0.025  # the codecs' delay


@pytest.mark.parametrize("source_suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_languages_names_and_flags_of_tracks_are_kept(
    tmp_path: Path, source_suffix: str, suffix: str
) -> None:
    source = rich(source_suffix, subtitles=())(tmp_path)
    with av.open(str(carry(source, tmp_path / f"b{suffix}"))) as container:
        tracks = container.streams.audio
        assert [track.metadata["language"] for track in tracks] == ["eng", "fra"]
        titles = [track.metadata.get("title") or track.metadata.get("name") for track in tracks]
        assert titles == ["Film", "Talk"]
        is_default = [bool(track.disposition & Disposition.default) for track in tracks]
        assert is_default == [True, False]


def test_tags_about_the_old_packets_are_dropped(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    with av.open(str(rich(subtitles=())(tmp_path))) as old, av.open(str(source), "w") as new:
        streams = old.streams.video + old.streams.audio
        outputs = {s.index: new.add_stream_from_template(s, opaque=True) for s in streams}
        outputs[1].metadata.update({"BPS": "1", "NUMBER_OF_FRAMES-eng": "2", "mood": "calm"})
        for packet in old.demux(*streams):
            if packet.dts is not None:
                packet.stream = outputs[packet.stream.index]
                new.mux(packet)
    with av.open(str(carry(source, tmp_path / "b.mkv", Span.parse("0.4-")))) as container:
        tags = {key.lower(): value for key, value in container.streams.audio[0].metadata.items()}
    assert tags.get("mood") == "calm"
    assert not [key for key in tags if key.startswith(("bps", "number_of"))]
    assert tags["duration"].startswith("00:00:00.")
    assert float(tags["duration"][6:]) < 0.7


def test_track_that_ffmpeg_does_not_know_is_said(tmp_path: Path) -> None:
    source = rich(subtitles=())(tmp_path)
    data = source.read_bytes()
    source.write_bytes(data.replace(b"A_AAC", b"A_ZZZ", 1))
    plan = plan_sound(probe_video(source), tmp_path / "b.mp4")
    assert plan is not None
    assert list(plan.tracks) == [2]
    assert plan.lost == {1: "its codec is unknown to ffmpeg, or encrypted"}
    with av.open(str(carry(source, tmp_path / "b.mp4"))) as container:
        assert len(container.streams.audio) == 1


def test_packets_without_duration_are_copied(tmp_path: Path) -> None:
    first = with_sound(0.9)(tmp_path)
    source = tmp_path / "b.mkv"
    with av.open(str(first)) as old, av.open(str(source), "w") as new:
        outputs = [new.add_stream_from_template(stream, opaque=True) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream, packet.duration = outputs[packet.stream.index], 0
                new.mux(packet)
    result = carry(source, tmp_path / "c.mp4")
    assert abs(lag_s(heard(result, 0.8), heard(source, 0.8))) <= 0.001


def test_time_that_stands_still_in_the_sound_is_survived(tmp_path: Path) -> None:
    """Matroska takes such packets; mp4 does not."""
    first = with_sound(0.9)(tmp_path)
    source = tmp_path / "b.mkv"
    with av.open(str(first)) as old, av.open(str(source), "w") as new:
        outputs = [new.add_stream_from_template(stream, opaque=True) for stream in old.streams]
        for index, packet in enumerate(old.demux()):
            if packet.dts is not None:
                is_sound = packet.stream.type == "audio"
                packet.stream = outputs[packet.stream.index]
                if is_sound and index > 20:
                    packet.pts = packet.dts = packet.pts // 4096 * 4096
                new.mux(packet)
    _, samples, _ = decode_sound(carry(source, tmp_path / "c.mp4"))
    assert len(samples) > 0
