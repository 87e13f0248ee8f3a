"""Filters for a stack of pictures, each by its own amount, on any device."""

# Shape suffixes: B batch, C channels, H, W sides of the pictures, K taps of a kernel.

import math
from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_RADIUS_PX = 5  # as in masks.shrink: larger discs are made of several


def blur_each(image_BCHW: Tensor, sigmas_px: Sequence[float]) -> Tensor:
    """Blur each picture by its own Gaussian, as cv2.GaussianBlur does for floats; (B, C, H, W)."""
    kernels = [_gaussian(sigma) for sigma in sigmas_px]
    reach = max(len(kernel) // 2 for kernel in kernels)
    if reach == 0:
        return image_BCHW
    padded = [np.pad(kernel, reach - len(kernel) // 2) for kernel in kernels]
    num, channels, height, width = image_BCHW.shape
    kernel_BK = torch.from_numpy(np.stack(padded)).to(image_BCHW.device)
    kernel = kernel_BK.repeat_interleave(channels, dim=0)[:, None]
    image = F.pad(image_BCHW, (reach,) * 4, mode="replicate")
    image = image.reshape(1, num * channels, height + 2 * reach, width + 2 * reach)
    image = F.conv2d(image, kernel[:, :, None], groups=num * channels)
    image = F.conv2d(image, kernel[..., None], groups=num * channels)
    return image.view(image_BCHW.shape)


def _gaussian(sigma_px: float) -> NDArray[np.float32]:
    if sigma_px < 0.1:  # as masks.feather
        return np.ones(1, np.float32)
    size = round(8.0 * sigma_px + 1.0) | 1
    return np.asarray(cv2.getGaussianKernel(size, sigma_px, cv2.CV_32F)[:, 0], np.float32)


def shrink_each(mask_B1HW: Tensor, amounts_px: Sequence[float]) -> Tensor:
    """Erode each mask, (B, 1, H, W), by its own amount: by discs and fractions, as masks.shrink."""
    alike: defaultdict[tuple[float, int], list[int]] = defaultdict(list)
    for i, amount in enumerate(amounts_px):
        alike[math.copysign(1.0, amount), math.floor(abs(amount))].append(i)
    result = mask_B1HW.clone()
    for (sign, whole), indices in alike.items():
        mask = sign * mask_B1HW[indices]
        times, rest = divmod(whole, _RADIUS_PX)
        for _ in range(times):
            mask = _least_in_disc(mask, _RADIUS_PX)
        less, more = (_least_in_disc(mask, rest + extra) for extra in (0, 1))
        shares = column([abs(amounts_px[i]) - whole for i in indices], mask)
        result[indices] = sign * (less + shares * (more - less))
    return result


def _least_in_disc(mask_B1HW: Tensor, radius: int) -> Tensor:
    """Return the least value around each pixel; beyond the border there is 0."""
    height, width = mask_B1HW.shape[2:]
    padded = F.pad(-mask_B1HW, (radius,) * 4)
    greatest: Tensor | None = None
    for row in range(2 * radius + 1):
        half = math.isqrt(radius**2 + (radius > 1) - (row - radius) ** 2)  # of a line of the disc
        strip = padded[:, :, row : row + height, radius - half : radius + half + width]
        highest = F.max_pool2d(strip, (1, 2 * half + 1), stride=1)
        greatest = highest if greatest is None else torch.maximum(greatest, highest)
    assert greatest is not None
    return -greatest


def column(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Return a number for each picture of a stack, (B, 1, 1, 1), where `like` is."""
    return torch.tensor(numbers, dtype=torch.float32, device=like.device)[:, None, None, None]
