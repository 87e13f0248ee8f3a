"""A U-Net that says of every pixel of a crop whether it is face.

Its way down is what the package's own detectors see (eyes.py), and a short one of its own for the
edges. It works at half the resolution and lower: pixels go in and come out in blocks of 2 x 2,
which spares three quarters of the time, and hardly blurs an edge.
"""

# Shape suffixes: B batch, C channels, H = W = resolution.

import torch.nn.functional as F
from torch import Tensor, nn

from faceswap_cli.segmenting.eyes import CHANNELS, Seen

_GROUPS = 4
_SLOPE = 0.1


class Block(nn.Module):
    """Convolution, normalisation over groups of channels, activation."""

    def __init__(self, c_in: int, c_out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, c_out)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
        return F.leaky_relu(self.norm(self.conv(x_BCHW)), _SLOPE, inplace=True)


class MaskNet(nn.Module):
    """From 12 x 12 up to the resolution; each level adds what was seen at its size."""

    def __init__(self, width: int) -> None:
        """Draw the first weights from torch's generator.

        Args:
            width: Channels at half the resolution, a multiple of 4.
        """
        super().__init__()
        coarse, middle, fine, quarter, half = (width * growth for growth in (8, 4, 4, 2, 1))
        self.edges = nn.Sequential(nn.PixelUnshuffle(2), Block(12, half), Block(half, half))
        self.shapes = Block(half, quarter, stride=2)
        self.from_seen = nn.ModuleList(
            Block(seen, own, kernel=1)
            for seen, own in zip(CHANNELS, (coarse, middle, fine), strict=True)
        )
        self.whole = Block(coarse, coarse)
        self.narrow = nn.ModuleList(
            nn.Conv2d(before, after, 1)
            for before, after in (
                (coarse, middle),
                (middle, fine),
                (fine, quarter),
                (quarter, half),
            )
        )
        self.up = nn.ModuleList(Block(own, own) for own in (middle, fine, quarter, half))
        self.head = nn.Sequential(nn.Conv2d(half, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, image_B3HW: Tensor, seen: Seen) -> Tensor:
        """Return logits, (B, 1, H, W), above 0: face.

        Args:
            image_B3HW: RGB in 0..1, H = W, a multiple of 4.
            seen: What Eyes say of it.
        """
        edges = self.edges(4.0 * image_B3HW - 2.0)
        coarse, middle, fine = (own(maps) for own, maps in zip(self.from_seen, seen, strict=True))
        x = coarse + self.whole(coarse)
        levels = middle, fine, self.shapes(edges), edges
        for narrow, up, level in zip(self.narrow, self.up, levels, strict=True):
            # 1 x 1 and resizing commute; in this order the product is the smaller one.
            wider = F.interpolate(narrow(x), size=level.shape[2:], mode="bilinear")
            x = up(level + wider)
        logits: Tensor = self.head(x)
        return logits
