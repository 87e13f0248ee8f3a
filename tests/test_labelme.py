"""labelme's JSON: read defensively, written so that labelme opens it."""

import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.interop.labelme import (
    MAX_POINTS,
    MAX_SHAPES,
    Drawing,
    Outline,
    clip_outline,
    labelme_json,
    parse_labelme,
    read_labelme,
)
from faceswap_cli.segmenting.labels import draw_outlines, outlines_of

SIZE = (64, 64)
SQUARE = [[10.0, 10.0], [50.0, 10.0], [50.0, 50.0], [10.0, 50.0]]


def shape(points: Any, label: Any = "face", kind: Any = "polygon") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, "group_id": None}


def content(*shapes: Any, **more: Any) -> dict[str, Any]:
    return {"version": "5.5.0", "shapes": list(shapes), "imageData": None} | more


def parse(*shapes: Any, **more: Any) -> Drawing:
    return parse_labelme(json.dumps(content(*shapes, **more)).encode(), SIZE, seen_in="a.json")


def share(drawing: Drawing) -> float:
    return float(draw_outlines(drawing, 64).astype(float).mean() / 255.0)


def test_what_is_written_reads_back() -> None:
    lines = (
        Outline(np.array([[1.0, 2.0], [60.25, 3.5], [30.0, 61.0]]), include=True),
        Outline(np.array([[20.0, 20.0], [30.0, 20.0], [25.0, 30.0]]), include=False),
    )
    data = labelme_json(Drawing(lines), "a.jpg", SIZE)
    again = parse_labelme(data, SIZE, seen_in="a.json")
    assert [line.include for line in again.outlines] == [True, False]
    for line, was in zip(again.outlines, lines, strict=True):
        assert line.points == pytest.approx(was.points, abs=0.01)
    written = json.loads(data)
    assert (written["imagePath"], written["imageData"]) == ("a.jpg", None)
    assert {each["shape_type"] for each in written["shapes"]} == {"polygon"}


def test_a_point_counts_from_the_corner_of_the_first_pixel() -> None:
    mask = draw_outlines(parse(shape([[0, 0], [32, 0], [32, 64], [0, 64]])), 64)
    covered_px = mask[10:54].astype(float).sum(axis=1) / 255.0
    assert covered_px == pytest.approx(32.0, abs=0.3)  # a half pixel off would be 31.5


def test_exclusion_comes_last_whatever_the_order() -> None:
    hole = shape([[20, 20], [40, 20], [40, 40], [20, 40]], "Not_Face ")
    face = shape(SQUARE)
    for shapes in ((face, hole), (hole, face)):
        mask = draw_outlines(parse(*shapes), 64)
        assert (mask[30, 30], mask[15, 15], mask[5, 5]) == (0, 255, 0)


def test_labels_of_another_size_are_scaled() -> None:
    drawing = parse(
        shape([[20, 20], [100, 20], [100, 100], [20, 100]]), imageWidth=128, imageHeight=128
    )
    assert drawing.outlines[0].points == pytest.approx(np.array(SQUARE) - 0.5)


@pytest.mark.parametrize(
    ("points", "kind", "area"),
    [
        ([[10, 10], [50, 50]], "rectangle", 40 * 40),
        ([[50, 50], [10, 10]], "rectangle", 40 * 40),
        (SQUARE, "rectangle", 40 * 40),
        ([[32, 32], [32, 42]], "circle", np.pi * 100),
    ],
)
def test_shapes_with_an_area_count(points: Any, kind: str, area: float) -> None:
    assert share(parse(shape(points, kind=kind))) * 64 * 64 == pytest.approx(area, rel=0.05)


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points", "mask"])
def test_shapes_without_an_area_are_left_out_and_told(kind: str) -> None:
    drawing = parse(shape(SQUARE), shape([[1, 1], [2, 2]], kind=kind))
    assert (len(drawing.outlines), drawing.left_out) == (1, (kind,))


@given(st.lists(st.tuples(*[st.floats(-1e8, 1e8, allow_nan=False)] * 2), min_size=3, max_size=12))
def test_what_is_outside_is_clipped_without_moving_what_is_inside(
    points: list[tuple[float, float]],
) -> None:
    clipped = clip_outline(np.array(points), SIZE)
    assert np.isfinite(clipped).all()
    if len(clipped):
        assert clipped.min() >= -0.5 - 1e-6
        assert clipped.max() <= 63.5 + 1e-6


