"""Terms that look at a swap, of which no true picture exists: light, surroundings, likeness."""

# Shape suffixes: B batch, C channels, H, W sides of the crop, h, w of a feature map.

import torch
from torch import Tensor

from faceswap_cli.training.losses import dssim, gaussian, mse, within

FACE_STYLE_SCALE, BACKGROUND_STYLE_SCALE = 100.0, 0.1
"""So that weights mean what DeepFaceLab's powers mean."""
LEAST_OUTSIDE = 1e-6


def face_style(swap_BCHW: Tensor, dst_BCHW: Tensor) -> Tensor:
    """Return how far the colours of a swap, in broad strokes, are from those of dst, (B,).

    100 sum_C((mean a - mean b)^2 + (spread a - spread b)^2) / C over the blurred pictures,
    sigma = H / 8: light and shadow, no detail.

    Args:
        swap_BCHW: The swap, black outside of its mask.
        dst_BCHW: The dst face as redrawn, black outside of its mask.

    Source: Huang and Belongie, "Arbitrary style transfer in real-time with adaptive instance
    normalization", ICCV 2017, equation 13, on pixels in place of features, and squared.
    """
    sigma = max(1, swap_BCHW.shape[-1] // 8)
    pair = torch.cat([swap_BCHW.float(), dst_BCHW.float()])
    blurred = gaussian(pair, sigma=float(sigma), taps=4 * sigma + 1, pad=True)
    (mean_a, spread_a), (mean_b, spread_b) = (_statistics(x) for x in blurred.chunk(2))
    apart_BC = (mean_a - mean_b).square() + (spread_a - spread_b).square()
    return FACE_STYLE_SCALE * apart_BC.mean(dim=1)


def background_style(swap_BCHW: Tensor, dst_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Return 0.1 (DSSIM + MSE) between a swap and the dst picture outside of a mask, (B,).

    Args:
        swap_BCHW: The swap.
        dst_BCHW: The true dst picture.
        mask_B1HW: Where a merge would put the swap, 0..1; soft edges, none of it learns.
    """
    outside = 1.0 - mask_B1HW
    a, b = swap_BCHW.float() * outside, dst_BCHW.float() * outside
    return BACKGROUND_STYLE_SCALE * (dssim(a, b) + mse(a, b))


def blur_out(img_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Blur what lies around the faces; no colour of a face bleeds into it.

    img m + (1 - m) gauss(img (1 - m)) / gauss(1 - m), sigma = H / 128.

    Source: Knutsson and Westin, "Normalized and differential convolution", CVPR 1993.
    """
    sigma = img_BCHW.shape[-1] / 128
    taps = 2 * max(1, int(2 * sigma)) + 1
    outside = 1.0 - mask_B1HW.float()
    weighed = torch.cat([img_BCHW.float() * outside, outside], dim=1)
    blurred = gaussian(weighed, sigma=sigma, taps=taps, pad=True)
    around = blurred[:, :-1] / blurred[:, -1:].clamp(min=LEAST_OUTSIDE)
    return img_BCHW * mask_B1HW + around * outside


def unlikeness(swap_BChw: Tensor, src_BChw: Tensor, dst_BChw: Tensor) -> Tensor:
    """Return how far swaps are from src, in features: 0 is there, 1 about as far as dst; (B,).

    Squared distance of the mean and spread of each channel over space, mean over the batch,
    as a share of the distance of dst. What differs among faces of one person, pose and
    expression, counts the less the more it does; what all of them share counts. Faces are
    compared as a batch, never one with another: the same for all of it, and too noisy to mean
    much where it has fewer than about 8.

    Args:
        swap_BChw: Features of the swaps, the only ones that learn.
        src_BChw: Of src faces.
        dst_BChw: Of the dst faces that the swaps were made of.

    Source: Li et al., "Demystifying neural style transfer", IJCAI 2017 (statistics of channels
    as what a picture is like); Fisher, "The use of multiple measurements in taxonomic
    problems", 1936 (the spread within a group as the unit of what lies between groups).
    """
    swap, src, dst = (torch.cat(_statistics(x), dim=1) for x in (swap_BChw, src_BChw, dst_BChw))
    src, dst = src.detach(), dst.detach()
    within_C = src.var(dim=0, correction=0) + dst.var(dim=0, correction=0)
    within_C = within_C + 1e-3 * within_C.mean() + 1e-12
    goal_C = src.mean(dim=0)
    apart, whole = (((x.mean(dim=0) - goal_C).square() / within_C).mean() for x in (swap, dst))
    by_chance = 1.0 / len(src)  # of two batches of the same person
    return (apart / (whole + by_chance)).expand(len(swap))


def joint_mask(a_B1HW: Tensor, b_B1HW: Tensor) -> Tensor:
    """Return where both masks are: what a merge pastes; it does not learn."""
    return torch.minimum(a_B1HW, b_B1HW).detach().float()


def cut_out(img_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Return a picture within a predicted mask, which does not learn by that."""
    return within(img_BCHW, mask_B1HW.detach().float())


def _statistics(x_BChw: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and spread of each channel over space, (B, C) each, in float32."""
    x_BChw = x_BChw.float()
    mean_BC = x_BChw.mean(dim=(2, 3))
    variance_BC = (x_BChw - mean_BC[..., None, None]).square().mean(dim=(2, 3))
    return mean_BC, (variance_BC + 1e-8).sqrt()  # the root of 0 has no gradient
