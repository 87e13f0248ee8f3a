import json
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.commands import interop_faceset as commands
from faceswap_cli.config import ExtractConfig, InputConfig
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.faces.faceset import open_faceset, read_record
from faceswap_cli.faces.metadata import read_comment
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import decode_image, encode_image, read_grey, read_image, write_image
from faceswap_cli.interop.arrivals import Arrivals
from faceswap_cli.interop.dfl_faces import read_dfl_face
from faceswap_cli.interop.dfl_pak import PakReader
from faceswap_cli.interop.encoded import jpeg_parts
from faceswap_cli.media.reader import Frame
from faceswap_cli.media.source import open_side
from faceswap_cli.merging.choose import check_origin, check_time, choose_faces
from faceswap_cli.stages import import_faceset
from faceswap_cli.stages.export_faceset import run_export_faceset
from faceswap_cli.stages.import_faceset import run_import_faceset
from faceswap_cli.types import Side
from faceswap_cli.workspace import Workspace
from tests.clips import write_clip
from tests.dfl_facesets import (
    FRAME_WH,
    SIDE,
    crop_of,
    dfl_dict,
    dfl_jpeg,
    dfl_pak,
    faceswap_face,
    faceswap_png,
    frame_and_landmarks,
    fsa,
)
from tests.facesets import write_faceset

COUNT = 4
SMALL = ExtractConfig(size_px=64, format="png")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One of a user of DeepFaceLab: footage and faces of dst, only faces of src."""
    root = tmp_path / "anna"
    for side in ("src", "dst"):
        (root / f"data_{side}" / "aligned").mkdir(parents=True)
    found = Workspace.open(root)
    frames = [frame_and_landmarks(number)[0] for number in range(COUNT)]
    write_clip(root / "data_dst.mp4", frames)
    return found


def put_dfl(folder: Path, *numbers: int, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        data = dfl_jpeg(dfl_dict(number, **changes), crop_of(number))
        (folder / f"{number + 1:05d}_0.jpg").write_bytes(data)


def frames_as_pictures(workspace: Workspace) -> None:
    workspace.source("dst").rename(workspace.root / "footage.mp4")
    for number in range(COUNT):
        path = workspace.folder("dst") / f"{number + 1:05d}.png"
        write_image(path, frame_and_landmarks(number)[0])


def check_that_merge_takes(workspace: Workspace, inputs: InputConfig | None = None) -> int:
    """Run merge's own checks on the faces of dst; return how many there are."""
    records = [face.record for face in open_faceset(workspace.aligned("dst")).faces]
    source = open_side(workspace, "dst", inputs or InputConfig())
    chosen = choose_faces(records, "largest")
    check_origin(chosen, source, "")
    for frame in source.frames():
        assert isinstance(frame, Frame)
        for record in chosen.get(frame.index, []):
            check_time(record, frame, source, "")
            assert record.frame_name == source.frame_name(frame.index)
    return len(chosen)


def test_a_workspace_of_deepfacelab_opens_in_place_and_its_pixels_stay(
    workspace: Workspace,
) -> None:
    folder = workspace.aligned("dst")
    put_dfl(folder, *range(COUNT))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    report = run_import_faceset(workspace, side="dst")
    assert (report.done, report.kept, report.failed) == (COUNT, 0, {})
    assert report.facts["not_in_the_footage"] == 0
    assert check_that_merge_takes(workspace) == COUNT
    for path in folder.glob("*.jpg"):
        data = path.read_bytes()
        comments = [part for part in jpeg_parts(data) if part.kind == b"\xfe"]
        stripped = data
        for part in reversed(comments):
            stripped = stripped[: part.start] + stripped[part.end :]
        assert stripped == before[path.name]  # so that DeepFaceLab reads what it wrote
    again = run_import_faceset(workspace, side="dst")
    assert (again.done, again.kept) == (0, COUNT)


def test_faces_find_their_frames_among_pictures_by_name(workspace: Workspace) -> None:
    frames_as_pictures(workspace)
    (workspace.folder("dst") / "00002.png").unlink()
    put_dfl(workspace.aligned("dst"), 0, 1, 2)
    report = run_import_faceset(workspace, side="dst")
    assert report.failed == {"00002_0.jpg": "the footage has no frame 00002.png"}
    assert check_that_merge_takes(workspace) == 2
    record = read_record(workspace.aligned("dst") / "00003_0.jpg")
    assert (record.frame_index, record.frame_name) == (1, "00003")


