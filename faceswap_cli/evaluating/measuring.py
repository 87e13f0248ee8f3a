"""One reading of both films: every face of the frames that were chosen."""

from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli.errors import FaceswapError
from faceswap_cli.evaluating.background import squared_error, whereabouts
from faceswap_cli.evaluating.footage import Pair, read_pairs
from faceswap_cli.evaluating.looking import FaceFigures, Moment, Observer
from faceswap_cli.evaluating.swapped import Swapped
from faceswap_cli.files import read_manifest
from faceswap_cli.imaging import read_grey, to_float
from faceswap_cli.media.source import Source
from faceswap_cli.merging.choose import check_time
from faceswap_cli.progress import progress
from faceswap_cli.types import FloatImage
from faceswap_cli.workspace import Workspace

TOGETHER, MOST_BYTES = 8, 256 * 2**20
"""Frames whose landmarks are found at once, and what their pictures may take."""


@dataclass
class Measured:
    """What one reading of both films gives."""

    faces: list[FaceFigures] = field(default_factory=list)
    times: dict[int, tuple[Fraction, Fraction]] = field(default_factory=dict)
    """Of frames in the footage and in the result, seconds."""
    num_frames: int = 0
    """Of the clip."""
    num_masks: int = 0
    """Frames whose mask was there."""

    @property
    def time_error_s(self) -> float:
        """The most that a frame of the result comes too early or too late, beside the first."""
        shifts = [after - before for before, after in self.times.values()]
        return float(max(abs(s - shifts[0]) for s in shifts)) if shifts else float("nan")


def measure(
    workspace: Workspace,
    films: tuple[Source, Source],
    swapped: Swapped,
    wanted: tuple[Collection[int], Collection[int]],
    observer: Observer,
) -> Measured:
    """Return what was measured.

    Args:
        workspace: For the masks of merge.
        films: Footage and result.
        swapped: The faces.
        wanted: Frames that are measured, and frames whose times alone are wanted.
        observer: Looks at a face.

    Raises:
        WorkspaceError: The films differ in length, or the faces were found in another span.
        MediaError: One of them cannot be read.
    """
    footage, result = films
    looked_at, timed = (frozenset(frames) for frames in wanted)
    asked = looked_at | timed
    measured, masks = Measured(), find_masks(workspace)
    waiting: list[Moment] = []
    with progress("evaluate", total=footage.num_frames_hint, unit="frame") as bar:
        for pair in read_pairs(footage, result, asked.__contains__, root=workspace.root):
            measured.num_frames += 1
            bar.update()
            if pair is None:
                continue
            index, image = pair.footage.index, pair.footage.image
            measured.times[index] = pair.footage.time_s, pair.result.time_s
            if index in looked_at:
                waiting.append(_moment(workspace, footage, pair, swapped, masks))
                measured.num_masks += waiting[-1].mask is not None
            if len(waiting) == TOGETHER or len(waiting) * 2 * image.nbytes > MOST_BYTES:
                measured.faces += observer.look(waiting)
                waiting.clear()
    measured.faces += observer.look(waiting)
    return measured


def find_masks(workspace: Workspace) -> Path | None:
    """Return the folder of the masks of merged frames; None: merge has encoded them at once.

    It leaves no masks then: those that are there are of an earlier run.
    """
    settings, _ = read_manifest(workspace.manifest("merge"))
    return None if settings.get("stream") else workspace.merged_masks


def _moment(
    workspace: Workspace, footage: Source, pair: Pair, swapped: Swapped, masks: Path | None
) -> Moment:
    """Return a frame with its faces, its mask, and what has changed outside of it."""
    frame, result = pair.footage, pair.result.image
    records = swapped.by_frame[frame.index]
    for record in records:
        check_time(record, frame, footage, workspace.aligned("dst"))
    name = footage.frame_name(frame.index)
    mask = _read_mask(masks / f"{name}.png", frame.size_wh) if masks else None
    faces = [record.landmarks for record in records]
    painted = whereabouts(faces, frame.size_wh) if mask is None else mask
    sides = [float(np.ptp(points, axis=0).max()) for points in faces]
    mse = squared_error(result, frame.image, painted, max(sides))
    return Moment(frame.index, frame.time_s, frame.image, result, records, mask, mse)


def _read_mask(path: Path, size_wh: tuple[int, int]) -> FloatImage | None:
    """Return the mask of a merged frame, None if there is none that fits."""
    if not path.is_file():
        return None
    try:
        mask = read_grey(path)
    except FaceswapError:
        return None
    return to_float(mask) if mask.shape == size_wh[::-1] and np.any(mask) else None
