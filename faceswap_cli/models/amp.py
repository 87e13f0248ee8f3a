"""DeepFaceLab's AMP: one picture of how far a face has gone from dst to src.

One encoder, one decoder; two bottlenecks draw the map that it starts from, one for each
identity. In training a src face takes some channels of its map from the bottleneck of src and
the others from that of dst, so that every mixture of the two decodes to a face: merge chooses
how much of src there is. Unlike DeepFaceLab's, both bottlenecks learn.
"""

# Shape suffixes: B batch, H = W = size, N length of the code, C and l channels and side of
#                 the map that the decoder starts from.

import torch
from torch import Tensor, nn

from faceswap_cli.models.autoencoder import Autoencoder
from faceswap_cli.models.base import Faces, Painter
from faceswap_cli.models.blocks import (
    Decoder,
    Encoder,
    encoder_length,
    initialise,
    inter_side,
)

OPTIONS = "udt"
"""Of the layers: AMP knows no others."""

# Of the hash: odd, so that a product loses nothing, and small, so that it fits into 63 bits.
_MULTIPLIER, _STRIDE = 0x45D9F3B, 0x1E3779B1
_WORD = 2**32 - 1
_STEPS_OF_CHANCE = 2**24
"""As many as there are float32 that torch draws from 0..1."""


class NarrowEncoder(Encoder):
    """(B, 3, R, R) -> (B, N), N = ae_dims: an encoder that ends in the bottleneck."""

    def __init__(self, resolution: int, e_dims: int, ae_dims: int, options: str) -> None:
        super().__init__(e_dims, options)
        self.narrow = nn.Linear(encoder_length(resolution, e_dims, options), ae_dims)

    def forward(self, img_B3RR: Tensor) -> Tensor:
        """Return the code."""
        code_BN: Tensor = self.narrow(super().forward(img_B3RR))
        return code_BN


class Widen(nn.Module):
    """(B, N) -> (B, C, l, l): what comes after the bottleneck, linear."""

    def __init__(self, n_in: int, c_out: int, side: int) -> None:
        super().__init__()
        self.widen = nn.Linear(n_in, side * side * c_out)
        self.shape = (c_out, side, side)

    def forward(self, code_BN: Tensor) -> Tensor:
        """Return the map."""
        map_BCll: Tensor = self.widen(code_BN).unflatten(1, self.shape)
        return map_BCll.contiguous(memory_format=torch.channels_last)


class AMP(Autoencoder):
    """A bottleneck for each identity, and any mixture of them."""

    takes_morph = True
    gan_sides = ("src", "dst")

    def __init__(
        self,
        *,
        resolution: int,
        ae_dims: int,
        e_dims: int,
        d_dims: int,
        d_mask_dims: int,
        inter_dims: int,
        morph: float,
    ) -> None:
        super().__init__()
        self.size = resolution
        side = inter_side(resolution, OPTIONS)
        self.encoder = NarrowEncoder(resolution, e_dims, ae_dims, OPTIONS)
        self.inter_src = Widen(ae_dims, inter_dims, side)
        self.inter_dst = Widen(ae_dims, inter_dims, side)
        self.decoder = Decoder(inter_dims, d_dims, d_mask_dims, OPTIONS)
        self.inter_dims = inter_dims
        self.morph = morph
        """Share of the channels that come from inter_src when a src face is learnt."""
        self.morph_at_merge = 1.0
        """The same when a swap is drawn; see `set_morph`."""
        initialise(self)

    @property
    def side_decoders(self) -> tuple[Decoder, Decoder]:
        """The same for both sides."""
        return self.decoder, self.decoder

    def set_morph(self, morph: float) -> None:
        """Let painters that are bound from now on go so far from dst (0) to src (1)."""
        self.morph_at_merge = morph

    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """See Autoencoder: each side by its own bottleneck alone."""
        return self.inter_src(src_code), self.inter_dst(dst_code)

    def training_maps_of(
        self, src: Faces, dst: Faces, src_code: Tensor, dst_code: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what the losses decode, (B, C, l, l) each.

        Which channels of a src face come from inter_src is a matter of its `chance` alone: the
        same when a batch is computed in parts, by several processes, or again after a restart.
        """
        as_src = self.inter_src(src_code)
        as_dst, dst_map = self.inter_dst(torch.cat([src_code, dst_code])).chunk(2)
        chance = src.img.new_zeros(len(src)) if src.chance is None else src.chance
        chosen_BC = choose_channels(chance, self.inter_dims, int(self.inter_dims * self.morph))
        return torch.where(chosen_BC[..., None, None], as_src, as_dst), dst_map

    def swap_map(self, dst_code: Tensor) -> Tensor:
        """See Autoencoder: all the way to src."""
        drawn: Tensor = self.inter_src(dst_code)
        return drawn

    def swap(self, dst: Tensor, morph: float = 1.0) -> tuple[Tensor, Tensor]:
        """Draw dst faces on their way to src, (B, 3, H, W) -> face and mask.

        Args:
            dst: RGB, 0..1.
            morph: Share of the channels, the first ones, that come from inter_src: 0 is dst
                redrawn, 1 is the swap.
        """
        face, outlines = self.swap_outlines(dst, morph)
        return face, outlines.amin(dim=1, keepdim=True)

    def swap_outlines(self, dst: Tensor, morph: float = 1.0) -> tuple[Tensor, Tensor]:
        """See Autoencoder; `morph` as of swap."""
        code = self.encoder(dst)
        as_dst, count = self.inter_dst(code), int(self.inter_dims * morph)
        mixed = torch.cat([self.swap_map(code)[:, :count], as_dst[:, count:]], dim=1)
        face, mask = self.decoder(mixed.contiguous(memory_format=torch.channels_last))
        return face, torch.cat([mask, self.decoder.outline(as_dst)], dim=1)

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        """Return the swap, as far as `set_morph` told; `ref` plays no part."""
        morph = self.morph_at_merge
        return lambda canvas, drive: self.swap_outlines(drive.img, morph)


def choose_channels(chance_B: Tensor, channels: int, count: int) -> Tensor:
    """Choose `count` channels for each face, at random but by its chance alone.

    Every channel is hashed together with the chance, and the lowest hashes win. The hash is
    one to one in the channel, so that there are no ties; integers give the same on every device.

    Args:
        chance_B: (B,), 0..1, float32.
        channels: How many there are.
        count: How many are chosen, 0 to `channels`.

    Returns:
        (B, channels), bool, `count` of them set in each row.
    """
    key_B1 = (chance_B.float() * _STEPS_OF_CHANCE).long()[:, None]
    hash_BC = (torch.arange(channels, device=chance_B.device) + key_B1 * _STRIDE) & _WORD
    for _ in range(2):
        hash_BC = ((hash_BC ^ (hash_BC >> 16)) * _MULTIPLIER) & _WORD
    lowest = (hash_BC ^ (hash_BC >> 16)).topk(count, dim=1, largest=False).indices
    return torch.zeros_like(hash_BC, dtype=torch.bool).scatter(1, lowest, True)
