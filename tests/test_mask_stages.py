"""Masks from the command line: trained, made, edited, imported, shown."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from faceswap_cli.commands.mask import mask as group
from faceswap_cli.config import MaskConfig
from faceswap_cli.device import choose_device
from faceswap_cli.errors import FaceswapError, MediaError, WorkspaceError
from faceswap_cli.imaging import read_grey, read_image, write_image
from faceswap_cli.interop.labelme import Drawing, Outline, labelme_json
from faceswap_cli.segmenting import eyes as eyes_module
from faceswap_cli.segmenting import state
from faceswap_cli.segmenting.eyes import CHANNELS, Eyes, Seen
from faceswap_cli.segmenting.foreign import read_foreign_mask
from faceswap_cli.segmenting.inference import open_segmenter
from faceswap_cli.segmenting.labels import mask_is_by, own_mask_png, write_own_mask
from faceswap_cli.stages import mask_train
from faceswap_cli.stages.mask_apply import run_mask_apply
from faceswap_cli.stages.mask_edit import LIST, lay_out, take_back
from faceswap_cli.stages.mask_import import run_mask_import
from faceswap_cli.stages.mask_preview import run_mask_preview
from faceswap_cli.stages.mask_train import run_mask_train
from faceswap_cli.training.stored import checkpoints, read_stored
from faceswap_cli.workspace import StageReport, Workspace
from tests.facesets import write_faceset

TOY = MaskConfig(
    resolution=64, width=4, iterations=4, batch_size=1, save_every=2, plain_faces=3, device="cpu"
)
PX = 64


class FastEyes(Eyes):
    """As many maps, at once: what they are is another test's matter."""

    def __init__(self, place: torch.device) -> None:
        self.name = "fast"

    def __call__(self, image_B3HW: torch.Tensor) -> Seen:
        coarse, middle, fine = (
            torch.nn.functional.interpolate(image_B3HW.mean(1, keepdim=True), size=side)
            .detach()
            .expand(-1, channels, -1, -1)
            for channels, side in zip(CHANNELS, (12, 24, 48), strict=True)
        )
        return coarse, middle, fine


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for module in ("faceswap_cli.stages.mask_train", "faceswap_cli.segmenting.inference"):
        monkeypatch.setattr(f"{module}.Eyes", FastEyes)
    assert eyes_module.Eyes is not FastEyes
    return write_faceset(tmp_path / "ws", count=4, size_px=PX)


@pytest.fixture
def trained(workspace: Workspace) -> Workspace:
    run_mask_train(workspace, TOY)
    return workspace


def folder_of(workspace: Workspace) -> Path:
    return workspace.edited_masks("dst")


