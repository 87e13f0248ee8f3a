"""The landmarks of a clip, steadied along each track, block by block: in bounded memory."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from faceswap_cli.detect.mesh68 import points68_from_mesh
from faceswap_cli.faces.sighting import Sighting
from faceswap_cli.faces.sighting_store import Seen, SightingStore
from faceswap_cli.faces.smoothing import REACH, smooth_track

BLOCK = 256
"""Frames that are steadied at once."""


class SteadyFaces:
    """The faces of a frame, steadied; frames are asked for in growing order."""

    def __init__(self, store: SightingStore, *, strength: float) -> None:
        self.store, self._strength = store, strength
        self._first, self._faces = 0, dict[int, list[Seen]]()
        self._end = 0

    def at(self, frame: int) -> list[Seen]:
        """Return the faces of a frame."""
        if not self._first <= frame < self._end:
            self._first, self._end = frame, frame + BLOCK
            self._faces = self._block(frame, frame + BLOCK - 1)
        return self._faces.get(frame, [])

    def _block(self, first: int, last: int) -> dict[int, list[Seen]]:
        seen = self.store.between(first - REACH, last + REACH)
        steadied = steady(seen, strength=self._strength)
        by_frame: defaultdict[int, list[Seen]] = defaultdict(list)
        for face in steadied:
            if first <= face.sighting.frame <= last:
                by_frame[face.sighting.frame].append(face)
        return dict(by_frame)


def steady(seen: Sequence[Seen], *, strength: float) -> list[Seen]:
    """Return the same faces, in the same order, with the trembling taken out.

    What a person placed stays where it is, and divides a track in two.
    """
    if strength == 0.0:
        return list(seen)
    steadied = {face.id: face for face in seen}
    for run in _runs(seen):
        sightings = [face.sighting for face in run]
        frames = np.array([sighting.frame for sighting in sightings], np.int64)
        for face, sighting in zip(run, _smoothed(frames, sightings, strength), strict=True):
            steadied[face.id] = replace(face, sighting=sighting)
    return [steadied[face.id] for face in seen]


def _runs(seen: Sequence[Seen]) -> Iterator[list[Seen]]:
    """Yield what can be smoothed together: one track, one kind of landmarks."""
    by_track: defaultdict[int, list[Seen]] = defaultdict(list)
    for face in seen:
        by_track[face.track].append(face)
    for faces in by_track.values():
        run: list[Seen] = []
        for face in faces:
            if face.sighting.origin == "manual" or (run and not _same_kind(run[-1], face)):
                if run:
                    yield run
                run = []
            if face.sighting.origin != "manual":
                run.append(face)
        if run:
            yield run


def _same_kind(a: Seen, b: Seen) -> bool:
    return (a.sighting.mesh is None) == (b.sighting.mesh is None)


def _smoothed(frames: np.ndarray, sightings: Sequence[Sighting], strength: float) -> list[Sighting]:
    meshes = [sighting.mesh for sighting in sightings if sighting.mesh is not None]
    if len(meshes) == len(sightings):
        smooth = smooth_track(frames, np.stack(meshes), strength=strength)
        return [
            replace(sighting, mesh=mesh, points68=points68_from_mesh(mesh))
            for sighting, mesh in zip(sightings, smooth, strict=True)
        ]
    points = np.stack([sighting.points68 for sighting in sightings])
    smooth = smooth_track(frames, points, strength=strength)
    return [
        replace(sighting, points68=points68)
        for sighting, points68 in zip(sightings, smooth, strict=True)
    ]
