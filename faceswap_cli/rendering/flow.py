"""Decoded frames in, frames with the faces drawn for them out: in order, in bounded memory.

A frame waits until those that are smoothed with it have been drawn. Frames that are only
looked at by others are drawn, and come out nowhere.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from faceswap_cli.errors import GeometryError, MediaError
from faceswap_cli.geometry import bounding_box
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import hull_mask
from faceswap_cli.media.reader import Frame
from faceswap_cli.merging.compose import Pasted, paste_faces
from faceswap_cli.merging.cut import Cut
from faceswap_cli.merging.deflicker import deflicker
from faceswap_cli.merging.draw import Artist, finish
from faceswap_cli.merging.look import Drawn, Look
from faceswap_cli.merging.plate import measure_plate
from faceswap_cli.merging.shown import FaceMasks
from faceswap_cli.merging.steady import REACH, Sketch, steady
from faceswap_cli.progress import Stopwatch
from faceswap_cli.readahead import read_ahead
from faceswap_cli.rendering.plan import Placed, Plan

MAX_BATCH_BYTES = 2**28  # of frames that wait for the network, however few faces they have
MAX_WAITING = 64  # frames without a face that wait with a batch


@dataclass(frozen=True, eq=False)
class Ready:
    """A frame and the faces that belong into it."""

    frame: Frame
    look: Look | None
    """None: there are no faces."""
    drawing: Callable[[], list[Drawn]] = list
    """Makes the faces; called once, by whoever needs them first, in whatever thread."""
    pasted: Pasted | None = None
    """What it looks like with them, if somebody has painted them already."""

    @cached_property
    def faces(self) -> list[Drawn]:
        """In the pixels of `frame.image`, which may be a part of the frame."""
        return self.drawing()

    def paste(self, *, with_layer: bool = False) -> Pasted:
        """Return what it looks like with its faces."""
        return self.pasted or paste_faces(
            self.frame.image,
            self.faces,
            self.look or Look(),
            with_layer=with_layer,
            corner_xy=self.frame.corner_xy,
        )


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame whose faces are drawn, and not smoothed yet."""

    frame: Frame
    cuts: list[Cut]
    sketches: list[Sketch]
    look: Look | None


