from dataclasses import replace
from pathlib import Path

import numpy as np

from faceswap_cli.extracting.steady import SteadyFaces, steady
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import Seen, SeenFrame, SightingStore
from tests.made_faces import face_at

NOISE_PX = 0.5


def still(frame: int, *, x: float = 100.0) -> Sighting:
    """A face of 100 px that does not move, and trembles as a whole."""
    noise = np.random.default_rng(frame).normal(0.0, NOISE_PX, 2)
    return Sighting(
        frame=frame,
        box=(x - 50, 50.0, x + 50, 150.0),
        score=0.9,
        roll_deg=0.0,
        points68=face_at((x, 100.0), 100.0) + noise,
        mesh=None,
        appearance=np.zeros(0, np.float32),
    )


def faces(number: int, *, x: float = 100.0, track: int = 0) -> list[Seen]:
    return [Seen(1000 * track + i, still(i, x=x), track, 0) for i in range(number)]


def tremble(seen: list[Seen]) -> float:
    points = np.stack([face.sighting.points68 for face in seen])
    return float(np.sqrt((np.diff(points, n=2, axis=0) ** 2).mean()))


def test_a_still_face_trembles_less_and_stays_where_it_is() -> None:
    raw = faces(60)
    steadied = steady(raw, strength=1.0)
    assert tremble(steadied) < 0.4 * tremble(raw)
    centre = np.mean([face.sighting.points68.mean(axis=0) for face in steadied], axis=0)
    np.testing.assert_allclose(centre, still(0).points68.mean(axis=0), atol=1.5)
    assert [face.id for face in steadied] == [face.id for face in raw]


def test_nothing_changes_without_strength() -> None:
    raw = faces(5)
    assert steady(raw, strength=0.0) == raw


def test_tracks_are_steadied_each_for_itself() -> None:
    one, two = faces(30), faces(30, x=400.0, track=1)
    mixed = [face for pair in zip(one, two, strict=True) for face in pair]
    apart = {face.id: face for face in steady(one, strength=1.0) + steady(two, strength=1.0)}
    for face in steady(mixed, strength=1.0):
        np.testing.assert_array_equal(face.sighting.points68, apart[face.id].sighting.points68)


def test_what_a_person_placed_stays_and_divides_the_track() -> None:
    raw = faces(21)
    placed = replace(raw[10].sighting, points68=raw[10].sighting.points68 + 30, origin="manual")
    raw[10] = replace(raw[10], sighting=placed)
    steadied = steady(raw, strength=1.0)
    assert steadied[10] is raw[10]
    before = steady(raw[:10], strength=1.0)
    for one, other in zip(steadied, before, strict=False):
        np.testing.assert_array_equal(one.sighting.points68, other.sighting.points68)


def test_blocks_from_the_store_are_what_the_whole_gives(tmp_path: Path) -> None:
    from faceswap_cli.extracting import steady as module

    store = SightingStore.open(tmp_path / "a", {})
    thumbnail = np.zeros((1, 1, 3), np.uint8)
    frames = [SeenFrame(i, str(i), (300, 300), thumbnail, 0, 0) for i in range(70)]
    store.add(frames, [(still(i), None) for i in range(70)])
    store.assign({face.id: (0, 0) for face in list(store.lean())})
    whole = steady(store.between(0, 99), strength=1.0)
    block, module.BLOCK = module.BLOCK, 16
    try:
        steadied = SteadyFaces(store, strength=1.0)
        for face in whole:
            (found,) = steadied.at(face.sighting.frame)
            np.testing.assert_allclose(found.sighting.points68, face.sighting.points68, atol=1e-6)
    finally:
        module.BLOCK = block
