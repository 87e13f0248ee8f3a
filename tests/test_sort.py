"""Sorting: nothing is lost, everything can be taken back, whenever it is killed."""

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceswap_cli.commands.curating import sort
from faceswap_cli.curating.trash import Trash
from faceswap_cli.errors import ConfigError, WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.stages.sort import Sorting, run_sort, run_undo
from faceswap_cli.workspace import Workspace
from tests.facesets import blob, record, write_faceset


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Eight faces a side, the later ones brighter; some with a mask and with labels."""
    made = write_faceset(tmp_path, count=0)
    for index in range(8):
        path = made.aligned("src") / f"{index:06d}_00.png"
        shade = 40 + 20 * index
        write_aligned(path, blob(64, (shade, shade, shade), 1.0), record(index), jpeg_quality=95)
    for index in (0, 7):
        mask = made.edited_masks("src") / f"{index:06d}_00.png"
        write_image(mask, np.full((64, 64), index, np.uint8))
        made.aligned("src").joinpath(f"{index:06d}_00.json").write_text(f'{{"of": {index}}}')
    return made


def contents(workspace: Workspace) -> dict[str, bytes]:
    """Every file of the side by its path, but for the journal."""
    root = workspace.folder("src")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "undo.jsonl"
    }


def names(workspace: Workspace) -> list[str]:
    return sorted(path.stem for path in workspace.aligned("src").glob("*.png"))


def test_plain_sort_moves_nothing_and_writes_sheet_and_table(workspace: Workspace) -> None:
    before = contents(workspace)
    report = run_sort(workspace, "src", Sorting("brightness"))
    assert (report.done, report.kept, report.failed) == (0, 8, {})
    assert contents(workspace) == before
    with (workspace.reports / "sort_src_brightness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"{i:06d}_00.png" for i in range(7, -1, -1)]
    values = [float(row["value"]) for row in rows]
    assert values == sorted(values, reverse=True)
    sheet = read_image(workspace.reports / "sort_src_brightness.jpg")
    assert sheet.shape[1] > 1000


def test_what_falls_out_goes_with_its_mask_and_labels_and_comes_back(workspace: Workspace) -> None:
    before = contents(workspace)
    report = run_sort(workspace, "src", Sorting("brightness", keep=6))
    assert (report.done, report.kept) == (2, 6)
    assert names(workspace) == [f"{i:06d}_00" for i in range(2, 8)]
    trash = workspace.trash("src")
    assert (trash / "000000_00.png").exists()
    assert (trash / "mask" / "000000_00.png").exists()
    assert json.loads((trash / "000000_00.json").read_text()) == {"of": 0}
    assert not (workspace.edited_masks("src") / "000000_00.png").exists()
    undone = run_undo(workspace, "src")
    assert undone.done == 4
    assert undone.facts["undone"] == "sort --side src --by brightness --keep 6"
    assert contents(workspace) == before
    with pytest.raises(WorkspaceError, match="nothing to undo"):
        run_undo(workspace, "src")


def test_dry_run_says_what_would_move(workspace: Workspace) -> None:
    before = contents(workspace)
    report = run_sort(workspace, "src", Sorting("brightness", drop=2, dry_run=True))
    assert report.facts["would move"] == 2
    assert report.facts["that is"] == "000001_00.png, 000000_00.png"
    assert contents(workspace) == before
    assert not workspace.trash("src").exists()
    table = (workspace.reports / "sort_src_brightness.csv").read_text().splitlines()
    assert [line.endswith(",no") for line in table[1:]] == [False] * 6 + [True] * 2


def test_rename_numbers_the_files_and_again_without_piling_up(workspace: Workspace) -> None:
    before = contents(workspace)
    run_sort(workspace, "src", Sorting("brightness", rename=True))
    assert names(workspace)[:2] == ["00000_000007_00", "00001_000006_00"]
    assert read_image(workspace.edited_masks("src") / "00000_000007_00.png")[0, 0, 0] == 7
    run_sort(workspace, "src", Sorting("source", rename=True))
    assert names(workspace)[:2] == ["00000_000000_00", "00001_000001_00"]
    run_undo(workspace, "src")
    assert names(workspace)[0] == "00000_000007_00"
    run_undo(workspace, "src")
    assert contents(workspace) == before


def test_best_keeps_so_many_and_undo_goes_back_step_by_step(workspace: Workspace) -> None:
    before = contents(workspace)
    run_sort(workspace, "src", Sorting("best", best=6))
    assert len(names(workspace)) == 6
    run_sort(workspace, "src", Sorting("best", best=3))
    assert len(names(workspace)) == 3
    assert run_undo(workspace, "src").facts["more to undo"] == 1
    assert len(names(workspace)) == 6
    run_undo(workspace, "src")
    assert contents(workspace) == before


def test_a_picture_of_that_name_in_the_trash_is_not_overwritten(workspace: Workspace) -> None:
    old = workspace.trash("src") / "000000_00.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"older")
    run_sort(workspace, "src", Sorting("brightness", keep=7))
    assert old.read_bytes() == b"older"
    assert (workspace.trash("src") / "000000_00_1.png").exists()
    assert (workspace.trash("src") / "mask" / "000000_00_1.png").exists()
    run_undo(workspace, "src")
    assert len(names(workspace)) == 8
    assert old.read_bytes() == b"older"


def test_undo_does_not_overwrite_what_is_there_again(workspace: Workspace) -> None:
    run_sort(workspace, "src", Sorting("brightness", keep=7))
    again = workspace.aligned("src") / "000000_00.png"
    again.write_bytes(b"extracted again")
    report = run_undo(workspace, "src")
    assert "stands in the way" in report.failed["aligned_trash/000000_00.png"]
    assert again.read_bytes() == b"extracted again"
    again.unlink()  # what is in the way is moved off: then the same undo goes on
    assert run_undo(workspace, "src").failed == {}
    assert len(names(workspace)) == 8


def test_what_was_deleted_from_the_trash_does_not_block_undo(workspace: Workspace) -> None:
    run_sort(workspace, "src", Sorting("brightness", keep=5))
    (workspace.trash("src") / "000001_00.png").unlink()
    report = run_undo(workspace, "src")
    assert report.failed == {}
    assert report.facts["deleted since"] == "aligned_trash/000001_00.png"
    assert len(names(workspace)) == 7


class KilledError(Exception):
    """As kill -9: nothing after it runs."""


@given(after=st.integers(0, 12), again=st.booleans(), undo_after=st.integers(0, 12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_killed_anywhere_undo_restores_all(
    tmp_path_factory: pytest.TempPathFactory, after: int, again: bool, undo_after: int
) -> None:
    root = tmp_path_factory.mktemp("side")
    for folder in ("aligned", "aligned/mask"):
        (root / folder).mkdir()
        for name in "abcde":
            (root / folder / name).write_text(folder + name)
    trash = Trash(root, root / "aligned_trash" / "undo.jsonl")
    before = tree(root)
    moves = [(f"aligned/{name}", f"aligned_trash/{name}") for name in "abc"]
    moves += [(f"aligned/mask/{name}", f"aligned_trash/mask/{name}") for name in "abc"]
    moves += [(f"aligned/{name}", f"aligned/0_{name}") for name in "de"]
    until_killed(after, lambda: trash.move("first", moves))
    if again:
        rest = sorted(path.name for path in (root / "aligned").iterdir() if path.is_file())
        trash.move("second", [(f"aligned/{n}", f"aligned_trash/x_{n}") for n in rest[:2]])
    until_killed(undo_after, trash.undo)
    while trash.operations():
        assert trash.undo().failed == {}
    assert tree(root) == before


def until_killed(after: int, work: Callable[[], object]) -> None:
    """Run something that dies at its Nth rename."""
    left, rename = after, Path.rename

    def counting(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KilledError
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", counting)
        with suppress(KilledError):
            work()


def tree(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and path.name != "undo.jsonl")
    return {str(path.relative_to(root)): path.read_text() for path in files}


def test_the_journal_is_written_before_the_first_move(tmp_path: Path) -> None:
    (tmp_path / "aligned").mkdir()
    (tmp_path / "aligned" / "a").write_text("a")
    trash = Trash(tmp_path, tmp_path / "aligned_trash" / "undo.jsonl")
    until_killed(0, lambda: trash.move("it", [("aligned/a", "aligned_trash/a")]))
    assert [operation.what for operation in trash.operations()] == ["it"]
    assert (tmp_path / "aligned" / "a").exists()


def test_a_line_that_was_cut_does_not_eat_the_next(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    trash = Trash(tmp_path, tmp_path / "undo.jsonl")
    trash.journal.write_text('{"operation": 1, "what": "cut sho')
    trash.move("it", [("a", "b")])
    assert [operation.what for operation in trash.operations()] == ["it"]
    assert trash.undo().moved == 1


@pytest.mark.parametrize("path", ["../../stolen", "/etc/passwd", "", "a/../../b"])
def test_a_journal_cannot_lead_outside(tmp_path: Path, path: str) -> None:
    trash = Trash(tmp_path / "side", tmp_path / "side" / "undo.jsonl")
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "mine").write_text("mine")
    entry = {"operation": 1, "what": "evil", "moves": [[path, "mine"]]}
    trash.journal.write_text(json.dumps(entry) + "\n")
    assert trash.operations() == []


@pytest.mark.parametrize(
    "line", ["[]", "3", "null", '"undone"', '{"undone": []}', "[" * 9999, "\x00"]
)
def test_a_damaged_journal_is_no_crash(tmp_path: Path, line: str) -> None:
    trash = Trash(tmp_path, tmp_path / "undo.jsonl")
    trash.journal.write_text(line + "\n")
    assert trash.operations() == []


def test_a_limit_that_leaves_nothing_is_refused(workspace: Workspace) -> None:
    before = contents(workspace)
    with pytest.raises(ConfigError, match="none of 8 faces would be left") as caught:
        run_sort(workspace, "src", Sorting("brightness", below=300))
    assert "values from" in str(caught.value)
    assert contents(workspace) == before


@pytest.mark.parametrize("key", ["source", "histogram", "best"])
def test_a_threshold_without_meaning_is_refused(workspace: Workspace, key: str) -> None:
    with pytest.raises(ConfigError, match="no values that --below"):
        run_sort(workspace, "src", Sorting(key, below=1.0))
    with pytest.raises(ConfigError, match="no values that --below"):
        run_sort(workspace, "src", Sorting(key, above=1.0))


def test_no_faces_say_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no face of dst") as caught:
        run_sort(Workspace(tmp_path), "dst", Sorting("blur"))
    assert "extract" in str(caught.value)


def test_many_faces_fill_numbered_pages(tmp_path: Path) -> None:
    made = write_faceset(tmp_path, count=101, size_px=16)
    report = run_sort(made, "src", Sorting("source"))
    assert report.facts["sheets"].endswith("sort_src_source_*_of_002.jpg")
    assert len(list(made.reports.glob("sort_src_source_*_of_002.jpg"))) == 2


def test_unreadable_pictures_are_told_and_stay(workspace: Workspace) -> None:
    (workspace.aligned("src") / "broken.png").write_bytes(b"no picture")
    report = run_sort(workspace, "src", Sorting("blur", keep=1))
    assert list(report.failed) == ["broken.png"]
    assert (workspace.aligned("src") / "broken.png").exists()


def test_commands_of_the_help(workspace: Workspace) -> None:
    root, run = str(workspace.root), CliRunner().invoke
    shown = run(sort, [root, "--side", "src", "--by", "brightness", "--keep", "6", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["moved to aligned_trash"] == 2
    assert run(sort, [root, "--side", "src", "--best", "3"]).exit_code == 0
    assert len(names(workspace)) == 3
    assert run(sort, [root, "--side", "src", "--undo"]).exit_code == 0
    assert len(names(workspace)) == 6
    for wrong, message in (
        ([], "no order is given"),
        (["--undo", "--by", "blur"], "goes with no order"),
        (["--by", "blur", "--best", "3"], "chooses by its own order"),
    ):
        result = run(sort, [root, "--side", "src", *wrong])
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)
