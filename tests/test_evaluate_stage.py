"""Whole workspaces: a public-domain portrait that moves, and what is done to it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner

from faceswap_cli.commands.evaluate import evaluate
from faceswap_cli.config import InputConfig, MergeConfig
from faceswap_cli.config_evaluate import EvaluateConfig
from faceswap_cli.detect import build_detector, build_landmarker
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.evaluating.footage import newest_video, open_result
from faceswap_cli.evaluating.measuring import find_masks
from faceswap_cli.evaluating.swapped import find_swapped
from faceswap_cli.faces.faceset import read_record, write_aligned
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.masks import feather, hull_mask
from faceswap_cli.media.source import open_source
from faceswap_cli.stages.evaluate import run_evaluate
from faceswap_cli.types import Points, RgbImage
from faceswap_cli.workspace import StageReport, Workspace
from tests.clips import write_clip
from tests.made_faces import made_record, smooth_picture

NUM, CROP_PX = 6, 128
PORTRAIT: RgbImage = np.ascontiguousarray(skimage.data.astronaut()[0:256, 96:352])


@pytest.fixture(scope="module")
def face() -> Points:
    """The landmarks of the portrait."""
    found = build_detector(device="cpu", min_score=0.5).detect([PORTRAIT])
    return build_landmarker("mesh", device="cpu").locate([PORTRAIT], found)[0][0].points68


def shifted(index: int) -> RgbImage:
    return np.roll(PORTRAIT, index, axis=1)


def mask_of(points: Points, index: int) -> RgbImage:
    hull = hull_mask(points + np.array([index, 0]), (256, 256)).astype(np.float32) / 255.0
    return np.asarray(np.rint(feather(hull, width_px=8.0) * 255.0), np.uint8)


def lighter(image: RgbImage, mask: RgbImage, levels: float) -> RgbImage:
    lit = image + levels * (mask[..., None] / 255.0)
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)


Made = Callable[..., Workspace]


@pytest.fixture(autouse=True)
def _curves_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes longer than all else; one test does."""
    blank = np.full((20, 1280, 3), 255, np.uint8)
    monkeypatch.setattr("faceswap_cli.stages.evaluate.draw_charts", lambda _: blank)


@pytest.fixture
def made(tmp_path: Path, face: Points) -> Made:
    """Makes a workspace whose merged frames are those of the footage."""

    def make(name: str = "w", *, without: tuple[int, ...] = ()) -> Workspace:
        workspace = Workspace(tmp_path / name)
        for index in range(NUM):
            write_image(workspace.folder("dst") / f"{index}.png", shifted(index))
            write_image(workspace.merged / f"{index}.png", shifted(index))
            write_image(workspace.merged_masks / f"{index}.png", mask_of(face, index))
            if index not in without:
                write_face(workspace, face, index)
        record = made_record(0)
        write_aligned(
            workspace.aligned("src") / "0.png",
            smooth_picture(5, (64, 64)),
            record,
            jpeg_quality=95,
        )
        return workspace

    return make


def write_face(workspace: Workspace, face: Points, index: int) -> None:
    points = face + np.array([index, 0])
    crop = crop_from_frame(points, "whole_face", CROP_PX)
    low, high = points.min(axis=0), points.max(axis=0)
    record = made_record(index, frame_name=f"{index}", source_name=f"{index}.png").model_copy(
        update={
            "size_px": CROP_PX,
            "landmarks_frame": tuple(map(tuple, points.tolist())),
            "landmarks_crop": tuple(map(tuple, crop.apply(points).tolist())),
            "crop_from_frame": tuple(map(tuple, crop.matrix.tolist())),
            "frame_size_wh": (256, 256),
            "box": (*low.tolist(), *high.tolist()),
        }
    )
    image = np.asarray(warp(shifted(index), crop, size_wh=(CROP_PX, CROP_PX)), np.uint8)
    path = workspace.aligned("dst") / f"{index}_0.png"
    write_aligned(path, image, record, jpeg_quality=95)


def run(workspace: Workspace, **section: object) -> StageReport:
    settings = EvaluateConfig.model_validate({"device": "cpu"} | section)
    return run_evaluate(workspace, settings, InputConfig(), merge=MergeConfig())


