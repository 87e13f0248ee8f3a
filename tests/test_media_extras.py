"""Subtitles, chapters, tags and attached files come along, cut to the span."""

import re
import struct
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.media.extras import ExtrasPlan, open_extras, plan_extras
from faceswap_cli.media.oddities import find_oddities
from faceswap_cli.media.provenance import synthetic_mark
from faceswap_cli.media.reader import Span, probe_video, read_times
from faceswap_cli.media.subtitles import ASS_DRAWING, Lines
from tests.awkward import CHAPTERS, CLIPS, LINES, SIZE_WH, TAGS, rich, scene
from tests.clips import grey_images, write_clip

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
Shown = list[tuple[int, int, str]]
"""Begin and end in milliseconds, text."""


def carry(
    source: Path,
    target: Path,
    span: Span | None = None,
    *,
    metadata: dict[str, str] | None = None,
    is_header_first: bool = True,
) -> ExtrasPlan | None:
    """What a writer does, with pictures that do not matter."""
    plan = plan_extras(probe_video(source), target, span=span)
    times = read_times(source, span)
    options = {"movflags": "use_metadata_tags"} if target.suffix in (".mp4", ".mov") else {}
    encoder = "libvpx-vp9" if target.suffix == ".webm" else "libx264"
    with av.open(
        str(target), "w", format=FORMATS[target.suffix], container_options=options
    ) as output:
        output.metadata.update(metadata or {})
        video = output.add_stream(encoder, rate=25)
        video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if plan is None:
            return None
        with open_extras(plan, output) as feed:
            if is_header_first:
                output.start_encoding()
            feed.begin(times[0].time_s)
            for timed, image in zip(times, scene(len(times)), strict=True):
                feed.feed(timed.time_s)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = round((timed.time_s - times[0].time_s) * 1000)
                frame.time_base = Fraction(1, 1000)
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
            feed.feed(None)
    return plan


def read_subtitles(path: Path, track: int = 0) -> Shown:
    """Return when each text is shown; the texts without their marks."""
    shown = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.subtitles[track]):
            texts = [part.dialogue.decode() for part in packet.decode()] if packet.size else []
            if any(texts):
                begin = packet.pts * packet.time_base * 1000
                length = packet.duration * packet.time_base * 1000
                shown.append((round(begin), round(begin + length), strip("\n".join(texts))))
    return shown


def strip(text: str) -> str:
    for mark in ("{\\i1}", "{\\i0}", "{\\r}"):
        text = text.replace(mark, "")
    return text.replace("\\N", "\n")


def expected(lines: Any, begin: int = 0, end: int = 10**6) -> Shown:
    """The lines as seen from `begin` on, by hand."""
    cut = [(max(start, begin), min(stop, end), strip(text)) for start, stop, text in lines]
    return [(start - begin, stop - begin, text) for start, stop, text in cut if stop > start]


def read_chapters(path: Path) -> list[tuple[str, int, int]]:
    with av.open(str(path)) as container:
        return [
            (
                chapter["metadata"]["title"],
                round(chapter["start"] * chapter["time_base"] * 1000),
                round(chapter["end"] * chapter["time_base"] * 1000),
            )
            for chapter in container.chapters()
        ]


def read_tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In Matroska, with subtitles in three kinds and a font."""
    return rich()(tmp_path_factory.mktemp("film"))


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In mp4, with its own kind of subtitles."""
    make = rich(".mp4", subtitles=(("mov_text", "eng"), ("mov_text", "swe")))
    return make(tmp_path_factory.mktemp("phone"))