def test_numbers_count_from_the_beginning_of_a_video_that_is_cut(workspace: Workspace) -> None:
    inputs = InputConfig(dst_span="0.08-")
    put_dfl(workspace.aligned("dst"), *range(COUNT))
    report = run_import_faceset(workspace, side="dst", inputs=inputs)
    assert sorted(report.failed) == ["00001_0.jpg", "00002_0.jpg"]
    record = read_record(workspace.aligned("dst") / "00003_0.jpg")
    assert (record.frame_index, record.frame_time_s) == (0, Fraction(2, 25))
    assert check_that_merge_takes(workspace, inputs) == 2


def test_a_face_beside_the_picture_is_of_other_footage(workspace: Workspace) -> None:
    shifted = np.add(dfl_dict(0)["source_landmarks"], [500, 0])
    matrix = np.array(dfl_dict(0)["image_to_face_mat"])
    matrix[:, 2] -= matrix[:, :2] @ [500, 0]
    put_dfl(workspace.aligned("dst"), 0, source_landmarks=shifted, image_to_face_mat=matrix)
    report = run_import_faceset(workspace, side="dst")
    assert "lies outside of the frame 00001.png" in report.failed["00001_0.jpg"]


def test_a_video_of_uneven_frames_is_warned_of(workspace: Workspace) -> None:
    frames = [frame_and_landmarks(number)[0] for number in range(COUNT)]
    write_clip(workspace.root / "data_dst.mp4", frames, ticks=[0, 1, 4, 5])
    put_dfl(workspace.aligned("dst"), 0)
    assert "a frame off" in run_import_faceset(workspace, side="dst").facts["warning"]


def test_faces_of_src_need_no_footage(workspace: Workspace, tmp_path: Path) -> None:
    put_dfl(tmp_path / "old", 0, 1)
    report = run_import_faceset(workspace, tmp_path / "old", side="src")
    assert (report.done, report.facts["not_in_the_footage"]) == (2, 2)
    faceset = open_faceset(workspace.aligned("src"))
    assert len(faceset.faces) == 2
    assert faceset.faces[0].record.source_name == "00001.png"
    assert faceset.faces[0].image().shape == (SIDE, SIDE, 3)


def test_a_pak_is_taken_over_and_people_are_tracks(workspace: Workspace, tmp_path: Path) -> None:
    pictures = {f"{who}/a.jpg": dfl_jpeg(dfl_dict(n)) for n, who in enumerate(("anna", "bob"))}
    path = tmp_path / "faceset.pak"
    path.write_bytes(dfl_pak(pictures))
    report = run_import_faceset(workspace, path, side="src")
    assert report.done == 2
    found = open_faceset(workspace.aligned("src")).faces
    assert {face.path.name: face.record.track for face in found} == {
        "anna_a.jpg": 0,
        "bob_a.jpg": 1,
    }


def test_a_pak_in_the_folder_itself_is_found(workspace: Workspace) -> None:
    (workspace.aligned("src") / "faceset.pak").write_bytes(dfl_pak({"a.jpg": dfl_jpeg()}))
    assert run_import_faceset(workspace, side="src").done == 1
    assert run_import_faceset(workspace, side="src").kept == 2  # once as it is, once of the pak


def test_masks_and_polygons_become_masks_to_edit(workspace: Workspace) -> None:
    square = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]], np.float32)
    polygons = {"polys": [{"type": 1, "pts": square}]}
    put_dfl(workspace.aligned("src"), 0, seg_ie_polys=polygons)
    assert run_import_faceset(workspace, side="src").facts["masks"] == 1
    path = workspace.edited_masks("src") / "00001_0.png"
    mask = read_grey(path)
    assert (mask.shape, int((mask == 255).sum())) == ((SIDE, SIDE), 1600)
    write_image(path, np.full((SIDE, SIDE), 7, np.uint8))  # edited by a person
    assert run_import_faceset(workspace, side="src").facts["masks"] == 0
    assert (read_grey(path) == 7).all()


