"""The merge stage: resuming, choosing, bounded memory, and what the user is told."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceswap_cli.config import InputConfig, MergeConfig, VideoConfig
from faceswap_cli.errors import ConfigError, DeviceError, WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import read_grey, read_image, read_layer, write_image
from faceswap_cli.media.reader import Frame, read_frames
from faceswap_cli.media.source import open_side
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.steady import REACH
from faceswap_cli.models.base import Faces
from faceswap_cli.rendering import flow, setting
from faceswap_cli.stages.merge import run_merge
from faceswap_cli.stages.status import read_status
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import write_clip
from tests.made_faces import made_record, smooth_picture
from tests.made_models import Inverted, put_trained

SECTION = MergeConfig(batch_faces=2, device="cpu", erode=0, feather=4)
ALONE = SECTION.model_copy(update={"steady": 0.0})
"""Each frame by itself."""
NUM_FRAMES, WITH_FACE = 10, (2, 3, 4, 5, 7, 8)


class Failing(Inverted):
    """Draws so many batches, and then the process dies."""

    def __init__(self, batches: int, error: BaseException) -> None:
        self.left, self.error = batches, error

    def draw(self, canvas: Faces, drive: Faces) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert len(canvas.img) == SECTION.batch_faces  # filled up with copies
        if self.left == 0:
            raise self.error
        self.left -= 1
        return super().draw(canvas, drive)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return the function that sets the model that the workspace seems to hold."""

    def put(model: Any, fingerprint: str = "weights") -> None:
        put_trained(monkeypatch, model, fingerprint=fingerprint)

    put(Inverted())
    return put


def make_workspace(root: Path, **changes: Any) -> Workspace:
    root.mkdir()
    images = [smooth_picture(i, (96, 72)) for i in range(NUM_FRAMES)]
    write_clip(root / "data_dst.mp4", images)
    workspace = Workspace.open(root)
    times = [frame.time_s for frame in read_frames(root / "data_dst.mp4")]
    for index in WITH_FACE:
        record = made_record(index, time_s=times[index], **changes)
        add_face(workspace, f"{index:06d}_00", images[index], record)
    return workspace


def add_face(workspace: Workspace, name: str, image: Any, record: FaceRecord) -> None:
    crop = warp(image, record.crop, size_wh=(64, 64))
    write_aligned(workspace.aligned("dst") / f"{name}.png", crop, record, jpeg_quality=95)


def footage(workspace: Workspace) -> list[Any]:
    return [frame.image for frame in read_frames(workspace.root / "data_dst.mp4")]


def run(workspace: Workspace, section: MergeConfig = SECTION, **options: Any) -> StageReport:
    return run_merge(workspace, section, InputConfig(), **options)


def outputs(workspace: Workspace) -> dict[str, bytes]:
    folders = workspace.merged, workspace.merged_masks
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for f in folders for p in f.iterdir()}


