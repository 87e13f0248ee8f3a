"""How sharp pictures of the same face are, octave by octave, and making one as sharp as another.

An octave is what one more blur takes away. The finest two are kept at the picture's own size;
each coarser one, of which no detail is lost by that, at half the size of the one before.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import FloatImage

MAX_GAIN = 3.0
"""More would be made of interpolation and of what a network does at the pixel's scale."""
# A block of the footage with so many times the detail of the new face is hair that the new face
# does not have, and no sharper lens.
_OTHER_THINGS = 5.0
_SIGMAS_PX = (0.8, 1.6, 1.6, 1.6, 1.6)  # of its own picture: 0.8, 1.6, 3.2, 6.4, 12.8 px
_BLURS_PX = (0.5, 0.8, 1.2, 1.7, 2.5, 3.5, 5.0, 7.0)  # that are tried
_SURE = 0.1  # logarithm: softer by less than that is hardly softer
_BLOCKS = 16  # along the shorter side
_FLAT_SHARE = 0.1  # of the blocks: what is seen there is noise
_INVISIBLE = 1e-8  # energy: a tenth of a thousandth, squared; a flat picture divides nothing by it
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


@dataclass(frozen=True)
class Balance:
    """What makes one picture as sharp as another: either of the two."""

    gains: NDArray[np.float64]
    """(K,), the finest octave first: what lightness is raised by, 1 to MAX_GAIN."""
    floors: NDArray[np.float64]
    """(K,): root mean square of the octave where there is nothing to see."""
    soften_px: float = 0.0
    """Sigma of the Gaussian blur to soften it by."""


def luma_of(image: FloatImage) -> FloatImage:
    """Return the lightness of a picture, (H, W), as JPEG weighs it."""
    return np.asarray(cv2.transform(image, _LUMA), np.float32)


def scale_colours(image: FloatImage, factor: FloatImage) -> FloatImage:
    """Multiply each pixel of (H, W, 3) by its own factor, (H, W)."""
    # To broadcast over three numbers at the end takes numpy many times as long.
    return np.asarray(cv2.multiply(image, cv2.merge([factor] * 3)), np.float32)


def octaves_for(size_wh: tuple[int, int]) -> int:
    """Return how many octaves tell a sharp face from a blurred one: 4 in a box of 300 px."""
    return int(np.clip(round(np.log2(max(1, min(size_wh)) / 20.0)), 2, len(_SIGMAS_PX)))


