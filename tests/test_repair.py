from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.extracting.repair import Hole, between_two, find_holes, search
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.media.pictures import BadFrame
from faceswap_cli.media.reader import Frame
from faceswap_cli.types import RgbImage
from tests.made_faces import face_at

SIDE_PX = 20.0
_ZERO = Fraction(0)


def sighting(frame: int, x: float = 50.0) -> Sighting:
    half = SIDE_PX / 2
    return Sighting(
        frame=frame,
        box=(x - half, 30.0, x + half, 50.0),
        score=0.9,
        roll_deg=0.0,
        points68=face_at((x, 40.0), SIDE_PX),
        mesh=np.full((468, 3), x),
        appearance=np.zeros(0, np.float32),
    )


def test_holes_are_the_frames_between_two_sightings_of_a_track() -> None:
    seen = [sighting(0), sighting(0, 90.0), sighting(2, 90.0), sighting(6)]
    holes = find_holes([0, 1, 1, 0], seen, frames=[0, 2, 4, 6, 8])
    assert [(hole.frame, hole.track) for hole in holes] == [(2, 0), (4, 0)]


def test_what_is_expected_lies_on_a_straight_line() -> None:
    expected = between_two(sighting(10, 40.0), sighting(14, 60.0), 11)
    assert expected.box == (35.0, 30.0, 55.0, 50.0)
    np.testing.assert_allclose(expected.points68, face_at((45.0, 40.0), SIDE_PX))
    assert expected.mesh is not None
    np.testing.assert_allclose(expected.mesh, 45.0)
    assert (expected.frame, expected.origin, expected.score) == (11, "interpolated", 0.0)
    lost = replace(sighting(14), mesh=None)
    assert between_two(sighting(10), lost, 12).mesh is None


class Finder:
    """Finds a face beside where it is asked to look, if it looks at it the right way up."""

    name = "finder"

    def __init__(self, *, away: float = 0.0, size: float = 1.0, roll: float = 0.0) -> None:
        self.away, self.size, self.roll, self.presence = away, size, roll, 0.4

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        return [[self._one(d) for d in found] for found in detections]

    def _one(self, where: Detection) -> Landmarks:
        centre = where.box.reshape(2, 2).mean(axis=0) + np.array([self.away * SIDE_PX, 0.0])
        presence = self.presence - 0.01 * abs(where.roll_deg - self.roll)
        points = face_at((float(centre[0]), float(centre[1])), self.size * SIDE_PX)
        return Landmarks(points, None, presence)


def found(engine: Finder) -> Sighting:
    expected = between_two(sighting(0), sighting(2), 1)
    image = np.zeros((80, 120, 3), np.uint8)
    hole = Hole(1, 0, expected)
    frames = [Frame(1, _ZERO, _ZERO, image)]
    ((same, filled),) = search(frames, {1: [hole]}, engine)
    assert same is hole
    return filled


def test_a_face_that_is_there_is_found_where_it_is() -> None:
    filled = found(Finder(away=0.3))
    assert (filled.origin, filled.presence) == ("repaired", 0.4)
    np.testing.assert_allclose(filled.points68, face_at((56.0, 40.0), SIDE_PX))
    np.testing.assert_allclose(filled.box, (46.0, 30.0, 66.0, 50.0), atol=1e-6)


def test_a_tilted_face_is_found_by_tilting() -> None:
    engine = Finder(roll=25.0)
    engine.presence = 0.27  # upright it is 0.02: not a face
    assert found(engine).origin == "repaired"


@pytest.mark.parametrize("engine", [Finder(away=0.5), Finder(size=1.5), Finder(size=0.6)])
def test_something_else_near_by_is_not_taken_for_it(engine: Finder) -> None:
    assert found(engine).origin == "interpolated"


def test_what_nobody_sees_is_put_between_its_neighbours() -> None:
    engine = Finder()
    engine.presence = 0.2
    filled = found(engine)
    assert filled.origin == "interpolated"
    np.testing.assert_allclose(filled.points68, face_at((50.0, 40.0), SIDE_PX))


def test_frames_that_do_not_decode_keep_their_holes() -> None:
    hole = Hole(1, 0, between_two(sighting(0), sighting(2), 1))
    assert list(search([BadFrame(1, "1.png", "broken")], {1: [hole]}, Finder())) == []