@pytest.mark.parametrize("source", ["film", "phone"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_all_subtitles_are_shown_when_they_were(
    tmp_path: Path, request: pytest.FixtureRequest, source: str, suffix: str
) -> None:
    path: Path = request.getfixturevalue(source)
    plan = carry(path, tmp_path / f"b{suffix}")
    assert plan is not None
    assert len(plan.subtitles) == (3 if source == "film" else 2)
    for track in range(len(plan.subtitles)):
        assert read_subtitles(tmp_path / f"b{suffix}", track) == expected(LINES)


@pytest.mark.parametrize(
    ("suffix", "kinds", "copied"),
    [
        (".mkv", ["subrip", "ass", "webvtt"], [True, True, True]),
        (".mp4", ["mov_text"] * 3, [False] * 3),
        (".webm", ["webvtt"] * 3, [False, False, True]),
    ],
)
def test_kind_of_subtitles_changes_only_where_it_must(
    tmp_path: Path, film: Path, suffix: str, kinds: list[str], copied: list[bool]
) -> None:
    plan = carry(film, tmp_path / f"b{suffix}")
    assert plan is not None
    found = list(plan.subtitles.values())
    assert [report.codec for report in found] == kinds
    assert [report.copied for report in found] == copied
    assert all(bool(report.reason) != report.copied for report in found)
    decoders = {"subrip": "srt", "ass": "ssa"}
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        names = [stream.codec_context.name for stream in container.streams.subtitles]
    assert names == [decoders.get(kind, kind) for kind in kinds]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_italics_survive(tmp_path: Path, film: Path, suffix: str) -> None:
    carry(film, tmp_path / f"b{suffix}")
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        packets = container.demux(container.streams.subtitles[0])
        events = [part.ass for packet in packets if packet.size for part in packet.decode()]
    assert b"{\\i1}Hello{" in events[0]


@pytest.mark.parametrize("source", ["film", "phone"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_languages_names_and_flags_are_kept(
    tmp_path: Path, request: pytest.FixtureRequest, source: str, suffix: str
) -> None:
    path: Path = request.getfixturevalue(source)
    carry(path, tmp_path / f"b{suffix}")
    with av.open(str(path)) as old, av.open(str(tmp_path / f"b{suffix}")) as new:
        pairs = list(zip(old.streams.subtitles, new.streams.subtitles, strict=True))
        for before, after in pairs:
            language = before.metadata["language"]
            assert after.metadata["language"] == language
            assert (after.metadata.get("title") or after.metadata["name"]) == f"In {language}"
            is_forced = language == "swe"
            assert bool(after.disposition & Disposition.forced) == is_forced
        assert {s.metadata["language"] for _, s in pairs} >= {"eng", "swe"}


def test_languages_survive_quicktime(tmp_path: Path) -> None:
    """Its list is older than ISO 639: it has "sve" for Swedish, and German by one code only."""
    kinds = [("subrip", code) for code in ("swe", "deu", "nld", "eng", "hrv")]
    source = rich(subtitles=kinds)(tmp_path)
    for before, after in ((source, "b.mov"), (tmp_path / "b.mov", "c.mkv")):
        carry(before, tmp_path / after)
    with av.open(str(tmp_path / "c.mkv")) as container:
        found = [stream.metadata["language"] for stream in container.streams.subtitles]
    assert found == ["swe", "ger", "dut", "eng", "hrv"]  # ISO 639-2 has two codes for some


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("text", "begin", "end"), [("0.2-0.6", 200, 600), ("0.4-", 400, 960), ("-0.56", 0, 560)]
)
def test_span_cuts_subtitles_and_chapters(
    tmp_path: Path, film: Path, suffix: str, text: str, begin: int, end: int
) -> None:
    result = tmp_path / f"b{suffix}"
    plan = carry(film, result, Span.parse(text))
    assert plan is not None
    for track in range(3):
        assert read_subtitles(result, track) == expected(LINES, begin, end)
    wanted = [
        (title, max(start, begin) - begin, min(stop, end) - begin)
        for title, start, stop in CHAPTERS
        if min(stop, end) > max(start, begin)
    ]
    assert read_chapters(result) == wanted
    assert len(plan.chapters) == len(wanted)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("is_header_first", [True, False])
def test_chapters_are_kept(tmp_path: Path, film: Path, suffix: str, is_header_first: bool) -> None:
    carry(film, tmp_path / f"b{suffix}", is_header_first=is_header_first)
    assert read_chapters(tmp_path / f"b{suffix}") == list(CHAPTERS)


def test_chapters_of_mp4_are_not_reported_as_a_lost_track(tmp_path: Path, phone: Path) -> None:
    plan = carry(phone, tmp_path / "b.mkv")
    assert plan is not None
    assert plan.lost == ()
    assert read_chapters(tmp_path / "b.mkv") == list(CHAPTERS)


@pytest.mark.parametrize("source", ["film", "phone"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_tags_are_kept_and_our_mark_comes_first(
    tmp_path: Path, request: pytest.FixtureRequest, source: str, suffix: str
) -> None:
    path: Path = request.getfixturevalue(source)
    mark = synthetic_mark("1.2")
    carry(path, tmp_path / f"b{suffix}", metadata=mark)
    found = read_tags(tmp_path / f"b{suffix}")
    kept = {key: found[key] for key in ("title", "artist", "date")}
    assert kept == {key: TAGS[key] for key in kept}
    assert found["comment"] == f"{mark['comment']}\n{TAGS['comment']}"
    assert found["digital_source_type"] == mark["digital_source_type"]
    assert ("major_brand" in found) == (suffix != ".mkv")


def test_mark_does_not_pile_up(tmp_path: Path, film: Path) -> None:
    mark = synthetic_mark("1.2")
    for source, target in ((film, "b.mkv"), (tmp_path / "b.mkv", "c.mkv")):
        carry(source, tmp_path / target, metadata=mark)
    assert read_tags(tmp_path / "c.mkv")["comment"].count(mark["comment"]) == 1


def test_fonts_are_kept_in_matroska_and_named_elsewhere(
    tmp_path: Path, film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    carry(film, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        (font,) = (stream for stream in container.streams if stream.type == "attachment")
        assert bytes(font.data) == b"\0\1\0\0font"
        assert font.metadata["filename"] == "a.ttf"
        assert font.metadata["mimetype"] == "application/x-truetype-font"
    assert not caplog.records
    carry(film, tmp_path / "b.mp4")
    assert "a.ttf is left out: .mp4 takes none; --container mkv does" in caplog.text


def test_what_becomes_of_everything_is_reported(film: Path) -> None:
    plan = plan_extras(probe_video(film), Path("b.mp4"))
    assert plan is not None
    lines = plan.report()
    assert len(lines) == 6  # of three subtitles, chapters, tags, a font
    assert lines[0] == "subtitles #3 eng In eng: .mp4 does not take subrip; written as mov_text"
    assert lines[3:5] == ["chapters: 2 kept", "tags: 4 kept"]
    assert lines[5] == plan.lost[0]


def test_bitmap_subtitles_are_copied_or_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.mkv"
    write_bitmap_subtitles(source)
    plan = carry(source, tmp_path / "b.mkv")
    assert plan is not None
    assert [report.codec for report in plan.subtitles.values()] == ["pgssub"]
    assert not caplog.records
    plan = carry(source, tmp_path / "b.mp4")
    assert plan is not None
    assert not plan.subtitles
    assert "does not take pictures of text, as Blu-ray (PGS) has them" in caplog.text
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.subtitles


def test_picture_of_text_that_is_up_at_the_cut_is_shown_from_it_on(tmp_path: Path) -> None:
    write_bitmap_subtitles(tmp_path / "a.mkv")
    carry(tmp_path / "a.mkv", tmp_path / "b.mkv", Span.parse("0.2-"))
    with av.open(str(tmp_path / "b.mkv")) as container:
        packets = [(p.pts, bytes(p)) for p in container.demux(subtitles=0) if p.size]
    assert packets == [(0, display_set(2)), (200, display_set(3))]


def display_set(number: int) -> bytes:
    """A composition of no objects, and an end; the smallest that ffmpeg takes."""
    composition = struct.pack(">HHBHBBBB", *SIZE_WH, 0x10, number, 0x80, 0, 0, 0)
    return struct.pack(">BH", 0x16, len(composition)) + composition + struct.pack(">BH", 0x80, 0)


def write_bitmap_subtitles(path: Path) -> None:
    """PGS, new at 40, 80 and 400 ms; its packets have no duration, as in real ones."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
        track = container.add_mux_stream("hdmv_pgs_subtitle", time_base=Fraction(1, 1000))
        for number, begin in ((1, 40), (2, 80), (3, 400)):
            packet = av.Packet(display_set(number))
            packet.pts = packet.dts = begin
            packet.time_base, packet.stream = Fraction(1, 1000), track
            container.mux(packet)
        for index, image in enumerate(grey_images(20)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def test_lines_shown_together_are_shown_together_in_mp4(tmp_path: Path) -> None:
    lines = ((100, 500, "A"), (100, 300, "B"), (200, 700, "C"), (800, 900, "D"))
    source = rich(subtitles=(("ass", "eng"),), lines=lines)(tmp_path)
    carry(source, tmp_path / "b.mp4")
    assert read_subtitles(tmp_path / "b.mp4") == [
        (100, 200, "A\nB"),
        (200, 300, "A\nB\nC"),
        (300, 500, "A\nC"),
        (500, 700, "C"),
        (800, 900, "D"),
    ]


def test_drawings_of_ass_are_not_shown_as_numbers(tmp_path: Path) -> None:
    lines = ((100, 300, "{\\an7\\p1}m 0 0 l 9 9{\\p0}"), (500, 700, "text"))
    source = rich(subtitles=(("ass", "eng"),), lines=lines)(tmp_path)
    carry(source, tmp_path / "b.mp4")
    assert read_subtitles(tmp_path / "b.mp4") == [(500, 700, "text")]


def test_text_too_long_for_the_kind_costs_that_text_and_no_video(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ((100, 300, "x" * 70_000), (320, 700, "y" * 9_000), (400, 600, "z" * 9_000))
    source = rich(subtitles=(("ass", "eng"),), lines=(*lines, (720, 900, "text")))(tmp_path)
    carry(source, tmp_path / "b.mp4")
    assert read_subtitles(tmp_path / "b.mp4") == [
        (320, 400, "y" * 9_000),
        (400, 700, "y" * 9_000),
        (720, 900, "text"),
    ]
    assert "In eng: 2 too long texts left out" in caplog.text


def test_line_that_the_encoder_refuses_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("faceswap_cli.media.subtitles.MOST_BYTES", 10**6)
    lines = ((100, 300, "x" * 70_000), (500, 700, "text"))
    carry(rich(subtitles=(("ass", "eng"),), lines=lines)(tmp_path), tmp_path / "b.mp4")
    assert read_subtitles(tmp_path / "b.mp4") == [(500, 700, "text")]
    assert "1 too long texts left out" in caplog.text


def test_row_of_braces_takes_no_time() -> None:
    begin_s = time.process_time()
    assert not ASS_DRAWING.search(b"{" * 200_000)
    assert time.process_time() - begin_s < 1.0
    assert ASS_DRAWING.search(rb"{{\an7\p1}m 0 0 l 9 9")


line = st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(0, 30))


@given(st.lists(line, max_size=8))
def test_each_moment_shows_the_lines_of_that_moment(lines: list[tuple[int, int, int]]) -> None:
    """By asking at the middle of every tick, which of the lines are up; order of begin."""
    texts = [
        (begin, begin + length, b"%d" % index)
        for index, (begin, length, _) in enumerate(sorted(lines))
    ]
    merged, slices, ticks = Lines(), [], sorted(advance for *_, advance in lines)
    for begin, end, text in texts:
        while ticks and ticks[0] <= begin:
            slices += merged.advance(Fraction(ticks.pop(0)))
        slices += merged.add(Fraction(begin), Fraction(end), text)
    slices += merged.advance(None)
    for tick in range(45):
        moment = tick + Fraction(1, 2)
        wanted = [text for begin, end, text in texts if begin < moment < end]
        found = [text for begin, end, text in slices if begin < moment < end]
        assert found == ([rb"\N".join(wanted)] if wanted else [])


def test_subtitles_are_muxed_as_the_picture_goes_on(tmp_path: Path, film: Path) -> None:
    carry(film, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as container:
        times = [
            (packet.stream.type, packet.dts * packet.time_base)
            for packet in container.demux()
            if packet.size and packet.dts is not None
        ]
    order = [kind for kind, time_s in times if kind == "subtitle" or time_s in (0, Fraction(4, 5))]
    assert order[0] == "video"
    assert order[-1] == "video"


def test_video_with_nothing_beside_has_no_plan(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_images(2))
    assert plan_extras(probe_video(path), tmp_path / "b.mp4") is None


def test_cover_is_not_carried_and_it_is_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", grey_images(3), cover=True)
    plan = plan_extras(probe_video(path), tmp_path / "b.mp4")
    assert plan is not None
    assert plan.lost == ("cover #1 is left out: it shows the footage as it was",)


def test_subtitles_of_a_file_that_breaks_off_are_those_before(tmp_path: Path, film: Path) -> None:
    data = film.read_bytes()
    broken = tmp_path / "a.mkv"
    broken.write_bytes(data[: len(data) * 6 // 10])
    carry(broken, tmp_path / "b.mp4")
    assert set(read_subtitles(tmp_path / "b.mp4")) <= set(expected(LINES))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("interlaced, top first", r"is interlaced: .* -vf bwdif "),
        ("interlaced, bottom first", "is interlaced"),
        ("prores alpha", "is transparent in places: the result is opaque"),
        ("png alpha", "is transparent in places"),
        ("vp9 alpha", "is transparent in places"),
    ],
)
def test_oddities_of_the_picture_are_found(tmp_path: Path, name: str, message: str) -> None:
    (sentence,) = find_oddities(CLIPS[name](tmp_path))
    assert re.search(message, sentence)


@pytest.mark.parametrize("name", ["full range", "odd size", "HLG", "one frame"])
def test_what_is_carried_is_no_oddity(tmp_path: Path, name: str) -> None:
    assert find_oddities(CLIPS[name](tmp_path)) == []
