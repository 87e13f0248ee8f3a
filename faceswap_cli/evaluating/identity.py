"""Whom the new face looks like: nearer to src, or still to dst."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faceswap_cli.detect import Landmarks
from faceswap_cli.detect.appearance import Appearance, AppearanceEngine, unit
from faceswap_cli.errors import MediaError
from faceswap_cli.faces.faceset import AlignedFace

NUM_FACES = 32
"""Of each side, from which its mean is made."""


@dataclass(frozen=True, eq=False)
class Person:
    """What one side looks like."""

    mean: Appearance
    """(0,): none of its faces could be described."""
    usual: float
    """Mean cosine of its single faces to it: what a perfect swap could reach. NaN: unknown."""


def describe_person(engine: AppearanceEngine, faces: Sequence[AlignedFace]) -> Person:
    """Return what somebody looks like, from faces spread over a faceset.

    Of several people it is the one seen most often.
    """
    people = Counter(face.record.person for face in faces)
    main = people.most_common(1)[0][0] if people else None
    seen = [face for face in faces if face.record.person == main]
    places = np.linspace(0, len(seen) - 1, min(NUM_FACES, len(seen))).round().astype(int)
    single = [describe_face(engine, seen[place]) for place in places.tolist()]
    known = [appearance for appearance in single if len(appearance)]
    if not known:
        return Person(np.zeros(0, np.float32), float("nan"))
    mean = unit(np.mean(known, axis=0))
    return Person(mean, float(np.mean([cosine(appearance, mean) for appearance in known])))


def describe_face(engine: AppearanceEngine, face: AlignedFace) -> Appearance:
    """Return the appearance of an aligned picture, (0,) if it cannot be read or described."""
    try:
        image = face.image()
    except MediaError:
        return np.zeros(0, np.float32)
    points = np.array(face.record.landmarks_crop, np.float64)
    return engine.describe([image], [[Landmarks(points, None, 1.0)]])[0][0]


def cosine(one: Appearance, other: Appearance) -> float:
    """Return how alike two appearances are, -1 to 1; NaN if one of them is unknown."""
    if len(one) == 0 or len(one) != len(other):
        return float("nan")
    return float(one @ other)
