from pathlib import Path

import numpy as np
import pytest

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import SeenFrame, SightingStore
from tests.made_faces import face_at


def frame(number: int) -> SeenFrame:
    thumbnail = np.full((2, 4, 3), number, np.uint8)
    return SeenFrame(number, f"{number}/25", (96, 72), thumbnail, small=1, weak=2)


def sighting(number: int, *, x: float = 40.0, mesh: bool = True) -> Sighting:
    points = face_at((x, 30.0), 20.0)
    return Sighting(
        frame=number,
        box=(x - 10, 20.0, x + 10, 40.0),
        score=0.75,
        roll_deg=3.0,
        points68=points,
        mesh=np.random.default_rng(number).normal(size=(468, 3)) if mesh else None,
        appearance=np.array([0.6, 0.8], np.float32),
        presence=0.875,
        sharpness=12.5,
    )


def opened(root: Path, **settings: object) -> SightingStore:
    return SightingStore.open(root / "a.sightings", settings)


def test_what_was_seen_comes_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    face = sighting(7)
    store.add([frame(7), frame(8)], [(face, b"tile")])
    store.close()
    store = opened(tmp_path)
    assert store.frame_numbers() == [7, 8]
    seen = next(iter(store.frames()))
    assert (seen.time_s, seen.size_wh, seen.small, seen.weak) == ("7/25", (96, 72), 1, 2)
    assert seen.thumbnail.tolist() == [[[7] * 3] * 4] * 2
    (found,) = store.between(0, 99)
    assert (found.track, found.person) == (-1, -1)
    for name in ("frame", "box", "score", "roll_deg", "presence", "sharpness", "origin"):
        assert getattr(found.sighting, name) == getattr(face, name)
    np.testing.assert_allclose(found.sighting.points68, face.points68, atol=1e-5)
    assert face.mesh is not None
    np.testing.assert_allclose(found.sighting.mesh, face.mesh, atol=1e-5)  # type: ignore[arg-type]
    assert found.sighting.appearance.tolist() == face.appearance.tolist()


def test_lean_faces_have_no_mesh_and_come_by_frame(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add([frame(2), frame(1)], [(sighting(2), None), (sighting(1), None)])
    assert [(f.sighting.frame, f.sighting.mesh) for f in store.lean()] == [(1, None), (2, None)]


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    store = opened(tmp_path, size=1)
    store.add([frame(1)], [(sighting(1), None)])
    store.close()
    assert opened(tmp_path, size=1).frame_numbers() == [1]
    assert opened(tmp_path, size=2).frame_numbers() == []


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "a.sightings").write_bytes(b"this is no database" * 99)
    assert opened(tmp_path).frame_numbers() == []
    assert SightingStore.open_as_it_is(tmp_path / "missing") is None


def test_frames_of_a_batch_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add([frame(1)], [(sighting(1), None)])
    with pytest.raises(AttributeError):
        store.add([frame(2)], [(sighting(2), None), (None, None)])  # type: ignore[list-item]
    assert store.frame_numbers() == [1]
    assert len(list(store.lean())) == 1


def test_faces_of_the_second_look_can_be_taken_back(tmp_path: Path) -> None:
    from dataclasses import replace

    store = opened(tmp_path)
    store.add([frame(1), frame(2)], [(sighting(1), None)])
    ids = store.insert([replace(sighting(2, mesh=False), origin="repaired")])
    store.assign({ids[0]: (4, 1)}, understood="yes")
    assert [(f.id, f.track, f.person) for f in store.lean()][1] == (ids[0], 4, 1)
    assert store.about("understood") == "yes"
    store.forget(("repaired",))
    assert [f.sighting.origin for f in store.lean()] == ["detected"]
    store.clear()
    assert (store.frame_numbers(), store.about("understood")) == ([], None)


def test_tiles_are_those_of_a_person(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.add([frame(1)], [(sighting(1), b"a"), (sighting(1), b"b"), (sighting(1), None)])
    ids = [face.id for face in store.lean()]
    store.assign({ids[0]: (0, 0), ids[1]: (1, 1), ids[2]: (1, 1)})
    assert store.tiles(1) == [(ids[1], b"b")]


def test_a_folder_that_cannot_be_written_is_an_error_with_a_fix(tmp_path: Path) -> None:
    folder = tmp_path / "a.sightings"
    folder.mkdir()
    with pytest.raises((WorkspaceError, OSError)):
        opened(tmp_path)
