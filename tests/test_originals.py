"""Video of frame files: what merge has not painted reaches the encoder as the decoder gave it."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import MediaError
from faceswap_cli.files import Manifest, checksum, write_atomic
from faceswap_cli.imaging import encode_image, read_deep_image, write_image
from faceswap_cli.media.encoding import PictureConverter
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Span, probe_video, read_frames, read_parts, read_times
from faceswap_cli.media.samples import find_layout, view_samples
from faceswap_cli.media.source import VideoSource, open_side
from faceswap_cli.rendering.form import encoding_of, form_of
from faceswap_cli.rendering.merged import FrameFile, read_merged
from faceswap_cli.rendering.originals import Originals, Repainter, can_repaint
from faceswap_cli.stages import video
from faceswap_cli.stages.video import run_video
from faceswap_cli.workspace import Workspace
from tests.awkward import full_range, hdr, interlaced, odd_size, rotated
from tests.clips import noise_images, write_clip

SIZE_WH = (64, 48)
PAINTED = (1, 2, 4)
BOX = np.s_[10:31, 21:40]
COLOUR = (200, 60, 90)
EXACT = {"crf": 0, "preset": "ultrafast", "credentials": False}


def noise(folder: Path) -> Path:
    """What a way through RGB spoils."""
    return write_clip(folder / "a.mp4", noise_images(5, SIZE_WH))


def make_workspace(
    root: Path, make: Any = noise, *, suffix: str = ".png", **settings: Any
) -> Workspace:
    """Footage, and what a merge leaves that has painted a box into some of its frames."""
    root.mkdir()
    clip = make(root)
    clip.rename(root / f"data_dst{clip.suffix}")
    workspace = Workspace.open(root)
    source = open_side(workspace, "dst", InputConfig())
    manifest = Manifest.open(
        workspace.manifest("merge"),
        {"format": suffix[1:], "footage": source.fingerprint()} | settings,
    )
    for frame in source.frames(deep=True):
        assert not isinstance(frame, BadFrame)
        image, mask = frame.image.copy(), np.zeros(frame.image.shape[:2], np.uint8)
        if frame.index in PAINTED:
            image[BOX] = np.array(COLOUR) * (257 if image.itemsize == 2 else 1)
            mask[BOX] = 255
            mask[BOX][:2] = 1
        files = {
            workspace.merged / f"{frame.index:06d}{suffix}": encode_image(image, suffix),
            workspace.merged_masks / f"{frame.index:06d}.png": encode_image(mask, ".png"),
        }
        for path, data in files.items():
            write_atomic(path, data)
        noted = {path.parent.name: checksum(data) for path, data in files.items()}
        manifest.add(f"{frame.index:06d}", {"key": "k", "files": noted})
    manifest.add("*", {"complete": True})
    return workspace


def settings_of(section: dict[str, Any]) -> VideoConfig:
    """Lossless, in pieces of two frames, which nobody may ask for."""
    return VideoConfig.model_validate(EXACT | section).model_copy(update={"segment": 2})


def run(workspace: Workspace, **section: Any) -> Path:
    made = settings_of(section)
    assert run_video(workspace, made, InputConfig()).done == 1
    return workspace.result(made.container)


def samples(path: Path) -> Iterator[tuple[Any, ...]]:
    for part in read_parts(path, lambda _: None, native=True):
        yield planes_of(part.native)


def planes_of(native: Any) -> tuple[Any, ...]:
    layout = find_layout(native.format.name)
    assert layout is not None
    return tuple(plane.copy() for plane in view_samples(native, layout))


def outside(*, rows: int = 2) -> list[Any]:
    """Where no luma, no block of chroma, is painted."""
    mask = np.zeros(SIZE_WH[::-1], bool)
    mask[BOX] = True
    width, height = SIZE_WH
    blocks = mask.reshape(height // rows, rows, width // 2, 2).any(axis=(1, 3))
    return [~mask, *2 * [~blocks.repeat(rows // 2, axis=0)]]


def assert_only_the_box_differs(result: Path, footage: Path, *, rows: int = 2) -> None:
    pairs = zip(samples(result), samples(footage), strict=True)
    for index, (now, before) in enumerate(pairs):
        where = outside(rows=rows) if index in PAINTED else [np.s_[:]] * 3
        for plane, was, there in zip(now, before, where, strict=True):
            np.testing.assert_array_equal(plane[there], was[there])
    for index, frame in enumerate(read_frames(result)):
        if index in PAINTED:
            inner = frame.image[18:24, 26:34].astype(int)
            assert np.abs(inner - COLOUR).max() <= 6


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jpg"])
def test_samples_that_nobody_painted_are_the_decoders_own(tmp_path: Path, suffix: str) -> None:
    workspace = make_workspace(tmp_path / "w", suffix=suffix)
    assert_only_the_box_differs(run(workspace), workspace.source("dst"))


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlaced_samples_are_the_decoders_own(tmp_path: Path, order: Any) -> None:
    workspace = make_workspace(tmp_path / "w", interlaced(order))
    result = run(workspace)
    assert_only_the_box_differs(result, workspace.source("dst"), rows=4)
    assert probe_video(result).field_order == order


def test_full_range_samples_are_the_decoders_own(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", full_range)
    assert_only_the_box_differs(run(workspace), workspace.source("dst"))


def test_span_has_its_own_frames(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    span = InputConfig(dst_span="0.04-")
    for folder in (workspace.merged, workspace.merged_masks):
        for index in range(1, 5):
            (folder / f"{index:06d}.png").rename(folder / f"{index - 1:06d}.png")
    items = read_merged(workspace, open_side(workspace, "dst", InputConfig())).items
    workspace.manifest("merge").unlink()
    footage = open_side(workspace, "dst", span).fingerprint()
    manifest = Manifest.open(workspace.manifest("merge"), {"footage": footage})
    for index in range(1, 5):
        manifest.add(f"{index - 1:06d}", items[f"{index:06d}"])
    assert run_video(workspace, settings_of({}), span).done == 1
    now, before = (list(samples(p)) for p in (workspace.result("mp4"), workspace.source("dst")))
    assert len(now) == 4
    np.testing.assert_array_equal(now[2][0], before[3][0])
    np.testing.assert_array_equal(now[0][0][outside()[0]], before[1][0][outside()[0]])


@pytest.mark.parametrize("index", [0, 1])
def test_frame_painted_by_hand_is_shown_as_it_is(tmp_path: Path, index: int) -> None:
    """One that merge left alone, and one with a face; the stroke is far from any mask."""
    workspace = make_workspace(tmp_path / "w")
    path = workspace.merged / f"{index:06d}.png"
    painted: Any = read_deep_image(path)
    painted[36:, :20] = (20, 220, 40)
    write_image(path, painted)
    frames = list(read_frames(run(workspace)))
    stroke = frames[index].image[38:46, 2:16].astype(int)
    assert np.abs(stroke - (20, 220, 40)).max() <= 4
    others = zip(samples(workspace.result("mp4")), samples(workspace.source("dst")), strict=True)
    now, before = list(others)[3]
    np.testing.assert_array_equal(now[0], before[0])  # the rest is not spoilt for it


def whole_way(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The result of the same frames, all of each through RGB."""
    other = Workspace(workspace.root.with_name("other"))
    shutil.copytree(workspace.root, other.root)
    with monkeypatch.context() as patched:
        patched.setattr(video, "can_repaint", lambda *_: False)
        return run(other)


