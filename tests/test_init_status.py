import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from faceswap_cli.cli import cli
from faceswap_cli.config_merge import CONTAINERS
from faceswap_cli.errors import ConfigError, FaceswapError, MediaError, WorkspaceError
from faceswap_cli.files import Manifest, write_atomic
from faceswap_cli.imaging import write_image
from faceswap_cli.rendering.ledger import mark, segment_name
from faceswap_cli.settings import load_config
from faceswap_cli.stages.init import run_init
from faceswap_cli.stages.status import read_status
from faceswap_cli.workspace import Workspace
from tests.clips import grey_images, write_clip, write_sound
from tests.facesets import write_faceset


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Two videos of 1 s, a folder of 6 pictures, and things that are neither."""
    folder = tmp_path / "footage"
    folder.mkdir()
    for name in ("anna.mp4", "party.mp4", "other.mp4"):
        write_clip(folder / name, grey_images(25))
    for index, image in enumerate(grey_images(6)):
        write_image(folder / "stills" / f"{index}.png", image)
    (folder / "none").mkdir()
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").touch()
    write_sound(folder / "song.m4a")
    return folder


def everything(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(root)): (
            str(path.readlink()) if path.is_symlink() else "",
            path.lstat().st_mtime_ns,
        )
        for path in root.rglob("*")
    }


def init(footage: Path, src: str = "anna.mp4", dst: str = "party.mp4", **more: object) -> Workspace:
    root = footage.parent / "swap"
    run_init(root, src=footage / src, dst=footage / dst, **more)  # type: ignore[arg-type]
    return Workspace.open(root)


def test_videos_are_linked_by_their_side(footage: Path) -> None:
    workspace = init(footage)
    assert workspace.source("src").resolve() == (footage / "anna.mp4").resolve()
    assert workspace.source("dst").name == "data_dst.mp4"
    assert workspace.source("dst").is_symlink()
    assert workspace.aligned("src").is_dir()
    assert workspace.aligned("dst").is_dir()
    assert "faceswap-cli status" in (workspace.root / "README.txt").read_text()


def test_copy_makes_files_of_its_own(footage: Path) -> None:
    workspace = init(footage, copy=True)
    assert not workspace.source("src").is_symlink()
    assert workspace.source("src").read_bytes() == (footage / "anna.mp4").read_bytes()


def test_where_links_are_not_possible_it_copies(
    footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert not init(footage).source("src").is_symlink()


def test_folder_of_pictures_is_linked_picture_by_picture(footage: Path) -> None:
    workspace = init(footage, src="stills")
    assert workspace.source("src") == workspace.folder("src")
    links = sorted(path.name for path in workspace.folder("src").iterdir() if path.is_symlink())
    assert links == [f"{index}.png" for index in range(6)]


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("src", ["anna.mp4", "stills"])
def test_second_time_changes_nothing(footage: Path, src: str, copy: bool) -> None:
    workspace = init(footage, src=src, dst_span="0.2-0.8", copy=copy)
    before = everything(workspace.root)
    init(footage, src=src, dst_span="0.2-0.8", copy=copy)
    assert everything(workspace.root) == before


@pytest.mark.parametrize("src", ["other.mp4", "stills"])
def test_other_footage_is_never_overwritten(footage: Path, src: str) -> None:
    write_clip(footage / "other.mp4", grey_images(12))
    workspace = init(footage)
    before = everything(workspace.root)
    with pytest.raises(WorkspaceError) as caught:
        init(footage, src=src)
    assert "the workspace has other footage of src: data_src.mp4" in str(caught.value)
    assert "fix: name another folder" in str(caught.value)
    assert everything(workspace.root) == before


def test_spans_are_written_for_the_stages(footage: Path) -> None:
    workspace = init(footage, src_span="0.2-0.8", dst_span="0.5-")
    inputs = load_config(workspace.config).input
    assert (inputs.src_span, inputs.dst_span) == ("0.2-0.8", "0.5-")


def test_span_joins_the_settings_that_are_there(footage: Path) -> None:
    root = footage.parent / "swap"
    root.mkdir()
    (root / "config.toml").write_text("# mine\n[train]\nseed = 5 # a number\n")
    workspace = init(footage, src_span="0.2-0.8")
    config = load_config(workspace.config)
    assert (config.train.seed, config.input.src_span) == (5, "0.2-0.8")
    assert "seed = 5 # a number" in workspace.config.read_text()


def test_span_that_contradicts_the_settings_is_refused(footage: Path) -> None:
    init(footage, src_span="0.2-0.8")
    with pytest.raises(ConfigError) as caught:
        init(footage, src_span="0.3-0.8")
    assert "the workspace has src_span = '0.2-0.8', asked for is '0.3-0.8'" in str(caught.value)


@pytest.mark.parametrize(
    ("src", "span", "kind", "message"),
    [
        ("missing.mp4", None, MediaError, "there is no missing.mp4"),
        ("none", None, MediaError, "no picture in none"),
        ("text.mp4", None, MediaError, "text.mp4 cannot be read as a video"),
        ("empty.mp4", None, MediaError, "empty.mp4 is empty: 0 bytes"),
        ("song.m4a", None, MediaError, "song.m4a holds only sound"),
        ("anna.mp4", "7-9", MediaError, "the span 7-9 begins after the end of anna.mp4"),
        ("stills", "7-9", MediaError, "6 pictures, none of them in the span 7-9"),
        ("anna.mp4", "0.8-0.2", ConfigError, "the span 0.8-0.2 is empty"),
        ("anna.mp4", "soon", ConfigError, "'soon' is not a span of time"),
    ],
)
def test_wrong_input_is_told_before_anything_is_made(
    footage: Path, src: str, span: str | None, kind: type[FaceswapError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        init(footage, src=src, src_span=span)
    assert message in str(caught.value)
    assert "fix: " in str(caught.value)
    assert not (footage.parent / "swap").exists()


def test_init_by_command(footage: Path) -> None:
    root = footage.parent / "swap"
    sides = ["--src", str(footage / "anna.mp4"), "--dst", str(footage / "party.mp4")]
    arguments = ["init", str(root), *sides, "--dst-span", "0.2-0.8", "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["done"], report["dst_span"]) == (2, "0.2-0.8")
    assert report["next"] == f"faceswap-cli run {root}"
    assert CliRunner().invoke(cli, ["init", str(root), *sides[:2]]).exit_code == 2


def test_new_workspace_wants_extract(footage: Path) -> None:
    workspace = init(footage, dst_span="0.2-0.6")
    status = read_status(workspace)
    assert (status.src.frames, status.dst.frames) == (25, 10)
    assert (status.src.size_wh, status.src.rate, status.src.duration_s) == ((64, 48), 25.0, 1.0)
    assert status.missing == ["faces of src and dst", "a model", "merged frames", "a result"]
    assert status.next == f"faceswap-cli extract {workspace.root}"


def test_every_step_leads_to_the_next_command(footage: Path) -> None:
    workspace = init(footage)
    write_faceset(workspace.root, count=3)
    assert read_status(workspace).next.startswith("faceswap-cli train ")
    write_atomic(workspace.settings("train"), b"[train]\niterations = 500\n")
    write_atomic(workspace.model / "iter_00000300.safetensors", b"")
    status = read_status(workspace)
    assert (status.iteration, status.iterations) == (300, 500)
    assert status.missing[0] == "training"
    assert status.next.endswith(f"--config {workspace.root}/stages/train.toml")
    write_atomic(workspace.model / "iter_00000500.safetensors", b"")
    assert read_status(workspace).next == f"faceswap-cli merge {workspace.root}"
    manifest = Manifest.open(workspace.manifest("merge"), {})
    for index in range(25):
        manifest.add(f"{index:06d}", "done")
    status = read_status(workspace)
    assert (status.merged, status.next) == (25, f"faceswap-cli video {workspace.root}")
    write_atomic(workspace.result("mp4"), b"video")
    status = read_status(workspace)
    assert (status.results, status.missing, status.next) == (["result.mp4"], [], "")
    assert "missing: nothing" in status.text()
    os.utime(workspace.result("mp4"), (1, 1))
    assert read_status(workspace).missing == ["an up-to-date result"]
    mark(manifest, complete=False)  # begun again, with other settings
    assert read_status(workspace).next == f"faceswap-cli merge {workspace.root}"


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_result_is_seen_in_every_container(footage: Path, container: str) -> None:
    workspace = init(footage)
    write_atomic(workspace.result(container), b"video")
    assert read_status(workspace).results == [f"result.{container}"]


def test_a_stream_that_broke_off_goes_on_as_one(footage: Path) -> None:
    workspace = init(footage)
    write_faceset(workspace.root, count=3)
    write_atomic(workspace.settings("train"), b"[train]\niterations = 500\n")
    write_atomic(workspace.model / "iter_00000500.safetensors", b"")
    manifest = Manifest.open(workspace.manifest("merge"), {"stream": True})
    manifest.add(segment_name(0), {"frames": 10})
    status = read_status(workspace)
    assert status.merged == 10
    assert status.next == f"faceswap-cli merge {workspace.root} --stream"


def test_one_missing_side_is_named(footage: Path) -> None:
    workspace = init(footage)
    write_faceset(workspace.root, count=3)
    shutil.rmtree(workspace.aligned("dst"))
    assert read_status(workspace).next == f"faceswap-cli extract {workspace.root} --side dst"


def test_extract_that_was_stopped_is_to_go_on(footage: Path) -> None:
    workspace = init(footage)
    write_faceset(workspace.root, count=3)
    Manifest.open(workspace.manifest("extract-src"), {}).add("000000", [])
    assert read_status(workspace).next == f"faceswap-cli extract {workspace.root} --side src"


def test_foreign_pictures_are_counted_apart(footage: Path) -> None:
    workspace = init(footage)
    write_faceset(workspace.root, count=3)
    write_image(workspace.aligned("src") / "foreign.jpg", grey_images(1)[0])
    (workspace.aligned("src") / "cut.png").write_bytes(b"\x89PNG")
    status = read_status(workspace)
    assert (status.src.faces, status.src.skipped) == (3, 2)
    assert "src faces: 3, 2 pictures that cannot be used" in status.text()


def test_deepfacelab_folder_with_pictures_and_no_videos_opens(tmp_path: Path) -> None:
    for side in ("src", "dst"):
        for index, image in enumerate(grey_images(5)):
            write_image(tmp_path / f"data_{side}" / f"{index:05d}.png", image)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "new_SAEHD_data.dat").write_bytes(b"pickle")
    status = read_status(Workspace.open(tmp_path))
    assert (status.src.frames, status.src.footage, status.iteration) == (5, "data_src", 0)
    assert status.next == f"faceswap-cli extract {tmp_path}"


def test_missing_footage_is_said(tmp_path: Path) -> None:
    (tmp_path / "data_src").mkdir()
    status = read_status(Workspace.open(tmp_path))
    assert "no footage of src" in status.text()
    assert (
        status.next == f"faceswap-cli init {tmp_path} --src VIDEO_OR_FOLDER --dst VIDEO_OR_FOLDER"
    )


def test_status_by_command_spells_the_path_as_given(
    footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(footage)
    monkeypatch.chdir(footage.parent)
    result = CliRunner().invoke(cli, ["status", "swap"])
    assert result.exit_code == 0
    assert "next: faceswap-cli extract swap\n" in result.stdout
    found = json.loads(CliRunner().invoke(cli, ["status", "swap", "--json"]).stdout)
    assert found["src"]["frames"] == 25


def test_status_changes_nothing(footage: Path) -> None:
    workspace = init(footage)
    before = everything(workspace.root)
    read_status(workspace)
    assert everything(workspace.root) == before


def test_broken_config_is_an_error_with_its_place(footage: Path) -> None:
    workspace = init(footage)
    workspace.config.write_text("[input\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_status(workspace)
    with pytest.raises(ConfigError, match="not valid TOML"):
        init(footage, src_span="0-1")
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(workspace.config.read_text())


def test_further_videos_are_linked_beside_the_first(footage: Path) -> None:
    workspace = init(footage, more_src=[footage / "party.mp4", footage / "other.mp4"])
    assert [path.name for path in workspace.more_videos("src")] == [
        "data_src_2.mp4",
        "data_src_3.mp4",
    ]
    assert workspace.source("src").name == "data_src.mp4"
    init(footage, more_src=[footage / "party.mp4", footage / "other.mp4"])
    longer = write_clip(footage / "longer.mp4", grey_images(30))
    with pytest.raises(WorkspaceError, match=r"other footage of src: data_src_2.mp4"):
        init(footage, more_src=[longer])
    with pytest.raises(ConfigError, match="further footage of dst must be videos"):
        init(footage, more_dst=[footage / "stills"])


def test_status_lists_people(footage: Path) -> None:
    workspace = init(footage)
    path = workspace.people("dst") / "people.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"people": [{"person": 0, "faces": 70}, {"person": 1, "faces": 3}]}')
    assert "dst people: 0 (70 faces), 1 (3 faces)" in read_status(workspace).text()
    path.write_text('{"people": 7}')
    assert "dst people:" not in read_status(workspace).text()