def split_octaves(image: FloatImage, num: int) -> list[FloatImage]:
    """Return the octaves of a picture, the finest first; see the top of the module.

    Args:
        image: (H, W, 3) or (H, W).
        num: 1 to 5.
    """
    octaves, rest = [], image
    for index, sigma_px in enumerate(_SIGMAS_PX[:num]):
        if index >= 2:
            rest = _resized(rest, (-(-rest.shape[1] // 2), -(-rest.shape[0] // 2)))
        soft = _blurred(rest, sigma_px)
        octaves.append(np.asarray(rest - soft, np.float32))
        rest = soft
    return octaves


def compare_sharpness(face: FloatImage, footage: FloatImage, mask: FloatImage) -> Balance:
    """Find what makes a face as sharp as the footage, where the mask is.

    Energy is compared block by block at the same places, so that eyes are held against eyes;
    of the noise of both, what is seen in their flattest blocks, nothing counts.

    Args:
        face: (H, W), lightness.
        footage: (H, W), of the same place.
        mask: (H, W), 0..1.

    Returns:
        What to do with the face; nothing where the mask is empty.
    """
    height, width = face.shape
    num = octaves_for((width, height))
    block_px = max(4, min(width, height) // _BLOCKS)
    is_seen = _resized(mask, (max(1, width // block_px), max(1, height // block_px))) > 0.5
    gains, floors = np.ones(num), np.zeros(num)
    if not is_seen.any():
        return Balance(gains, floors)
    wanted, _ = _energies(footage, is_seen, num, block_px)
    energies, floors = _energies(face, is_seen, num, block_px)
    ratios = _ratios(energies, wanted)
    softer = float(ratios.mean())
    if softer < 0.0:
        return Balance(gains, floors, _blur_between(face, wanted, is_seen, block_px, softer))
    # The coarsest is not raised: that would deepen eyes, and sharpen nothing.
    raised = np.exp(ratios[:-1]).clip(1.0, MAX_GAIN) - 1.0
    gains[:-1] += raised * min(1.0, softer / _SURE)
    return Balance(gains, floors)


def apply_balance(image: FloatImage, balance: Balance, *, amount: float) -> FloatImage:
    """Return a picture softened, or with its octaves raised.

    Raised is lightness alone, or edges would get coloured rims. And it is raised less where it
    is no more than the floor: the squares that a network draws on smooth skin are no detail.

    Args:
        image: (H, W, 3).
        balance: Of its lightness.
        amount: 0 returns the image, 1 does all of it.
    """
    if balance.soften_px > 0.0:
        return np.asarray(
            image + np.float32(amount) * (_blurred(image, balance.soften_px) - image), np.float32
        )
    if (balance.gains == 1.0).all():
        return image
    num = int(np.nonzero(balance.gains > 1.0)[0].max()) + 1
    parts: list[FloatImage] = []
    octaves = split_octaves(luma_of(image), num)
    for octave, gain, floor in zip(octaves, balance.gains, balance.floors, strict=False):
        energy = octave * octave
        seen = energy / (energy + np.float32(4.0 * floor**2 + _INVISIBLE))
        parts.append(np.float32(amount * (gain - 1.0)) * octave * seen)
    return np.asarray(image + cv2.merge([_joined(parts)] * 3), np.float32)


def unsharp(image: FloatImage, *, amount: float, radius_px: float) -> FloatImage:
    """Add `amount` times what a blur of `radius_px` (its sigma) takes away; (H, W, 3)."""
    soft = _blurred(image, radius_px)
    return np.asarray(cv2.addWeighted(image, 1.0 + amount, soft, -amount, 0.0), np.float32)


def _energies(
    luma: FloatImage, is_seen: NDArray[np.bool_], num: int, block_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the energy of each block that is seen beyond noise, (num, N), and RMS of noise."""
    energies, floors = [], []
    for index, octave in enumerate(split_octaves(luma, num)):
        blocks = _resized(octave * octave, is_seen.shape[::-1])[is_seen].astype(float)
        # Energy of noise differs by chance from block to block, the more the fewer grains are in
        # one: a tenth of the blocks have less than the mean by 1.28 deviations.
        grains = max(32.0, block_px**2 / (2.0 * 4.0**index))
        floor = _quantile(blocks, _FLAT_SHARE) / (1.0 - 1.28 * np.sqrt(2.0 / grains))
        energies.append(np.maximum(blocks - floor, 0.0))
        floors.append(np.sqrt(floor))
    return np.array(energies), np.array(floors)


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """Return numpy's quantile, which takes ten times as long to prepare for what we never ask."""
    at, between = divmod(share * (len(values) - 1), 1.0)
    low, high = int(at), min(int(at) + 1, len(values) - 1)
    ordered = np.partition(values, (low, high))
    return float(ordered[low] + between * (ordered[high] - ordered[low]))


def _ratios(energies: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much amplitudes of each octave fall short, (K,), as logarithms."""
    wanted = np.minimum(wanted, _OTHER_THINGS**2 * energies)
    ratios = (wanted.mean(axis=1) + _INVISIBLE) / (energies.mean(axis=1) + _INVISIBLE)
    return np.asarray(0.5 * np.log(ratios))


def _blur_between(
    luma: FloatImage,
    wanted: NDArray[np.float64],
    is_seen: NDArray[np.bool_],
    block_px: int,
    softer: float,
) -> float:
    """Return sigma of the blur after which a picture has the energies that are wanted."""
    known = [(0.0, softer)]  # variance of the blur, and by how much the rest is too soft
    for sigma_px in _BLURS_PX:
        soft = _blurred(luma, sigma_px)
        energies, _ = _energies(soft, is_seen, len(wanted), block_px)
        known.append((sigma_px**2, float(_ratios(energies, wanted).mean())))
        if known[-1][1] >= 0.0:
            break
    (less, short), (more, over) = known[-2:]
    share = min(1.0, short / (short - over)) if over > short else 1.0
    return float(np.sqrt(less + share * (more - less)))


def _blurred(image: FloatImage, sigma_px: float) -> FloatImage:
    soft = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.float32)


def _joined(octaves: list[FloatImage]) -> FloatImage:
    """Add up octaves of a picture, the finest first, at the size of the finest."""
    total = octaves[-1]
    for octave in reversed(octaves[:-1]):
        if total.shape != octave.shape:
            total = cv2.resize(total, octave.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        total = octave + total
    return total


def _resized(image: FloatImage, size_wh: tuple[int, int]) -> FloatImage:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.float32)
