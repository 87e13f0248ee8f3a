"""Orders by likeness. A row is a face: a vector of length 1, two rows' product their likeness."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceswap_cli.progress import progress

CHUNK = 20_000
"""Faces that are chained together: time goes with the square, memory only with the number."""


def nearest_chain(rows: NDArray[np.float32], *, chunk: int = CHUNK) -> list[tuple[int, float]]:
    """Go from the first row to the nearest one not visited, and on, until all are.

    Args:
        rows: (N, D), of length 1.
        chunk: So many rows at a time; the next chunk is entered nearest to where the last
            one ended.

    Returns:
        (index, 1 - likeness to the one before) of each; of the first, 0.
    """
    chained: list[tuple[int, float]] = []
    with progress("chain", total=len(rows), unit="face") as bar:
        for start in range(0, len(rows), chunk):
            left = rows[start : start + chunk].copy()
            names = np.arange(start, start + len(left))
            at = rows[chained[-1][0]] if chained else left[0]
            while len(left):
                likeness = left @ at
                best = int(np.argmax(likeness))
                distance = max(0.0, 1.0 - float(likeness[best])) if chained else 0.0
                chained.append((int(names[best]), distance))
                at = left[best].copy()
                # The last one takes the place of the one that leaves: nothing is moved up.
                left[best], names[best] = left[-1], names[-1]
                left, names = left[:-1], names[:-1]
                bar.update()
    return chained


def unlikeness(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how unlike each row is to all others on average, (N,); (N, D) rows of length 1."""
    if len(rows) < 2:
        return np.zeros(len(rows))
    exact = rows.astype(np.float64)
    # The sum of the products is the product with the sum: no matrix of N x N is needed.
    total = exact @ exact.sum(axis=0) - (exact * exact).sum(axis=1)
    return np.asarray(1.0 - total / (len(rows) - 1), np.float64)


def near_copies(
    looks: NDArray[np.bool_], poses_deg: NDArray[np.float64], *, most_bits: int, most_deg: float
) -> list[list[int]]:
    """Return groups of rows that are nearly the same as the first of their group.

    Args:
        looks: (N, bits), perceptual hashes.
        poses_deg: (N, 2).
        most_bits: Places in which the hashes may differ.
        most_deg: By which either angle may differ.

    Returns:
        Groups of two and more, in the order of the rows.
    """
    # In the order of the first angle only a window of rows has to be compared.
    order = np.argsort(poses_deg[:, 0], kind="stable")
    signs = np.where(looks[order], 1.0, -1.0).astype(np.float32)
    poses = poses_deg[order]
    ends = np.searchsorted(poses[:, 0], poses[:, 0] + most_deg, side="right")
    free = np.ones(len(looks), np.bool_)
    groups: list[list[int]] = []
    for index, end in enumerate(ends.tolist()):
        if not free[index]:
            continue
        bits = (looks.shape[1] - signs[index:end] @ signs[index]) / 2.0
        turned = np.abs(poses[index:end] - poses[index]).max(axis=1)
        alike = np.flatnonzero((bits <= most_bits) & (turned <= most_deg) & free[index:end])
        free[alike + index] = False
        if len(alike) > 1:
            groups.append(sorted(order[alike + index].tolist()))
    return sorted(groups)


def spread_out(rows: NDArray[np.float32], order: Sequence[int]) -> list[int]:
    """Return indices of rows so that each is the most unlike all that come before it.

    Args:
        rows: (N, D), of length 1.
        order: Of indices into rows; the first stays the first.
    """
    left = list(order)
    if not left:
        return []
    chosen = [left.pop(0)]
    nearest = rows[left] @ rows[chosen[0]] if left else np.empty(0)
    while left:
        best = int(np.argmin(nearest))
        chosen.append(left.pop(best))
        nearest = np.delete(nearest, best)
        if left:
            nearest = np.maximum(nearest, rows[left] @ rows[chosen[-1]])
    return chosen
