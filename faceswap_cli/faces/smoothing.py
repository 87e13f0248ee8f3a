"""Steadying the landmarks of one face over its frames, without lag and without smear.

A still face is averaged over a second, a fast one is left as it was found: see `ladder`.
Where the face is, its size and its roll are smoothed apart from its shape, and the shape
region by region, so that a blink does not stop the smoothing of the chin, nor a nod that of
the shape. Noise is given as a share of the side of the mean face (templates.MEAN_FACE),
which is about 0.73 of the height of a face, and was measured on BlazeFace and Face Mesh.
"""

# Shape suffixes: N frames, P points, K regions, S smoothers.

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.ladder import REACH, Floats, Ladder
from faceswap_cli.faces.templates import ALIGNED_INDICES, MEAN_FACE

__all__ = ["REACH", "smooth_track"]

Complexes = NDArray[np.complex128]
"""Points as x + iy."""

MAX_STRENGTH: Final = 5.0
CHUNK_FRAMES: Final = 256
"""Frames smoothed at once; a chunk of meshes takes 80 MB."""

# Noise of a still face, standard deviation per axis, in sides of the mean face (187 px of a
# face 256 px high): of the whole face, of a region's shape, of how far lids, lips are apart.
# The last two are set low: lids and lips move little on the mesh, and must be seen to.
RIGID_NOISE, SHAPE_NOISE, LID_NOISE, LIP_NOISE = 0.001, 0.0007, 0.00008, 0.00042
SPREAD: Final = 0.65
"""Distance of the points from the eyes' and the nose's centre, root mean square, sides."""

# What hardly moves on a face: the corners of the eyes, the nose; dlib's number, the mesh's.
STEADY: Final = {36: 33, 39: 133, 42: 362, 45: 263, 27: 168, 28: 197, 29: 5, 30: 4} | {
    **{31: 98, 33: 2, 35: 327}
}
STEADY_PLACE: Final = MEAN_FACE[[ALIGNED_INDICES.index(number) for number in STEADY]]
# Centres of the regions in the mean face: eyes, nose, mouth, chin, cheeks, brows, forehead.
REGIONS: Final = np.array(
    [
        *([0.22, 0.21], [0.76, 0.21], [0.49, 0.45], [0.49, 0.8], [0.49, 1.1]),
        *([0.1, 0.7], [0.88, 0.7], [0.15, -0.1], [0.83, -0.1], [0.49, -0.3]),
    ]
)
SHARPNESS: Final = 4
REGION_WIDTHS: Final = np.array([0.1, 0.1, *[0.17] * 8])
# Lids and lips: two points, the region that answers to their distance, its noise.
_Gap = tuple[int, int, int, float]
GAPS: Final[dict[int, tuple[_Gap, ...]]] = {
    68: (
        *((37, 41, 0, LID_NOISE), (44, 46, 1, LID_NOISE), (48, 54, 3, LIP_NOISE)),
        (62, 66, 3, LIP_NOISE),
    ),
    468: (
        *((159, 145, 0, LID_NOISE), (386, 374, 1, LID_NOISE), (61, 291, 3, LIP_NOISE)),
        (13, 14, 3, LIP_NOISE),
    ),
}


def smooth_track(
    frames: NDArray[np.int64], points: Floats, *, strength: float = 1.0
) -> NDArray[np.float64]:
    """Return the points with the trembling of the landmarker taken out.

    Args:
        frames: (N,), growing: numbers of the frames of one face between two cuts; some
            may be missing.
        points: (N, 68, 2), or the mesh (N, 468, 3) with z in the scale of x and y; pixels.
        strength: 0..5, in times the noise: 0 changes nothing, 1 what noise explains, more
            also takes out some motion.

    Returns:
        Of the shape of `points`.

    Raises:
        ValueError: The shapes, the order of the frames or the strength are not as above.
    """
    if points.ndim != 3 or points.shape[1:] not in ((68, 2), (468, 3)):
        raise ValueError(f"want points of (N, 68, 2) or (N, 468, 3), got {points.shape}")
    if frames.shape != points.shape[:1] or (np.diff(frames) <= 0).any():
        raise ValueError(f"want {len(points)} growing frame numbers, got {frames.tolist()[:20]}")
    if not 0.0 <= strength <= MAX_STRENGTH:
        raise ValueError(f"want a strength of 0 to {MAX_STRENGTH:g}, got {strength}")
    smooth = points.copy()
    for start in range(0, len(frames) if strength > 0.0 else 0, CHUNK_FRAMES):
        stop = min(start + CHUNK_FRAMES, len(frames))
        low = int(np.searchsorted(frames, frames[start] - REACH))
        high = int(np.searchsorted(frames, frames[stop - 1] + REACH, side="right"))
        whole = _smooth(frames[low:high], points[low:high], strength)
        smooth[start:stop] = whole[start - low : stop - low]
    return smooth


