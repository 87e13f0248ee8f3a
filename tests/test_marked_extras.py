"""Exported stills and moving previews say what they are."""

from pathlib import Path
from typing import Any

import pytest

from faceswap_cli.config import InputConfig, VideoConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.files import only_one
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.media.credentials import verify
from faceswap_cli.stages.animation import run_animation
from faceswap_cli.stages.sequence import run_sequence
from faceswap_cli.workspace import Workspace
from tests.clips import grey_images, write_clip
from tests.made_faces import smooth_picture

NUM = 3


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return one whose merged frames and result are there."""
    write_clip(tmp_path / "data_dst.mp4", grey_images(NUM))
    write_clip(tmp_path / "result.mp4", grey_images(NUM))
    made = Workspace.open(tmp_path)
    for index in range(NUM):
        write_image(made.merged / f"{index:06d}.png", smooth_picture(index, (64, 48)))
        write_image(made.merged_masks / f"{index:06d}.png", smooth_picture(9, (64, 48))[..., 0])
    return made


def section(**settings: Any) -> VideoConfig:
    return VideoConfig.model_validate(settings)


def test_pictures_of_a_sequence_are_signed_and_their_pixels_are_not_touched(
    workspace: Workspace,
) -> None:
    report = run_sequence(workspace, section(sequence="png"), InputConfig())
    assert (report.done, report.failed) == (NUM, {})
    picture = workspace.root / "sequence" / "result.000001.png"
    assert verify(picture).state == "valid"
    assert (read_image(picture) == smooth_picture(1, (64, 48))).all()
    picture.write_bytes(picture.read_bytes().replace(b"IDAT", b"IDAU", 1))
    assert verify(picture).state == "invalid"


def test_unsigned_pictures_are_said_to_be_so(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    run_sequence(workspace, section(sequence="png", credentials=False), InputConfig())
    assert "not signed, as asked" in caplog.text
    picture = workspace.root / "sequence" / "result.000000.png"
    assert verify(picture).state == "none"
    assert b"compositeWithTrainedAlgorithmicMedia" in picture.read_bytes()
    run_sequence(workspace, section(sequence="exr"), InputConfig())
    assert "EXR files cannot hold credentials" in caplog.text


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_preview_is_made_once_and_signed(workspace: Workspace, kind: str) -> None:
    how = section(animation=kind)
    assert run_animation(workspace, how).done == 1
    preview = workspace.root / f"result.{kind}"
    before = preview.read_bytes()
    assert verify(preview).state == "valid"
    assert run_animation(workspace, how).kept == 1
    write_clip(workspace.root / "result.mp4", grey_images(NUM + 2))
    assert run_animation(workspace, how).done == 1
    assert preview.read_bytes() != before


def test_preview_of_somebody_else_is_left_alone(workspace: Workspace) -> None:
    (workspace.root / "result.gif").write_bytes(b"mine")
    with pytest.raises(WorkspaceError, match=r"result\.gif was not made by this stage"):
        run_animation(workspace, section(animation="gif"))
    assert (workspace.root / "result.gif").read_bytes() == b"mine"


@pytest.mark.parametrize("is_newer", [False, True])
def test_preview_changed_by_hand_is_left_alone(workspace: Workspace, is_newer: bool) -> None:
    preview = workspace.root / "result.gif"
    run_animation(workspace, section(animation="gif"))
    run_animation(workspace, section(animation="webp"), redo=True)
    preview.write_bytes(b"made smaller")
    if is_newer:
        write_clip(workspace.root / "result.mp4", grey_images(NUM + 2))
    with pytest.raises(WorkspaceError, match=r"or was changed since[\s\S]*--redo"):
        run_animation(workspace, section(animation="gif"))
    assert preview.read_bytes() == b"made smaller"
    assert run_animation(workspace, section(animation="gif"), redo=True).done == 1
    assert run_animation(workspace, section(animation="webp")).kept == 1 - is_newer


def test_preview_waits_for_a_video_in_the_making(workspace: Workspace) -> None:
    partial = workspace.root / ".result.mp4.partial"
    partial.write_bytes(b"half")
    with (
        only_one(workspace.stages, "video"),
        pytest.raises(WorkspaceError, match="another process runs video"),
    ):
        run_animation(workspace, section(animation="gif"))
    assert partial.exists()


def test_preview_without_a_result_names_the_command(workspace: Workspace) -> None:
    (workspace.root / "result.mp4").unlink()
    with pytest.raises(WorkspaceError, match=r"no result\.mp4[\s\S]*faceswap-cli video"):
        run_animation(workspace, section(animation="gif"))
