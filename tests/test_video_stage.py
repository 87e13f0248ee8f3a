"""The video stage: the footage's own times, its sound, the mark; and what is in the way."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import ConfigError, MediaError, WorkspaceError
from faceswap_cli.files import Manifest, write_atomic
from faceswap_cli.imaging import encode_image, write_image
from faceswap_cli.media import joining, segments
from faceswap_cli.media.credentials import verify
from faceswap_cli.media.encoding import PictureConverter, add_picture_stream
from faceswap_cli.media.reader import probe_video, read_frames
from faceswap_cli.media.segments import open_segment
from faceswap_cli.media.sound import plan_sound
from faceswap_cli.media.source import VideoSource, open_side
from faceswap_cli.rendering import pieces
from faceswap_cli.rendering.form import encoding_of, form_of
from faceswap_cli.stages import video
from faceswap_cli.stages.video import run_video
from faceswap_cli.workspace import StageReport, Workspace
from tests.awkward import interlaced, rich
from tests.clips import chirp, decode_sound, grey_images, noise_images, write_clip

VFR_TICKS = (0, 1, 3, 4, 8, 9, 13, 14)
SOUND = ("aac", chirp(0.6), 16000, Fraction(0))


def make_workspace(root: Path, *, sounds: Any = (SOUND,), name: str = "data_dst.mp4") -> Workspace:
    """A clip of grey frames, and darker ones that are said to be merged."""
    root.mkdir()
    images = grey_images(len(VFR_TICKS))
    write_clip(root / name, images, ticks=VFR_TICKS, sounds=sounds)
    workspace = Workspace.open(root)
    for index in range(len(VFR_TICKS)):
        write_image(workspace.merged / f"{index:06d}.png", merged_image(index))
    return workspace


def merged_image(index: int) -> Any:
    return np.full((48, 64, 3), 200 - 7 * index, np.uint8)


def run(workspace: Workspace, **options: Any) -> StageReport:
    section = VideoConfig(
        **{"credentials": False, "preset": "veryfast"} | options.pop("section", {})
    )
    return run_video(workspace, section, options.pop("inputs", InputConfig()), **options)


def times(path: Path) -> list[Fraction]:
    return [frame.time_s for frame in read_frames(path)]


def test_variable_frame_times_are_those_of_the_footage(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    report = run(workspace)
    result = workspace.result("mp4")
    assert (report.done, report.facts["frames"]) == (1, 8)
    assert times(result) == times(workspace.source("dst"))
    assert times(result) == [Fraction(tick, 25) for tick in VFR_TICKS]
    for index, frame in enumerate(read_frames(result)):
        assert abs(frame.image.mean() - merged_image(index).mean()) < 3


def test_sound_is_copied_and_said(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    assert run(workspace).facts["sound"] == "aac copied"
    start, samples, _ = decode_sound(workspace.result("mp4"))
    was_start, was, _ = decode_sound(workspace.source("dst"))
    assert start == was_start
    np.testing.assert_array_equal(samples, was)


def test_sound_can_be_absent_or_left_out(tmp_path: Path) -> None:
    silent = make_workspace(tmp_path / "silent", sounds=())
    assert run(silent).facts["sound"] == "none: the footage has none"
    workspace = make_workspace(tmp_path / "w")
    assert run(workspace, section={"sound": False}).facts["sound"] == "none: left out on request"
    assert not probe_video(workspace.result("mp4")).has_sound


def test_result_says_that_it_is_synthetic(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    with av.open(str(workspace.result("mp4"))) as container:
        mark = container.metadata
    assert mark["digital_source_type"] == "compositeWithTrainedAlgorithmicMedia"
    assert "Synthetic" in mark["comment"]


def test_second_run_keeps_the_result_until_a_frame_changes(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    first = run(workspace)
    made = workspace.result("mp4").stat().st_mtime_ns
    again = run(workspace)
    assert (again.done, again.kept) == (0, 1)
    assert again.facts == first.facts
    assert workspace.result("mp4").stat().st_mtime_ns == made
    write_image(workspace.merged / "000003.png", merged_image(0))
    assert run(workspace).done == 1
    assert run(workspace, section={"crf": 30}).done == 1


def test_missing_frames_are_counted(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    for index in (2, 5):
        (workspace.merged / f"{index:06d}.png").unlink()
    with pytest.raises(WorkspaceError) as caught:
        run(workspace)
    assert "2 of 8 merged frames are missing, the first is 000002.png" in str(caught.value)
    assert f"fix: faceswap-cli merge {workspace.root}" in str(caught.value)
    assert not workspace.result("mp4").exists()


def test_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    result = workspace.result("mp4")
    result.write_bytes(b"holiday")
    with pytest.raises(WorkspaceError, match=r"was not made by this stage[\s\S]*--redo"):
        run(workspace)
    assert result.read_bytes() == b"holiday"
    assert run(workspace, redo=True).done == 1
    result.write_bytes(b"cut by hand")
    with pytest.raises(WorkspaceError, match="or was changed since"):
        run(workspace)


def test_broken_run_leaves_nothing_half_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")

    def fail(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pieces.PieceWork, "_read", fail)
        run(workspace)
    assert not workspace.result("mp4").exists()
    assert list(folder_of_pieces(workspace).iterdir()) == []
    assert run(workspace).done == 1


def folder_of_pieces(workspace: Workspace) -> Path:
    return workspace.video_pieces


def long_workspace(root: Path, num: int = 25) -> Workspace:
    """Merged frames for three pieces of ten frames, the last one shorter."""
    root.mkdir()
    write_clip(root / "data_dst.mp4", grey_images(num), sounds=(SOUND,))
    for index in range(num):
        write_image(root / "data_dst" / "merged" / f"{index:06d}.png", merged_image(index))
    return Workspace.open(root)


def break_after(patched: pytest.MonkeyPatch, num_frames: int, error: BaseException) -> None:
    """Have the encoder fail at a frame."""
    real, count = PictureConverter.frame, iter(range(num_frames))

    def frame(self: Any, image: Any) -> Any:
        if next(count, None) is None:
            raise error
        return real(self, image)

    patched.setattr(PictureConverter, "frame", frame)


SHORT_PIECES = {"segment": 10}


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), av.error.ExternalError(-1, "the encoder died")]
)
def test_finished_pieces_are_kept_and_give_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    unbroken, workspace = (long_workspace(tmp_path / name) for name in ("unbroken", "broken"))
    with monkeypatch.context() as patched, pytest.raises((KeyboardInterrupt, MediaError)) as caught:
        break_after(patched, 23, error)
        run(workspace, section=SHORT_PIECES)
    if isinstance(caught.value, MediaError):
        assert caught.value.exit_code == 4
        assert "the encoder died" in str(caught.value)
    assert not workspace.result("mp4").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in folder_of_pieces(workspace).iterdir()}
    assert sorted(name[:6] for name in kept) == ["000000", "000010"]
    read: list[str] = []
    real = pieces.PieceWork._read

    def note(self: Any, path: Path) -> Any:
        read.append(path.name)
        return real(self, path)

    with monkeypatch.context() as patched:
        patched.setattr(pieces.PieceWork, "_read", note)
        assert run(workspace, section=SHORT_PIECES).done == 1
    assert sorted(read) == [f"{index:06d}.png" for index in range(20, 25)]
    assert list(folder_of_pieces(workspace).iterdir()) == []
    run(unbroken, section=SHORT_PIECES)
    results = [w.result("mp4").read_bytes() for w in (workspace, unbroken)]
    assert results[0] == results[1]


def test_changed_frame_costs_its_piece_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = long_workspace(tmp_path / "w")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "join_segments", _interrupt)
        run(workspace, section=SHORT_PIECES)
    write_image(workspace.merged / "000012.png", merged_image(0))
    before = {path.name: path.stat().st_mtime_ns for path in folder_of_pieces(workspace).iterdir()}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "join_segments", _interrupt)
        run(workspace, section=SHORT_PIECES)
    after = {path.name: path.stat().st_mtime_ns for path in folder_of_pieces(workspace).iterdir()}
    assert before.items() <= after.items()
    assert [name[:6] for name in after.keys() - before.keys()] == ["000010"]
    assert run(workspace, section=SHORT_PIECES).done == 1
    shown = [frame.image.mean() for frame in read_frames(workspace.result("mp4"))]
    assert abs(shown[12] - merged_image(0).mean()) < 3


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this was done before")


def test_failed_run_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = long_workspace(tmp_path / "w")
    run(workspace)
    was = workspace.result("mp4").read_bytes()
    (workspace.merged / "000003.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"000003.png|picture"):
        run(workspace)
    assert workspace.result("mp4").read_bytes() == was
    with monkeypatch.context() as patched, pytest.raises(MediaError, match="disk is full"):
        write_image(workspace.merged / "000003.png", merged_image(3))
        full = av.error.OSError(errno.ENOSPC, "No space left on device")
        break_after(patched, 12, full)
        run(workspace, section=SHORT_PIECES)
    assert workspace.result("mp4").read_bytes() == was


def test_unfinished_merge_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    footage = open_side(workspace, "dst", InputConfig()).fingerprint()
    manifest = Manifest.open(workspace.manifest("merge"), {"format": "png", "footage": footage})
    manifest.add("*", {"complete": False})
    with pytest.raises(WorkspaceError, match=r"merge was not finished[\s\S]*faceswap-cli merge"):
        run(workspace)
    manifest.add("*", {"complete": True})
    assert run(workspace).done == 1


def test_footage_must_be_that_of_the_merge(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    footage = open_side(workspace, "dst", InputConfig()).fingerprint()
    Manifest.open(workspace.manifest("merge"), {"format": "png", "footage": footage})
    with pytest.raises(WorkspaceError, match=r"data_dst.mp4, or its span, is not what merge"):
        run(workspace, inputs=InputConfig(dst_span="0.1-0.4"))
    assert run(workspace).done == 1
    (workspace.root / "data_dst.mp4").unlink()
    with pytest.raises(WorkspaceError, match=r"no footage of dst|is not what merge"):
        run(workspace)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    workspace = long_workspace(tmp_path / "w", num=1)
    assert run(workspace).facts["frames"] == 1
    assert times(workspace.result("mp4")) == [0]


def test_deep_frames_are_encoded_in_ten_bits(tmp_path: Path) -> None:
    workspace = long_workspace(tmp_path / "w", num=3)
    for index in range(3):
        image = np.full((48, 64, 3), 30000 + 64 * index, np.uint16)  # less than 8 bits can tell
        write_atomic(workspace.merged / f"{index:06d}.png", encode_image(image, ".png"))
    report = run(workspace, section={"codec": "h265", "crf": 0})
    assert report.facts["picture"] == "64x48, libx265, yuv420p10le"
    shown = [frame.image.mean() for frame in read_frames(workspace.result("mp4"), deep=True)]
    np.testing.assert_allclose(shown, [30000, 30064, 30128], atol=64)
    assert shown[2] - shown[0] > 60
    assert (
        "yuv420p10le"
        not in run(workspace, section={"codec": "h265", "depth": "8"}).facts["picture"]
    )


def test_label_is_drawn_into_every_frame(tmp_path: Path) -> None:
    workspace = long_workspace(tmp_path / "w", num=2)
    run(workspace)
    plain = [frame.image for frame in read_frames(workspace.result("mp4"))]
    run(workspace, section={"label": "AI"})
    for was, now in zip(plain, read_frames(workspace.result("mp4")), strict=True):
        assert np.abs(now.image[24:, :32].astype(int) - was[24:, :32]).max() > 40
        assert np.abs(now.image[:20, 40:].astype(int) - was[:20, 40:]).max() < 6


def test_alpha_takes_the_layers(tmp_path: Path) -> None:
    workspace = long_workspace(tmp_path / "w", num=2)
    section = {"codec": "prores", "container": "mov", "alpha": True}
    with pytest.raises(WorkspaceError, match=r"2 of 2 merged frames are missing[\s\S]*--layer"):
        run(workspace, section=section)
    layer = np.full((48, 64, 4), 90, np.uint8)
    layer[:, :32, 3] = 0
    layer[:, 32:, 3] = 255
    for index in range(2):
        path = workspace.merged_layer / f"{index:06d}.png"
        write_atomic(path, encode_image(layer, ".png"))
    manifest = workspace.manifest("merge")
    Manifest.open(manifest, {"layer": False})  # those that are there are of an earlier merge
    with pytest.raises(WorkspaceError, match=r"without layers[\s\S]*--layer"):
        run(workspace, section=section)
    Manifest.open(manifest, {"layer": True}, mixed={})
    run(workspace, section=section)
    with av.open(str(workspace.result("mov"))) as container:
        alpha = next(container.decode(video=0)).to_ndarray(format="rgba")[..., 3]
    assert alpha[:, :24].max() <= 2
    assert alpha[:, 40:].min() >= 253


def test_codec_and_container_are_checked_before_the_work(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    with pytest.raises(ConfigError, match=r"prores does not go into .mp4"):
        run(workspace, section={"codec": "prores"})


def streamed(root: Path, **settings: Any) -> Workspace:
    """What merge --stream leaves: pieces of four frames."""
    root.mkdir()
    write_clip(root / "data_dst.mp4", grey_images(8), ticks=VFR_TICKS, sounds=(SOUND,))
    workspace = Workspace.open(root)
    source, section = open_side(workspace, "dst", InputConfig()), VideoConfig(preset="veryfast")
    encoding = encoding_of(section, bits=8)
    recorded = {"stream": True, "footage": source.fingerprint(), "encoding": asdict(encoding)}
    manifest = Manifest.open(workspace.manifest("merge"), recorded | settings)
    for first in (0, 4):
        path = workspace.merged_stream / f"{first:06d}.nut"
        with open_segment(path, form_of(source.info), encoding) as write:
            for timed in source.times()[first : first + 4]:
                write(merged_image(timed.index), timed.time_s, timed.duration_s)
        manifest.add(f"segment {first:06d}", {"bytes": path.stat().st_size, "frames": 4})
    manifest.add("*", {"complete": True})
    return workspace


def test_streamed_merge_is_joined(tmp_path: Path) -> None:
    workspace = streamed(tmp_path / "w")
    report = run(workspace)
    assert (report.facts["frames"], report.facts["sound"]) == (8, "aac copied")
    assert times(workspace.result("mp4")) == times(workspace.source("dst"))
    for index, frame in enumerate(read_frames(workspace.result("mp4"))):
        assert abs(frame.image.mean() - merged_image(index).mean()) < 3
    assert len(list(workspace.merged_stream.iterdir())) == 2  # merge's own, and kept
    assert run(workspace).kept == 1


def test_streamed_merge_of_other_settings_is_refused(tmp_path: Path) -> None:
    workspace = streamed(tmp_path / "w")
    with pytest.raises(ConfigError, match=r"other settings: crf was 16[\s\S]*--stream"):
        run(workspace, section={"crf": 30})
    with pytest.raises(ConfigError, match=r"with the label '', not 'AI'[\s\S]*--video-label"):
        run(workspace, section={"label": "AI"})
    labelled = streamed(tmp_path / "labelled", label="AI")
    with pytest.raises(ConfigError, match="with the label 'AI', not ''"):
        run(labelled)
    assert run(labelled, section={"label": "AI"}).done == 1
    (workspace.merged_stream / "000004.nut").write_bytes(b"short")
    with pytest.raises(WorkspaceError, match=r"piece of the frames from 4 on is missing"):
        run(workspace)


def test_result_is_signed_last(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    report = run(workspace, section={"credentials": True})
    assert "content credentials in the file" in report.facts["marked"]
    verdict = verify(workspace.result("mp4"))
    assert verdict.state == "valid"
    assert times(workspace.result("mp4")) == times(workspace.source("dst"))
    assert list(folder_of_pieces(workspace).iterdir()) == []
    assert "not signed, as asked" in run(workspace).facts["marked"]
    assert verify(workspace.result("mp4")).state == "none"


def test_sidecar_goes_with_its_result(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    section = {"credentials": True, "container": "mkv"}
    report = run(workspace, section=section)
    sidecar = workspace.root / "result.mkv.c2pa"
    assert "in result.mkv.c2pa" in report.facts["marked"]
    assert verify(workspace.result("mkv")).state == "valid"
    sidecar.unlink()
    assert run(workspace, section=section).done == 1
    run(workspace, section=section | {"credentials": False})
    assert not sidecar.exists()


def test_process_that_dies_after_the_rename_knows_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")
    real = Manifest.add

    def add(self: Any, name: str, result: Any) -> None:
        if "file" in result:
            raise KeyboardInterrupt
        real(self, name, result)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Manifest, "add", add)
        run(workspace)
    assert workspace.result("mp4").exists()
    assert run(workspace).done == 1


def test_span_begins_at_zero_with_its_own_steps(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace, inputs=InputConfig(dst_span="0.1-0.4"))
    shown = [Fraction(tick - 3, 25) for tick in VFR_TICKS if 2.5 <= tick < 10]
    assert times(workspace.result("mp4")) == shown


def test_pictures_have_the_rate_of_the_settings(tmp_path: Path) -> None:
    root = tmp_path / "w"
    for index in range(4):
        write_image(root / "data_dst" / f"shot_{index}.png", merged_image(index))
        write_image(root / "data_dst" / "merged" / f"shot_{index}.png", merged_image(index))
    workspace = Workspace.open(root)
    report = run(workspace, inputs=InputConfig(picture_rate="30000/1001"))
    assert times(workspace.result("mp4")) == [Fraction(1001 * i, 30000) for i in range(4)]
    assert report.facts["sound"] == "none: the footage has none"


def test_oddities_of_the_footage_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = long_workspace(tmp_path / "w", num=9)
    interlaced("tff")(tmp_path).replace(workspace.source("dst"))
    run(workspace)
    assert "data_dst.mp4 is interlaced" in caplog.text
    assert probe_video(workspace.result("mp4")).field_order == "tff"
    caplog.clear()
    root = tmp_path / "pictures"
    for folder in (root / "data_dst", root / "data_dst" / "merged"):
        write_image(folder / "a.png", merged_image(0))
    run(Workspace.open(root))
    assert [record.message for record in caplog.records if "not signed" not in record.message] == []


@pytest.mark.parametrize("is_all", [False, True])
def test_sound_that_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_all: bool
) -> None:
    workspace = make_workspace(tmp_path / "w")
    real = plan_sound

    def plan(*given: Any, **more: Any) -> Any:
        found = real(*given, **more)
        assert found is not None
        return replace(found, tracks={} if is_all else found.tracks, lost={4: "it is encrypted"})

    monkeypatch.setattr(video, "plan_sound", plan)
    if is_all:  # else all of the footage would be read for nothing
        monkeypatch.setattr(joining, "open_sound", _refuse)
    report = run(workspace)
    assert "data_dst.mp4: sound track #4 is left out: it is encrypted" in caplog.text
    heard = "none" if is_all else "aac copied"
    assert report.facts["sound"] == f"{heard}, #4 left out (it is encrypted)"
    with av.open(str(workspace.result("mp4"))) as container:
        assert len(container.streams.audio) == (0 if is_all else 1)


def test_tracks_are_told(tmp_path: Path) -> None:
    workspace = long_workspace(tmp_path / "w", num=24)
    assert run(workspace).facts["tracks"] == "none"
    workspace.source("dst").unlink()
    rich()(tmp_path).replace(workspace.root / "data_dst.mkv")
    told = run(workspace, redo=True).facts["tracks"]
    assert "subtitles" in told
    assert "chapters: 2 kept" in told
    assert run(workspace).facts["tracks"] == told
    assert run(workspace, section={"tracks": False}).facts["tracks"] == "none"


def test_times_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    monkeypatch.setattr(VideoSource, "times", _refuse)
    assert run(workspace, section={"crf": 30}).done == 1
    assert times(workspace.result("mp4")) == [Fraction(tick, 25) for tick in VFR_TICKS]


class Dying:
    """The stream of an encoder that fails at a frame; all else is the real one's."""

    def __init__(self, real: Any, frames: Iterator[int]) -> None:
        self._real, self._frames = real, frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def encode(self, frame: Any) -> Any:
        if next(self._frames, None) is None:
            raise av.error.ExternalError(-542398533, "Generic error in an external library")
        return self._real.encode(frame)


