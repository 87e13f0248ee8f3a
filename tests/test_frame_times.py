"""The times of footage are found once, and a list that is not to be trusted is made anew."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from faceswap_cli.files import fingerprint
from faceswap_cli.imaging import write_image
from faceswap_cli.media.reader import FrameTime, Span
from faceswap_cli.media.source import Source, VideoSource, open_source
from faceswap_cli.rendering import frame_times as kept
from faceswap_cli.rendering.frame_times import frame_times
from tests.clips import grey_images, write_clip
from tests.made_faces import smooth_picture


@pytest.fixture
def source(tmp_path: Path) -> Source:
    ticks, time_base = (0, 20, 55, 355, 380, 401), Fraction(1, 600)
    path = tmp_path / "a.mp4"
    write_clip(path, grey_images(6), ticks=ticks, time_base=time_base, last_duration=70)
    return open_source(path)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that were decoded for their times."""
    seen: list[Path] = []
    real = VideoSource.times

    def times(self: VideoSource) -> list[FrameTime]:
        seen.append(self.info.path)
        return real(self)

    monkeypatch.setattr(VideoSource, "times", times)
    return seen


def test_second_run_does_not_decode(tmp_path: Path, source: Source, counted: list[Path]) -> None:
    path = tmp_path / "stages" / "times-dst.json"
    first = frame_times(source, path)
    assert first == source.times()
    counted.clear()
    assert frame_times(source, path) == first
    assert all(type(timed.time_s) is Fraction for timed in first)
    assert counted == []


def test_other_footage_span_or_version_is_decoded_again(
    tmp_path: Path, source: Source, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(source, VideoSource)
    path = tmp_path / "times-dst.json"
    whole = frame_times(source, path)
    part = replace(source, span=Span.parse("0-0.3"))
    assert frame_times(part, path) == whole[:3]
    assert frame_times(source, path) == whole
    write_clip(source.info.path, grey_images(3))
    assert len(frame_times(source, path)) == 3
    counted.clear()
    monkeypatch.setattr(kept, "__version__", "another")
    frame_times(source, path)
    assert len(counted) == 1


def changed(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    """The same file with other values, signed by someone who knows how."""

    def change(found: dict[str, Any]) -> bytes:
        found |= changes
        found["check"] = fingerprint(times=found["times"], last=found["last_duration"])
        return json.dumps(found).encode()

    return change


HOSTILE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "empty": lambda found: b"",
    "cut": lambda found: json.dumps(found).encode()[:-9],
    "binary": lambda found: b"\xff\xfe\x00" * 50,
    "another thing": lambda found: b"[1, 2]",
    "a number changed": lambda found: json.dumps(found | {"last_duration": [1, 1]}).encode(),
    "a time lost": lambda found: json.dumps(found | {"times": found["times"][:-1]}).encode(),
    "deep": lambda found: b"[" * 100_000,
    "long number": lambda found: b'{"times": ' + b"9" * 10_000 + b"}",
    "no times": changed(times=[]),
    "no list": changed(times=7),
    "times go back": changed(times=[[1, 1], [0, 1]]),
    "times stand": changed(times=[[1, 1], [1, 1]]),
    "divided by nothing": changed(last_duration=[1, 0]),
    "negative": changed(last_duration=[-1, 3]),
    "huge": changed(last_duration=[10**30, 1]),
    "fraction": changed(last_duration=[0.5, 1]),
    "truth": changed(last_duration=[True, 1]),
    "text": changed(times=["12"]),
    "three parts": changed(times=[[1, 2, 3]]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_list_that_is_not_whole_is_made_anew(
    tmp_path: Path, source: Source, counted: list[Path], kind: str
) -> None:
    path = tmp_path / "times-dst.json"
    right = frame_times(source, path)
    whole = path.read_bytes()
    path.write_bytes(HOSTILE[kind](json.loads(whole)))
    counted.clear()
    assert frame_times(source, path) == right
    assert len(counted) == 1
    assert path.read_bytes() == whole


def test_enormous_list_is_not_read(
    tmp_path: Path, source: Source, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "times-dst.json"
    frame_times(source, path)
    counted.clear()
    monkeypatch.setattr(kept, "MAX_BYTES", path.stat().st_size - 1)
    frame_times(source, path)
    assert len(counted) == 1


def test_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, source: Source) -> None:
    (tmp_path / "stages").write_bytes(b"a file")
    assert frame_times(source, tmp_path / "stages" / "times-dst.json") == source.times()


def test_pictures_need_no_list(tmp_path: Path) -> None:
    write_image(tmp_path / "pictures" / "a.png", smooth_picture(0, (32, 32)))
    path = tmp_path / "times-dst.json"
    assert len(frame_times(open_source(tmp_path / "pictures"), path)) == 1
    assert not path.exists()