def _smooth(frames: NDArray[np.int64], points: Floats, strength: float) -> Floats:
    """Take a face apart into place, size and roll, and shape; smooth; put it together."""
    flat_NP = points[..., 0] + 1j * points[..., 1]
    steady = list(STEADY) if points.shape[1] == 68 else list(STEADY.values())
    ideal = _as_complex(STEADY_PLACE - STEADY_PLACE.mean(axis=0))
    centre_N = flat_NP[:, steady].mean(axis=1)
    turn_N = flat_NP[:, steady] @ ideal.conj() / (np.abs(ideal) ** 2).sum()
    turn_N = np.where(np.abs(turn_N) < 1e-3, 1.0, turn_N)  # no face: any size will do
    side_N = np.abs(turn_N)
    log_turn_N = np.log(side_N) + 1j * np.unwrap(np.angle(turn_N))
    shape_NP = (flat_NP - centre_N[:, None]) / turn_N[:, None]

    ladder = Ladder.build(frames)
    centre_SN, log_turn_SN = ladder.smooth(centre_N), ladder.smooth(log_turn_N)
    shares_SN = _rigid_shares(ladder, centre_SN, log_turn_SN, side_N, strength)
    shares_SNP = _shape_shares(ladder, shape_SNP := ladder.smooth(shape_NP), strength)
    turned_N = np.exp(_mix(shares_SN, log_turn_SN))
    placed_NP = _mix(shares_SNP, shape_SNP) * turned_N[:, None]
    placed_NP += _mix(shares_SN, centre_SN)[:, None]
    smooth = [placed_NP.real, placed_NP.imag]
    if points.shape[2] == 3:
        depth_SNP = ladder.smooth(points[..., 2] / side_N[:, None])
        smooth.append(_mix(shares_SNP, depth_SNP) * np.abs(turned_N)[:, None])
    return np.stack(smooth, axis=-1)


def _rigid_shares(
    ladder: Ladder,
    centre_SN: Sequence[Complexes],
    log_turn_SN: Sequence[Complexes],
    side_N: Floats,
    strength: float,
) -> list[Floats]:
    """Choose the smoother of place, size and roll together, by how far they move the points."""
    steps = np.stack([centre_SN[0], log_turn_SN[0]], axis=1)
    per_axis = np.stack([side_N**-2.0, np.full_like(side_N, SPREAD**2)], axis=1) / 4.0
    # 0.62 is the 35th percentile of a chi-squared of 4 degrees of freedom, over its mean.
    variance = ladder.noise(
        steps, lambda e: (e * per_axis).sum(axis=1) / 0.62, least=RIGID_NOISE, rank=0.35
    )

    def misfit(narrow: int, wide: int) -> Floats:
        shift = np.abs(centre_SN[wide] - centre_SN[narrow]) / side_N
        turn = SPREAD * np.abs(log_turn_SN[wide] - log_turn_SN[narrow])
        expected = 4.0 * strength**2 * variance * ladder.scatter(narrow, wide)
        return np.asarray((shift**2 + turn**2) / expected)

    return ladder.shares(misfit)


def _shape_shares(ladder: Ladder, shape_SNP: Sequence[Complexes], strength: float) -> list[Floats]:
    """Choose the smoother of each region; a point takes those of the regions around it."""
    regions_K = _as_complex(REGIONS - STEADY_PLACE.mean(axis=0))
    distance = np.abs(shape_SNP[0][:, :, None] - regions_K)
    nearness_NPK = np.maximum(np.exp(-0.5 * (distance / REGION_WIDTHS) ** 2), 1e-30)
    within_NPK = nearness_NPK / nearness_NPK.sum(axis=1, keepdims=True)
    # Sharper: lids must not follow the brow, nor the lips the chin.
    sharp_NPK = nearness_NPK**SHARPNESS
    around_NPK = sharp_NPK / sharp_NPK.sum(axis=2, keepdims=True)

    def pool(squares_NP: Floats) -> Floats:
        return np.asarray(np.matmul(squares_NP[:, None], within_NPK)[:, 0] / 2.0)

    gaps = GAPS[shape_SNP[0].shape[1]]
    gap_SN = [[shape_NP[:, a] - shape_NP[:, b] for a, b, _, _ in gaps] for shape_NP in shape_SNP]
    # Medians of chi-squared, over their means: of 4 degrees of freedom 0.84, of 2 0.69.
    variance = ladder.noise(shape_SNP[0], lambda e: pool(e) / 0.84, least=SHAPE_NOISE)
    gap_variance = [
        ladder.noise(gap, lambda e: e / 2.0 / 0.69, least=least)
        for gap, (_, _, _, least) in zip(gap_SN[0], gaps, strict=True)
    ]

    def misfit(narrow: int, wide: int) -> Floats:
        change = shape_SNP[wide] - shape_SNP[narrow]
        scatter = strength**2 * ladder.scatter(narrow, wide)
        misfit_NK = pool(change.real**2 + change.imag**2) / (variance * scatter[:, None])
        for number, (_, _, region, _) in enumerate(gaps):
            moved = np.abs(gap_SN[wide][number] - gap_SN[narrow][number]) ** 2 / 2.0
            of_gap = moved / (gap_variance[number] * scatter)
            misfit_NK[:, region] = np.maximum(misfit_NK[:, region], of_gap)
        return misfit_NK

    return [np.matmul(around_NPK, share[:, :, None])[..., 0] for share in ladder.shares(misfit)]


def _as_complex(points: Floats) -> Complexes:
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def _mix(shares: Sequence[Floats], smoothed: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.asarray(sum(s * v for s, v in zip(shares, smoothed, strict=True)))
