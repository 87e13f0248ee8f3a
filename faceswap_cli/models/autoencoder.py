"""DeepFaceLab's two swap autoencoders.

Both encode the expression and pose that two faces share, and add the identity when they
decode. A swap encodes `dst` and decodes as `src`.
"""

# Shape suffixes: B batch, H = W = size, C and l channels and side of the bottleneck's map.

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from faceswap_cli.models.base import Faces, Model, Painter, Terms
from faceswap_cli.models.blocks import (
    Decoder,
    Encoder,
    Inter,
    encoder_length,
    initialise,
    inter_side,
)
from faceswap_cli.training.losses import redraw_terms


class Autoencoder(Model):
    """What the two have in common: the losses, and how a swap is drawn."""

    @abstractmethod
    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the decoder of each side starts from, (B, C, l, l)."""

    def training_maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the losses decode: maps, or what teaches more."""
        return self.maps(src_code, dst_code)

    @abstractmethod
    def swap_map(self, dst_code: Tensor) -> Tensor:
        """Return what the src decoder starts from to draw a swap, (B, C, l, l)."""

    @property
    @abstractmethod
    def side_decoders(self) -> tuple[Decoder, Decoder]:
        """The decoders of src and dst; may be the same."""

    encoder: Encoder

    def losses(self, src: Faces, dst: Faces) -> Iterator[tuple[str, Terms]]:
        """Redraw each side from its distorted picture; see Model."""
        given = [side.img if side.warped is None else side.warped for side in (src, dst)]
        src_code, dst_code = self.encoder(torch.cat(given)).chunk(2)
        drawn = self._decode(*self.training_maps(src_code, dst_code))
        terms: Terms = {}
        for name, side, (face, mask) in zip(("src", "dst"), (src, dst), drawn, strict=True):
            for term, value in redraw_terms(face, mask, side).items():
                terms[f"{name}/{term}"] = value
        yield " ".join(self.trained()), terms

    def _decode(self, src_map: Tensor, dst_map: Tensor) -> list[tuple[Tensor, Tensor]]:
        src_decoder, dst_decoder = self.side_decoders
        if src_decoder is not dst_decoder:
            return [src_decoder(src_map), dst_decoder(dst_map)]
        face, mask = src_decoder(torch.cat([src_map, dst_map]))
        return list(zip(face.chunk(2), mask.chunk(2), strict=True))

    def redraw(self, src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
        """Redraw each side as itself, for the preview: (B, 3, H, W) in and out."""
        maps = self.maps(self.encoder(src), self.encoder(dst))
        src_decoder, dst_decoder = self.side_decoders
        return src_decoder.draw(maps[0]), dst_decoder.draw(maps[1])

    def swap(self, dst: Tensor) -> tuple[Tensor, Tensor]:
        """Draw dst faces as src, (B, 3, H, W) -> face and mask.

        The mask is where both outlines agree: the new face must fit into the old one.
        """
        code = self.encoder(dst)
        src_decoder, dst_decoder = self.side_decoders
        as_src = self.swap_map(code)
        as_dst = self.maps(code, code)[1]
        face, mask = src_decoder(as_src)
        return face, torch.minimum(mask, dst_decoder.outline(as_dst))

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        """Return the swap; the identity is learnt, so that `ref` plays no part."""
        return lambda canvas, drive: self.swap(drive.img)


class DF(Autoencoder):
    """One encoder and bottleneck, a decoder for each identity."""

    def __init__(
        self,
        *,
        resolution: int,
        ae_dims: int,
        e_dims: int,
        d_dims: int,
        d_mask_dims: int,
        options: str,
    ) -> None:
        super().__init__()
        self.size = resolution
        length, side = encoder_length(resolution, e_dims, options), inter_side(resolution, options)
        self.encoder = Encoder(e_dims, options)
        self.inter = Inter(length, ae_dims, ae_dims, side, options)
        self.decoder_src = Decoder(ae_dims, d_dims, d_mask_dims, options)
        self.decoder_dst = Decoder(ae_dims, d_dims, d_mask_dims, options)
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


class LIAE(Autoencoder):
    """One encoder, one decoder; which bottlenecks feed it makes the identity.

    src is drawn from [AB, AB], dst from [B, AB]: AB learns what both share, so that the
    swap, [AB, AB] of a dst face, keeps more of its light and pose than DF.
    """

    def __init__(
        self,
        *,
        resolution: int,
        ae_dims: int,
        e_dims: int,
        d_dims: int,
        d_mask_dims: int,
        options: str,
    ) -> None:
        super().__init__()
        self.size = resolution
        length, side = encoder_length(resolution, e_dims, options), inter_side(resolution, options)
        self.encoder = Encoder(e_dims, options)
        self.inter_AB = Inter(length, ae_dims, 2 * ae_dims, side, options)
        self.inter_B = Inter(length, ae_dims, 2 * ae_dims, side, options)
        self.decoder = Decoder(4 * ae_dims, d_dims, d_mask_dims, options)
        initialise(self)

    @property
    def side_decoders(self) -> tuple[Decoder, Decoder]:
        """The same for both sides."""
        return self.decoder, self.decoder

    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """See Autoencoder."""
        src_AB, dst_AB = self.inter_AB(torch.cat([src_code, dst_code])).chunk(2)
        dst_B = self.inter_B(dst_code)
        return torch.cat([src_AB, src_AB], dim=1), torch.cat([dst_B, dst_AB], dim=1)

    def training_maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """Draw each dst face with the B of its neighbour in the batch.

        So B can hold no more than what all dst faces share, who it is, and the expression
        has to go through AB, the only one that a swap asks. Left to itself B takes the
        expression too, and swaps hardly move their lips.
        """
        src_map, dst_map = self.maps(src_code, dst_code)
        own_B, dst_AB = dst_map.chunk(2, dim=1)
        return src_map, torch.cat([_neighbours(own_B), dst_AB], dim=1)

    def swap_map(self, dst_code: Tensor) -> Tensor:
        """See Autoencoder."""
        dst_AB = self.inter_AB(dst_code)
        return torch.cat([dst_AB, dst_AB], dim=1)


def _neighbours(maps_BCll: Tensor) -> Tensor:
    """Swap the first with the second, the third with the fourth ...

    In pairs, so that a batch gives the same when it is computed in parts of even length.
    """
    B = len(maps_BCll)
    even = B // 2 * 2
    swapped = maps_BCll[:even].unflatten(0, (-1, 2)).flip(1).flatten(0, 1) if even else maps_BCll
    return torch.cat([swapped, maps_BCll[even - 1 : even]]) if even and even < B else swapped
