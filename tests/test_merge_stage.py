"""The merge stage: resuming, choosing, bounded memory, and what the user is told."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from faceswap_cli.config import InputConfig, MergeConfig, VideoConfig
from faceswap_cli.errors import ConfigError, DeviceError, WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.files import read_manifest
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import read_grey, read_image, read_layer, write_image
from faceswap_cli.media.reader import Frame, read_frames
from faceswap_cli.media.source import open_side
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.steady import REACH
from faceswap_cli.models.base import Faces
from faceswap_cli.rendering import artists, flow, setting
from faceswap_cli.rendering.ledger import is_complete
from faceswap_cli.stages import merge
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


def test_a_broken_redo_is_known_to_be_one_and_goes_on_without_it(
    tmp_path: Path, trained: Any
) -> None:
    whole, workspace = make_workspace(tmp_path / "whole"), make_workspace(tmp_path / "w")
    other = SECTION.model_copy(update={"feather": 9.0})
    run(whole, other)
    run(workspace)
    trained(Failing(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(workspace, other, redo=True)
    assert not is_complete(read_manifest(workspace.manifest("merge"))[1])
    trained(Inverted())
    report = run(workspace, other)
    assert report.done + report.kept == NUM_FRAMES
    assert report.done >= len(WITH_FACE) - SECTION.batch_faces
    assert outputs(workspace) == outputs(whole)
    assert is_complete(read_manifest(workspace.manifest("merge"))[1])


def test_frames_of_older_settings_are_known_from_the_first_moment(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")
    run(workspace)

    def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    other = SECTION.model_copy(update={"feather": 9.0})
    for how in ({"section": other}, {"section": other, "redo": True}):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(merge, "Flow", die)
            run(workspace, **how)
        assert not is_complete(read_manifest(workspace.manifest("merge"))[1])
        run(workspace, other)
        assert is_complete(read_manifest(workspace.manifest("merge"))[1])


@pytest.mark.parametrize(("layer", "alpha"), [(True, False), (False, True)])
def test_what_is_made_of_files_cannot_be_streamed(
    tmp_path: Path, trained: Any, layer: bool, alpha: bool
) -> None:
    workspace = make_workspace(tmp_path / "w")
    video = VideoConfig(codec="prores", container="mov", alpha=alpha)
    section = STREAM.model_copy(update={"layer": layer})
    with pytest.raises(ConfigError, match=r"(merge\.layer|video\.alpha) needs[\s\S]*--no-stream"):
        run_merge(workspace, section, InputConfig(), video=video)
    assert not workspace.manifest("merge").exists()


def test_a_lost_frame_keeps_its_own_reason_in_a_stream(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    workspace.edited_masks("dst").mkdir()
    (workspace.edited_masks("dst") / "000004_00.png").write_bytes(b"no mask")
    report = run_merge(workspace, STREAM, InputConfig(), video=VIDEO)
    assert list(report.failed) == ["000004"]
    assert "delete this face" in report.failed["000004"]
    assert "its whole segment" in report.failed["000004"]


class Painted(Inverted):
    """Draws one colour."""

    def __init__(self, level: float) -> None:
        self.level = level

    def draw(self, canvas: Faces, drive: Faces) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.full_like(canvas.img, self.level), None


def put_models(monkeypatch: pytest.MonkeyPatch, **models: tuple[Any, str]) -> None:
    """Let folders of these names hold these models, with their fingerprints."""

    def open_trained(folder: Path, device: Any) -> Any:
        model, fingerprint = models[folder.name]
        return SimpleNamespace(
            model=model, resolution=32, face_type="full", iteration=7, fingerprint=fingerprint
        )

    monkeypatch.setattr(artists, "open_trained", open_trained)


def test_each_person_is_drawn_by_the_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "w"
    root.mkdir()
    images = [smooth_picture(i, (192, 72)) for i in range(4)]
    write_clip(root / "data_dst.mp4", images)
    workspace = Workspace.open(root)
    for frame in read_frames(root / "data_dst.mp4"):
        for person in (0, 1, 2)[: 1 + frame.index]:
            made = made_record(
                frame.index,
                time_s=frame.time_s,
                track=person,
                frame_size_wh=(192, 72),
                centre_xy=(32 + 64 * person, 36),
            )
            name = f"{frame.index:06d}_{person:02d}"
            add_face(workspace, name, frame.image, made.model_copy(update={"person": person}))
    (root / "anna").mkdir()
    told = {"person": ("0=model", "1=anna"), "colour": "none", "steady": 0.0, "mask": "hull"}
    section = SECTION.model_copy(update=told)
    white, black = (Painted(1.0), "white"), (Painted(0.0), "black")
    put_models(monkeypatch, model=white, anna=black)
    report = run(workspace, section)
    assert report.facts["model"] == "anna: iteration 7, model: iteration 7"
    merged = read_image(workspace.merged / "000003.png")
    assert merged[36, 32].min() >= 250
    assert merged[36, 96].max() <= 5
    assert 5 < merged[36, 160].mean() < 250  # nobody has told who draws the third one
    put_models(monkeypatch, model=white, anna=(Painted(0.0), "trained further"))
    assert (run(workspace, section).done, run(workspace, section).kept) == (3, 4)
    missing = section.model_copy(update={"person": ("0=model", "1=berta")})
    with pytest.raises(WorkspaceError, match=r"no model in 'berta'[\s\S]*berta[\s\S]*N=FOLDER"):
        run(workspace, missing)


def test_another_enhancer_redoes_the_faces(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, file = make_workspace(tmp_path / "w"), tmp_path / "large.onnx"
    monkeypatch.setattr(artists, "open_enhancer", lambda *_, **__: lambda faces: faces)
    section = SECTION.model_copy(update={"enhance": str(file)})
    run(workspace)
    file.write_bytes(b"one network")
    assert (run(workspace, section).done, run(workspace, section).done) == (6, 0)
    file.write_bytes(b"two network")
    assert run(workspace, section).done == 6


def test_likeness_depends_on_where_the_faces_were_seen(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "w")
    monkeypatch.setattr(artists, "measure_range", lambda *_, **__: None)
    section = ALONE.model_copy(update={"likeness": 0.5})
    for size_px, done in ((30, NUM_FRAMES), (30, 0), (20, 6)):
        record = made_record(0, size_px=size_px)
        crop = warp(smooth_picture(0, (96, 72)), record.crop, size_wh=(64, 64))
        write_aligned(workspace.aligned("src") / "a.png", crop, record, jpeg_quality=95)
        assert run(workspace, section).done == done


def test_nobody_to_replace_is_said(tmp_path: Path, trained: Any) -> None:
    workspace = make_workspace(tmp_path / "w")
    with pytest.raises(WorkspaceError, match="no face of dst is left to be replaced"):
        run_merge(workspace, SECTION, InputConfig(dst_exclude="0-99"))


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
    lost = made_record(2, frame_name="shot_2", source_name="data_dst")
    add_face(workspace, "lost", smooth_picture(2, (96, 72)), lost)
    report = run(workspace)
    assert (report.done, list(report.failed)) == (3, ["shot_2.png"])
    assert (report.facts["swapped"], report.facts["passed_through"]) == (1, 2)
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


@pytest.mark.parametrize(("bad", "num_made"), [(9, 14), (23, 20), (4, 14), (10, 14)])
def test_a_segment_that_lacks_a_frame_is_never_recorded_as_whole(
    tmp_path: Path, trained: Any, bad: int, num_made: int
) -> None:
    workspace = long_workspace(tmp_path / "w")
    workspace.edited_masks("dst").mkdir()
    mask = workspace.edited_masks("dst") / f"{bad:06d}_00.png"
    mask.write_bytes(b"no mask")
    for kept in (0, num_made):  # and not taken for whole by the next run, either
        report = run_merge(workspace, STREAM, InputConfig(), video=VIDEO)
        assert list(report.failed) == [f"{bad:06d}"]
        assert (report.done, report.kept) == (num_made - kept, kept)
        assert not is_complete(read_manifest(workspace.manifest("merge"))[1])
    mask.unlink()
    report = run_merge(workspace, STREAM, InputConfig(), video=VIDEO)
    assert (report.failed, report.done + report.kept) == ({}, 24)
    assert is_complete(read_manifest(workspace.manifest("merge"))[1])


@pytest.mark.parametrize("folder", ["merged", "merged_mask", "merged_layer"])
def test_pictures_of_somebody_else_are_not_written_over(
    tmp_path: Path, trained: Any, folder: str
) -> None:
    workspace = make_workspace(tmp_path / "w")
    section = SECTION.model_copy(update={"layer": folder == "merged_layer"})
    foreign = workspace.root / "data_dst" / folder / "000000.png"
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_bytes(b"of another program")
    with pytest.raises(WorkspaceError, match=r"1 pictures were not made.*000000.png") as caught:
        run_merge(workspace, section, InputConfig())
    assert str(foreign.parent) in str(caught.value)
    assert foreign.read_bytes() == b"of another program"


class Blinking(Inverted):
    """Draws what it sees, every other face a little darker."""

    def draw(self, canvas: Faces, drive: Faces) -> tuple[torch.Tensor, torch.Tensor | None]:
        gain = torch.tensor([1.0, 0.96]).repeat(len(canvas.img))[: len(canvas.img)]
        return canvas.img * gain[:, None, None, None], None


def test_colours_do_not_bring_back_the_flicker_that_was_taken_out(
    tmp_path: Path, trained: Any
) -> None:
    trained(Blinking())
    flicker = list[float]()
    for colour in ("none", "rct"):
        root = tmp_path / colour
        root.mkdir()
        image = smooth_picture(3, (96, 72))
        write_clip(root / "data_dst.mp4", [image] * 16)
        workspace = Workspace.open(root)
        for frame in read_frames(root / "data_dst.mp4"):
            made = made_record(frame.index, time_s=frame.time_s)
            add_face(workspace, f"{frame.index:06d}_00", image, made)
        run(workspace, ALONE.model_copy(update={"deflicker": 1.0, "colour": colour}))
        merged = [read_image(workspace.merged / f"{i:06d}.png") for i in range(16)]
        means = [image.astype(float).mean() for image in merged]
        flicker.append(float(np.abs(np.diff(means)).mean()))
    assert flicker[1] < 1.1 * flicker[0] < 0.5
