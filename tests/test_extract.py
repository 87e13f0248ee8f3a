import errno
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.files import read_manifest
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.stages import extract as stage
from faceswap_cli.stages.extract import run_extract
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import write_clip
from tests.made_faces import face_at, smooth_picture

SIZE_WH = (96, 72)
SECTION = ExtractConfig(side="dst", size_px=64, format="png", batch_frames=3, device="cpu")


class FakeEngine:
    """Finds a face wherever a frame is not black: at a place that depends on its brightness."""

    name = "fake@1"

    def __init__(self, *, faces: int = 1, side_px: float = 30.0, presence: float = 1.0) -> None:
        self.faces, self.side_px, self.presence, self.seen = faces, side_px, presence, 0

    def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
        self.seen += len(frames)
        return [[self._face(n) for n in range(self.faces)] if f.max() > 9 else [] for f in frames]

    def _face(self, number: int) -> Detection:
        left = 10.0 + 45.0 * number
        box = np.array([left, 20.0, left + self.side_px + number, 20.0 + self.side_px + number])
        return Detection(box, 0.9, 0.0, np.zeros((6, 2)))

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        return [[self._marks(d) for d in found] for found in detections]

    def _marks(self, found: Detection) -> Landmarks:
        centre = (float(found.box[0] + found.box[2]) / 2, float(found.box[1] + found.box[3]) / 2)
        return Landmarks(face_at(centre, self.side_px), None, self.presence)


def clip(root: Path, num: int = 8, black: tuple[int, ...] = ()) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    images = [smooth_picture(i, SIZE_WH) * (i not in black) for i in range(num)]
    write_clip(root / "data_dst.mp4", [image.astype(np.uint8) for image in images])
    return Workspace(root)


def extract(
    workspace: Workspace,
    section: ExtractConfig = SECTION,
    engine: FakeEngine | None = None,
    *,
    redo: bool = False,
    span: str = "",
) -> StageReport:
    engine = engine or FakeEngine()
    inputs = InputConfig(dst_span=span)
    return run_extract(workspace, section, inputs, redo=redo, engines=(engine, engine))[0]


def files(workspace: Workspace) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(workspace.aligned("dst").iterdir())}


