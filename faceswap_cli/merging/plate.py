"""Making a new face look as if the camera of the footage, the plate, had filmed it.

Sharpness first, then motion, then what a file and a film add: blocks and grain.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.merging.blockiness import compress_to, measure_blocks
from faceswap_cli.merging.grain import Noise, add_noise, measure_noise
from faceswap_cli.merging.light import signal_from_frame
from faceswap_cli.merging.look import Drawn, FrameImage, Look
from faceswap_cli.merging.motion import MIN_PATH_PX, blur_along, blur_light_along, choose_path
from faceswap_cli.merging.sharpness import apply_balance, compare_sharpness, luma_of, unsharp
from faceswap_cli.types import FloatImage

_SHUTTER = 0.5  # of the time of a frame is it open at motion_blur=1: 180 degrees
_STILL = (0.0, 0.0)


def measure_plate(
    footage: FrameImage | FloatImage, region: FloatImage, *, corner_xy: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """Return numbers of the camera and the file, which change slowly and may be averaged.

    Args:
        footage: (H, W, 3), a part of a frame at the frame's own resolution; whole levels, or
            0..1.
        region: (H, W), 0..1: where skin is.
        corner_xy: Where in the frame it begins, pixels.

    Returns:
        (9,): the covariance of the noise (6), its slope and its grain_px as in grain.Noise,
        and the strength of blocks as in blockiness.measure_blocks.
    """
    image = _signal(footage)
    noise = measure_noise(image, region)
    blocks = measure_blocks(luma_of(image), region, corner_xy)
    return np.array([*noise.covariance, noise.slope, noise.grain_px, blocks], np.float32)


def match_plate(
    face: FloatImage,
    footage: FloatImage,
    mask: FloatImage,
    drawn: Drawn,
    look: Look,
    *,
    corner_xy: tuple[int, int] = (0, 0),
) -> FloatImage:
    """Return a new face as the camera would have filmed it; each part as strong as `look` says.

    Args:
        face: (H, W, 3), RGB 0..1, at the frame's resolution.
        footage: (H, W, 3), what was filmed in its place.
        mask: (H, W), 0..1: where the face is painted, and so where the two are compared.
        drawn: Gives plate, motion, seed and scale of the face.
        look: sharpen, match_sharpness, motion_blur, jpeg, grain.
        corner_xy: Where in the frame all of these begin, pixels.

    Returns:
        (H, W, 3); it may leave 0..1 a little. With all five at 0, `face` itself.
    """
    path = _path(face, footage, mask, drawn, look)
    if look.match_sharpness > 0.0:
        ours, theirs = luma_of(face), luma_of(footage)
        # As it will be when it is blurred: or it would be softened twice.
        ours = ours if path == _STILL else blur_along(ours, path)
        balance = compare_sharpness(ours, theirs, mask)
        face = apply_balance(face, balance, amount=look.match_sharpness)
    if look.sharpen > 0.0:
        # A pixel of the crop is this wide in the frame: finer detail than that is not there.
        radius_px = max(0.5, 1.0 / drawn.crop_from_frame.scale)
        face = unsharp(face, amount=look.sharpen, radius_px=radius_px)
    if path != _STILL:
        face = blur_light_along(face, path)
    if look.jpeg == look.grain == 0.0:
        return face
    numbers = drawn.plate
    if numbers is None:
        numbers = measure_plate(footage, mask, corner_xy=corner_xy)
    *covariance, slope, grain_px, blocks = (float(number) for number in numbers)
    if look.jpeg > 0.0:
        pressed = compress_to(face, mask, blocks, corner_xy)
        face = face + np.float32(look.jpeg) * (pressed - face)
    if look.grain > 0.0:
        noise = Noise(np.array(covariance), slope, grain_px)
        face = add_noise(face, mask, noise, amount=look.grain, seed=drawn.seed)
    return face


def _signal(footage: FrameImage | FloatImage) -> FloatImage:
    if np.issubdtype(footage.dtype, np.floating):
        return np.asarray(footage, np.float32)
    return signal_from_frame(cast(FrameImage, footage))


def _path(
    face: FloatImage, footage: FloatImage, mask: FloatImage, drawn: Drawn, look: Look
) -> tuple[float, float]:
    """Return along which path the face is blurred, pixels."""
    x, y = (_SHUTTER * look.motion_blur * along for along in drawn.motion_px)
    if not MIN_PATH_PX <= np.hypot(x, y) < np.inf:  # of a track of which a face is not a number
        return _STILL
    return choose_path(luma_of(face), luma_of(footage), mask, (x, y))