class Flow:
    """What happens to frames between the decoder and the compositor.

    Args:
        plan: Which faces.
        artists: By the names of models in the plan.
        masks: Of the faces of the footage.
        report: Is told the index of a frame that cannot be made, and why.
        check: Is given each face and its frame; raises what is wrong.
        watch: Is told where the time goes.
        ahead: Frames that are decoded and cut while the network works. As many as it draws at
            once, or it waits for them.
    """

    def __init__(
        self,
        plan: Plan,
        artists: Mapping[str, Artist],
        masks: FaceMasks,
        *,
        report: Callable[[int, str], None],
        check: Callable[[Placed, Frame], None],
        watch: Stopwatch,
        ahead: int = 2,
    ) -> None:
        self._plan, self._artists, self._masks, self._ahead = plan, artists, masks, ahead
        self._report, self._check, self._watch = report, check, watch

    def run(self, frames: Iterable[Frame], wanted: Callable[[int], bool]) -> Iterator[Ready]:
        """Yield the wanted ones of some frames, in order, with their faces.

        Args:
            frames: In order; all that the wanted ones need, see Plan.needed.
            wanted: Is given an index.
        """
        ahead: deque[_Seen] = deque()
        behind: deque[_Seen] = deque()
        for seen in self._drawn(frames):
            ahead.append(seen)
            while ahead and _is_due(ahead[0], seen.frame.index):
                yield from self._settle(ahead, behind, wanted)
        while ahead:
            yield from self._settle(ahead, behind, wanted)

    def _settle(
        self, ahead: deque[_Seen], behind: deque[_Seen], wanted: Callable[[int], bool]
    ) -> Iterator[Ready]:
        """Finish the first of the waiting frames, and drop what nobody needs any more."""
        first = ahead[0].frame.index
        while behind and behind[0].frame.index < first - REACH:
            behind.popleft()
        if wanted(first):
            yield self._finished(ahead[0], [*behind, *ahead])
        seen = ahead.popleft()
        if seen.sketches:
            # Only what was drawn is still looked at; the frame itself may go.
            empty = np.zeros((0, 0, 3), np.uint8)
            behind.append(replace(seen, frame=replace(seen.frame, image=empty, native=None)))

    def _finished(self, seen: _Seen, around: Sequence[_Seen]) -> Ready:
        if seen.look is None:
            return Ready(seen.frame, None)
        window = list(around)  # what it is smoothed with; the threads that compose do that, too
        return Ready(seen.frame, seen.look, lambda: self._smooth(seen, window))

    def _smooth(self, seen: _Seen, around: Sequence[_Seen]) -> list[Drawn]:
        """Return the faces of a frame, smoothed with those around it, in their colours."""
        assert seen.look is not None
        placed = self._plan.faces[seen.frame.index]
        with self._watch.timing("steady"):
            sketches = [
                self._smoothed(seen, sketch, face, around)
                for sketch, face in zip(seen.sketches, placed, strict=True)
            ]
        place = next(iter(self._artists.values())).device.place
        with self._watch.timing("colour"):
            return finish(seen.cuts, sketches, [seen.look] * len(sketches), place)

    def _smoothed(
        self, seen: _Seen, sketch: Sketch, face: Placed, around: Sequence[_Seen]
    ) -> Sketch:
        look, index = seen.look, seen.frame.index
        assert look is not None
        if look.steady == 0.0 and look.deflicker == 0.0:
            return sketch
        near = set(self._plan.neighbours(index, face))
        window = [
            found
            for other in around
            if other.frame.index in near
            for found in other.sketches
            if found is sketch or (found.track == sketch.track and other.frame.index != index)
        ]
        at = next(i for i, found in enumerate(window) if found is sketch)
        smoothed = steady(window, at, strength=look.steady)
        if look.deflicker > 0.0:
            # Numbers of this frame alone would put back the flicker that they were measured on.
            numbers = smoothed.colour
            if look.deflicker > look.steady:
                numbers = steady(window, at, strength=look.deflicker).colour
            calm = deflicker(window, at, strength=look.deflicker)
            smoothed = replace(smoothed, face=calm, colour=numbers)
        return smoothed

    def _drawn(self, frames: Iterable[Frame]) -> Iterator[_Seen]:
        """Have the networks draw the faces of frames, many at once."""
        batch: list[tuple[Frame, list[Cut]]] = []
        num_faces = num_bytes = 0
        most = max(artist.batch_size for artist in self._artists.values())
        for frame, cuts in read_ahead(self._cut_all(frames), depth=self._ahead):
            batch.append((frame, cuts))
            num_faces, num_bytes = num_faces + len(cuts), num_bytes + frame.image.nbytes
            is_full = num_faces >= most or num_bytes >= MAX_BATCH_BYTES
            if is_full or num_faces == 0 or len(batch) >= MAX_WAITING:
                yield from self._draw(batch)
                batch, num_faces, num_bytes = [], 0, 0
        yield from self._draw(batch)

    def _cut_all(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Cut]]]:
        """Yield the frames that can be used, with their faces."""
        for frame in frames:
            cuts = self._cut(frame)
            if cuts is not None:
                yield frame, cuts

    def _cut(self, frame: Frame) -> list[Cut] | None:
        """Return the faces of a frame; None if one of them is unusable, which is reported."""
        try:
            with self._watch.timing("cut"):
                return [
                    self._cut_one(frame, face) for face in self._plan.faces.get(frame.index, [])
                ]
        except (GeometryError, MediaError) as error:
            self._report(
                frame.index,
                f"{error.what}: delete this face among the aligned ones, or extract again",
            )
            return None

    def _cut_one(self, frame: Frame, face: Placed) -> Cut:
        self._check(face, frame)
        record, corner_xy = face.chosen.record, np.array(frame.corner_xy, np.float64)
        landmarks = face.landmarks - corner_xy
        cut = self._artists[face.chosen.model].cut(frame.image, landmarks)
        shown = self._masks.read(record)
        return replace(
            cut,
            frame_index=frame.index,
            track=record.track,
            shown=None if shown is None else shown.shifted(frame.corner_xy),
            pose_deg=record.pose_deg,
            motion_px=face.motion_px,
            plate=_plate(frame, cut, self._plan.look(frame.index)),
        )

    def _draw(self, batch: Sequence[tuple[Frame, list[Cut]]]) -> Iterator[_Seen]:
        drawn: dict[tuple[int, int], Sketch] = {}
        for name, artist in self._artists.items():
            mine = [
                (frame.index, at, cut)
                for frame, cuts in batch
                for at, cut in enumerate(cuts)
                if self._plan.faces[frame.index][at].chosen.model == name
            ]
            with self._watch.timing("draw"):
                looks = [self._plan.look(index) for index, _, _ in mine]
                sketches = artist.draw([cut for *_, cut in mine], looks)
            drawn |= {mine[i][:2]: sketch for i, sketch in enumerate(sketches)}
        for frame, cuts in batch:
            sketches = [drawn[frame.index, at] for at in range(len(cuts))]
            yield _Seen(frame, cuts, sketches, self._plan.look(frame.index) if cuts else None)


def _is_due(seen: _Seen, last: int) -> bool:
    """Tell whether all that a frame is smoothed with is there, up to the frame `last`."""
    return not seen.sketches or seen.frame.index + REACH <= last


def _plate(frame: Frame, cut: Cut, look: Look) -> np.ndarray | None:
    """Return what the camera did to the face, if somebody asks for it."""
    if not (look.grain or look.jpeg):
        return None
    height, width, _ = frame.image.shape
    left, top, right, bottom = bounding_box(cut.landmarks, (width, height), pad=0.0)
    region = hull_mask(cut.landmarks - np.array([left, top]), (right - left, bottom - top))
    corner_xy = (frame.corner_xy[0] + left, frame.corner_xy[1] + top)
    part = frame.image[top:bottom, left:right]
    return measure_plate(part, to_float(region), corner_xy=corner_xy)