def test_frames_without_a_face_keep_every_bit(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    report = run(workspace)
    assert (report.done, report.kept, report.failed) == (NUM_FRAMES, 0, {})
    assert (report.facts["swapped"], report.facts["passed_through"]) == (6, 4)
    for index, image in enumerate(footage(workspace)):
        merged = read_image(workspace.merged / f"{index:06d}.png")
        mask = read_grey(workspace.merged_masks / f"{index:06d}.png")
        if index not in WITH_FACE:
            np.testing.assert_array_equal(merged, image)
            assert not mask.any()
            continue
        assert mask.max() == 255
        np.testing.assert_array_equal(merged[:8], image[:8])  # above the face
        assert np.abs(merged[mask == 255].astype(int) - image[mask == 255]).mean() > 5


def test_second_run_keeps_what_is_done(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    before = {p: p.stat().st_mtime_ns for p in workspace.merged.iterdir()}
    report = run(workspace, SECTION.model_copy(update={"batch_faces": 2}))
    assert (report.done, report.kept) == (0, NUM_FRAMES)
    assert report.facts["swapped"] == 6
    assert before == {p: p.stat().st_mtime_ns for p in workspace.merged.iterdir()}


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_broken_run_goes_on_and_equals_an_unbroken_one(
    tmp_path: Path, trained: Any, batches: int
) -> None:
    whole, broken = make_workspace(tmp_path / "whole"), make_workspace(tmp_path / "broken")
    run(whole)
    trained(Failing(batches, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(broken)
    (broken.merged / ".000004.png.partial").parent.mkdir(exist_ok=True)
    (broken.merged / ".000004.png.partial").write_bytes(b"half")  # as kill -9 leaves it
    trained(Inverted())
    report = run(broken)
    assert report.done + report.kept == NUM_FRAMES
    assert report.kept > 0 or batches == 0
    assert outputs(broken) == outputs(whole)


def test_line_cut_by_a_kill_redoes_its_frame(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    manifest = workspace.manifest("merge")
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:-1])[:-8])  # the last one says that all is done
    assert (run(workspace).done, run(workspace).kept) == (1, NUM_FRAMES)


def test_deleted_face_or_file_redoes_only_its_frame(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace, ALONE)
    (workspace.aligned("dst") / "000004_00.png").unlink()
    (workspace.merged / "000007.png").unlink()
    (workspace.merged_masks / "000000.png").unlink()
    report = run(workspace, ALONE)
    assert (report.done, report.kept, report.facts["swapped"]) == (3, NUM_FRAMES - 3, 5)
    merged = read_image(workspace.merged / "000004.png")
    np.testing.assert_array_equal(merged, footage(workspace)[4])


def test_other_settings_redo_only_what_they_touch(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    other = SECTION.model_copy(update={"feather": 9.0})
    untouched = NUM_FRAMES - len(WITH_FACE)
    assert (run(workspace, other).done, run(workspace, other).kept) == (6, NUM_FRAMES)
    trained(Inverted(), "trained further")
    report = run(workspace, other)
    assert (report.done, report.kept) == (6, untouched)
    alone = make_workspace(tmp_path / "alone")
    run(alone, other)
    assert outputs(alone) == outputs(workspace)


def test_a_shot_redoes_its_frames_only(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace, ALONE)
    shots = [{"range": "4-5", "erode": 4}, {"range": "7", "skip": True}]
    shot = MergeConfig.model_validate(ALONE.model_dump() | {"shot": shots})
    report = run(workspace, shot)
    assert (report.done, report.kept, report.facts["swapped"]) == (3, NUM_FRAMES - 3, 5)
    np.testing.assert_array_equal(
        read_image(workspace.merged / "000007.png"), footage(workspace)[7]
    )


def test_a_frame_changed_by_hand_is_never_overwritten(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    painted = smooth_picture(99, (96, 72))
    write_image(workspace.merged / "000004.png", painted)
    other = SECTION.model_copy(update={"feather": 9.0})
    report = run(workspace, other)
    assert report.facts["changed_by_hand"] == ["000004"]
    assert (run(workspace, other).done, run(workspace).done) == (0, 6)
    np.testing.assert_array_equal(read_image(workspace.merged / "000004.png"), painted)
    (workspace.merged / "000004.png").unlink()
    assert run(workspace, SECTION.model_copy(update={"feather": 9.0})).done == 6
    assert (read_image(workspace.merged / "000004.png") != painted).any()


def test_pictures_of_somebody_else_are_refused(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    write_image(workspace.merged / "000003.png", smooth_picture(9, (96, 72)))
    with pytest.raises(WorkspaceError, match=r"1 pictures were not made.*000003\.png[\s\S]*--redo"):
        run(workspace)
    assert run(workspace, redo=True).done == NUM_FRAMES


def test_file_written_before_its_line_is_ours_after_a_kill(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    lines = workspace.manifest("merge").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith('["000005", {')]
    workspace.manifest("merge").write_text("".join(kept), "utf-8")
    assert run(workspace).done == 1


def test_frame_made_again_is_ours_even_if_its_line_is_lost(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    other = SECTION.model_copy(update={"feather": 9.0})
    run(workspace, other)
    lines = workspace.manifest("merge").read_text("utf-8").splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if line.startswith('["000005", {'))
    del lines[last]  # killed when the files were written, and the line was not
    workspace.manifest("merge").write_text("".join(lines), "utf-8")
    report = run(workspace, other)
    assert "changed_by_hand" not in report.facts
    alone = make_workspace(tmp_path / "alone")
    run(alone, other)
    assert outputs(alone) == outputs(workspace)


def test_layer_over_footage_is_the_merged_frame(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    settings = {"layer": True, "light": "signal"}
    run(workspace, SECTION.model_copy(update=settings))
    layer = read_layer(workspace.merged_layer / "000004.png").astype(float)
    alpha = layer[..., 3:] / 255
    over = alpha * layer[..., :3] + (1 - alpha) * footage(workspace)[4]
    assert np.abs(over - read_image(workspace.merged / "000004.png")).max() <= 1.0
    empty = read_layer(workspace.merged_layer / "000000.png")
    assert empty.shape == (72, 96, 4)
    assert not empty[..., 3].any()


def test_tracks_are_chosen_by_number(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w", track=3)
    assert run(workspace, MergeConfig(**{**SECTION.model_dump(), "face": "track 3"})).done
    with pytest.raises(WorkspaceError, match=r"track 0; there are track 3 \(6 frames\)"):
        run(workspace, MergeConfig(**{**SECTION.model_dump(), "face": "track 0"}), redo=True)


def test_all_faces_of_a_frame(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    record = made_record(2, time_s=Fraction(2, 25), centre_xy=(80, 60), size_px=16)
    add_face(workspace, "second", footage(workspace)[2], record)
    run(workspace)
    one = read_grey(workspace.merged_masks / "000002.png")
    run(workspace, MergeConfig(**{**SECTION.model_dump(), "face": "all"}), redo=True)
    two = read_grey(workspace.merged_masks / "000002.png")
    assert not one[55:, 75:].any()
    assert two[55:65, 75:85].any()


def test_no_faces_says_how_to_get_some(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    for path in workspace.aligned("dst").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(WorkspaceError) as caught:
        run(workspace)
    assert "no aligned face of dst, and 6 pictures that are none" in str(caught.value)
    assert f"fix: faceswap-cli extract {workspace.root} --side dst" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source_name": "other.mp4"},
            r"found in other\.mp4 \(96x72\), the footage is data_dst\.mp4",
        ),
        ({"frame_size_wh": (48, 36)}, r"found in data_dst\.mp4 \(48x36\)"),
    ],
)
def test_faces_of_other_footage_are_refused(
    tmp_path: Path, trained: Any, changes: Any, message: str
) -> None:
    with pytest.raises(WorkspaceError, match=message):
        run(make_workspace(tmp_path / "w", **changes))


def test_faces_of_another_span_are_refused(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    with pytest.raises(WorkspaceError, match=r"frame 2 at 0\.080 s \(now it is at 0\.160 s"):
        run_merge(workspace, SECTION, InputConfig(dst_span="0.08-"))


def test_corrupt_aligned_picture_is_passed_over(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    first = workspace.aligned("dst") / "000002_00.png"
    first.write_bytes(first.read_bytes()[:-4000])  # the record is whole, the pixels are not
    report = run(workspace)
    assert report.facts["swapped"] == 6  # pixels come from the frame


def test_corrupt_picture_of_the_footage_is_reported(tmp_path: Path, trained: Any) -> None:
    root = tmp_path / "w"
    for index in range(4):
        write_image(root / "data_dst" / f"shot_{index}.png", smooth_picture(index, (96, 72)))
    (root / "data_dst" / "shot_2.png").write_bytes(b"broken")
    workspace = Workspace.open(root)
    record = made_record(1, frame_name="shot_1", source_name="data_dst")
    add_face(workspace, "face", smooth_picture(1, (96, 72)), record)
    report = run(workspace)
    assert (report.done, list(report.failed)) == (3, ["shot_2.png"])
    assert sorted(p.stem for p in workspace.merged.iterdir()) == ["shot_0", "shot_1", "shot_3"]
    (root / "data_dst" / "shot_0.png").unlink()  # now shot_1 is number 0
    with pytest.raises(WorkspaceError, match="found in a picture shot_1, number 1"):
        run(workspace, redo=True)


def test_full_gpu_names_a_smaller_batch(tmp_path: Path, trained: Any) -> None:
    trained(Failing(0, torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(DeviceError, match=r"no memory for 2 faces[\s\S]*--batch-faces 1"):
        run(make_workspace(tmp_path / "w"))


def test_two_runs_at_once_are_refused(tmp_path: Path, trained: Any) -> None:
    workspace, told = make_workspace(tmp_path / "w"), []

    class Second(Inverted):
        def draw(self, canvas: Faces, drive: Faces) -> tuple[torch.Tensor, torch.Tensor | None]:
            with pytest.raises(WorkspaceError) as caught:
                run(workspace)
            told.append(str(caught.value))
            return super().draw(canvas, drive)

    trained(Second())
    run(workspace)
    assert told[0].startswith("another process runs merge on this workspace")


def test_frames_in_memory_are_bounded(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Writers that are slower than the decoder must hold it back.
    workspace, lock = make_workspace(tmp_path / "w"), threading.Lock()
    alive = peak = 0
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    def open_counted(*arguments: Any) -> Any:
        source: Any = open_side(*arguments)
        real_frames = source.frames

        def frames(wanted: Any = None, **options: Any) -> Iterator[Any]:
            nonlocal alive, peak
            for frame in real_frames(wanted):
                for copy in range(4):  # 40 frames in all
                    with lock:
                        alive += 1
                        peak = max(peak, alive)
                    yield Frame(
                        frame.index + 100 * copy, frame.time_s, frame.duration_s, frame.image
                    )

        source.frames = frames
        return source

    def paste_counted(*arguments: Any, **options: Any) -> Any:
        nonlocal alive
        threading.Event().wait(0.01)
        with lock:
            alive -= 1
        return paste_faces(*arguments, **options)

    monkeypatch.setattr(setting, "open_side", open_counted)
    monkeypatch.setattr(flow, "paste_faces", paste_counted)
    monkeypatch.setattr(flow, "MAX_BATCH_BYTES", 3 * 96 * 72 * 3)
    assert run(workspace).done == 4 * NUM_FRAMES
    # A batch, those decoded ahead, those that wait for the faces after them, the queue of one
    # thread, and those in hand.
    assert peak <= 3 + 4 + REACH + 2 + 3


STREAM = SECTION.model_copy(update={"stream": True})
VIDEO = VideoConfig(crf=12, segment=10)


def segments(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(workspace.merged_stream.iterdir())}


def long_workspace(root: Path) -> Workspace:
    """Return a workspace of 24 frames: two whole segments and a part of one."""
    root.mkdir()
    images = [smooth_picture(i, (96, 72)) for i in range(24)]
    write_clip(root / "data_dst.mp4", images)
    workspace = Workspace.open(root)
    for index, frame in enumerate(read_frames(root / "data_dst.mp4")):
        if index % 8:
            record = made_record(index, time_s=frame.time_s)
            add_face(workspace, f"{index:06d}_00", images[index], record)
    return workspace


def test_streamed_frames_show_what_frame_files_do(tmp_path: Path, trained: Any) -> None:
    workspace = long_workspace(tmp_path / "w")
    run(workspace)
    lossless = VIDEO.model_copy(update={"crf": 0})
    report = run_merge(workspace, STREAM, InputConfig(), video=lossless)
    assert (report.done, report.kept, report.facts["swapped"]) == (24, 0, 21)
    names = sorted(path.name for path in workspace.merged_stream.iterdir())
    assert names == ["000000.nut", "000010.nut", "000020.nut"]
    decoded = [frame for name in names for frame in read_frames(workspace.merged_stream / name)]
    for index, frame in enumerate(decoded):
        merged = read_image(workspace.merged / f"{index:06d}.png").astype(int)
        # Chroma is stored for four pixels together; the footage's own is kept.
        assert np.abs(frame.image - merged).mean() < 1.5, index


@pytest.mark.parametrize(("batches", "num_whole"), [(1, 0), (6, 0), (10, 1)])
def test_broken_stream_goes_on_and_equals_an_unbroken_one(
    tmp_path: Path, trained: Any, batches: int, num_whole: int
) -> None:
    whole, broken = long_workspace(tmp_path / "whole"), long_workspace(tmp_path / "broken")
    run_merge(whole, STREAM, InputConfig(), video=VIDEO)
    trained(Failing(batches, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_merge(broken, STREAM, InputConfig(), video=VIDEO)
    there = {path: path.stat().st_mtime_ns for path in broken.merged_stream.glob("*.nut")}
    assert len(there) == num_whole
    trained(Inverted())
    report = run_merge(broken, STREAM, InputConfig(), video=VIDEO)
    assert report.done + report.kept == 24
    assert report.kept == 10 * len(there)
    assert segments(broken) == segments(whole)
    assert there.items() <= {p: p.stat().st_mtime_ns for p in there}.items()
    again = run_merge(broken, STREAM, InputConfig(), video=VIDEO)
    assert (again.done, again.kept) == (0, 24)


def test_an_encoder_that_cannot_is_refused_before_any_work(tmp_path: Path, trained: Any) -> None:
    workspace = long_workspace(tmp_path / "w")
    with pytest.raises(ConfigError, match="prores"):
        run_merge(workspace, STREAM, InputConfig(), video=VideoConfig(codec="prores"))
    assert not workspace.merged_stream.exists()


def test_status_counts_frames_and_not_lines(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)
    assert read_status(workspace).merged == NUM_FRAMES
    run_merge(workspace, STREAM, InputConfig(), video=VIDEO)
    assert read_status(workspace).merged == NUM_FRAMES
