"""The cache of decoded faces: what is kept, what is made again, and what is refused."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.store import FaceFiles
from faceswap_cli.imaging import write_image
from faceswap_cli.training import cache as cache_module
from faceswap_cli.training.cache import Cache, CachedFaces, refresh
from faceswap_cli.workspace import Workspace
from tests.facesets import blob, record, write_faceset

TOY = TrainConfig(resolution=32)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_faceset(tmp_path)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the pictures that are decoded."""
    decoded: list[str] = []
    real = cache_module._cut

    def counted(files: FaceFiles, name: str, config: TrainConfig) -> tuple[bytes, float] | str:
        decoded.append(name)
        return real(files, name, config)

    monkeypatch.setattr(cache_module, "_cut", counted)
    yield decoded


def cache_of(workspace: Workspace, config: TrainConfig = TOY) -> Cache:
    masks = workspace.edited_masks("src")
    return Cache(workspace.cache, "src", workspace.aligned("src"), masks, config)


def opened(workspace: Workspace, config: TrainConfig = TOY) -> CachedFaces:
    cache = cache_of(workspace, config)
    refresh(cache)
    return cache.open()[0]


def contents(faces: CachedFaces) -> dict[str, bytes]:
    rows = faces.take(torch.arange(len(faces)))
    return {name: row.numpy().tobytes() for name, row in zip(faces.names, rows, strict=True)}


def aligned(workspace: Workspace, number: int) -> Path:
    return workspace.aligned("src") / f"{number:06d}_00.png"


def repaint(path: Path, phase: float) -> None:
    write_aligned(path, blob(64, (90, 200, 90), phase), record(0), jpeg_quality=95)


def test_the_second_start_decodes_nothing(workspace: Workspace, cut: list[str]) -> None:
    first = contents(opened(workspace))
    assert len(cut) == 6
    cut.clear()
    assert contents(opened(workspace)) == first
    assert cut == []


def test_only_what_is_new_or_changed_is_decoded(workspace: Workspace, cut: list[str]) -> None:
    before = contents(opened(workspace))
    cut.clear()
    repaint(aligned(workspace, 2), 3.3)
    repaint(workspace.aligned("src") / "new.png", 1.1)
    after = contents(opened(workspace))
    assert sorted(cut) == ["000002_00.png", "new.png"]
    assert after["000002_00.png"] != before["000002_00.png"]
    same = set(before) - {"000002_00.png"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


def test_a_deleted_face_is_never_seen_again(workspace: Workspace, cut: list[str]) -> None:
    before = contents(opened(workspace))
    size = cache_of(workspace).rows.stat().st_size
    cut.clear()
    aligned(workspace, 3).unlink()
    after = contents(opened(workspace))
    assert after == {name: row for name, row in before.items() if name != "000003_00.png"}
    assert "000003_00.png" not in cache_of(workspace).index.read_text()
    # Its place is used again: the file does not grow with every edit of the faceset.
    repaint(workspace.aligned("src") / "new.png", 1.1)
    assert set(contents(opened(workspace))) == set(after) | {"new.png"}
    assert cache_of(workspace).rows.stat().st_size == size
    assert cut == ["new.png"]


def test_a_face_that_comes_back_after_a_kill_is_not_taken_for_another(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(opened(workspace))
    kept = aligned(workspace, 3)
    away = workspace.root / "away.png"
    shutil.move(kept, away)
    repaint(workspace.aligned("src") / "new.png", 1.1)
    with monkeypatch.context() as patch:  # killed after the row, before the index
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            refresh(cache_of(workspace))
    (workspace.aligned("src") / "new.png").unlink()
    shutil.move(away, kept)
    assert contents(opened(workspace)) == before


@pytest.mark.parametrize("change", [{"resolution": 48}, {"face_type": "half"}, {"jaw": 3.0}])
def test_other_settings_make_another_cache(
    workspace: Workspace, cut: list[str], change: dict[str, object]
) -> None:
    opened(workspace)
    cut.clear()
    opened(workspace, TOY.model_copy(update=change))
    assert len(cut) == 6
    cut.clear()
    opened(workspace, TOY.model_copy(update={"batch_size": 2, "warp": 0.5} | change))
    assert cut == []


def test_an_edited_mask_renews_its_face(workspace: Workspace, cut: list[str]) -> None:
    opened(workspace)
    cut.clear()
    mask = workspace.edited_masks("src") / "000001_00.png"
    write_image(mask, blob(64, (255, 255, 255), 0.0)[..., 0])
    opened(workspace)
    assert cut == ["000001_00.png"]
    mask.unlink()
    opened(workspace)
    assert cut == ["000001_00.png"] * 2


def test_a_deleted_cache_is_made_again(workspace: Workspace) -> None:
    before = contents(opened(workspace))
    shutil.rmtree(workspace.cache)
    assert contents(opened(workspace)) == before
    cache_of(workspace).rows.unlink()
    assert contents(opened(workspace)) == before
    cache_of(workspace).index.unlink()
    assert contents(opened(workspace)) == before


def test_a_truncated_cache_decodes_what_is_missing(workspace: Workspace, cut: list[str]) -> None:
    before = contents(opened(workspace))
    cache = cache_of(workspace)
    with cache.rows.open("r+b") as file:
        file.truncate(4 * cache.layout.row_bytes + 7)
    cut.clear()
    assert contents(opened(workspace)) == before
    assert len(cut) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"key": 1}',
        '{"key": "K", "faces": [["a", [1, 2, 3, 4], 99999, 0, ""]]}',
        '{"key": "K", "faces": [["a", [1, 2, 3, 4], 0, 0, ""], ["b", [1, 2, 3, 4], 0, 0, ""]]}',
        '{"key": "K", "faces": [["a", 5, 0, 0, ""]]}',
        '{"key": "K", "faces": [["../../a", [1, 2, 3, 4], -7, 0, ""]]}',
    ],
)
def test_a_damaged_index_is_made_again(workspace: Workspace, text: str) -> None:
    before = contents(opened(workspace))
    index = cache_of(workspace).index
    index.write_text(text.replace("K", json.loads(index.read_text())["key"]))
    assert contents(opened(workspace)) == before


