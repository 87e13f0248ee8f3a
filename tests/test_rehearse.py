import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from faceswap_cli.cli import cli
from faceswap_cli.workspace import Workspace
from tests.facesets import write_faceset

TINY = [
    *("--resolution", "32", "--ae-dims", "8", "--e-dims", "4", "--d-dims", "4"),
    *("--d-mask-dims", "2", "--batch-size", "4", "--precision", "fp32", "--device", "cpu"),
]


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path: Path) -> None:
    write_faceset(tmp_path)
    before = files(tmp_path)
    result = CliRunner().invoke(cli, ["train", str(tmp_path), "--dry-run", *TINY])
    assert result.exit_code == 0, result.output
    assert "batch_size = 4" in result.stderr  # the settings
    for said in ("6 faces of src", "parameters:", "arithmetic:", "memory:", "it/s", "images/s"):
        assert said in result.stdout
    assert files(tmp_path) == before


def test_its_figures_as_json(tmp_path: Path) -> None:
    write_faceset(tmp_path)
    flags = ["--quiet", "--json", *TINY, "--micro-batch", "2"]
    result = CliRunner().invoke(cli, ["train", str(tmp_path), "--dry-run", *flags])
    found = json.loads(result.stdout)
    assert (found["batch_size"], found["faces_at_once"]) == (4, 2)
    assert found["it_s"] > 0 and found["images_s"] == pytest.approx(8 * found["it_s"])
    assert found["cost"]["flops"] > 0 and 0 < found["data_percent"] < 100


def test_made_up_faces_stand_in_where_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "data_src").mkdir()
    assert not list(Workspace(tmp_path).aligned("src").glob("*"))
    result = CliRunner().invoke(cli, ["train", str(tmp_path), "--dry-run", *TINY])
    assert result.exit_code == 0, result.output
    assert "no faces of src" in result.stdout and "made-up" in result.stdout