def test_bad_pictures_are_told_and_the_rest_is_taken(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    put_dfl(folder, 0)
    (folder / "a.jpg").write_bytes(b"")
    (folder / "b.jpg").write_bytes(encode_image(crop_of(), ".jpg"))
    (folder / "c.jpg").write_bytes(dfl_jpeg(dfl_dict(face_type="mark_only")))
    (folder / "d.jpg").write_bytes(dfl_jpeg(b"cos\nsystem\n(S'true'\ntR."))
    (folder / "e.png").write_bytes(b"")
    (folder / "f.jpg").mkdir()
    (folder / "g.jpg").write_bytes(dfl_jpeg(dfl_dict(xseg_mask=np.zeros(9, np.uint8))))
    report = run_import_faceset(workspace, folder, side="src")
    # The face with a broken mask is taken, and its mask told.
    assert report.done == 2
    assert sorted(report.failed) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.png", "f.jpg", "g.jpg"]
    assert "refused global os.system" in report.failed["d.jpg"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *("00001_0.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.png", "f.jpg", "g.jpg")
    ]


def test_a_hostile_pak_does_not_fill_the_report(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_faceset, "MAX_TOLD", 2)
    path = tmp_path / "faceset.pak"
    path.write_bytes(dfl_pak({f"{n}.jpg": b"bad" for n in range(5)}))
    report = run_import_faceset(workspace, path, side="src")
    assert (len(report.failed), report.facts["failed_in_all"]) == (2, 5)


def test_another_picture_of_the_same_name_stays(workspace: Workspace, tmp_path: Path) -> None:
    put_dfl(workspace.aligned("src"), 0)
    before = (workspace.aligned("src") / "00001_0.jpg").read_bytes()
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "00001_0.jpg").write_bytes(dfl_jpeg(dfl_dict(1), crop_of(1)))
    report = run_import_faceset(workspace, folder, side="src")
    assert report.facts["renamed"] == {"00001_0.jpg": "00001_0_1.jpg"}
    assert (workspace.aligned("src") / "00001_0.jpg").read_bytes() == before
    again = run_import_faceset(workspace, folder, side="src")
    assert (again.done, again.kept) == (0, 1)