def write_mask(path: Path, value: int, size_wh: tuple[int, int] = SIZE_WH) -> None:
    write_image(path, np.full(size_wh[::-1], value, np.uint8))


@pytest.mark.parametrize("change", ["blank", "full", "gone", "broken"])
def test_mask_that_is_not_merges_own_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    workspace = make_workspace(tmp_path / "w")
    for path in workspace.merged_masks.iterdir():
        if change == "gone":
            path.unlink()
        elif change == "broken":
            path.write_bytes(path.read_bytes()[:40])
        else:
            write_mask(path, 255 * (change == "full"))
    pairs = zip(samples(whole_way(workspace, monkeypatch)), samples(run(workspace)), strict=True)
    for index, (expected, now) in enumerate(pairs):
        if index in PAINTED:  # of the others, an empty mask is as merge has written it
            for plane, was in zip(now, expected, strict=True):
                np.testing.assert_array_equal(plane, was)


@pytest.mark.parametrize("forget", ["manifest", "files", "footage", "nonsense"])
def test_frames_of_which_nothing_is_known_are_shown_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: str
) -> None:
    workspace = make_workspace(tmp_path / "w")
    source = open_side(workspace, "dst", InputConfig())
    merged, path = read_merged(workspace, source), workspace.manifest("merge")
    path.unlink()
    if forget != "manifest":
        settings = {} if forget == "footage" else merged.settings
        manifest = Manifest.open(path, settings)
        for name, entry in merged.items.items():
            nonsense = {"key": "k", "files": {"merged": 7, "merged_mask": [None]}}
            told = {"files": {"key": "k"}, "footage": entry, "nonsense": nonsense}[forget]
            manifest.add(name, entry if name == "*" else told)
    expected = whole_way(workspace, monkeypatch).read_bytes()
    if forget != "nonsense":
        monkeypatch.setattr(VideoSource, "parts", _refuse)  # the footage is not decoded for it
    assert run(workspace).read_bytes() == expected


