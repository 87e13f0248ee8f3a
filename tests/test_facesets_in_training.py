"""Which aligned pictures a training takes, and what it says of the others."""

from pathlib import Path

import numpy as np
import pytest

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.record import FaceRecord
from faceswap_cli.faces.templates import crop_from_frame
from faceswap_cli.geometry import warp
from faceswap_cli.stages.train import run_train
from faceswap_cli.training.cutting import Layout, cut_face
from faceswap_cli.workspace import Workspace
from tests.facesets import FRAME_PX, blob, face68, record, write_faceset
from tests.test_train import toy

FULL = TrainConfig(resolution=32, face_type="full")


def as_type(face_type: str, size_px: int = 96) -> FaceRecord:
    """The same face of the same frame, cut as another type."""
    crop = crop_from_frame(face68(), face_type, size_px)
    points = tuple((x, y) for x, y in crop.apply(face68()).tolist())
    matrix = tuple(crop.matrix[0].tolist()), tuple(crop.matrix[1].tolist())
    changes = {"face_type": face_type, "size_px": size_px, "landmarks_crop": points}
    return record(0).model_copy(update=changes | {"crop_from_frame": matrix})


def write(path: Path, face_type: str) -> Path:
    """Cut the face out of a smooth frame."""
    about = as_type(face_type)
    frame = blob(FRAME_PX, (220, 120, 60), 0.3)
    picture = warp(frame, about.crop, size_wh=(about.size_px, about.size_px))
    write_aligned(path, np.asarray(picture, np.uint8), about, jpeg_quality=100)
    return path


def cut(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    row, _ = cut_face(path, path.parent / "none.png", FULL)
    side = Layout.of(32).side
    return np.frombuffer(row, np.uint8)[: 3 * side**2].reshape(3, side, side).astype(np.float32)


@pytest.mark.parametrize("face_type", ["whole_face", "head"])
def test_larger_crops_are_cut_again_and_show_the_same(tmp_path: Path, face_type: str) -> None:
    full, larger = cut(write(tmp_path / "a.png", "full")), cut(write(tmp_path / "b.png", face_type))
    # The margin of a view is beyond a full crop: only what lies inside can be compared.
    edge = len(full[0]) // 5
    inside = slice(edge, -edge)
    assert np.abs(full - larger)[:, inside, inside].mean() < 2.0


@pytest.mark.parametrize("face_type", ["half", "mid_full"])
def test_smaller_crops_are_refused(tmp_path: Path, face_type: str) -> None:
    message = f"a {face_type} crop shows less of the head than a full model sees"
    with pytest.raises(WorkspaceError, match=message) as caught:
        cut(write(tmp_path / "a.png", face_type))
    assert "extract with --face-type full or larger" in str(caught.value)


def test_a_face_type_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    about = record(0).model_copy(update={"face_type": "custom"})
    write_aligned(path, blob(64, (9, 9, 9), 0.0), about, jpeg_quality=95)
    with pytest.raises(WorkspaceError, match="unknown face type, 'custom'"):
        cut(path)


def test_mixed_types_train_on_what_is_large_enough_and_name_the_others(tmp_path: Path) -> None:
    workspace = write_faceset(tmp_path)
    write(workspace.aligned("src") / "small.png", "half")
    write(workspace.aligned("src") / "other.png", "head")
    report = run_train(workspace, toy(iterations=1))
    assert report.facts["src faces"] == 7
    assert list(report.facts["src skipped"]) == ["small.png"]
    assert "half crop" in report.facts["src skipped"]["small.png"]


def test_only_small_ones_are_an_error_that_says_why(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for side in ("src", "dst"):
        for number in range(3):
            write(workspace.aligned(side) / f"{number}.png", "half")
    with pytest.raises(WorkspaceError, match="no aligned faces of src; 3 pictures cannot") as told:
        run_train(workspace, toy())
    assert "0.png: a half crop shows less of the head than a full model sees" in str(told.value)