def square(level: int = 255, size: int = PX) -> np.ndarray[Any, np.dtype[np.uint8]]:
    made = np.zeros((size, size), np.uint8)
    made[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = level
    return made


def drawing() -> Drawing:
    return Drawing((Outline(np.array([[8.0, 8], [40, 8], [40, 40], [8, 40]]), include=True),))


def weights(workspace: Workspace) -> dict[str, torch.Tensor]:
    return read_stored(checkpoints(workspace.mask_model)[-1])[1]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def test_training_leaves_a_checkpoint_and_a_preview(workspace: Workspace) -> None:
    report = run_mask_train(workspace, TOY)
    assert (report.done, report.kept, report.failed) == (4, 0, {})
    assert report.facts["labelled"] == 0
    assert report.facts["without a label"] == 6
    assert len(checkpoints(workspace.mask_model)) == 2
    page = read_image(workspace.mask_model / mask_train.PREVIEW)
    assert page.shape == (6 * 64, 4 * 64, 3)
    again = run_mask_train(workspace, TOY)
    assert (again.done, again.kept) == (0, 4)


def test_a_training_that_was_killed_ends_with_the_same_bits(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_mask_train(workspace, TOY)
    whole = weights(workspace)
    for path in checkpoints(workspace.mask_model):
        path.unlink()

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        real = state.save_state
        saves = iter([real, killed])
        patch.setattr(mask_train, "save_state", lambda *a: next(saves)(*a))
        with pytest.raises(RuntimeError, match="killed"):
            run_mask_train(workspace, TOY)
    report = run_mask_train(workspace, TOY)
    assert report.kept == 2
    again = weights(workspace)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_more_iterations_go_on(trained: Workspace) -> None:
    report = run_mask_train(trained, TOY.model_copy(update={"iterations": 5}))
    assert (report.done, report.kept) == (1, 4)


def test_another_shape_of_network_is_refused_with_the_flag_that_mends_it(
    trained: Workspace,
) -> None:
    with pytest.raises(WorkspaceError, match=r"width was 4, is 8[\s\S]*--width 4"):
        run_mask_train(trained, TOY.model_copy(update={"width": 8}))


def test_other_detectors_are_refused(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Others(FastEyes):
        def __init__(self, place: torch.device) -> None:
            self.name = "others"

    monkeypatch.setattr("faceswap_cli.segmenting.inference.Eyes", Others)
    with pytest.raises(WorkspaceError, match="has learnt with fast, here is others"):
        open_segmenter(trained.mask_model, choose_device("cpu"))


def test_a_flipped_bit_in_the_checkpoint_is_found(trained: Workspace) -> None:
    path = checkpoints(trained.mask_model)[-1]
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(WorkspaceError, match="checksum"):
        run_mask_apply(trained, TOY)


def test_no_faces_is_an_error_that_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="faceswap-cli extract"):
        run_mask_train(Workspace(tmp_path), TOY)


def test_painted_masks_and_drawings_are_labels_and_our_own_are_not(workspace: Workspace) -> None:
    folder = folder_of(workspace)
    write_image(folder / "000000_00.png", square())
    (workspace.aligned("dst") / "000001_00.json").write_bytes(
        labelme_json(drawing(), "000001_00.png", (PX, PX))
    )
    write_own_mask(folder / "000002_00.png", square(), by="network x")
    found = mask_train.find_faces(workspace, TOY.model_copy(update={"side": "dst"}))
    assert (found.labelled, len(found.canvases), found.skipped) == (2, 4, {})
    assert sum(canvas.drawn for canvas in found.canvases) == 2


def test_a_label_that_cannot_be_used_is_told_and_left_out(workspace: Workspace) -> None:
    (workspace.aligned("dst") / "000001_00.json").write_text("{")
    report = run_mask_train(workspace, TOY)
    assert list(report.failed) == ["000001_00.png"]
    assert report.done == 4


def test_every_face_gets_a_mask_as_large_as_its_picture(trained: Workspace) -> None:
    reports = run_mask_apply(trained, TOY)
    assert [(r.stage, r.done, r.kept, r.failed) for r in reports] == [
        ("mask apply src", 4, 0, {}),
        ("mask apply dst", 4, 0, {}),
    ]
    made = read_grey(folder_of(trained) / "000003_00.png")
    assert made.shape == (PX, PX)
    again = run_mask_apply(trained, TOY)
    assert [(r.done, r.kept) for r in again] == [(0, 4), (0, 4)]


def test_a_mask_of_an_older_network_is_made_anew(trained: Workspace) -> None:
    run_mask_apply(trained, TOY)
    run_mask_train(trained, TOY.model_copy(update={"iterations": 5}))
    assert [r.done for r in run_mask_apply(trained, TOY)] == [4, 4]


def test_what_a_person_painted_or_changed_stays(trained: Workspace) -> None:
    folder = folder_of(trained)
    run_mask_apply(trained, TOY)
    painted, changed = folder / "000000_00.png", folder / "000001_00.png"
    write_image(painted, square())
    data = changed.read_bytes()
    write_image(changed, square(200))  # a paint program that drops the comment
    keeps_comment = folder / "000002_00.png"
    keeps_comment.write_bytes(_with_comment_of(data, square(100)))
    run_mask_train(trained, TOY.model_copy(update={"iterations": 5}))
    before = [path.read_bytes() for path in (painted, changed, keeps_comment)]
    report = run_mask_apply(trained, TOY.model_copy(update={"side": "dst"}))[0]
    assert (report.done, report.facts["kept as a person made them"]) == (1, 3)
    assert [path.read_bytes() for path in (painted, changed, keeps_comment)] == before


def _with_comment_of(data: bytes, image: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    from faceswap_cli.faces.metadata import read_comment, with_comment
    from faceswap_cli.imaging import encode_image

    return with_comment(encode_image(image, ".png"), read_comment(data) or "")


def test_a_mask_that_cannot_be_read_is_told_and_left(trained: Workspace) -> None:
    broken = folder_of(trained) / "000000_00.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    report = run_mask_apply(trained, TOY.model_copy(update={"side": "dst"}))[0]
    assert list(report.failed) == ["000000_00.png"]
    assert broken.read_bytes().endswith(b"half")


def test_outlines_are_the_mask_of_their_face(trained: Workspace) -> None:
    outlines = trained.aligned("dst") / "000001_00.json"
    outlines.write_bytes(labelme_json(drawing(), "000001_00.png", (PX, PX)))
    run_mask_apply(trained, TOY)
    made = read_grey(folder_of(trained) / "000001_00.png")
    assert (made[20, 20], made[50, 50]) == (255, 0)
    assert run_mask_apply(trained, TOY)[1].kept == 4


def test_a_signature_fits_its_own_pixels_only(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_own_mask(path, square(), by="network x")
    assert mask_is_by(path) == "network x"
    path.write_bytes(_with_comment_of(own_mask_png(square(), by="network x"), square(254)))
    assert mask_is_by(path) is None
    write_image(path, square())
    assert mask_is_by(path) is None


def test_edited_masks_come_back_and_others_do_not(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "edit"
    report = lay_out(workspace, "dst", names=["000000_00"], spread=2, form="png", folder=folder)
    assert (report.done, report.failed) == (2, {})
    write_image(folder / "000000_00.mask.png", square())
    back = take_back(workspace, "dst", folder)
    assert (back.done, back.kept, back.failed) == (1, 1, {})
    assert (read_grey(folder_of(workspace) / "000000_00.png") == square()).all()
    assert mask_is_by(folder_of(workspace) / "000000_00.png") is None
    assert not (folder_of(workspace) / "000003_00.png").exists()


def test_a_painted_mask_that_is_replaced_can_be_found_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    target, kept = folder_of(workspace) / "000000_00.png", workspace.trash("dst") / "mask"
    for number, level in enumerate((90, 120)):
        write_image(target, square(level))
        folder = tmp_path / f"edit{number}"
        lay_out(workspace, "dst", names=["000000_00.png"], spread=0, form="png", folder=folder)
        write_image(folder / "000000_00.mask.png", square(255 - number))
        assert take_back(workspace, "dst", folder).done == 1
    found = sorted(int(read_grey(path).max()) for path in kept.iterdir())
    assert found == [90, 120]


def test_drawings_come_back_as_drawings_and_as_masks(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "edit"
    write_image(folder_of(workspace) / "000000_00.png", square(240))
    lay_out(workspace, "dst", names=["000000_00"], spread=0, form="labelme", folder=folder)
    content = json.loads((folder / "000000_00.json").read_text())
    assert {shape["label"] for shape in content["shapes"]} == {"face"}
    assert take_back(workspace, "dst", folder).kept == 1
    content["shapes"][0]["points"] = [[0, 0], [20, 0], [20, 20], [0, 20]]
    (folder / "000000_00.json").write_text(json.dumps(content))
    assert take_back(workspace, "dst", folder).done == 1
    made = read_grey(folder_of(workspace) / "000000_00.png")
    assert (made[10, 10], made[40, 40]) == (255, 0)
    assert (workspace.aligned("dst") / "000000_00.json").is_file()
    assert [p.name for p in (workspace.trash("dst") / "mask").iterdir()] == ["000000_00.png"]


def test_a_folder_with_edits_is_not_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not empty"):
        lay_out(workspace, "dst", names=[], spread=1, form="png", folder=tmp_path)
    with pytest.raises(WorkspaceError, match="no aligned picture ghost"):
        lay_out(workspace, "dst", names=["ghost"], spread=0, form="png", folder=tmp_path / "new")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 1, "form": "png", "side": "dst", "masks": {"../../x": "y"}}',
        '{"format": 9, "form": "png", "side": "dst", "masks": {}}',
        '{"format": 1, "form": "exe", "side": "dst", "masks": {}}',
    ],
)
def test_a_folder_that_was_not_laid_out_is_refused(
    workspace: Workspace, tmp_path: Path, content: str
) -> None:
    (tmp_path / LIST).write_text(content)
    with pytest.raises(WorkspaceError, match="no masks were laid out"):
        take_back(workspace, "dst", tmp_path)


def test_edits_that_cannot_be_used_are_told(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "edit"
    lay_out(workspace, "dst", names=[], spread=3, form="png", folder=folder)
    first, second, third = sorted(folder.glob("*.mask.png"))
    first.write_bytes(b"")
    write_image(second, square(size=32))
    third.unlink()
    report = take_back(workspace, "dst", folder)
    assert (report.done, len(report.failed)) == (0, 3)
    with pytest.raises(WorkspaceError, match="masks of dst, not of src"):
        take_back(workspace, "src", folder)


def _png(path: Path, image: np.ndarray[Any, Any]) -> None:
    path.write_bytes(bytes(cv2.imencode(".png", image)[1]))


def test_masks_of_every_kind_of_png_are_read(tmp_path: Path) -> None:
    grey = square()
    alpha_only = np.dstack([np.full_like(grey, 255)] * 3 + [grey])
    kinds = {
        "grey": grey,
        "rgb": np.dstack([grey] * 3),
        "16 bit": grey.astype(np.uint16) * 257,
        "transparent": alpha_only,
        "opaque": np.dstack([grey] * 3 + [np.full_like(grey, 255)]),
        "16 bit rgb": np.dstack([grey.astype(np.uint16) * 257] * 3),
    }
    for name, image in kinds.items():
        _png(tmp_path / "a.png", image)
        assert (read_foreign_mask(tmp_path / "a.png") == grey).all(), name


def test_bombs_and_rubbish_are_no_masks(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _png(path, square())
    data = bytearray(path.read_bytes())
    data[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    for bad in (b"", b"\xff\xd8jpeg", bytes(data), path.read_bytes()[:40]):
        path.write_bytes(bad)
        with pytest.raises(MediaError):
            read_foreign_mask(path)


def test_masks_are_imported_by_picture_and_by_frame(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    _png(folder / "000000_00.png", square(size=128))  # of a picture, twice its size
    frame = np.zeros((96, 96), np.uint8)
    frame[:, 48:] = 255
    _png(folder / "000001.png", frame)  # of a frame; the crop reaches beyond its border
    _png(folder / "000002.png", np.zeros((10, 96), np.uint8))
    _png(folder / "stranger.png", frame)
    (folder / "000003.png").write_bytes(b"")
    (folder / "notes.txt").write_text("passed over")
    report = run_mask_import(workspace, folder, "dst")
    assert report.done == 2
    assert sorted(report.failed) == ["000002.png", "000003.png", "stranger.png"]
    made = read_grey(folder_of(workspace) / "000000_00.png")
    assert ((made > 127) == (square() > 127)).mean() > 0.98
    half = read_grey(folder_of(workspace) / "000001_00.png")
    assert half[:, :16].max() == 0
    assert half[8:-8, -16:].min() == 255
    assert mask_is_by(folder_of(workspace) / "000001_00.png") is None


def test_an_import_leaves_what_a_person_painted(workspace: Workspace, tmp_path: Path) -> None:
    write_image(folder_of(workspace) / "000000_00.png", square(99))
    write_own_mask(folder_of(workspace) / "000001_00.png", square(98), by="network x")
    source = tmp_path / "masks"
    source.mkdir()
    for name in ("000000_00", "000001_00"):
        _png(source / f"{name}.png", square(255))
    report = run_mask_import(workspace, source, "dst")
    assert (report.done, report.facts["kept as a person made them"]) == (1, 1)
    assert read_grey(folder_of(workspace) / "000000_00.png").max() == 99
    assert read_grey(folder_of(workspace) / "000001_00.png").max() == 255


def test_the_sheet_shows_whose_masks_they_are(workspace: Workspace) -> None:
    write_image(folder_of(workspace) / "000000_00.png", square())
    report = run_mask_preview(workspace, "dst", count=3)
    assert report.done == 3
    page = read_image(workspace.reports / "masks_dst.png")
    assert page.shape[1] == 8 * 194
    with pytest.raises(WorkspaceError, match="no aligned faces"):
        run_mask_preview(Workspace(workspace.root / "none"), "dst", count=3)


def test_the_commands_do_their_work_and_say_so(workspace: Workspace) -> None:
    root = workspace.root
    flags = "--iterations 2 --resolution 64 --width 4 --batch-size 1 --plain-faces 2 --quiet"
    trained = call("train", root, *flags.split(), "--device", "cpu", "--json")
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["iteration"] == 2
    applied = call("apply", root, "--side", "dst", "--json", "--quiet")
    assert json.loads(applied.stdout)["done"] == 4
    laid = call("edit", root, "--side", "dst", "--spread", 2, "--json", "--quiet")
    back = call("edit", root, "--side", "dst", "--back", json.loads(laid.stdout)["folder"])
    assert "0 done, 2 kept" in back.stdout
    assert call("preview", root, "--side", "dst", "--quiet").exit_code == 0
    (root / "bad").mkdir()
    (root / "bad" / "x.png").write_bytes(b"")
    assert call("import", root, root / "bad", "--side", "dst").exit_code == 4


def test_without_a_network_apply_names_the_command(workspace: Workspace) -> None:
    with pytest.raises(FaceswapError, match="faceswap-cli mask train"):
        run_mask_apply(workspace, TOY)
    assert isinstance(StageReport("x").as_json(), dict)
