import errno
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.extracting import cut
from faceswap_cli.extracting.look import Engines
from faceswap_cli.faces.faceset import open_faceset
from faceswap_cli.faces.sighting_store import SightingStore
from faceswap_cli.files import read_manifest
from faceswap_cli.imaging import read_image, write_image
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
        return [
            [self._marks(frame, d) for d in found]
            for frame, found in zip(frames, detections, strict=True)
        ]

    def _marks(self, frame: RgbImage, found: Detection) -> Landmarks:
        centre = (float(found.box[0] + found.box[2]) / 2, float(found.box[1] + found.box[3]) / 2)
        presence = self.presence if frame.max() > 9 else 0.0
        return Landmarks(face_at(centre, self.side_px), None, presence)

    alike = 0.5

    def describe(
        self, frames: Sequence[RgbImage], landmarks: Sequence[Sequence[Landmarks]]
    ) -> list[list[NDArray[np.float32]]]:
        return [[self._appearance(marks) for marks in found] for found in landmarks]

    def _appearance(self, marks: Landmarks) -> NDArray[np.float32]:
        """Who is on the left is another person than who is on the right."""
        is_right = float(marks.points68[30, 0] > 45.0)
        return np.array([1.0 - is_right, is_right], np.float32)


def clip(
    root: Path, num: int = 8, black: tuple[int, ...] = (), dim: tuple[int, ...] = ()
) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    images = [
        smooth_picture(i, SIZE_WH) * (i not in black) // (1 + 7 * (i in dim)) for i in range(num)
    ]
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
    engines = Engines(engine, engine, engine)
    return run_extract(workspace, section, inputs, redo=redo, engines=engines)[0]


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


@pytest.mark.parametrize("dies_in", ["look", "cut"])
def test_a_killed_run_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    whole, broken = clip(tmp_path / "whole"), clip(tmp_path / "broken")
    for workspace in (whole, broken):
        os.utime(workspace.root / "data_dst.mp4", ns=(1, 1))
    extract(whole, engine=FakeEngine(faces=2))
    owner, name = {"look": (SightingStore, "add"), "cut": (cut.Cutter, "_finish")}[dies_in]
    real, left = getattr(owner, name), iter(range(4 if dies_in == "cut" else 1))

    def die(*arguments: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, name, die)
        patch.setattr("faceswap_cli.extracting.look.BATCHES_A_SAVE", 1)
        extract(broken, engine=FakeEngine(faces=2))
    broken.aligned("dst").mkdir(parents=True, exist_ok=True)
    (broken.aligned("dst") / ".000005_00.png.partial").write_bytes(b"half")
    engine = FakeEngine(faces=2)
    report = extract(broken, engine=engine)
    assert (report.kept, report.done) == ((4, 4) if dies_in == "cut" else (0, 8))
    assert engine.seen < 8
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
    assert list(workspace.aligned("dst").glob("00002_*.png"))


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
    assert not list(workspace.aligned("dst").glob("*"))
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


def test_a_face_lost_for_some_frames_is_put_back_and_marked(tmp_path: Path) -> None:
    report = extract(clip(tmp_path, black=(3, 4)))
    assert report.facts["frames with a face"] == 8
    assert report.facts["put between their neighbours"] == 2
    origins = [f.record.origin for f in open_faceset(Workspace(tmp_path).aligned("dst")).faces]
    assert origins == ["detected"] * 3 + ["interpolated"] * 2 + ["detected"] * 3


def test_a_face_the_landmarker_still_sees_is_repaired(tmp_path: Path) -> None:
    class Blinking(FakeEngine):
        def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
            return [
                [] if f.max() < 60 else found
                for f, found in zip(frames, super().detect(frames), strict=True)
            ]

    workspace = clip(tmp_path, dim=(3,))
    report = extract(workspace, engine=Blinking())
    assert report.facts["found at the second look"] == 1
    record = open_faceset(workspace.aligned("dst")).faces[3].record
    assert (record.origin, record.frame_index) == ("repaired", 3)


def test_gaps_longer_than_asked_for_stay(tmp_path: Path) -> None:
    section = SECTION.model_copy(update={"repair": 1})
    report = extract(clip(tmp_path, black=(3, 4)), section)
    assert report.facts["frames with a face"] == 6
    section = SECTION.model_copy(update={"repair": 0})
    assert extract(clip(tmp_path, black=(3,)), section, redo=True).facts["faces"] == 7


