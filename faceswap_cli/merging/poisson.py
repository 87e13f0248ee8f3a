"""A smooth surface through values that are known here and there.

Poisson cloning keeps the gradients of a face and takes the colours of the footage along its
edge. It is the face plus a membrane, spanned over it, that is held at the edge where it
makes up for the difference (Perez et al., "Poisson Image Editing", SIGGRAPH 2003, equation
6). So only something smooth is to be found, and a coarse grid is enough for it.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.types import FloatImage

_SMOOTHINGS, _DAMPING = 3, np.float32(0.8)  # steps of Jacobi's; Briggs, "A Multigrid Tutorial"
_CYCLES = 3
_DIRECT_PX = 48  # as small a grid is solved as a matrix
_CONSTANT = 1e-6  # of a membrane that hangs nowhere
_LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)


def span_membrane(values: FloatImage, weight: FloatImage, *, coarse: int = 0) -> FloatImage:
    """Return the smooth surface that is held by values, more or less firmly.

    Minimises, over the picture's pixels i and their neighbours j,
    sum |h_i - h_j|^2 + sum weight_i |h_i - values_i|^2, by multigrid: without a random or
    unbounded part. At the border of the picture nothing pulls at it.

    Args:
        values: (H, W, 3).
        weight: (H, W), from 0, where there is no value, upwards: with a weight of w the
            surface follows details larger than 1 / sqrt(w) pixels.
        coarse: It is found on a grid 2**coarse times as wide.

    Returns:
        (H, W, 3); zero if there is no weight anywhere.
    """
    height, width = weight.shape
    if float(weight.sum()) < _CONSTANT:
        return np.zeros_like(values)
    firm = cv2.merge([weight] * 3)
    pull = firm * values
    for _ in range(coarse):
        firm, pull = _sum_of_fours(firm), _sum_of_fours(pull)
    firms = [np.asarray(firm, np.float32)]
    while firms[-1].shape[0] * firms[-1].shape[1] > _DIRECT_PX:
        firms.append(_sum_of_fours(firms[-1]))
    surface = _solve(firms, np.asarray(pull, np.float32))
    for _ in range(coarse):
        surface = np.asarray(
            cv2.resize(surface, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.float32
        )
    return surface[:height, :width]


def coarseness(detail_px: float) -> int:
    """Return how often a grid can be halved until its pixels are as large as some detail."""
    return max(0, math.floor(math.log2(max(1.0, detail_px))))


def _solve(firms: list[FloatImage], pull: FloatImage) -> FloatImage:
    """Solve (L + firms[0]) h = pull, L being minus the Laplacian, (H, W, 3) each.

    Args:
        firms: Also on ever coarser grids.
        pull: On the finest one.
    """
    if len(firms) == 1:
        return _solve_directly(firms[0], pull)
    surface = _enlarged(_solve(firms[1:], _sum_of_fours(pull)), pull.shape)
    for _ in range(_CYCLES):
        surface = _cycle(surface, firms, pull)
    return surface


def _cycle(surface: FloatImage, firms: list[FloatImage], pull: FloatImage) -> FloatImage:
    """Improve a solution: smooth its error, and take what is left off on a coarser grid."""
    if len(firms) == 1:
        return _solve_directly(firms[0], pull)
    step = _DAMPING / (firms[0] + np.float32(4.0))
    for _ in range(_SMOOTHINGS):
        surface = surface + step * _residual(surface, firms[0], pull)
    rest = _sum_of_fours(_residual(surface, firms[0], pull))
    error = _cycle(np.zeros_like(rest), firms[1:], rest)
    surface = surface + _enlarged(error, pull.shape)
    for _ in range(_SMOOTHINGS):
        surface = surface + step * _residual(surface, firms[0], pull)
    return surface


def _residual(surface: FloatImage, firm: FloatImage, pull: FloatImage) -> FloatImage:
    # With its own value beyond the border, a border pixel has only its real neighbours.
    curvature = cv2.filter2D(surface, -1, _LAPLACE, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(pull + curvature - firm * surface, np.float32)


def _sum_of_fours(image: FloatImage) -> FloatImage:
    """Return the sums of squares of 2 x 2 pixels; beyond an odd border there is nothing."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
    half = ((width + 1) // 2, (height + 1) // 2)
    return np.asarray(4.0 * cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.float32)


def _enlarged(image: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    twice = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return np.asarray(twice[: shape[0], : shape[1]], np.float32)


def _solve_directly(firm: FloatImage, pull: FloatImage) -> FloatImage:
    height, width, channels = firm.shape
    laplace = np.kron(np.eye(height), _chain(width)) + np.kron(_chain(height), np.eye(width))
    held = firm[..., 0].ravel().astype(np.float64) + _CONSTANT
    solved = np.linalg.solve(laplace + np.diag(held), pull.reshape(-1, channels))
    return solved.reshape(height, width, channels).astype(np.float32)


def _chain(length: int) -> NDArray[np.float64]:
    """Return minus the second difference of a row whose ends are free."""
    matrix = 2.0 * np.eye(length) - np.eye(length, k=1) - np.eye(length, k=-1)
    matrix[0, 0] -= 1.0
    matrix[-1, -1] -= 1.0
    return np.asarray(matrix, np.float64)
