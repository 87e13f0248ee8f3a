"""The layers of DeepFaceLab's autoencoders, to the parameter.

Facts of the layout: kernel sizes, widths and counts as published by the project; the code
and the channel order of the sub-pixel upscaling are torch's.
"""

# Shape suffixes: B batch, C channels, H, W sides, N flattened length.

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

NARROW_SLOPE, WIDE_SLOPE = 0.1, 0.2


class Cosine(nn.Module):
    """x * cos(x), the activation of option `c`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.cos(x)


def activation(options: str, slope: float = NARROW_SLOPE) -> nn.Module:
    """Return the activation that the options choose."""
    return Cosine() if "c" in options else nn.LeakyReLU(slope)


def downscale(c_in: int, c_out: int, options: str) -> nn.Sequential:
    """(B, c_in, H, W) -> (B, c_out, H / 2, W / 2)."""
    conv = nn.Conv2d(c_in, c_out, kernel_size=5, stride=2, padding=2)
    return nn.Sequential(conv, activation(options))


def upscale(c_in: int, c_out: int, options: str) -> nn.Sequential:
    """(B, c_in, H, W) -> (B, c_out, 2 H, 2 W). The shuffle leaves no checkerboard."""
    conv = nn.Conv2d(c_in, 4 * c_out, kernel_size=3, padding=1)
    return nn.Sequential(conv, activation(options), nn.PixelShuffle(2))


class Residual(nn.Module):
    """(B, C, H, W) -> the same shape."""

    def __init__(self, channels: int, options: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.inner = activation(options, WIDE_SLOPE)
        self.outer = activation(options, WIDE_SLOPE)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Add what two convolutions find."""
        x: Tensor = self.outer(x_BCHW + self.conv2(self.inner(self.conv1(x_BCHW))))
        return x


class Stages(nn.Sequential):
    """Layers one after the other; of each, only the input is kept when `recompute` is set."""

    recompute = False

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers."""
        thrifty = self.recompute and self.training and torch.is_grad_enabled()
        for layer in self:
            x = checkpoint(layer, x, use_reentrant=False) if thrifty else layer(x)
        return x


class Encoder(nn.Module):
    """(B, 3, R, R) -> (B, N), N = 8 e (R / 16)^2, or 8 e (R / 32)^2 with option t."""

    def __init__(self, e_dims: int, options: str) -> None:
        super().__init__()
        e = e_dims
        if "t" in options:
            self.down = Stages(
                downscale(3, e, options),
                Residual(e, options),
                downscale(e, 2 * e, options),
                downscale(2 * e, 4 * e, options),
                downscale(4 * e, 8 * e, options),
                downscale(8 * e, 8 * e, options),
                Residual(8 * e, options),
            )
        else:
            widths = (3, e, 2 * e, 4 * e, 8 * e)
            self.down = Stages(*(downscale(a, b, options) for a, b in pairwise(widths)))
        self.normalised = "u" in options

    def forward(self, img_B3RR: Tensor) -> Tensor:
        """Return the code, of unit mean square with option u."""
        code_BN: Tensor = self.down(img_B3RR).flatten(1)
        if not self.normalised:
            return code_BN
        square_B1 = code_BN.float().square().mean(dim=1, keepdim=True)
        return code_BN * (square_B1 + 1e-6).rsqrt().to(code_BN.dtype)


def encoder_length(resolution: int, e_dims: int, options: str) -> int:
    """Return N of the encoder."""
    side = resolution // (32 if "t" in options else 16)
    return 8 * e_dims * side * side


def inter_side(resolution: int, options: str) -> int:
    """Return the side of the map that the bottleneck draws."""
    return resolution // (32 if "d" in options else 16)


class Inter(nn.Module):
    """(B, N) -> (B, C, L, L), doubled in side without option t: a linear bottleneck."""

    def __init__(self, n_in: int, ae_dims: int, c_out: int, side: int, options: str) -> None:
        super().__init__()
        self.narrow = nn.Linear(n_in, ae_dims)
        self.widen = nn.Linear(ae_dims, side * side * c_out)
        self.shape = (c_out, side, side)
        self.up = nn.Identity() if "t" in options else upscale(c_out, c_out, options)

    def forward(self, code_BN: Tensor) -> Tensor:
        """Return the map the decoders start from."""
        return self.draw(self.narrow(code_BN))

    def draw(self, narrow_BA: Tensor) -> Tensor:
        """Return the map that a code of the bottleneck's width stands for."""
        map_BCLL: Tensor = self.widen(narrow_BA).unflatten(1, self.shape)
        doubled: Tensor = self.up(map_BCLL.contiguous(memory_format=torch.channels_last))
        return doubled


class Heads(nn.ModuleList):
    """(B, C, H, W) -> (B, 3 each, H, W): convolutions that draw, run as one.

    Three channels alone keep no processor busy. `apart` runs one after the other.
    """

    apart = False

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Run all heads, and put what they draw one behind the other."""
        if self.apart:
            return torch.cat([head(x_BCHW) for head in self], dim=1)
        heads = [head for head in self if isinstance(head, nn.Conv2d)]
        side = heads[-1].kernel_size[0]
        weights = torch.cat([_padded(head.weight, side) for head in heads])
        biases = torch.cat([head.bias for head in heads if head.bias is not None])
        return F.conv2d(x_BCHW, weights, biases, padding=side // 2)


class Decoder(nn.Module):
    """(B, C, l, l) -> face (B, 3, R, R) and mask (B, 1, R, R), both 0..1."""

    def __init__(self, c_in: int, d_dims: int, d_mask_dims: int, options: str) -> None:
        super().__init__()
        growth = (8, 8, 4, 2) if "t" in options else (8, 4, 2)
        face: list[nn.Module] = []
        c = c_in
        for factor in growth:
            face += [upscale(c, factor * d_dims, options), Residual(factor * d_dims, options)]
            c = factor * d_dims
        self.face = Stages(*face)
        kernels = (1, 3, 3, 3) if "d" in options else (1,)
        self.heads = Heads(nn.Conv2d(c, 3, k, padding=k // 2) for k in kernels)

        mask: list[nn.Module] = []
        c = c_in
        for factor in growth + ((1,) if "d" in options else ()):
            mask.append(upscale(c, factor * d_mask_dims, options))
            c = factor * d_mask_dims
        self.mask = Stages(*mask, nn.Conv2d(c, 1, kernel_size=1))

    def draw(self, map_BCll: Tensor) -> Tensor:
        """Return the face alone."""
        drawn: Tensor = self.heads(self.face(map_BCll))
        if len(self.heads) > 1:
            # Head k holds the sub-pixel k of every colour; torch wants colour-major channels.
            B, _, H, W = drawn.shape
            drawn = drawn.view(B, 4, 3, H, W).transpose(1, 2).reshape(B, 12, H, W)
            drawn = F.pixel_shuffle(drawn, 2)
        return drawn.float().sigmoid()

    def outline(self, map_BCll: Tensor) -> Tensor:
        """Return the mask alone."""
        outline: Tensor = self.mask(map_BCll)
        return outline.float().sigmoid()

    def forward(self, map_BCll: Tensor) -> tuple[Tensor, Tensor]:
        """Return face and mask."""
        return self.draw(map_BCll), self.outline(map_BCll)


def _padded(kernel: Tensor, side: int) -> Tensor:
    """Return a kernel of more zeros that does the same."""
    border = (side - kernel.shape[-1]) // 2
    return F.pad(kernel, (border,) * 4) if border else kernel


def initialise(module: nn.Module) -> None:
    """Glorot uniform weights, zero biases, as DeepFaceLab's."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
