"""Masks as files: whose they are, what a person drew, and how outlines become masks and back.

A mask that this program makes carries a comment with a hash of its pixels. Where the comment is
missing or does not fit, a person has made or changed the mask: it is theirs, and a label.
"""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from faceswap_cli.errors import MediaError
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.files import write_atomic
from faceswap_cli.imaging import encode_image, read_grey
from faceswap_cli.interop.labelme import Drawing, Outline, read_labelme
from faceswap_cli.types import GreyImage

_KEY = "faceswap-cli mask"
_BITS = 4
"""Of a pixel, that cv2 draws to."""
TOLERANCE_PX = 0.75
"""How far the outline of a mask may be from its edge."""
LARGEST_PX = 4096
"""Side of the picture that outlines are filled in."""
SMALLEST_PART = 1e-3
"""Of the picture: smaller parts and holes of a mask get no outline."""


def write_own_mask(path: Path, mask: GreyImage, *, by: str) -> None:
    """Write a mask that a later run may replace.

    Args:
        path: A PNG file.
        mask: (H, W).
        by: What made it; see mask_is_by.
    """
    write_atomic(path, own_mask_png(mask, by=by))


def own_mask_png(mask: GreyImage, *, by: str) -> bytes:
    """Return a mask as a PNG file that says it is ours."""
    text = json.dumps({_KEY: {"by": by, "pixels": _hash(mask)}})
    return with_comment(encode_image(mask, ".png"), text)


def mask_is_by(path: Path) -> str | None:
    """Return what of this program made a mask; None if a person made or changed it.

    Raises:
        MediaError: It cannot be read.
    """
    mask = read_grey(path)
    try:
        text = read_comment(path.read_bytes())
        about = json.loads(text or "")[_KEY]
        by, pixels = str(about["by"]), str(about["pixels"])
    except (MediaError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return by if pixels == _hash(mask) else None


def find_label(picture: Path, mask: Path, size_px: int) -> GreyImage | None:
    """Return what a person says is face: a painted mask, or else outlines drawn in labelme.

    Args:
        picture: The aligned picture; outlines lie beside it.
        mask: Where its mask lies; neither need be there.
        size_px: Side of the picture.

    Returns:
        (size_px, size_px); None if nobody has said anything.

    Raises:
        MediaError: There is something that cannot be used.
    """
    if mask.is_file() and mask_is_by(mask) is None:
        painted = read_grey(mask)
        if painted.shape != (size_px, size_px):
            if painted.shape[0] != painted.shape[1]:
                raise MediaError(
                    f"a mask of {painted.shape[1]}x{painted.shape[0]} for a square picture",
                    seen_in=mask,
                    fix="undo the resize, or delete the mask",
                )
            painted = _resized(painted, size_px)
        return painted
    outlines = drawing_path(picture)
    if not outlines.is_file():
        return None
    drawing = read_labelme(outlines, (size_px, size_px))
    return draw_outlines(drawing, size_px) if drawing.outlines else None


def drawing_path(picture: Path) -> Path:
    """Return where labelme keeps the outlines of a picture."""
    return picture.with_suffix(".json")


def drawn_by(outlines: Path) -> str:
    """Return what a mask is by that was filled from a file of outlines; see write_own_mask."""
    return f"labelme {hashlib.sha256(outlines.read_bytes()).hexdigest()[:12]}"


def draw_outlines(drawing: Drawing, size_px: int) -> GreyImage:
    """Fill what is face, then take away what lies over it.

    Returns:
        (size_px, size_px), the edges anti-aliased.
    """
    # cv2 fills what its outline touches, half a pixel too much on every side; four times as
    # large that is an eighth.
    scale = max(1, min(4, LARGEST_PX // size_px))
    large = np.zeros((size_px * scale,) * 2, np.uint8)
    for include in (True, False):
        for outline in drawing.outlines:
            if outline.include == include:
                points = (outline.points + 0.5) * scale - 0.5
                fixed = np.rint(points * 2**_BITS).astype(np.int32).reshape(-1, 1, 2)
                level = 255 if include else 0
                cv2.fillPoly(large, [fixed], (level,), cv2.LINE_8, _BITS)
    return _resized(large, size_px)


def outlines_of(mask: GreyImage) -> Drawing:
    """Return a mask as outlines: its parts are face, their holes lie over it.

    Parts within a hole are face again, and would be taken away: they are left out.
    """
    scale = 4  # outlines run through pixel centres; at this size that is half a quarter pixel
    large = _resized(mask, mask.shape[0] * scale)
    found, tree = cv2.findContours(
        (large > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    outlines: list[Outline] = []
    for contour, (_, _, _, parent) in zip(found, tree[0] if tree is not None else (), strict=True):
        if cv2.contourArea(contour) < SMALLEST_PART * large.size:
            continue
        line = cv2.approxPolyDP(contour, TOLERANCE_PX * scale, closed=True).reshape(-1, 2)
        if len(line) >= 3:
            points = (line.astype(np.float64) + 0.5) / scale - 0.5
            outlines.append(Outline(points, include=parent < 0))
    return Drawing(tuple(outlines))


def _resized(mask: GreyImage, size_px: int) -> GreyImage:
    shrinks = size_px < mask.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, (size_px, size_px), interpolation=how), np.uint8)


def _hash(mask: GreyImage) -> str:
    return hashlib.sha256(str(mask.shape).encode() + mask.tobytes()).hexdigest()[:24]
