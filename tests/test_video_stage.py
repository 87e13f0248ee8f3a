"""The video stage: the footage's own times, its sound, the mark; and what is in the way."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import Manifest
from faceswap_cli.imaging import write_image
from faceswap_cli.media.reader import probe_video, read_frames
from faceswap_cli.stages import video
from faceswap_cli.stages.video import run_video
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import chirp, decode_sound, grey_images, write_clip

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
    return np.full((48, 64, 3), 200 - 10 * index, np.uint8)


def run(workspace: Workspace, **options: Any) -> StageReport:
    section = VideoConfig(**options.pop("section", {}))
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


def test_broken_run_leaves_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")

    def fail(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(video, "_decoded", fail)
        run(workspace)
    assert sorted(path.name for path in workspace.root.iterdir()) == [
        "data_dst", "data_dst.mp4", "stages"
    ]  # fmt: skip
    assert run(workspace).done == 1


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