def test_a_killed_import_goes_on(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_dfl(tmp_path / "old", *range(COUNT), xseg_mask=np.frombuffer(
        encode_image(np.full((8, 8), 255, np.uint8), ".png"), np.uint8
    ))  # fmt: skip
    write, calls = Arrivals.put_mask, []

    def killed(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:  # after the picture, before its mask
            raise KeyboardInterrupt
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Arrivals, "put_mask", killed)
        with pytest.raises(KeyboardInterrupt):
            run_import_faceset(workspace, tmp_path / "old", side="src")
    report = run_import_faceset(workspace, tmp_path / "old", side="src")
    assert (report.done, report.kept) == (2, 2)
    assert len(list(workspace.edited_masks("src").glob("*.png"))) == COUNT


@pytest.mark.parametrize(
    ("name", "why"),
    [("absent", "no such file or folder"), ("a.txt", "neither a .pak"), (".", "no .jpg or .png")],
)
def test_nothing_to_import_is_explained(tmp_path: Path, name: str, why: str) -> None:
    root = tmp_path / "ws"
    (root / "data_src").mkdir(parents=True)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("")
    with pytest.raises(WorkspaceError, match=why):
        run_import_faceset(Workspace.open(root), folder / name, side="src")


# faceswap


def test_faces_of_faceswap_are_cut_from_the_footage(workspace: Workspace, tmp_path: Path) -> None:
    frames = {f"data_dst_{n + 1:06d}.mp4": {"faces": [faceswap_face(n)]} for n in range(COUNT)}
    path = tmp_path / "data_dst_alignments.fsa"
    path.write_bytes(fsa(frames | {"data_dst_000099.mp4": {"faces": [faceswap_face()]}}))
    report = run_import_faceset(workspace, path, side="dst", section=SMALL)
    assert report.done == COUNT
    assert report.failed == {"data_dst_000099.mp4 face 0": "the footage has no such frame"}
    assert report.facts["masks"] == COUNT
    assert check_that_merge_takes(workspace) == COUNT
    face = open_faceset(workspace.aligned("dst")).faces[1]
    assert (face.path.name, face.record.size_px) == ("000001_00.png", 64)
    # The pixels are those of the frame: it is the second one, which is not like the first.
    (frame,) = [f for f in open_side(workspace, "dst", InputConfig()).frames() if f.index == 1]
    again = warp(frame.image, face.record.crop, size_wh=(64, 64))  # type: ignore[union-attr]
    np.testing.assert_array_equal(face.image(), again)
    mask = read_grey(workspace.edited_masks("dst") / "000001_00.png")
    assert mask[20, 32] == 255
    assert mask[-8, 32] == 0
    again_report = run_import_faceset(workspace, path, side="dst", section=SMALL)
    assert (again_report.done, again_report.kept) == (0, COUNT)


def test_a_folder_of_face_pngs_is_enough(workspace: Workspace, tmp_path: Path) -> None:
    frames_as_pictures(workspace)
    folder = tmp_path / "faces"
    folder.mkdir()
    text = repr(
        {
            "alignments": faceswap_face(2),
            "source": {"source_filename": "00003.png", "face_index": 1, "source_is_video": False},
        }
    )
    (folder / "00003_1.png").write_bytes(faceswap_png(text=text))
    report = run_import_faceset(workspace, folder, side="dst", section=SMALL)
    assert (report.done, report.failed) == (1, {})
    assert (workspace.aligned("dst") / "00003_01.png").is_file()
    assert check_that_merge_takes(workspace) == 1


def test_without_footage_the_faces_of_faceswap_cannot_be_cut(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "a.fsa"
    path.write_bytes(fsa())
    with pytest.raises(WorkspaceError, match="no footage of src"):
        run_import_faceset(workspace, path, side="src")


# Export


def test_what_goes_out_comes_back_as_it_was(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path / "ws", count=3)
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    write_image(workspace.edited_masks("src") / "000001_00.png", mask)
    records = [face.record for face in open_faceset(workspace.aligned("src")).faces]
    out = tmp_path / "dfl"
    report = run_export_faceset(workspace, out, side="src")
    assert (report.done, report.failed) == (3, {})
    other = Workspace(tmp_path / "other")
    run_import_faceset(other, out, side="src")
    assert [face.record for face in open_faceset(other.aligned("src")).faces] == records
    back = read_grey(other.edited_masks("src") / "000001_00.png")
    assert np.abs(back.astype(int) - mask)[[*range(31), *range(33, 64)]].max() < 3
    face = read_dfl_face((out / "000002_00.jpg").read_bytes(), "")
    assert face.source_filename == "00003.png"  # of a video: as DeepFaceLab would name it
    again = run_export_faceset(workspace, out, side="src")
    assert (again.done, again.kept) == (0, 3)


def test_the_pixels_of_a_jpg_are_exported_as_they_are(workspace: Workspace, tmp_path: Path) -> None:
    put_dfl(workspace.aligned("src"), 0, source_filename="frame_7.png")
    run_import_faceset(workspace, side="src")
    run_export_faceset(workspace, tmp_path / "out", side="src")
    picture = (tmp_path / "out" / "00001_0.jpg").read_bytes()
    ours = read_image(workspace.aligned("src") / "00001_0.jpg")
    np.testing.assert_array_equal(decode_image(picture, ""), ours)
    assert read_dfl_face(picture, "").source_filename == "frame_7.png"
    (payload,) = [part.payload for part in jpeg_parts(picture) if part.kind == b"\xef"]
    known = pickle.loads(payload)  # our own: Python and numpy themselves read the same
    np.testing.assert_array_equal(known["source_landmarks"], dfl_dict(0)["source_landmarks"])


def test_polygons_of_a_person_survive_the_way_through_us(
    workspace: Workspace, tmp_path: Path
) -> None:
    square = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]], np.float32)
    put_dfl(workspace.aligned("src"), 0, seg_ie_polys={"polys": [{"type": 1, "pts": square}]})
    run_import_faceset(workspace, side="src")
    run_export_faceset(workspace, tmp_path / "out", side="src")
    face = read_dfl_face((tmp_path / "out" / "00001_0.jpg").read_bytes(), "")
    np.testing.assert_array_equal(face.polygons[0].points, square)
    assert face.mask is not None