def told(workspace: Workspace) -> dict[str, object]:
    found = json.loads((workspace.reports / "evaluation.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def test_footage_that_was_not_changed_has_no_error(made: Made) -> None:
    workspace = made()
    report = run(workspace)
    facts = report.facts
    assert (report.done, report.failed) == (NUM, {})
    for key in ("landmark_nme", "shape_nme", "pose_error_deg", "mouth_error", "missed"):
        assert facts[key] == pytest.approx(0.0, abs=1e-4), key
    assert facts["flicker_ratio"] == facts["sharpness_ratio"] == facts["seam_ratio"] == 1.0
    assert facts["colour_difference"] == facts["colour_jump"] == facts["colour_shift"] == 0.0
    assert facts["background_psnr_db"] == 99.0
    assert facts["nearer_src"] == 0.0  # it is dst, and is told so


def test_reports_are_written_and_nothing_else_is_touched(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    workspace = made()
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    run(workspace)
    after = {path for path in workspace.root.rglob("*") if path.is_file()}
    names = ("evaluation.html", "evaluation.json", "evaluation.png")
    assert after - before.keys() == {workspace.reports / name for name in names}
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_brighter_face_raises_colour_and_flicker(made: Made, face: Points) -> None:
    workspace = made()
    for index in range(0, NUM, 2):
        lit = lighter(shifted(index), mask_of(face, index), 30)
        write_image(workspace.merged / f"{index}.png", lit)
    facts = run(workspace).facts
    assert facts["flicker_ratio"] > 5.0
    assert facts["background_psnr_db"] == 99.0
    assert facts["colour_shift"] > 3.0
    reasons = told(workspace)["reasons"]
    assert isinstance(reasons, dict) and reasons["flicker"] == NUM - 1


def test_a_moved_face_is_off_by_as_much(made: Made, face: Points) -> None:
    workspace = made()
    for index in range(NUM):
        write_image(workspace.merged / f"{index}.png", np.roll(shifted(index), 5, axis=0))
    eyes = face[36:42].mean(axis=0) - face[42:48].mean(axis=0)
    expected = 5.0 / float(np.linalg.norm(eyes))
    facts = run(workspace).facts
    assert facts["landmark_nme"] == pytest.approx(expected, rel=0.15)
    assert facts["shape_nme"] < 0.3 * expected
    assert facts["background_psnr_db"] < 40.0


def test_a_frame_painted_by_hand_comes_first(made: Made, face: Points) -> None:
    workspace = made()
    picture = shifted(3)
    low, high = np.rint([face.min(axis=0) - 20, face.max(axis=0) + 20]).astype(int)
    picture[low[1] : high[1], low[0] : high[0]] = (90, 90, 90)
    write_image(workspace.merged / "3.png", picture)
    report = run(workspace)
    listed = told(workspace)["need_a_look"]
    assert isinstance(listed, list)
    assert (listed[0]["frame"], next(iter(listed[0]["reasons"]))) == (3, "no_face")
    assert 'range = "3"' in listed[0]["try"]
    assert report.facts["missed"] == pytest.approx(1 / NUM, abs=1e-4)
    assert "frame 3" in report.facts["needs a look: no face"]


def test_a_face_that_extraction_lost_is_told(made: Made) -> None:
    workspace = made(without=(2, 3))
    report = run(workspace)
    assert report.facts["old face between new ones"] == "2-3"
    listed = told(workspace)["need_a_look"]
    assert isinstance(listed, list)
    [missed] = [doubt for doubt in listed if "missed" in doubt["reasons"]]
    assert (missed["frame"], missed["last"], missed["time_s"]) == (2, 3, 0.08)


def test_frames_that_were_skipped_on_purpose_are_not_missed(made: Made) -> None:
    workspace = made()
    skipped = {"range": "2-3", "skip": True}
    merge = MergeConfig.model_validate({"shot": [skipped]})
    section = EvaluateConfig(device="cpu")
    report = run_evaluate(workspace, section, InputConfig(), merge=merge)
    assert report.done == NUM - 2
    assert "old face between new ones" not in report.facts


def test_settings_that_merge_left_count(made: Made) -> None:
    workspace = made()
    workspace.stages.mkdir(parents=True)
    text = '[merge]\nshot = [{range = "2-3", skip = true}]\n'
    workspace.settings("merge").write_text(text, "utf-8")
    assert run(workspace).done == NUM - 2
    workspace.settings("merge").write_text("[merge]\nno_such_key = 1\n", "utf-8")
    assert run(workspace).done == NUM


def test_frames_that_merge_was_told_to_leave_count(made: Made) -> None:
    workspace = made()
    footage = open_source(workspace.folder("dst"))
    given = InputConfig(dst_exclude="0")
    assert list(find_swapped(workspace, footage, MergeConfig(), given).by_frame) == [1, 2, 3, 4, 5]
    workspace.stages.mkdir(parents=True)
    workspace.settings("merge").write_text('[merge]\n[input]\ndst_exclude = "1-3"\n', "utf-8")
    swapped = find_swapped(workspace, footage, MergeConfig(), given)
    assert list(swapped.by_frame) == [0, 4, 5]
    assert 2 in swapped.left_out and 0 not in swapped.left_out
    workspace.settings("merge").write_text("[merge]\n", "utf-8")
    assert 0 not in find_swapped(workspace, footage, MergeConfig(), given).by_frame


def test_lost_masks_are_guessed_and_that_is_said(made: Made, face: Points) -> None:
    workspace = made()
    for index in range(NUM):
        lit = lighter(shifted(index), mask_of(face, index), 30)
        write_image(workspace.merged / f"{index}.png", lit)
    with_masks = run(workspace).facts
    for path in workspace.merged_masks.iterdir():
        path.unlink()
    without = run(workspace).facts
    assert "guessed" in without["masks"] and "guessed" not in with_masks["masks"]
    assert without["seam_ratio"] == pytest.approx(with_masks["seam_ratio"], rel=0.3)
    assert without["background_psnr_db"] == 99.0


def video_of(workspace: Workspace, num: int) -> None:
    """A result video of the footage, without losses."""
    options = {"crf": "0", "preset": "ultrafast"}
    images = [shifted(index) for index in range(num)]
    write_clip(workspace.result("mp4"), images, options=options, pix_fmt="yuv444p")


def test_the_video_is_preferred_to_the_frames(made: Made, face: Points) -> None:
    workspace = made()
    video_of(workspace, NUM)
    facts = run(workspace).facts
    assert "result.mp4" in facts["result"]
    assert 40.0 < facts["background_psnr_db"] < 99.0
    assert facts["time_error_s"] == 0.0
    assert facts["landmark_nme"] < 0.02
    frames = run(workspace, of="frames").facts
    assert "merged" in frames["result"] and frames["background_psnr_db"] == 99.0


def test_a_result_of_another_length_is_refused(made: Made) -> None:
    workspace = made()
    video_of(workspace, NUM - 1)
    with pytest.raises(WorkspaceError, match="has 5 frames, the footage has 6") as caught:
        run(workspace)
    assert "--dst-span" in str(caught.value)
    assert not workspace.reports.exists()


def test_the_new_face_alone_is_not_taken_for_the_result(made: Made) -> None:
    workspace = made()
    video_of(workspace, NUM)
    workspace.result("mp4").rename(workspace.result("mov"))
    workspace.stages.mkdir(parents=True)
    text = '[video]\ncodec = "prores"\ncontainer = "mov"\nalpha = true\n'
    workspace.settings("video").write_text(text, "utf-8")
    assert newest_video(workspace) is None
    with pytest.raises(WorkspaceError, match="no result video"):
        run(workspace, of="video")


def test_the_pixel_that_an_encoder_adds_to_an_odd_side_is_no_other_size(made: Made) -> None:
    workspace = made()
    for index in range(NUM):
        write_image(workspace.folder("dst") / f"{index}.png", shifted(index)[:255, :255])
        path = workspace.aligned("dst") / f"{index}_0.png"
        record = read_record(path).model_copy(update={"frame_size_wh": (255, 255)})
        write_aligned(path, read_image(path), record, jpeg_quality=95)
    longer = [np.pad(shifted(i)[:255, :255], ((0, 1), (0, 1), (0, 0)), "edge") for i in range(NUM)]
    options = {"crf": "0", "preset": "ultrafast"}
    write_clip(workspace.result("mp4"), longer, options=options, pix_fmt="yuv444p")
    facts = run(workspace).facts
    assert facts["background_psnr_db"] > 40.0
    assert "guessed" in facts["masks"]  # those of the fixture are of another size


def merged_with(workspace: Workspace, settings: dict[str, object], *, complete: bool) -> None:
    """Leave the manifest of a merge."""
    workspace.stages.mkdir(parents=True, exist_ok=True)
    lines = [{"settings": settings}, ["*", {"complete": complete}]]
    text = "\n".join(map(json.dumps, lines)) + "\n"
    workspace.manifest("merge").write_text(text, "utf-8")


def test_an_unfinished_merge_is_refused(made: Made) -> None:
    workspace = made()
    merged_with(workspace, {"format": "png"}, complete=True)
    assert open_result(workspace, open_source(workspace.folder("dst")), "auto").num_frames_hint
    merged_with(workspace, {"format": "png"}, complete=False)
    with pytest.raises(WorkspaceError, match="merge was not finished"):
        run(workspace)


def test_what_lay_there_before_a_streamed_merge_is_not_measured(made: Made) -> None:
    workspace = made()
    merged_with(workspace, {"stream": True}, complete=True)
    with pytest.raises(WorkspaceError, match="nothing to measure") as caught:
        run(workspace)
    assert str(caught.value).endswith(f"fix: faceswap-cli video {workspace.root}")
    assert find_masks(workspace) is None
    merged_with(workspace, {"stream": False}, complete=True)
    assert find_masks(workspace) == workspace.merged_masks


def test_a_result_of_another_size_is_refused(made: Made) -> None:
    workspace = made()
    images = [shifted(index)[:128] for index in range(NUM)]
    write_clip(workspace.result("mp4"), images)
    with pytest.raises(WorkspaceError, match="is 256x128, the footage 256x256"):
        run(workspace)


def test_without_a_result_the_command_that_makes_it_is_named(made: Made) -> None:
    workspace = made()
    with pytest.raises(WorkspaceError, match=f"faceswap-cli video {workspace.root}"):
        run(workspace, of="video")
    (workspace.merged / "4.png").unlink()
    with pytest.raises(WorkspaceError, match=r"1 of 6 merged frames .* 4\.png"):
        run(workspace)
    for path in workspace.merged.iterdir():
        path.unlink()
    with pytest.raises(WorkspaceError, match="nothing to measure") as caught:
        run(workspace)
    assert f"faceswap-cli merge {workspace.root}" in str(caught.value)


def test_without_faces_extract_is_named(made: Made) -> None:
    workspace = made(without=tuple(range(NUM)))
    with pytest.raises(WorkspaceError, match="no face of dst") as caught:
        run(workspace)
    assert "faceswap-cli extract" in str(caught.value)


def test_points_that_are_no_numbers_are_left_out(made: Made) -> None:
    workspace = made()
    path = workspace.aligned("dst") / "5_0.png"
    text = read_comment(path.read_bytes())
    assert text is not None
    head, key, points = text.partition('"landmarks_frame":[[')
    huge = head + key + "1e999," + points.partition(",")[2]
    path.write_bytes(with_comment(path.read_bytes(), huge))
    assert run(workspace).done == NUM - 1


def test_without_faces_of_src_identity_is_not_known(made: Made) -> None:
    workspace = made()
    (workspace.aligned("src") / "0.png").unlink()
    facts = run(workspace).facts
    assert facts["id_src"] is None and facts["nearer_src"] is None
    assert facts["id_dst"] > 0.8


def test_a_few_frames_are_measured_in_pairs(made: Made) -> None:
    workspace = made()
    assert run(workspace, frames=4).done == 4
    faces = told(workspace)["faces"]
    assert isinstance(faces, list)
    assert [face["frame"] for face in faces] == [0, 1, 4, 5]
    assert [face["flicker"] is None for face in faces] == [True, False, True, False]


def test_the_command_prints_one_json_object_and_a_bad_swap_is_no_error(made: Made) -> None:
    workspace = made()
    black = np.zeros((256, 256, 3), np.uint8)
    for index in range(NUM):
        write_image(workspace.merged / f"{index}.png", black)
    result = CliRunner().invoke(
        evaluate, [str(workspace.root), "--json", "--quiet", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["stage"] == "evaluate" and found["missed"] == 1.0