def test_people_are_listed_and_chosen(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    report = extract(workspace, engine=FakeEngine(faces=2))
    assert report.facts["person 1"].startswith("8 faces in 1 tracks, frames 0 to 7")
    table = json.loads((workspace.people("dst") / "people.json").read_text())["people"]
    assert [(row["person"], row["faces"]) for row in table] == [(0, 8), (1, 8)]
    section = SECTION.model_copy(update={"person": "1"})
    engine = FakeEngine(faces=2)
    report = extract(workspace, section, engine, redo=True)
    assert engine.seen == 0  # what was seen is kept when only the choice changes
    assert report.facts["faces of other people, not cut out"] == 8
    records = [face.record for face in open_faceset(workspace.aligned("dst")).faces]
    assert {(record.person, record.track) for record in records} == {(1, 1)}
    with pytest.raises(WorkspaceError, match=r"there is no person 7; there are 2: 0 .8 faces"):
        extract(workspace, SECTION.model_copy(update={"person": "7"}), engine, redo=True)
    assert len(list(workspace.aligned("dst").glob("*.png"))) == 8  # nothing was moved aside


def test_who_looks_like_a_picture_is_chosen(tmp_path: Path) -> None:
    class Right(FakeEngine):
        def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
            found = super().detect(frames)
            return [faces[1:] for faces in found] if len(frames) == 1 else found

    workspace = clip(tmp_path)
    write_image(tmp_path / "her.png", smooth_picture(3, SIZE_WH))
    section = SECTION.model_copy(update={"like": str(tmp_path / "her.png"), "batch_frames": 8})
    extract(workspace, section, Right(faces=2))
    records = [face.record for face in open_faceset(workspace.aligned("dst")).faces]
    assert {record.landmarks[30, 0] > 45.0 for record in records} == {True}


def test_redo_with_the_same_settings_looks_again(tmp_path: Path) -> None:
    workspace, engine = clip(tmp_path), FakeEngine()
    extract(workspace)
    extract(workspace, engine=engine, redo=True)
    assert engine.seen > 0


def test_every_third_frame(tmp_path: Path) -> None:
    section = SECTION.model_copy(update={"every": 3})
    report = extract(clip(tmp_path), section)
    assert (report.done, report.facts["faces"]) == (3, 3)


def test_excluded_frames_are_not_cut_and_come_when_the_range_goes(tmp_path: Path) -> None:
    workspace = clip(tmp_path)
    engines = Engines(FakeEngine(), FakeEngine(), FakeEngine())
    run_extract(workspace, SECTION, InputConfig(dst_exclude="2-4,7"), engines=engines)
    names = [path.name[:6] for path in sorted(workspace.aligned("dst").iterdir())]
    assert names == ["000000", "000001", "000005", "000006"]
    (report,) = run_extract(workspace, SECTION, InputConfig(), engines=engines)
    assert (report.kept, report.done) == (4, 4)


def test_further_videos_of_a_side_are_the_same_people(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_clip(tmp_path / "data_dst.mp4", [smooth_picture(1, SIZE_WH)] * 3)
    write_clip(tmp_path / "data_dst_2.mp4", [smooth_picture(7, SIZE_WH)] * 2)
    report = extract(workspace)
    assert (report.done, report.facts["person 0"][:18]) == (5, "5 faces in 2 track")
    faces = open_faceset(workspace.aligned("dst")).faces
    assert [face.path.name for face in faces][3:] == ["2_000000_01.png", "2_000001_01.png"]
    assert {face.record.source_name for face in faces} == {"data_dst.mp4", "data_dst_2.mp4"}


def test_the_real_engines_find_a_real_face(tmp_path: Path) -> None:
    from skimage.data import astronaut

    write_image(tmp_path / "data_dst" / "1.png", astronaut())
    reports = run_extract(Workspace(tmp_path), SECTION, InputConfig())
    assert reports[0].facts["faces"] == 1
    record = open_faceset(Workspace(tmp_path).aligned("dst")).faces[0].record
    assert abs(record.pose_deg[2]) < 15