def test_every_face_is_cut_and_describes_itself(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    report = extract(workspace, engine=FakeEngine(faces=2))
    assert (report.done, report.kept, report.facts["faces"]) == (8, 0, 16)
    faces = open_faceset(workspace.aligned("dst")).faces
    assert [face.path.name for face in faces[:3]] == [
        "000000_00.png",
        "000000_01.png",
        "000001_00.png",
    ]
    record = faces[2].record
    assert record.frame_time_s == Fraction(1, 25)
    assert (record.frame_index, record.source_name) == (1, "data_dst.mp4")
    np.testing.assert_allclose(
        record.crop.apply(record.landmarks), record.landmarks_crop, atol=2e-3
    )
    assert faces[0].image().shape == (64, 64, 3)


def test_a_killed_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = clip(tmp_path / "whole"), clip(tmp_path / "broken")
    os.utime(broken.root / "data_dst.mp4", ns=(1, 1))
    extract(whole, engine=FakeEngine(faces=2))
    real = stage._finish
    left = iter(range(4))

    def die(*arguments: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "_finish", die)
        extract(broken, engine=FakeEngine(faces=2))
    (broken.aligned("dst") / ".000005_00.png.partial").write_bytes(b"half")
    report = extract(broken, engine=FakeEngine(faces=2))
    assert (report.kept, report.done) == (4, 4)
    assert files(whole) == files(broken)


def test_a_finished_run_looks_at_no_frame_again(tmp_path: Path) -> None:
    workspace, engine = clip(tmp_path), FakeEngine()
    extract(workspace)
    assert extract(workspace, engine=engine).kept == 8
    assert engine.seen == 0


def test_a_face_deleted_by_hand_stays_away(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    extract(workspace)
    (workspace.aligned("dst") / "000002_00.png").unlink()
    extract(workspace)
    assert not (workspace.aligned("dst") / "000002_00.png").exists()


def test_other_settings_are_refused_and_redo_moves_the_old_faces_aside(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    extract(workspace)
    other = SECTION.model_copy(update={"size_px": 32})
    with pytest.raises(WorkspaceError, match="size_px was 64, is 32") as caught:
        extract(workspace, other)
    assert "--redo" in str(caught.value)
    extract(workspace, other, redo=True)
    assert read_image(workspace.aligned("dst") / "000000_00.png").shape[0] == 32
    assert len(list((workspace.folder("dst") / "aligned_1").glob("*.png"))) == 8


def test_a_folder_that_was_emptied_is_extracted_again(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    extract(workspace)
    for path in workspace.aligned("dst").iterdir():
        path.unlink()
    assert extract(workspace).done == 8


def test_small_and_doubtful_faces_are_left_out_and_counted(tmp_path: Path) -> None:
    workspace = clip(tmp_path, num=3, black=(2,))
    section = SECTION.model_copy(update={"min_face_px": 31})
    report = extract(workspace, section, FakeEngine(faces=2))
    assert (report.facts["faces"], report.facts["too small"]) == (2, 2)
    with pytest.raises(WorkspaceError, match="2 too uncertain"):
        extract(workspace, engine=FakeEngine(presence=0.2), redo=True)


def test_no_face_at_all_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no face in 3 frames of dst") as caught:
        extract(clip(tmp_path, num=3, black=(0, 1, 2)))
    assert "fix: choose footage with a face" in str(caught.value)


def test_only_the_largest_faces_are_kept(tmp_path: Path) -> None:
    section = SECTION.model_copy(update={"max_faces": 1})
    report = extract(clip(tmp_path, num=2), section, FakeEngine(faces=2))
    assert report.facts["faces"] == 2


def test_a_span_is_what_it_says(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    assert extract(workspace, span="0.08-0.2").facts["frames"] == 3
    faces = open_faceset(workspace.aligned("dst")).faces
    assert faces[0].record.frame_time_s == Fraction(2, 25)


def test_a_bad_picture_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for i in range(3):
        write_image(workspace.folder("dst") / f"{i:05d}.png", smooth_picture(i, SIZE_WH))
    (workspace.folder("dst") / "00001.png").write_bytes(b"nonsense")
    report = extract(workspace)
    assert list(report.failed) == ["00001.png"]
    assert report.facts["faces"] == 2
    assert (workspace.aligned("dst") / "00002_00.png").exists()


def test_overlays_are_drawn_on_request(tmp_path: Path) -> None:
    workspace = clip(tmp_path, num=2)
    extract(workspace, SECTION.model_copy(update={"overlay": True}))
    assert read_image(workspace.overlays("dst") / "000001.jpg").shape == (72, 96, 3)


def test_a_full_disk_is_explained_and_nothing_counts_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = clip(tmp_path, num=3)

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        patch.setattr("faceswap_cli.files.Manifest.open", _manifest_in(workspace))
        with pytest.raises(WorkspaceError, match="the disk is full"):
            extract(workspace)
    assert not list(workspace.aligned("dst").iterdir())
    assert extract(workspace).done == 3


def _manifest_in(workspace: Workspace):  # type: ignore[no-untyped-def]
    from faceswap_cli.files import Manifest

    path = workspace.manifest("extract-dst")
    path.parent.mkdir(parents=True, exist_ok=True)
    return lambda *_, **__: Manifest(path, {})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_dst.mp4", b"", "empty"),
        ("data_dst.mp4", b"this is no video at all" * 99, "cannot be read as a video"),
    ],
)
def test_footage_that_is_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=message):
        extract(Workspace(tmp_path))


def test_no_footage_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data_dst").mkdir()
    with pytest.raises(WorkspaceError, match="no footage of dst"):
        extract(Workspace(tmp_path))


def test_tracks_of_a_resumed_run_are_those_of_an_unbroken_one(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    extract(workspace, engine=FakeEngine(faces=2))
    settings, items = read_manifest(workspace.manifest("extract-dst"))
    lines = [json.dumps({"settings": settings})] + [json.dumps(i) for i in list(items.items())[:3]]
    workspace.manifest("extract-dst").write_text("\n".join(lines) + '\n["000003", {"ind')
    before = files(workspace)
    assert extract(workspace, engine=FakeEngine(faces=2)).kept == 3
    assert files(workspace) == before


def test_the_real_engines_find_a_real_face(tmp_path: Path) -> None:
    from skimage.data import astronaut

    write_image(tmp_path / "data_dst" / "1.png", astronaut())
    reports = run_extract(Workspace(tmp_path), SECTION, InputConfig())
    assert reports[0].facts["faces"] == 1
    record = open_faceset(Workspace(tmp_path).aligned("dst")).faces[0].record
    assert abs(record.pose_deg[2]) < 15