def test_a_half_outside_keeps_its_slope() -> None:
    drawing = parse(
        shape([[-64, 0], [64, 0], [64, 64], [-64, 64]]), shape([[100, 100], [200, 100], [200, 200]])
    )
    assert len(drawing.outlines) == 1
    assert share(drawing) == pytest.approx(1.0)
    slope = draw_outlines(parse(shape([[0, 0], [128, 128], [0, 128]])), 64)
    assert float(slope.mean()) / 255 == pytest.approx(0.5, abs=0.02)


BAD: dict[str, Any] = {
    "no object": [],
    "no shapes": {"version": "5"},
    "shapes of text": content() | {"shapes": "many"},
    "too many shapes": content(*[shape(SQUARE)] * (MAX_SHAPES + 1)),
    "too many points": content(shape([[1, 1]] * (MAX_POINTS + 1))),
    "a shape that is none": content(3),
    "no label": content(shape(SQUARE, label=None)),
    "unknown label": content(shape(SQUARE, label="faec")),
    "points of text": content(shape([["1", "2"]] * 3)),
    "points of truth": content(shape([[True, False]] * 3)),
    "three coordinates": content(shape([[1, 2, 3]] * 3)),
    "far too far": content(shape([[1e300, 1], [1, 1], [2, 2]])),
    "a number without end": content(shape([[10**400, 1], [1, 1], [2, 2]])),
    "a circle of one point": content(shape([[1, 1]], kind="circle")),
    "unknown kind": content(shape(SQUARE, kind="spline")),
    "kind of a list": content(shape(SQUARE, kind=["polygon"])),
    "negative size": content(shape(SQUARE), imageWidth=-1),
    "half a pixel": content(shape(SQUARE), imageWidth=10.5),
    "huge size": content(shape(SQUARE), imageHeight=10**9),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_content_is_our_error(name: str) -> None:
    with pytest.raises(MediaError):
        parse_labelme(json.dumps(BAD[name]).encode(), SIZE, seen_in="a.json")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"shapes": [{"label": "face", "points": [[NaN, 1]]}]}',
        b"[" * 200_000,
    ],
    ids=["empty", "cut", "no text", "NaN", "deep"],
)
def test_bad_bytes_are_our_error(data: bytes) -> None:
    with pytest.raises(MediaError, match="labels that cannot be used"):
        parse_labelme(data, SIZE, seen_in="a.json")


def test_an_unknown_label_is_named_with_those_that_are_known() -> None:
    with pytest.raises(MediaError, match=r"'faec'[\s\S]*shape 1[\s\S]*not_face"):
        parse(shape(SQUARE), shape(SQUARE, label="faec"))


def test_the_picture_inside_is_never_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content(shape(SQUARE), imageData="!!! no base64 !!!")))
    assert len(read_labelme(path, SIZE).outlines) == 1


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(MediaError, match="128 MiB"):
        read_labelme(path, SIZE)


def _mutated(data: bytes, rng: random.Random) -> bytes:
    raw = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(raw))
        kind = rng.randrange(4)
        if kind == 0:
            raw[at] = rng.randrange(256)
        elif kind == 1:
            del raw[at : at + rng.randint(1, 40)]
        elif kind == 2:
            raw[at:at] = rng.choice([b"1e999", b"null", b"[[", b"-", b"99999999999", b'"', b"{}"])
        else:
            raw[at:at] = raw[: rng.randint(1, 200)]
        if not raw:
            raw = bytearray(b"x")
    return bytes(raw)


def test_500_mutated_files_give_labels_or_our_error() -> None:
    rng = random.Random(0)
    good = json.dumps(
        content(
            shape(SQUARE),
            shape([[20, 20], [40, 20], [30, 40]], "hand"),
            shape([[32, 32], [32, 42]], kind="circle"),
            imageWidth=64,
            imageHeight=64,
        )
    ).encode()
    refused, started = 0, time.monotonic()
    for _ in range(500):
        try:
            drawing = parse_labelme(_mutated(good, rng), SIZE, seen_in="fuzz")
        except FaceswapError:
            refused += 1
        else:
            assert draw_outlines(drawing, 64).shape == (64, 64)
    assert 50 < refused < 500
    assert time.monotonic() - started < 60.0


def test_the_outlines_of_a_mask_draw_it_again() -> None:
    rows, columns = np.mgrid[0:96, 0:96]
    mask = np.where(np.hypot(rows - 48, columns - 50) < 36, 255, 0).astype(np.uint8)
    mask[40:60, 45:52] = 0
    drawing = outlines_of(mask)
    assert sorted(line.include for line in drawing.outlines) == [False, True]
    again = draw_outlines(drawing, 96)
    differ = (again > 127) != (mask > 127)
    assert differ.mean() < 0.01
    assert outlines_of(np.zeros((8, 8), np.uint8)).outlines == ()
