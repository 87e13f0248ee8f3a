"""Made clips for the scan: what extraction might have seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.curating.scan_measures import ScannedFaces
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import SeenFrame, SightingStore
from tests.facesets import blob
from tests.made_faces import face_at

SIZE_WH = (640, 480)
SIDE_PX = 120.0
Change = Callable[[Sighting], Sighting | None]


def look_of(person: int) -> np.ndarray:
    """A direction of its own for everybody."""
    look = np.zeros(16, np.float32)
    look[person] = 1.0
    return look


def sighting(
    frame: int,
    centre_xy: tuple[float, float] | None = None,
    *,
    side_px: float = SIDE_PX,
    person: int = 0,
    roll_deg: float = 0.0,
) -> Sighting:
    """A clear face, that moves a little."""
    x, y = centre_xy or (250.0 + 1.5 * frame % 300, 200.0)
    angle = np.radians(roll_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = side_px / 2.0
    return Sighting(
        frame=frame,
        box=(x - half, y - half, x + half, y + half),
        score=0.9,
        roll_deg=roll_deg,
        points68=face_at((0.0, 0.0), 0.6 * side_px) @ turn.T + [x, y],
        mesh=None,
        appearance=look_of(person),
        sharpness=20.0 + frame % 3,
    )


def film(
    changes: Mapping[int, Change] | None = None, num: int = 40, *, each: Change | None = None
) -> list[Sighting]:
    """One face in `num` frames; some of them changed, or removed, by frame."""
    found: list[Sighting] = []
    for frame in range(num):
        change = (changes or {}).get(frame, each)
        seen = sighting(frame)
        face = change(seen) if change else seen
        found += [face] if face else []
    return found


def but(**values: object) -> Change:
    """Other values of a face."""
    return lambda face: replace(face, **values)  # type: ignore[arg-type]


def made_store(
    path: Path,
    faces: Sequence[Sighting],
    num_frames: int,
    *,
    whose: Callable[[Sighting], tuple[int, int]] = lambda face: (0, 0),
    dark_from: int | None = None,
    settings: dict[str, object] | None = None,
    size_wh: tuple[int, int] = SIZE_WH,
) -> SightingStore:
    """Write what was seen; from `dark_from` on the picture is another shot."""
    store = SightingStore.open(path, settings or {})
    shots = [blob(32, (255, 255, 255), phase)[:18] for phase in (0.0, 3.0)]
    frames = [
        SeenFrame(
            frame=frame,
            time_s=str(Fraction(frame, 25)),
            size_wh=size_wh,
            thumbnail=shots[dark_from is not None and frame >= dark_from],
            small=0,
            weak=0,
        )
        for frame in range(num_frames)
    ]
    store.add(frames, [(face, None) for face in faces])
    seen = list(store.lean())
    store.assign({face.id: whose(face.sighting) for face in seen}, understood="yes")
    store.tell(looked="yes")
    return store


def columns_of(centres: np.ndarray, *, person: int = 0) -> ScannedFaces:
    """Faces of one track in consecutive frames."""
    count = len(centres)
    zeros, ones = np.zeros(count, np.int64), np.ones(count)
    half = np.array([60.0, 60.0])
    return ScannedFaces(
        frame=np.arange(count),
        track=zeros,
        person=zeros + person,
        origin=zeros,
        score=0.9 * ones,
        sharpness=20.0 * ones,
        box=np.column_stack([centres - half, centres + half]),
        place=np.column_stack([centres, 3.0 * ones, 0.0 * ones]),
        turn_deg=0.0 * ones,
        likeness=ones,
        hidden=np.nan * ones,
    )
