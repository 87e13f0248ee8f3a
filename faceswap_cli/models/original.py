"""faceswap's `original`: one encoder, a decoder for each identity, 64 pixels, no mask.

The layout is the project's, to the parameter; the first weights are ours, as for all models.
"""

# Shape suffixes: B batch, C and l channels and side of the map that the decoders start from.

import torch
from torch import Tensor, nn

from faceswap_cli.models.amp import NarrowEncoder, Widen
from faceswap_cli.models.autoencoder import Autoencoder
from faceswap_cli.models.base import Faces, Painter
from faceswap_cli.models.blocks import Decoder, Heads, Stages, initialise, inter_side, upscale

OPTIONS = ""
"""Of the layers: plain ones."""


class FaceDecoder(Decoder):
    """(B, C, l, l) -> face (B, 3, 8 l, 8 l), 0..1, and a mask that is 1 everywhere."""

    def __init__(self, c_in: int, d_dims: int) -> None:
        super(Decoder, self).__init__()  # other layers, drawn with in the same way
        self.face = Stages(
            upscale(c_in, 4 * d_dims, OPTIONS),
            upscale(4 * d_dims, 2 * d_dims, OPTIONS),
            upscale(2 * d_dims, d_dims, OPTIONS),
        )
        self.heads = Heads([nn.Conv2d(d_dims, 3, kernel_size=5, padding=2)])

    def outline(self, map_BCll: Tensor) -> Tensor:
        """Return ones, (B, 1, 8 l, 8 l): no mask is learnt."""
        (B, _, *sides), factor = map_BCll.shape, 2 ** len(self.face)
        return torch.ones(B, 1, *(factor * side for side in sides), device=map_BCll.device)


class Original(Autoencoder):
    """The code of both sides goes through one bottleneck; the decoders know who it is."""

    draws_mask = False

    def __init__(
        self, *, resolution: int = 64, ae_dims: int = 1024, e_dims: int = 128, d_dims: int = 64
    ) -> None:
        """Build it; the defaults are faceswap's, other numbers are for tests."""
        super().__init__()
        self.size = resolution
        side = inter_side(resolution, OPTIONS)
        self.encoder = NarrowEncoder(resolution, e_dims, ae_dims, OPTIONS)
        self.inter = nn.Sequential(
            Widen(ae_dims, 8 * e_dims, side), upscale(8 * e_dims, 8 * d_dims, OPTIONS)
        )
        self.decoder_src = FaceDecoder(8 * d_dims, d_dims)
        self.decoder_dst = FaceDecoder(8 * d_dims, d_dims)
        initialise(self)

    @property
    def side_decoders(self) -> tuple[Decoder, Decoder]:
        """One for each side."""
        return self.decoder_src, self.decoder_dst

    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """See Autoencoder."""
        src_map, dst_map = self.inter(torch.cat([src_code, dst_code])).chunk(2)
        return src_map, dst_map

    def swap_map(self, dst_code: Tensor) -> Tensor:
        """See Autoencoder."""
        drawn: Tensor = self.inter(dst_code)
        return drawn

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        """Return the swap; the canvas keeps its mask."""
        return lambda canvas, drive: (self.swap(drive.img)[0], None)
