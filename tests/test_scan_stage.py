import json
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from faceswap_cli.commands.scan import scan as scan_command
from faceswap_cli.config import InputConfig, ScanConfig
from faceswap_cli.curating.scan_picture import (
    COLOURS,
    LABEL_PX,
    ROW_PX,
    STEP_PX,
    STRIP_PX,
    TITLE_PX,
    columns,
    draw_scan,
)
from faceswap_cli.curating.scan_tables import Scan, scan_json
from faceswap_cli.curating.scan_thumbs import SEEK_FRAMES, THUMB_PX, View, read_thumbs
from faceswap_cli.curating.scanning import (
    CODES,
    Finding,
    FrameFindings,
    scan_frames,
    worst_frames,
)
from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.faceset import write_aligned
from faceswap_cli.faces.sighting_store import SightingStore
from faceswap_cli.imaging import read_image, write_image
from faceswap_cli.media.source import open_side, open_source
from faceswap_cli.media.span import FrameRanges
from faceswap_cli.settings import load_config
from faceswap_cli.stages.scan import run_scan
from faceswap_cli.workspace import Workspace
from tests.clips import grey_images, write_clip
from tests.facesets import blob
from tests.made_faces import made_record
from tests.scans import but, columns_of, film, made_store

SIZE_WH = (320, 240)
NUM = 40


