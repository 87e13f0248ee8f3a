"""The previews of a training as a film of how the faces came to be."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap_cli import __version__
from faceswap_cli.errors import MediaError, WorkspaceError
from faceswap_cli.files import only_one
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import read_image
from faceswap_cli.media.caption import with_caption
from faceswap_cli.media.colour import BT709, LIMITED_RANGE, ColourTags
from faceswap_cli.media.provenance import synthetic_mark
from faceswap_cli.media.writer import open_writer
from faceswap_cli.progress import progress
from faceswap_cli.types import RgbImage
from faceswap_cli.workspace import StageReport, Workspace

CRF = 18
FINEST_RATE = 1000
"""Denominator of a rate."""
_COLOUR = ColourTags(matrix=BT709, range=LIMITED_RANGE, primaries=BT709, transfer=BT709)


def run_timelapse(workspace: Workspace, *, rate: float) -> StageReport:
    """Make model/timelapse.mp4 of model/preview_history, in the order of the iterations.

    It appears when it is whole, in place of the one before.

    Args:
        workspace: Of a training.
        rate: Previews a second, above 0.

    Raises:
        WorkspaceError: There are no previews.
        MediaError: None of them can be read, or the encoder fails.
    """
    with only_one(workspace.stages, "timelapse"):
        found = {int(path.stem): path for path in workspace.previews() if path.stem.isdigit()}
        if not found:
            raise WorkspaceError(
                "no previews to make a film of",
                seen_in=workspace.preview_history,
                fix=f"faceswap-cli train {workspace.root}",
            )
        report = StageReport("timelapse")
        exact = Fraction(rate).limit_denominator(FINEST_RATE)
        _encode(workspace.timelapse, _pages(dict(sorted(found.items())), report), exact)
        report.done = len(found) - len(report.failed)
        report.facts["seconds"] = round(float(report.done / exact), 3)
        report.facts["video"] = str(workspace.timelapse)
        return report


def _pages(found: Mapping[int, Path], report: StageReport) -> Iterator[RgbImage]:
    """Yield the pictures with their iterations written in; what cannot be read is reported."""
    with progress("timelapse", total=len(found), unit="frame") as bar:
        for iteration, path in found.items():
            try:
                yield with_caption(read_image(path), f"iteration {iteration}")
            except MediaError as error:
                report.failed[path.name] = error.what
            bar.update()


def _encode(path: Path, pages: Iterator[RgbImage], rate: Fraction) -> None:
    first = next(pages, None)
    if first is None:
        raise MediaError("none of the previews can be read", seen_in=path.parent)
    size_wh = first.shape[1], first.shape[0]
    with open_writer(
        path,
        size_wh=size_wh,
        time_base=1 / rate,
        rate_hint=rate,
        crf=CRF,
        colour=_COLOUR,
        metadata=synthetic_mark(__version__),
    ) as write:
        write(first, Fraction(0), 1 / rate)
        for number, page in enumerate(pages, start=1):
            write(_at_size(page, size_wh), number / rate, 1 / rate)


def _at_size(page: RgbImage, size_wh: tuple[int, int]) -> RgbImage:
    """Return a page that fits into the film, centred on black: a model may have been replaced."""
    height, width = page.shape[:2]
    if (width, height) == size_wh:
        return page
    factor = min(size_wh[0] / width, size_wh[1] / height)
    # The centres of both pictures fall together; a pixel is its centre.
    shift = [
        (out - 1) / 2 - factor * (own - 1) / 2
        for out, own in zip(size_wh, (width, height), strict=True)
    ]
    matrix = np.array([[factor, 0.0, shift[0]], [0.0, factor, shift[1]]])
    return np.asarray(warp(page, Similarity(matrix), size_wh=size_wh, border=0.0), np.uint8)