def test_our_own_folder_can_be_made_readable_for_both(workspace: Workspace) -> None:
    put_dfl(workspace.aligned("src"), 0, 1)
    run_import_faceset(workspace, side="src")
    folder = workspace.aligned("src")
    write_image(workspace.edited_masks("src") / "00001_0.png", np.full((SIDE, SIDE), 255, np.uint8))
    before = [read_comment(path.read_bytes()) for path in sorted(folder.glob("*.jpg"))]
    report = run_export_faceset(workspace, folder, side="src")
    assert (report.done, report.failed) == (2, {})
    assert [read_comment(path.read_bytes()) for path in sorted(folder.glob("*.jpg"))] == before
    assert read_dfl_face((folder / "00001_0.jpg").read_bytes(), "").mask is not None


def test_png_cannot_become_jpg_in_place(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path / "ws", count=1)
    report = run_export_faceset(workspace, workspace.aligned("src"), side="src")
    assert "not a .jpg" in report.failed["000000_00.png"]
    assert [path.name for path in workspace.aligned("src").iterdir()] == ["000000_00.png"]


def test_another_picture_in_the_output_stays(tmp_path: Path) -> None:
    workspace, out = write_faceset(tmp_path / "ws", count=2), tmp_path / "out"
    out.mkdir()
    (out / "000000_00.jpg").write_bytes(b"mine")
    report = run_export_faceset(workspace, out, side="src")
    assert report.done == 1
    assert "another 000000_00.jpg is there already" in report.failed["000000_00.png"]
    assert (out / "000000_00.jpg").read_bytes() == b"mine"


def test_a_pak_goes_out_and_comes_back(tmp_path: Path) -> None:
    workspace, path = write_faceset(tmp_path / "ws", count=3), tmp_path / "faceset.pak"
    (workspace.aligned("src") / "foreign.jpg").write_bytes(encode_image(crop_of(), ".jpg"))
    report = run_export_faceset(workspace, path, side="src", form="pak")
    assert (report.done, list(report.failed)) == (3, ["foreign.jpg"])
    pak = PakReader(path)
    assert [face.name for face in pak.faces] == [f"00000{n}_00.jpg" for n in range(3)]
    other = Workspace(tmp_path / "other")
    assert run_import_faceset(other, path, side="src").done == 3
    ours, theirs = (open_faceset(ws.aligned("src")).faces for ws in (workspace, other))
    assert [face.record for face in ours] == [face.record for face in theirs]
    with pytest.raises(WorkspaceError, match=r"there is a faceset\.pak already"):
        run_export_faceset(workspace, path, side="src", form="pak")


@pytest.mark.parametrize("side", ["src", "dst"])
def test_no_faces_to_export_is_explained(workspace: Workspace, tmp_path: Path, side: Side) -> None:
    with pytest.raises(WorkspaceError, match=f"no aligned faces of {side}"):
        run_export_faceset(workspace, tmp_path / "out", side=side)


def test_a_face_without_footage_is_no_face_of_dst_for_merge(workspace: Workspace) -> None:
    (workspace.root / "data_dst.mp4").unlink()
    put_dfl(workspace.aligned("dst"), 0)
    report = run_import_faceset(workspace, side="dst")
    assert (report.done, report.facts["not_in_the_footage"]) == (1, 1)
    with pytest.raises((WorkspaceError, MediaError), match="no footage of dst"):
        check_that_merge_takes(workspace)


def test_the_commands_print_what_was_done(workspace: Workspace, tmp_path: Path) -> None:
    put_dfl(tmp_path / "old", 0)
    (tmp_path / "old" / "bad.jpg").write_bytes(b"")
    run = CliRunner().invoke
    arguments = [str(workspace.root), str(tmp_path / "old"), "--side", "dst", "--json", "--quiet"]
    result = run(commands.import_faceset, arguments)
    told = json.loads(result.stdout)
    assert (told["done"], list(told["failed"])) == (1, ["bad.jpg"])
    assert result.exit_code == 4  # something failed
    output = tmp_path / "out.pak"
    arguments = [str(workspace.root), "--side", "dst", "--as", "pak", "--output", str(output)]
    result = run(commands.export_faceset, arguments)
    assert result.exit_code == 0
    assert "faceset export: 1 done, 0 kept, 0 failed" in result.stdout
    assert output.is_file()
    assert open_faceset(workspace.aligned("dst")).faces[0].record.frame_size_wh == FRAME_WH
