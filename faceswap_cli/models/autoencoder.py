"""DeepFaceLab's two swap autoencoders.

Both encode the expression and pose that two faces share, and add the identity when they
decode. A swap encodes `dst` and decodes as `src`.
"""

# Shape suffixes: B batch, H = W = size, C and l channels and side of the bottleneck's map.

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from faceswap_cli.models.base import Faces, Model, Painter, Terms
from faceswap_cli.models.blocks import (
    Decoder,
    Encoder,
    Inter,
    encoder_length,
    initialise,
    inter_side,
)
from faceswap_cli.models.critics import CodeCritic, PatchCritic
from faceswap_cli.models.likeness import CodeRange
from faceswap_cli.models.objective import Objective
from faceswap_cli.models.terms import Redrawn, drawing_terms
from faceswap_cli.training.adversarial import judging
from faceswap_cli.training.style import blur_out

CRITIC_TERMS = {"gan": "gan_critic", "code_critic": "code_critic"}
"""What each critic is after, by its name."""


class Autoencoder(Model):
    """What the two have in common: the losses, and how a swap is drawn."""

    objective: Objective = Objective()
    """What is computed; see set_objective."""
    gan_sides: tuple[str, ...] = ("src",)
    """Whose pictures the critic `gan` judges."""
    likeness: CodeRange | None = None
    """Where the codes of a swap are kept; None: they are left as they are."""
    encoder: Encoder

    @abstractmethod
    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the decoder of each side starts from, (B, C, l, l)."""

    def training_maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the losses decode: maps, or what teaches more."""
        return self.maps(src_code, dst_code)

    def training_maps_of(
        self, src: Faces, dst: Faces, src_code: Tensor, dst_code: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return training_maps, where they depend on the faces too."""
        return self.training_maps(src_code, dst_code)

    @abstractmethod
    def swap_map(self, dst_code: Tensor) -> Tensor:
        """Return what the src decoder starts from to draw a swap, (B, C, l, l)."""

    @property
    def swap_inter(self) -> Inter | None:
        """The bottleneck of both sides that a swap goes through; None: there is no such."""
        return None

    def swap_codes(self, img: Tensor) -> Tensor:
        """Return what swap_inter makes of faces, (B, 3, H, W) -> (B, ae_dims)."""
        assert self.swap_inter is not None
        narrow: Tensor = self.swap_inter.narrow(self.encoder(img))
        return narrow

    def likely(self, inter: Inter, code: Tensor) -> Tensor:
        """Return the map of a swap, its code kept where `likeness` says."""
        if self.likeness is None:
            drawn: Tensor = inter(code)
            return drawn
        return inter.draw(self.likeness.bring_in(inter.narrow(code)))

    @property
    @abstractmethod
    def side_decoders(self) -> tuple[Decoder, Decoder]:
        """The decoders of src and dst; may be the same."""

    @property
    def judged_code(self) -> tuple[int, int] | None:
        """C and l of a map that one network draws for both sides; None: there is no such."""
        return None

    def features(self, img: Tensor) -> Tensor:
        """Return what the encoder sees before all places become one code, (B, C, h, w)."""
        for layer in self.encoder.down:  # one by one: see frozen
            img = layer(img)
        return img

    def set_objective(self, objective: Objective) -> None:
        """Compute these terms from now on; the critics that they need are made anew.

        Call it once the drawing networks are where they stay: the critics join them there,
        with weights from torch's state after theirs.
        """
        for name in self.critics:
            delattr(self, name)
        made: dict[str, nn.Module] = {}
        if "gan" in objective:
            made["gan"] = PatchCritic(objective.gan_patch, objective.gan_dims)
        if "true_face" in objective:
            if self.judged_code is None:
                raise ValueError(f"{type(self).__name__} has no code that true_face could judge")
            made["code_critic"] = CodeCritic(*self.judged_code)
        place = next(self.parameters()).device
        for name, critic in made.items():
            self.add_module(name, critic.to(memory_format=torch.channels_last).to(place))
        self.critics, self.turns, self.objective = tuple(made), 1 + len(made), objective

    def losses(self, src: Faces, dst: Faces) -> Iterator[tuple[str, Terms]]:
        """Redraw each side from its distorted picture, then let the critics learn; see Model."""
        terms, evidence = drawing_terms(self, *self.redrawn(src, dst))
        yield " ".join(name for name in self.trained() if name not in self.critics), terms
        del terms  # and with them what they were computed from
        for name, (false, true) in evidence.items():
            logits = self.get_submodule(name)(torch.cat([false, true]))
            yield name, {CRITIC_TERMS[name]: judging(logits)}

    def redrawn(self, src: Faces, dst: Faces) -> tuple[Redrawn, Redrawn]:
        """Draw both sides again as a training does; nothing else is computed."""
        given = [side.img if side.warped is None else side.warped for side in (src, dst)]
        codes = self.encoder(torch.cat(given)).chunk(2)
        starts = self.training_maps_of(src, dst, *codes)
        if self.objective.blur_out_mask:
            src, dst = (replace(side, img=blur_out(side.img, side.mask)) for side in (src, dst))
        (src_face, src_mask), (dst_face, dst_mask) = self._decode(*starts)
        return (
            Redrawn(src, codes[0], starts[0], src_face, src_mask),
            Redrawn(dst, codes[1], starts[1], dst_face, dst_mask),
        )

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
        face, outlines = self.swap_outlines(dst)
        return face, outlines.amin(dim=1, keepdim=True)

    def swap_outlines(self, dst: Tensor) -> tuple[Tensor, Tensor]:
        """Draw dst faces as src, (B, 3, H, W) -> face, and where the new and the old face are.

        The outlines are (B, 2, H, W).
        """
        code = self.encoder(dst)
        src_decoder, dst_decoder = self.side_decoders
        as_src = self.swap_map(code)
        as_dst = self.maps(code, code)[1]
        face, mask = src_decoder(as_src)
        return face, torch.cat([mask, dst_decoder.outline(as_dst)], dim=1)

    def bind(self, ref: Faces | None, first: Faces) -> Painter:
        """Return the swap; the identity is learnt, so that `ref` plays no part."""
        return lambda canvas, drive: self.swap_outlines(drive.img)


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

    @property
    def judged_code(self) -> tuple[int, int]:
        """Of the bottleneck."""
        channels, side, _ = self.inter.shape
        return channels, side if isinstance(self.inter.up, nn.Identity) else 2 * side

    def maps(self, src_code: Tensor, dst_code: Tensor) -> tuple[Tensor, Tensor]:
        """See Autoencoder."""
        src_map, dst_map = self.inter(torch.cat([src_code, dst_code])).chunk(2)
        return src_map, dst_map

    @property
    def swap_inter(self) -> Inter:
        """The only one."""
        return self.inter

    def swap_map(self, dst_code: Tensor) -> Tensor:
        """See Autoencoder."""
        return self.likely(self.inter, dst_code)


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
        if not self.objective.mix_codes:
            return src_map, dst_map
        own_B, dst_AB = dst_map.chunk(2, dim=1)
        return src_map, torch.cat([_neighbours(own_B), dst_AB], dim=1)

    @property
    def swap_inter(self) -> Inter:
        """AB: what both sides share."""
        return self.inter_AB

    def swap_map(self, dst_code: Tensor) -> Tensor:
        """See Autoencoder."""
        dst_AB = self.likely(self.inter_AB, dst_code)
        return torch.cat([dst_AB, dst_AB], dim=1)


def _neighbours(maps_BCll: Tensor) -> Tensor:
    """Swap the first with the second, the third with the fourth ...

    In pairs, so that a batch gives the same when it is computed in parts of even length.
    """
    B = len(maps_BCll)
    even = B // 2 * 2
    swapped = maps_BCll[:even].unflatten(0, (-1, 2)).flip(1).flatten(0, 1) if even else maps_BCll
    return torch.cat([swapped, maps_BCll[even - 1 : even]]) if even and even < B else swapped
