from collections.abc import Sequence

import numpy as np

from faceswap_cli.detect import Detection, Landmarks
from faceswap_cli.detect.sparse import detect_sparsely, locate_sparsely
from faceswap_cli.types import RgbImage


class Numbered:
    """Frames are single pixels with their number; faces are told by number."""

    name = "numbered"

    def __init__(self, faces: dict[int, list[float]]) -> None:
        self.faces, self.seen = faces, list[int]()

    def detect(self, frames: Sequence[RgbImage]) -> list[list[Detection]]:
        numbers = [int(frame[0, 0, 0]) for frame in frames]
        self.seen += numbers
        return [[face(x, number) for x in self.faces[number]] for number in numbers]


def face(x: float, number: int) -> Detection:
    points = np.full((6, 2), x)
    return Detection(np.array([x, 0.0, x + 40.0, 40.0]), 0.5 + 0.01 * number, x, points)


def detect(faces: list[list[float]], stride: int = 3) -> tuple[list[list[Detection]], list[int]]:
    engine = Numbered(dict(enumerate(faces)))
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(len(faces))]
    found = detect_sparsely(engine, frames, stride=stride)
    return [found.at(number) for number in range(len(faces))], engine.seen


def test_a_face_that_moves_steadily_is_seen_everywhere_and_looked_for_every_third_time() -> None:
    found, seen = detect([[float(x), 100.0 - x] for x in range(8)])
    assert sorted(seen) == [0, 3, 6, 7]
    for number, faces in enumerate(found):
        assert [round(f.box[0], 6) for f in faces] == [number, 100 - number]
        assert [round(f.roll_deg, 6) for f in faces] == [number, 100 - number]
        assert np.isclose(faces[0].score, 0.5 + 0.01 * number)
        np.testing.assert_allclose(faces[0].keypoints, number)


def test_where_a_face_comes_goes_or_leaps_every_frame_is_looked_at() -> None:
    for faces in ([[], [], [0.0], [0.0]], [[0.0], [0.0], [], []], [[0.0], [0.0], [90.0], [90.0]]):
        found, seen = detect(faces)
        assert sorted(seen) == [0, 1, 2, 3]
        assert [[f.box[0] for f in there] for there in found] == faces


def test_faces_keep_their_neighbours_when_the_detector_changes_their_order() -> None:
    found, _ = detect([[0.0, 100.0], [], [], [100.0, 0.0]])
    assert [f.box[0] for f in found[1]] == [0.0, 100.0]


def test_stride_of_one_looks_at_every_frame_and_no_frames_are_none() -> None:
    assert sorted(detect([[0.0]] * 4, stride=1)[1]) == [0, 1, 2, 3]
    assert detect([])[0] == []
    assert len(detect([[0.0]])[0]) == 1


def test_a_turn_goes_the_short_way() -> None:
    from faceswap_cli.detect.sparse import _between

    a, b = face(0.0, 0), face(0.0, 0)
    a, b = Detection(a.box, 1, 170.0, a.keypoints), Detection(b.box, 1, -170.0, b.keypoints)
    assert abs(_between(a, b, 0.5).roll_deg) == 180.0


class Marking:
    """Places a mesh around where it is told to look, and notes whether one look is to do."""

    name = "marking"

    def __init__(self, *, presence: float = 1.0) -> None:
        self.presence, self.exact = presence, list[bool]()

    def locate(
        self, frames: Sequence[RgbImage], detections: Sequence[Sequence[Detection]]
    ) -> list[list[Landmarks]]:
        self.exact += [detection.is_exact for found in detections for detection in found]
        return [[self._one(detection) for detection in found] for found in detections]

    def _one(self, detection: Detection) -> Landmarks:
        mesh = np.zeros((468, 3))
        low, high = detection.box[:2], detection.box[2:]
        mesh[:, :2] = np.linspace(low, high, 468)
        mesh[33, :2], mesh[263, :2] = (low + high) / 2 - [5, 0], (low + high) / 2 + [5, 0]
        return Landmarks(mesh[:68, :2], mesh, self.presence)


def test_between_seen_frames_the_meshes_tell_where_to_look_and_one_look_does() -> None:
    engine, marking = Numbered({n: [float(n)] for n in range(4)}), Marking()
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(4)]
    found = locate_sparsely(marking, frames, detect_sparsely(engine, frames, stride=3))
    assert marking.exact == [False, False, True, True]
    for number, faces in enumerate(found):
        ((detection, marks),) = faces
        np.testing.assert_allclose(detection.box, [number, 0.0, number + 40.0, 40.0])
        assert marks.mesh is not None
        centre = marks.mesh[:, :2].mean(axis=0)
        np.testing.assert_allclose(centre, [number + 20.0, 20.0], atol=0.1)


def test_where_no_face_was_in_the_box_the_box_between_is_looked_at_as_ever() -> None:
    engine, marking = Numbered({n: [0.0] for n in range(4)}), Marking(presence=0.3)
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(4)]
    locate_sparsely(marking, frames, detect_sparsely(engine, frames, stride=3))
    assert not any(marking.exact)