def test_encoder_that_dies_leaves_pieces_and_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = long_workspace(tmp_path / "w")
    run(workspace, section=SHORT_PIECES)
    was = workspace.result("mp4").read_bytes()
    real, frames = add_picture_stream, iter(range(24))  # and two that empty the encoder
    with monkeypatch.context() as patched, pytest.raises(MediaError) as caught:
        patched.setattr(segments, "add_picture_stream", lambda *given: Dying(real(*given), frames))
        run(workspace, section=SHORT_PIECES | {"crf": 20})
    assert caught.value.exit_code == 4
    assert "Generic error in an external library" in str(caught.value)
    names = sorted(path.name[:6] for path in folder_of_pieces(workspace).iterdir())
    assert names == ["000000", "000010"]
    assert workspace.result("mp4").read_bytes() == was
    assert run(workspace, section=SHORT_PIECES | {"crf": 20}).done == 1


def test_disk_that_is_full_while_joining_costs_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own, as the kernel's limit of a file is for all of a process."""
    workspace = long_workspace(tmp_path / "w")
    run(workspace, section=SHORT_PIECES)
    was = workspace.result("mp4").read_bytes()
    for index, image in enumerate(noise_images(25, (64, 48))):
        write_image(workspace.merged / f"{index:06d}.png", image)
    command = ["video", str(workspace.root), "--no-credentials", "--segment", "10", "--crf", "0"]
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "from faceswap_cli.cli import cli\n"
        "cli(sys.argv[1:])\n"
    )
    full = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert full.returncode == 4, full.stderr
    assert "the disk is full" in full.stderr
    assert "Traceback" not in full.stderr
    pieces_there = {path.name: path.stat().st_mtime_ns for path in workspace.video_pieces.iterdir()}
    assert sorted(name[:6] for name in pieces_there) == ["000000", "000010", "000020"]
    assert all(path.stat().st_size < 100_000 for path in workspace.video_pieces.iterdir())
    assert not list(workspace.root.glob(".*partial"))
    assert workspace.result("mp4").read_bytes() == was
    monkeypatch.setattr(pieces.PieceWork, "_read", _refuse)  # nothing is encoded again
    section = SHORT_PIECES | {"crf": 0, "preset": VideoConfig().preset}
    assert run(workspace, section=section).done == 1