def test_a_picture_that_cannot_be_used_is_looked_at_once(
    workspace: Workspace, cut: list[str]
) -> None:
    aligned(workspace, 1).write_bytes(b"not a picture")
    cache = cache_of(workspace)
    refresh(cache)
    faces, skipped = cache.open()
    assert len(faces) == 5
    assert skipped == {"000001_00.png": "neither a JPEG nor a PNG"}
    cut.clear()
    refresh(cache)
    assert cache.open()[1] == skipped
    assert cut == []


def test_what_is_no_file_is_left_out_and_named(workspace: Workspace) -> None:
    (workspace.aligned("src") / "nowhere.png").symlink_to(workspace.root / "none")
    (workspace.aligned("src") / "folder.png").mkdir()
    cache = cache_of(workspace)
    refresh(cache)
    faces, skipped = cache.open()
    assert len(faces) == 6
    assert skipped.keys() == {"nowhere.png", "folder.png"}


def test_a_full_disk_is_told_before_the_work(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(
        WorkspaceError, match=r"the disk is full: the cache of 6 .* GB more"
    ) as told:
        refresh(cache_of(workspace))
    assert "larger disk" in str(told.value)


def test_a_disk_that_fills_up_leaves_a_cache_that_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, cut: list[str]
) -> None:
    monkeypatch.setattr(cache_module, "FLUSH_EVERY", 2)
    real, written = os.pwrite, list[int]()

    def fill(file: int, data: bytes, at: int) -> int:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(at)
        return real(file, data, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fill)
        with pytest.raises(WorkspaceError, match=r"cannot write faces_src\.bin: the disk is full"):
            refresh(cache_of(workspace))
    cut.clear()
    assert len(opened(workspace)) == 6
    assert len(cut) == 4


def test_a_cache_cut_short_while_it_is_read_is_an_error_and_not_a_crash(
    workspace: Workspace,
) -> None:
    faces = opened(workspace)
    with cache_of(workspace).rows.open("r+b") as file:
        file.truncate(10)
    with pytest.raises(WorkspaceError, match="cannot be read: ends after") as told:
        faces.take(torch.tensor([5]))
    assert "run the same command again" in str(told.value)


def test_no_pictures_no_faces(tmp_path: Path) -> None:
    assert len(opened(Workspace(tmp_path))) == 0