def made_workspace(root: Path, *, dark_from: int | None = None) -> Workspace:
    """A clip whose extraction saw a weak face in frame 7, a blurred one in 9, and none in 8."""
    workspace = Workspace(root)
    root.mkdir(parents=True, exist_ok=True)
    write_clip(root / "data_dst.mp4", grey_images(NUM, SIZE_WH))
    faces = film({7: but(score=0.4), 8: lambda face: None, 9: but(sharpness=1.0)}, NUM)
    source = open_side(workspace, "dst", InputConfig())
    path = workspace.sightings("extract-dst")
    settings: dict[str, object] = {"source": source.fingerprint()}
    made_store(path, faces, NUM, dark_from=dark_from, settings=settings, size_wh=SIZE_WH).close()
    return workspace


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_scan_writes_three_files_and_changes_nothing_else(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    before = everything(workspace.root)
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    after = everything(workspace.root)
    written = {name: after.pop(name) for name in set(after) - set(before)}
    assert after == before
    assert set(written) == {f"reports/scan_dst.{suffix}" for suffix in ("json", "csv", "png")}
    read = json.loads(written["reports/scan_dst.json"])
    assert {f["frame"]: set(f["codes"]) for f in read["frames"] if f["codes"]} == {
        7: {"low_score"},
        8: {"no_face"},
        9: {"blur"},
    }
    assert report.done == NUM and report.stage == "scan dst"
    assert report.facts["low_score"] == "1 frames: 7"
    assert "no masks" in report.facts["occluded not judged"]


def test_the_line_it_proposes_works_as_it_stands(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    (line,) = [fact for fact in report.facts.values() if "_exclude" in str(fact)]
    assert line == 'dst_exclude = "7,9"'
    workspace.config.write_text(f"[input]\n{line}\n")
    config = load_config(workspace.config)
    (again,) = [r for r in run_scan(workspace, config.scan, config.input) if r.done]
    assert again.facts["doubtful frames"] == 1  # where there is no face, nothing is left out
    assert again.facts["excluded"] == "2 frames: 7,9"
    assert line in again.facts.values()  # to paste it again loses nothing


def test_cuts_are_told(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w", dark_from=20)
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    assert report.facts["cut"] == "1 frames: 20"
    store = SightingStore.open_as_it_is(workspace.sightings("extract-dst"))
    assert store is not None
    store.tell(cuts="[30]")  # found once, they are not sought again
    store.close()
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    assert report.facts["cut"] == "1 frames: 30"


def test_masks_are_judged_by_what_the_pictures_say_they_are(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    for frame, grey, clip in ((12, 255, "data_dst"), (13, 0, "data_dst"), (14, 0, "data_dst_2")):
        name = f"renamed_{frame}"
        picture = workspace.aligned("dst") / f"{name}.png"
        record = made_record(frame, source_name=f"{clip}.mp4")
        write_aligned(picture, blob(64, (200, 90, 90), 0.0), record, jpeg_quality=95)
        mask = workspace.edited_masks("dst") / f"{name}.png"
        write_image(mask, np.full((32, 32), grey, np.uint8))
    (workspace.edited_masks("dst") / "of_nothing.png").write_bytes(b"")
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    assert report.facts["occluded"] == "1 frames: 13"
    assert "occluded not judged" not in report.facts
    assert report.failed == {}


def test_a_damaged_mask_is_told(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    picture = workspace.aligned("dst") / "a.png"
    write_aligned(picture, blob(64, (200, 90, 90), 0.0), made_record(3), jpeg_quality=95)
    workspace.edited_masks("dst").mkdir()
    (workspace.edited_masks("dst") / "a.png").write_bytes(b"no picture")
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    assert set(report.failed) == {"a.png"}


def test_only_who_was_asked_for_is_judged(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    entry = {"index": 0, "faces": [{"name": "a", "track": 0, "person": 3}]}
    lines = [{"settings": {"person": "3", "like": ""}}, ["000000", entry]]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    workspace.manifest("extract-dst").write_text(text)
    (report,) = [r for r in run_scan(workspace, ScanConfig(), InputConfig()) if r.done]
    assert report.facts["people judged"] == "3"
    assert report.facts["no_face"].startswith(f"{NUM} frames")


def test_without_an_extraction_the_command_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "data_dst.mp4", grey_images(2))
    with pytest.raises(WorkspaceError, match=r"dst has not been extracted") as caught:
        run_scan(Workspace(tmp_path), ScanConfig(), InputConfig())
    assert f"fix: faceswap-cli extract {tmp_path} --side dst" in str(caught.value)


def test_the_side_that_is_not_extracted_is_told_beside_the_other(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    reports = run_scan(workspace, ScanConfig(), InputConfig())
    assert [(r.stage, r.done) for r in reports] == [("scan src", 0), ("scan dst", NUM)]
    assert "--side src" in reports[0].facts["not extracted yet"]
    with pytest.raises(WorkspaceError, match="src has not been extracted"):
        run_scan(workspace, ScanConfig(side="src"), InputConfig())


def test_an_extraction_that_was_stopped_or_is_of_other_footage_is_refused(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    with pytest.raises(WorkspaceError, match="span has changed since it was extracted"):
        run_scan(workspace, ScanConfig(), InputConfig(dst_span="0.2-1"))
    source = open_side(workspace, "dst", InputConfig())
    path, settings = workspace.sightings("extract-dst"), {"source": source.fingerprint()}
    store = made_store(path, [], 0, settings={**settings, "other": 1})
    store.tell(understood=None)
    store.close()
    with pytest.raises(WorkspaceError, match="has not come to its end"):
        run_scan(workspace, ScanConfig(), InputConfig())


def test_a_damaged_store_and_one_of_another_version_are_explained(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    path = workspace.sightings("extract-dst")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WorkspaceError, match=r"damaged|has not been extracted"):
        run_scan(workspace, ScanConfig(), InputConfig())
    path.write_bytes(whole)
    store = SightingStore.open_as_it_is(path)
    assert store is not None
    store.tell(settings=json.dumps({"format": 0}))
    store.close()
    with pytest.raises(WorkspaceError, match=r"another version|has not been extracted"):
        run_scan(workspace, ScanConfig(), InputConfig())


def test_the_command_prints_its_report(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    args = [str(workspace.root), "--side", "dst", "--low-score", "0.3", "--json", "--quiet"]
    result = CliRunner().invoke(scan_command, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["stage"] == "scan dst" and told["done"] == NUM
    assert "low_score" not in told and told["blur"] == "1 frames: 9"


class TestThumbs:
    def test_they_show_the_frames_they_are_of(self, tmp_path: Path) -> None:
        """Frame i is grey 40 + 4 i; also of those that are reached by leaping."""
        num = 45
        step = SEEK_FRAMES // 5
        images = [grey_images(num, (64, 48))[i // step % num] for i in range(SEEK_FRAMES * 3)]
        path = write_clip(tmp_path / "a.mp4", images)
        source = open_source(path)
        wanted = [0, 1, 3, 90, 700, 1100, 1199]
        views = {n: View(Fraction(n, 25), None) for n in wanted}
        thumbs = read_thumbs(source, views)
        assert sorted(thumbs) == wanted
        for number, thumb in thumbs.items():
            assert thumb.shape == (THUMB_PX, THUMB_PX, 3)
            middle = int(thumb[THUMB_PX // 2, THUMB_PX // 2, 0])
            assert middle == pytest.approx(40 + 4 * (number // step % num), abs=3), number

    def test_a_frame_of_another_time_is_none(self, tmp_path: Path) -> None:
        source = open_source(write_clip(tmp_path / "a.mp4", grey_images(10)))
        views = {3: View(Fraction(3, 25), None), 5: View(Fraction(11, 50), None)}
        assert sorted(read_thumbs(source, views)) == [3]

    def test_pictures_are_read_by_their_numbers(self, tmp_path: Path) -> None:
        for number, image in enumerate(grey_images(6)):
            write_image(tmp_path / f"{number}.png", image)
        (tmp_path / "4.png").write_bytes(b"damaged")
        views = {n: View(Fraction(n, 25), (10.0, 10.0, 30.0, 30.0)) for n in (2, 4)}
        thumbs = read_thumbs(open_source(tmp_path), views)
        assert list(thumbs) == [2]
        assert thumbs[2][100, 100].tolist() == [48, 48, 48]


def lane(picture: np.ndarray, row: int) -> np.ndarray:
    return picture[TITLE_PX + row * STEP_PX + ROW_PX // 2, LABEL_PX : LABEL_PX + STRIP_PX]


def made_scan(results: list[FrameFindings], main: tuple[int, ...] = (0,)) -> Scan:
    times = [Fraction(result.frame, 25) for result in results]
    return Scan("dst", "data_dst.mp4", ScanConfig(), main, times, results, {})


class TestPicture:
    def test_each_reason_has_its_marks_in_its_row(self) -> None:
        found = {10 * n: (Finding(code),) for n, code in enumerate(CODES)}
        scan = made_scan([FrameFindings(n, (0,), found.get(n, ())) for n in range(124)])
        picture = draw_scan(scan, [])
        for row, code in enumerate(CODES):
            marks = (lane(picture, row) == COLOURS[code]).all(axis=1)
            assert np.flatnonzero(marks).tolist() == list(range(100 * row, 100 * row + 10)), code

    def test_people_have_lanes_and_bad_frames_their_pictures(self) -> None:
        results = [FrameFindings(n, (0,) if n < 20 else (0, 4), ()) for n in range(40)]
        results[5] = FrameFindings(5, (0,), (Finding("blur", 0.1, 0.35),))
        thumb = np.full((THUMB_PX, THUMB_PX, 3), (10, 200, 30), np.uint8)
        bare = draw_scan(made_scan(results), [])
        picture = draw_scan(made_scan(results), [(results[5], thumb), (results[5], None)])
        assert (lane(picture, len(CODES) + 1)[600] == lane(picture, 0)[0]).all()
        assert (lane(picture, len(CODES) + 1)[640] != lane(picture, 0)[0]).any()
        assert picture.shape[0] > bare.shape[0] + THUMB_PX
        assert (picture == (10, 200, 30)).all(axis=2).sum() == THUMB_PX**2

    def test_one_frame_of_a_long_film_is_still_seen(self) -> None:
        marks = np.zeros(100_000, np.bool_)
        marks[77_777] = True
        share = columns(marks, STRIP_PX)
        assert (share > 0).sum() == 1
        assert columns(np.ones(100_000, np.bool_), STRIP_PX).tolist() == [1.0] * STRIP_PX

    @pytest.mark.parametrize("num", [1, 2, STRIP_PX - 1, STRIP_PX, STRIP_PX + 1])
    def test_any_number_of_frames_fills_the_strip(self, num: int) -> None:
        results = [FrameFindings(n, (), (Finding("no_face", 0, 1),)) for n in range(num)]
        picture = draw_scan(made_scan(results, ()), [])
        assert (lane(picture, 0) == COLOURS["no_face"]).all()


def test_a_hundred_thousand_frames_take_seconds() -> None:
    """About 1.5 s of work; the limit is for a slow machine."""
    num = 100_000
    rng = np.random.default_rng(0)
    x = 300.0 + 100.0 * np.sin(np.arange(num) / 50.0)
    leaping = np.arange(7, num, 311)
    x[leaping] += 80.0
    centres = np.column_stack([x, np.full(num, 200.0)])
    faces = replace(
        columns_of(centres),
        track=np.arange(num) // 500,
        score=rng.uniform(0.64, 1.0, num),
        likeness=rng.uniform(0.49, 1.0, num),
    )
    started = time.process_time()
    cuts = list(range(500, num, 500))
    excluded = FrameRanges.parse("5-10,20")
    results = scan_frames(range(num), faces, ScanConfig(), cuts=cuts, excluded=excluded)
    scan = made_scan(results)
    data = scan_json(scan)
    picture = draw_scan(scan, [(result, None) for result in worst_frames(results, 24)])
    assert time.process_time() - started < 20.0
    assert data.count(b'"time_s"') == num
    assert picture.shape[1] < 2000
    jumps = {result.frame for result in results if "jump" in result.codes}
    amid = {n for n in leaping.tolist() if 2 <= n % 500 < 498}
    assert amid <= jumps <= set(leaping.tolist())


def test_the_picture_on_disk_is_not_blank(tmp_path: Path) -> None:
    workspace = made_workspace(tmp_path / "w")
    run_scan(workspace, ScanConfig(), InputConfig())
    picture = read_image(workspace.reports / "scan_dst.png")
    assert picture.std() > 10.0
    assert (lane(picture, 3) == COLOURS["blur"]).all(axis=1).sum() == STRIP_PX // NUM
