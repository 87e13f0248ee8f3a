"""Networks that judge what others draw: no part of what draws, needed in training alone."""

# Shape suffixes: B batch, C channels, H, W sides of the picture, h, w of a smaller map.

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceswap_cli.models.blocks import NARROW_SLOPE, WIDE_SLOPE, initialise

KERNEL = 3
MAX_LEVELS = 9
MAX_CHANNELS = 512
CODE_CHANNELS, CODE_CHANNELS_GROWTH = 256, 8


class PatchCritic(nn.Module):
    """(B, 3, H, W) -> logits (B, 1, h, w) of patches, and (B, 1, H, W) of pixels.

    A U-Net: on its way down, each place comes to see a patch of the picture; on its way up it
    tells, with all that it saw, which pixels look true. In the layout of DeepFaceLab's.

    Source: Schoenfeld et al., "A U-Net based discriminator for generative adversarial
    networks", CVPR 2020; Isola et al., "Image-to-image translation with conditional
    adversarial networks", CVPR 2017, section 3.2.2 (patches).

    Args:
        patch_px: How much of the picture a logit of the first map sees, about.
        dims: Width of the first level; doubled by each one.
    """

    def __init__(self, patch_px: int, dims: int) -> None:
        super().__init__()
        self.strides = strides_for_patch(patch_px)
        widths = [min(dims << level, MAX_CHANNELS) for level in range(len(self.strides) + 1)]
        self.enter = nn.Conv2d(3, widths[0], kernel_size=1)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, KERNEL, stride, padding=1)
            for (a, b), stride in zip(pairwise(widths), self.strides, strict=True)
        )
        self.centre = nn.Conv2d(widths[-1], widths[-1], kernel_size=1)
        self.centre_logits = nn.Conv2d(widths[-1], 1, kernel_size=1)
        # All but the deepest are given the skipped map, too.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b if level == 0 else 2 * b, a, KERNEL, stride, padding=1)
            for level, ((a, b), stride) in enumerate(
                zip(reversed(list(pairwise(widths))), reversed(self.strides), strict=True)
            )
        )
        self.logits = nn.Conv2d(2 * widths[0], 1, kernel_size=1)
        _initialise(self)

    def forward(self, img_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps of logits: positive where it looks true."""
        x = F.leaky_relu(self.enter(img_BCHW), WIDE_SLOPE)
        skipped: list[Tensor] = []
        for down in self.down:
            skipped.append(x)
            x = F.leaky_relu(down(x), WIDE_SLOPE)
        centre_B1hw: Tensor = self.centre_logits(x)
        x = F.leaky_relu(self.centre(x), WIDE_SLOPE)
        for up, skip in zip(self.up, reversed(skipped), strict=True):
            grown = F.leaky_relu(up(x, output_size=skip.shape[-2:]), WIDE_SLOPE)
            x = torch.cat([skip, grown], dim=1)
        pixels_B1HW: Tensor = self.logits(x)
        return centre_B1hw, pixels_B1HW


class CodeCritic(nn.Module):
    """(B, C, l, l) -> logits (B, 1, h, w): whether a code looks like one of dst.

    DeepFaceLab's: as many layers as the map has multiples of 8 in its side, and one.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c = channels
        for level in range(1 + side // 8):
            wide = CODE_CHANNELS * min(1 << level, CODE_CHANNELS_GROWTH)
            kernel = 4 if level == 0 else 3
            layers += [nn.Conv2d(c, wide, kernel, stride=2, padding=1), nn.LeakyReLU(NARROW_SLOPE)]
            c = wide
        self.judge = nn.Sequential(*layers, nn.Conv2d(c, 1, kernel_size=1))
        _initialise(self)

    def forward(self, map_BCll: Tensor) -> tuple[Tensor]:
        """Return the one map of logits."""
        return (self.judge(map_BCll),)


def strides_for_patch(patch_px: int) -> tuple[int, ...]:
    """Return the strides of the 3 x 3 layers whose receptive field is closest to a patch.

    The first one halves. Of equals: the smaller field, the fewest layers, the most halving.
    """
    stacks = ((2, *rest) for levels in range(MAX_LEVELS) for rest in product((2, 1), repeat=levels))

    def badness(strides: tuple[int, ...]) -> tuple[int, int, int, int]:
        field = receptive_field(strides)
        return abs(field - patch_px), field, len(strides), -sum(strides)

    return min(stacks, key=badness)


def receptive_field(strides: tuple[int, ...]) -> int:
    """Return the side of what one output of a stack of 3 x 3 layers sees, pixels."""
    field = step = 1
    for stride in strides:
        field += (KERNEL - 1) * step
        step *= stride
    return field


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients pass through what a network computes in the block, and none arrive in it.

    Nothing is accumulated there, and weight gradients are not even computed. Checkpointed
    activations would be computed again outside of the block: not for such networks.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def _initialise(critic: nn.Module) -> None:
    initialise(critic)
    for layer in critic.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