def test_frame_of_another_size_is_an_error_still(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    write_image(workspace.merged / "000003.png", np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(MediaError, match="cannot follow"):
        run(workspace)


@pytest.mark.parametrize(("part", "index"), [("merged", 1), ("merged_mask", 1), ("merged_mask", 0)])
def test_noted_files_of_another_size_are_not_used(tmp_path: Path, part: str, index: int) -> None:
    workspace = make_workspace(tmp_path / "w")
    file = file_of(workspace, index)
    path = file.path if part == "merged" else file.mask
    write_image(path, read_deep_image(path)[:24, :32].copy())
    noted = file.noted | {part: checksum(path.read_bytes())}
    made = repainter(workspace).picture(replace(file, noted=noted), natives(workspace)[index])
    np.testing.assert_array_equal(made, read_deep_image(file.path))


def test_picture_that_is_stored_otherwise_than_the_first_is_not_used(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    painter, given = repainter(workspace), natives(workspace)
    for index in (0, 1):
        made = painter.picture(file_of(workspace, index), given[index].reformat(format="yuv422p"))
        np.testing.assert_array_equal(made, read_deep_image(file_of(workspace, index).path))


@pytest.mark.parametrize(
    ("make", "section", "expected"),
    [
        (noise, {}, True),
        (noise, {"codec": "prores"}, True),
        (noise, {"codec": "ffv1"}, False),  # holds RGB, which is what the frames are
        (full_range, {}, True),
        (full_range, {"codec": "prores"}, False),
        (interlaced("tff"), {}, True),
        (interlaced("tff"), {"codec": "h265"}, False),
    ],
)
def test_encoder_must_take_samples_as_they_are(
    tmp_path: Path, make: Any, section: dict[str, Any], expected: bool
) -> None:
    workspace = make_workspace(tmp_path / "w", make)
    info = open_side(workspace, "dst", InputConfig()).info
    encoding, files = encoding_of(settings_of(section), bits=8), [file_of(workspace, 1)]
    assert can_repaint(files, info, form_of(info), encoding) is expected
    assert not can_repaint(files, info, form_of(info, size_wh=(32, 24)), encoding)
    assert not can_repaint([replace(files[0], noted={})], info, form_of(info), encoding)


def natives(workspace: Workspace) -> list[Any]:
    parts = read_parts(workspace.source("dst"), lambda _: None, native=True)
    return [part.native for part in parts]


def file_of(workspace: Workspace, index: int) -> FrameFile:
    merged = read_merged(workspace, open_side(workspace, "dst", InputConfig()))
    return merged.frame_file(workspace.merged / f"{index:06d}.png")


def repainter(workspace: Workspace, *, bits: int = 8, **section: Any) -> Repainter:
    encoding = encoding_of(settings_of(section), bits=bits)
    return Repainter(open_side(workspace, "dst", InputConfig()).info, encoding)


def test_deep_samples_are_the_decoders_own(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", hdr(18))
    painter = repainter(workspace, bits=16, codec="h265")
    for index, native in enumerate(natives(workspace)[:2]):
        made = painter.picture(file_of(workspace, index), native)
        pairs = zip(planes_of(made), planes_of(native), outside(), strict=True)
        for plane, was, where in pairs:
            assert plane.dtype == np.uint16
            np.testing.assert_array_equal(plane[where], was[where])
            assert (plane[~where] != was[~where]).any() == (index in PAINTED)


@pytest.mark.parametrize(
    ("section", "is_kept"),
    [
        ({}, False),
        ({"codec": "h265", "container": "mp4"}, False),
        ({"codec": "h265", "depth": "10"}, True),
        ({"codec": "prores", "container": "mov"}, True),
    ],
)
def test_face_keeps_what_the_encoder_holds_more_than_the_footage(
    tmp_path: Path, section: dict[str, Any], is_kept: bool
) -> None:
    workspace = make_workspace(tmp_path / "w")
    painter, given = repainter(workspace, **section), natives(workspace)
    assert painter.picture(file_of(workspace, 0), given[0]) is given[0]
    painted = painter.picture(file_of(workspace, 1), given[1])
    assert isinstance(painted, np.ndarray) is is_kept


def test_label_is_drawn_on_frames_without_a_face(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    plain = [frame.image.astype(int) for frame in read_frames(run(workspace))]
    for was, now in zip(plain, read_frames(run(workspace, label="AI")), strict=True):
        assert np.abs(now.image[30:, :32] - was[30:, :32]).mean() > 20


def test_ffv1_holds_the_frames_themselves(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    for index, frame in enumerate(read_frames(run(workspace, codec="ffv1", container="mkv"))):
        wanted = read_deep_image(workspace.merged / f"{index:06d}.png")
        np.testing.assert_array_equal(frame.image, wanted)


@pytest.mark.parametrize("make", [rotated(90), odd_size], ids=["rotated", "odd"])
def test_footage_that_cannot_be_passed_on_goes_the_whole_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    workspace = make_workspace(tmp_path / "w", make)
    expected = whole_way(workspace, monkeypatch).read_bytes()
    monkeypatch.setattr(VideoSource, "parts", _refuse)
    assert run(workspace).read_bytes() == expected


def _refuse(*_: Any, **__: Any) -> Iterator[None]:
    raise AssertionError("the footage was decoded")
    yield


def break_after(patched: pytest.MonkeyPatch, num_frames: int) -> None:
    """Have the run end after so many frames."""
    real, count = Repainter.picture, iter(range(num_frames))

    def picture(self: Any, *given: Any) -> Any:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return real(self, *given)

    patched.setattr(Repainter, "picture", picture)


def pieces_of(workspace: Workspace) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in workspace.video_pieces.iterdir()}


@pytest.mark.parametrize("num_frames", [1, 3, 4])
def test_run_that_goes_on_ends_with_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_frames: int
) -> None:
    workspace = make_workspace(tmp_path / "w")
    other = Workspace(tmp_path / "unbroken")
    shutil.copytree(workspace.root, other.root)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        break_after(patched, num_frames)
        run(workspace)
    assert len(pieces_of(workspace)) == num_frames // 2
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
    assert run(workspace).read_bytes() == run(other).read_bytes()


def test_piece_of_the_whole_way_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")
    real, count = PictureConverter.frame, iter(range(3))

    def frame(self: Any, image: Any) -> Any:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return real(self, image)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "can_repaint", lambda *_: False)
        patched.setattr(PictureConverter, "frame", frame)
        run(workspace)
    assert [name[:6] for name in pieces_of(workspace)] == ["000000"]
    assert_only_the_box_differs(run(workspace), workspace.source("dst"))


def test_nothing_is_decoded_for_pieces_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "join_segments", interrupt)
        run(workspace)
    before = pieces_of(workspace)
    write_mask(workspace.merged_masks / "000002.png", 0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "join_segments", interrupt)
        run(workspace)
    after = pieces_of(workspace)
    assert before.items() <= after.items()
    assert [name[:6] for name in after.keys() - before.keys()] == ["000002"]
    monkeypatch.setattr(VideoSource, "parts", _refuse)
    run(workspace)


def test_result_is_made_anew_when_a_mask_changes(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    section = settings_of({})
    assert run_video(workspace, section, InputConfig()).kept == 1
    write_mask(workspace.merged_masks / "000002.png", 0)
    run(workspace)


def test_originals_are_found_by_index_and_time(tmp_path: Path) -> None:
    path = noise(tmp_path)
    info, times = probe_video(path), read_times(path)
    originals = Originals(VideoSource(info, Span()))
    assert originals.find(times[1]).pts * info.time_base == times[1].time_s
    shifted = replace(times[2], time_s=times[2].time_s + Fraction(1, 1000))
    assert originals.find(shifted) is None
    assert originals.find(times[3]).pts * info.time_base == times[3].time_s
    assert originals.find(replace(times[4], index=9)) is None  # the footage ends before
    assert originals.find(replace(times[4], index=10)) is None
    originals.close()
    assert Originals(None).find(times[0]) is None


def test_frames_that_the_footage_has_no_more_go_the_whole_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")
    real = VideoSource.parts

    def parts(self: Any, *given: Any, **more: Any) -> Iterator[Any]:
        for part in real(self, *given, **more):
            if part.index < 3:
                yield part

    monkeypatch.setattr(VideoSource, "parts", parts)
    result = run(workspace)
    for index, frame in enumerate(read_frames(result)):
        assert (np.abs(frame.image[16:25, 26:34] - np.array(COLOUR)).max() <= 4) == (
            index in PAINTED
        )
