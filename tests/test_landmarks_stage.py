"""Landmarks out, edited, and in again: cut from the footage, nothing lost, nothing detected."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.commands.landmarks import landmarks
from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.curating import landmark_import
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.faceset import open_faceset, write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import read_grey, read_image, write_image
from faceswap_cli.stages.landmarks import run_landmarks_export, run_landmarks_import
from faceswap_cli.types import Points, RgbImage
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import write_clip
from tests.facesets import FRAME_PX, record
from tests.made_faces import smooth_picture

SECTION = ExtractConfig(size_px=64, format="png")
FRAMES = 6
FACES = 4
"""The first frames have a face each, the others none."""


def frame(index: int) -> RgbImage:
    return smooth_picture(index, (FRAME_PX, FRAME_PX))


def with_mesh(index: int) -> FaceRecord:
    """A face with a mesh of three of its landmarks."""
    made = record(index)
    mesh = tuple((x, y, 2.0) for x, y in made.landmarks_frame[:3])
    return made.model_copy(update={"mesh_frame": mesh})


@pytest.fixture(params=["pictures", "video"])
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    """Footage of dst, and the faces that were cut out of it."""
    made = Workspace(tmp_path)
    if request.param == "video":
        write_clip(tmp_path / "data_dst.mp4", [frame(i) for i in range(FRAMES)])
    else:
        for index in range(FRAMES):
            write_image(made.folder("dst") / f"{index:06d}.png", frame(index))
    for index in range(FACES):
        face = with_mesh(index)
        crop = warp(frame(index), face.crop, size_wh=(64, 64))
        path = made.aligned("dst") / f"{index:06d}_00.png"
        write_aligned(path, crop, face, jpeg_quality=95)
    return made


def take(workspace: Workspace, frames: Any, inputs: InputConfig | None = None) -> StageReport:
    path = workspace.root / "given.json"
    path.write_text(json.dumps(frames))
    return run_landmarks_import(workspace, "dst", path, inputs or InputConfig(), SECTION)


def face(points: Points, **more: Any) -> dict[str, Any]:
    return {"landmarks_2d": points.tolist(), **more}


def shifted(index: int, x: float = 5.0, y: float = 0.0) -> Points:
    return np.asarray(record(index).landmarks + np.array([x, y]), np.float64)


def held(workspace: Workspace, name: str) -> FaceRecord:
    faces = open_faceset(workspace.aligned("dst")).faces
    return next(found.record for found in faces if found.path.stem == name)


def contents(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in workspace.aligned("dst").glob("*.png")}


@pytest.mark.parametrize("as_faceswap", [False, True])
def test_export_then_import_changes_nothing(workspace: Workspace, as_faceswap: bool) -> None:
    before = contents(workspace)
    path = workspace.root / "out.json"
    told = run_landmarks_export(workspace, "dst", path, InputConfig(), as_faceswap=as_faceswap)
    assert (told.done, told.facts["frames"]) == (4, 4)
    names = list(json.loads(path.read_text()))
    if as_faceswap and workspace.videos("dst"):
        assert names[0] == "data_dst_000001.mp4"
    else:
        assert names[0] == "000000.png"
    report = run_landmarks_import(workspace, "dst", path, InputConfig(), SECTION)
    assert (report.done, report.kept, report.failed) == (0, 4, {})
    assert contents(workspace) == before


@pytest.mark.parametrize("known_by", ["name", "place"])
def test_moved_landmarks_cut_the_face_anew_from_its_frame(
    workspace: Workspace, known_by: str
) -> None:
    before = contents(workspace)
    new = shifted(2)
    name = {"name": "000002_00.png"} if known_by == "name" else {}
    report = take(workspace, {"000002.png": [face(new, **name)]})
    assert (report.done, report.kept, report.failed) == (1, 0, {})
    found = held(workspace, "000002_00")
    np.testing.assert_allclose(found.landmarks, new, atol=1e-3)
    crop = crop_from_frame(new, "whole_face", 64)
    np.testing.assert_allclose(found.crop.matrix, crop.matrix, atol=1e-3)
    np.testing.assert_allclose(found.landmarks_crop, crop.apply(new), atol=1e-2)
    assert (found.origin, found.track, found.score) == ("manual", 0, 1.0)
    picture = read_image(workspace.aligned("dst") / "000002_00.png").astype(int)
    truth = warp(frame(2), crop, size_wh=(64, 64)).astype(int)
    assert np.abs(picture - truth).mean() < 4  # the video is not lossless in colour
    after = contents(workspace)
    assert {name for name in before if before[name] != after[name]} == {"000002_00.png"}


def test_the_mesh_moves_along_or_is_dropped_where_nothing_fits(workspace: Workspace) -> None:
    bent = shifted(1)
    bent[::2, 1] = bent[::2, 1].max()
    take(workspace, {"000000.png": [face(shifted(0, 3, 4))], "000001.png": [face(bent)]})
    mesh = np.array(held(workspace, "000000_00").mesh_frame)
    old = np.array(with_mesh(0).mesh_frame)
    np.testing.assert_allclose(mesh, old + np.array([3, 4, 0]), atol=0.02)
    assert held(workspace, "000001_00").mesh_frame is None


def test_a_second_run_finds_it_done(workspace: Workspace) -> None:
    frames = {"000002.png": [face(shifted(2))], "000005.png": [face(shifted(5))]}
    take(workspace, frames)
    before = contents(workspace)
    report = take(workspace, frames)
    assert (report.done, report.kept) == (0, 2)
    assert contents(workspace) == before


def test_a_face_that_is_not_there_is_added_to_the_track_beside_it(workspace: Workspace) -> None:
    far = face(shifted(4, x=-20, y=25))
    report = take(workspace, {"000004.png": [face(shifted(4)), far], "000005": [far]})
    assert (report.done, report.facts["added"], report.failed) == (3, 3, {})
    added = held(workspace, "000004_m00")
    assert (added.frame_index, added.frame_name, added.track) == (4, "000004", 0)
    assert (added.frame_size_wh, added.frame_time_s) == ((FRAME_PX, FRAME_PX), Fraction(4, 25))
    assert (added.size_px, added.face_type, added.origin) == (64, "whole_face", "manual")
    assert held(workspace, "000004_m01").track == held(workspace, "000005_m00").track == 1
    picture = read_image(workspace.aligned("dst") / "000004_m00.png").astype(int)
    assert np.abs(picture - warp(frame(4), added.crop, size_wh=(64, 64))).mean() < 4


def test_faces_can_be_given_before_any_were_found(workspace: Workspace) -> None:
    for path in workspace.aligned("dst").iterdir():
        path.unlink()
    report = take(workspace, {"000000.png": [face(shifted(0))]})
    assert (report.done, report.failed) == (1, {})
    assert held(workspace, "000000_m00").size_px == SECTION.size_px


def test_a_picture_deleted_since_the_export_stays_away(workspace: Workspace) -> None:
    path = workspace.root / "out.json"
    run_landmarks_export(workspace, "dst", path, InputConfig())
    (workspace.aligned("dst") / "000003_00.png").unlink()
    report = run_landmarks_import(workspace, "dst", path, InputConfig(), SECTION)
    assert (report.done, report.kept, report.failed) == (0, 3, {})
    assert report.facts["deleted since the export"] == 1


def test_renamed_pictures_are_found_by_their_place(workspace: Workspace) -> None:
    old = workspace.aligned("dst") / "000003_00.png"
    old.rename(old.with_name("00000_renamed.png"))
    report = take(workspace, {"000003.png": [face(shifted(3), name="000003_00.png")]})
    assert (report.done, report.failed) == (1, {})
    np.testing.assert_allclose(held(workspace, "00000_renamed").landmarks, shifted(3), atol=1e-3)


def test_without_footage_the_old_picture_is_cut_again_and_it_is_said(workspace: Workspace) -> None:
    for path in [*workspace.videos("dst"), *workspace.folder("dst").glob("*.png")]:
        path.unlink()
    frames = {"000001.png": [face(shifted(1, 4))], "000005.png": [face(shifted(5))]}
    report = take(workspace, frames)
    assert report.done == 1
    assert "no footage of dst" in report.facts["cut from the old pictures"]
    assert "no such frame" in report.failed["000005.png"]
    found = held(workspace, "000001_00")
    picture = read_image(workspace.aligned("dst") / "000001_00.png").astype(int)
    truth = warp(frame(1), found.crop, size_wh=(64, 64)).astype(int)
    assert np.abs(picture - truth)[8:-8, 8:-16].mean() < 6


def test_footage_of_another_size_is_not_cut_by_these_landmarks(workspace: Workspace) -> None:
    for index in range(FRAMES if not workspace.videos("dst") else 0):
        write_image(workspace.folder("dst") / f"{index:06d}.png", smooth_picture(9, (64, 48)))
    if workspace.videos("dst"):
        write_clip(workspace.root / "data_dst.mp4", [smooth_picture(9, (64, 48))] * FRAMES)
    report = take(workspace, {"000001.png": [face(shifted(1, 1))]})
    assert (report.done, report.failed) == (1, {})
    assert "another size" in report.facts["cut from the old pictures"]


def test_what_cannot_be_used_is_named_and_the_rest_is_done(workspace: Workspace) -> None:
    frames = {
        "000000.png": [face(shifted(0, x=900))] * 1,
        "000001.png": [face(shifted(1)), face(shifted(1, 6), name="000001_00.png")],
        "000002.png": [face(shifted(2), name="000002_00.png")] * 2,
        "nowhere.png": [face(shifted(3))],
        "000500.png": [face(shifted(3))],
    }
    frames["000000.png"][0]["name"] = "000000_00.png"
    report = take(workspace, frames)
    assert "far outside of the frame" in report.failed["000000_00.png"]
    assert "twice in the file" in report.failed["000002_00.png"]
    assert "no such frame" in report.failed["nowhere.png"]
    assert any(key.startswith("000500") for key in report.failed)
    np.testing.assert_allclose(held(workspace, "000001_00").landmarks, shifted(1, 6), atol=1e-3)
    assert held(workspace, "000001_m00").origin == "manual"


@pytest.mark.parametrize("killed", [False, True])
def test_an_edited_mask_and_labels_follow_once_even_if_killed(
    workspace: Workspace, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = workspace.edited_masks("dst") / "000001_00.png"
    dot = np.zeros((64, 64), np.uint8)
    dot[30:34, 30:34] = 255
    write_image(mask, dot)
    labels = workspace.aligned("dst") / "000001_00.json"
    labels.write_text(json.dumps({"shapes": [{"points": [[31.5, 31.5]]}], "imageData": "x"}))
    old = held(workspace, "000001_00")
    new = old.landmarks + np.array([8.0, 0.0])
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr(landmark_import, "write_aligned", _killed)
            with pytest.raises(KeyboardInterrupt):
                take(workspace, {"000001.png": [face(new)]})
    take(workspace, {"000001.png": [face(new)]})
    shift = 8.0 * old.crop.scale
    rows, columns = np.nonzero(read_grey(mask) > 127)
    assert columns.mean() == pytest.approx(31.5 - shift, abs=0.6)
    assert rows.mean() == pytest.approx(31.5, abs=0.6)
    (point,) = json.loads(labels.read_text())["shapes"][0]["points"]
    assert point == pytest.approx([31.5 - shift, 31.5], abs=0.01)
    (kept,) = (workspace.trash("dst") / "before").glob("*.png")
    assert (read_grey(kept) == dot).all()


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_names_of_faceswap_count_from_the_start_of_the_video(tmp_path: Path) -> None:
    write_clip(tmp_path / "data_dst.mp4", [frame(i) for i in range(FRAMES)])
    workspace = Workspace(tmp_path)
    inputs = InputConfig(dst_span="0.08-")
    report = take(workspace, {"anna_000004.mp4": [face(shifted(0))]}, inputs)
    assert (report.done, report.failed) == (1, {})
    added = held(workspace, "000001_m00")
    assert (added.frame_index, added.frame_time_s) == (1, Fraction(3, 25))
    path = tmp_path / "out.json"
    run_landmarks_export(workspace, "dst", path, inputs, as_faceswap=True)
    assert list(json.loads(path.read_text())) == ["data_dst_000004.mp4"]


def test_export_without_faces_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no faces of src"):
        run_landmarks_export(Workspace(tmp_path), "src", tmp_path / "a.json", InputConfig())


def test_commands_of_the_help(workspace: Workspace) -> None:
    root, path = str(workspace.root), str(workspace.root / "out.json")
    run = CliRunner().invoke
    told = run(landmarks, ["export", root, "--side", "dst", "--output", path, "--json"])
    assert (told.exit_code, json.loads(told.stdout)["done"]) == (0, 4)
    told = run(landmarks, ["import", root, path, "--side", "dst", "--json"])
    assert (told.exit_code, json.loads(told.stdout)["kept"]) == (0, 4)
    Path(path).write_text(json.dumps({"zz.png": [face(shifted(0))]}))
    assert run(landmarks, ["import", root, path, "--side", "dst"]).exit_code == 4
